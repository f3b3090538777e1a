"""Encoded photographs -> squares of RGB bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from ...config import BadInput
from .digests import cores

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_PIXELS = 50_000_000
"""Larger images are refused before they are decoded: a few kilobytes can unpack to gigabytes."""
LEVELS = "more than 256 levels, which would be cut off; save it with 8 bits a channel first"
"""Why an image of one of the modes `DEEP` is refused: Pillow's own conversion to RGB clips them, often to a blank image."""
DEEP = ("I", "F")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""No others are tried: some of Pillow's readers start other programs."""

Images = npt.NDArray[np.uint8]
T = TypeVar("T")


def decode(data: bytes | None, side: int, where: Callable[[], str]) -> Images:
    """One image (3, side, side), uint8: RGB, shorter side resized to `side` (bicubic, antialiased), centre cropped.

    Alpha is dropped and an EXIF orientation is not applied. Raises BadInput, with `where()`, for what is no image or too large.
    """
    if data is None:
        raise BadInput(f"{where()}: no image bytes")
    return _opened(io.BytesIO(data), where, lambda image: _square(image, side))


def check(file: BinaryIO, where: Callable[[], str]) -> None:
    """Look at an image's header alone: raises BadInput as `decode` does, but does not find damage further on."""
    _opened(file, where, lambda image: None)


def decode_all(images: Iterable[Sequence[bytes | None]], side: int, where: Callable[[int], str]) -> Iterator[Images]:
    """Chunks of encoded images -> (n, 3, side, side) each, in order, on all cores. Raises BadInput for the first bad one."""

    def one(numbered: tuple[int, Sequence[bytes | None]]) -> Images:
        first, chunk = numbered
        return np.stack([decode(data, side, partial(where, first + i)) for i, data in enumerate(chunk)])

    with ThreadPoolExecutor(min(8, cores())) as pool:
        waiting, first = [], 0
        for chunk in images:
            waiting.append(pool.submit(one, (first, chunk)))
            first += len(chunk)
            if len(waiting) > 16:  # bounds what is read ahead
                yield waiting.pop(0).result()
        for done in waiting:
            yield done.result()


def _opened(file: BinaryIO, where: Callable[[], str], use: Callable[[PillowImage], T]) -> T:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BadInput(f"{where()}: {width} x {height} pixels; more than {MAX_PIXELS:,} are refused")
            if image.mode.partition(";")[0] in DEEP:
                raise BadInput(f"{where()}: its mode {image.mode} has {LEVELS}")
            return use(image)
    except BadInput:
        raise
    except UnidentifiedImageError as error:
        raise BadInput(f"{where()}: not an image; known: {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise BadInput(f"{where()}: cannot be decoded: {error}") from error


def _square(image: PillowImage, side: int) -> Images:
    from PIL import Image

    image = image.convert("RGB")
    width, height = image.size
    if (width, height) != (side, side):
        shorter = min(width, height)
        left, top = (width - shorter) / 2, (height - shorter) / 2
        # resizing the crop alone is the same as cropping the resized image, without its rounding
        image = image.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + shorter, top + shorter))
    return np.asarray(image).transpose(2, 0, 1)
