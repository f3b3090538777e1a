"""The font faces inside matplotlib, and what a character looks like in each."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...config import BadInput, Fold

FAMILIES: dict[Fold, tuple[str, ...]] = {
    Fold.sans: ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    Fold.serif: ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    Fold.mono: ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
}
"""The 12 text faces. The Display faces hold a few symbols only."""
FACES: tuple[str, ...] = tuple(face for family in FAMILIES.values() for face in family)
VALIDATION_FACE: dict[Fold, str] = {
    Fold.sans: "DejaVuSerif-Italic",
    Fold.serif: "DejaVuSansMono-Oblique",
    Fold.mono: "DejaVuSerif-Italic",
}
"""Held out of the eight faces that are left when a family is held out for the test."""
MARGIN = 2
"""Empty pixels around a mask, so that sampling beside the character finds nothing."""


def faces_of(fold: Fold) -> dict[str, tuple[str, ...]]:
    """The faces of each split: 7 for `train`, 1 for `val`, and for `test` the 4 of the held-out family."""
    test, val = FAMILIES[fold], VALIDATION_FACE[fold]
    return {"train": tuple(f for f in FACES if f not in test and f != val), "val": (val,), "test": test}


@functools.cache
def font_file(face: str) -> Path:
    """The face's font file. Raises BadInput when matplotlib or the file is missing."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(
            "data=glyphs draws with the fonts inside matplotlib, which is not installed: pip install matplotlib"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / "mpl-data" / "fonts" / "ttf" / f"{face}.ttf"
    if not path.is_file():
        raise BadInput(f"data=glyphs: matplotlib's font {path} is missing; reinstall matplotlib from a wheel")
    return path


@functools.cache
def fonts_digest() -> str:
    """sha256 over the 12 font files and the versions of what draws them."""
    from PIL import __version__, features

    digest = hashlib.sha256(f"Pillow {__version__}, FreeType {features.version('freetype2')}".encode())
    for face in FACES:
        digest.update(hashlib.sha256(font_file(face).read_bytes()).digest())
    return digest.hexdigest()


def masks(face: str, characters: Sequence[int], side: int) -> npt.NDArray[np.uint8]:
    """Coverage (0 to 255) of each character (code points) in one face: (n, side + 2 MARGIN, side + 2 MARGIN).

    A character's bounding box is scaled until its longer side is `side` and centred: what differs in size or height alone,
    such as a full stop and a bullet, looks the same. A character without ink gives an empty mask.
    """
    from PIL import Image, ImageFont

    out = np.zeros((len(characters), side + 2 * MARGIN, side + 2 * MARGIN), np.uint8)
    waiting = range(len(characters))
    for size in (side * 3 // 2 * 2**k for k in range(6)):  # small characters are drawn large, never enlarged afterwards
        font = ImageFont.truetype(str(font_file(face)), size, layout_engine=ImageFont.Layout.BASIC)
        small = []
        for i in waiting:
            ink = font.getmask(chr(characters[i]), mode="L")
            box = ink.getbbox()
            if box is None:
                continue
            width, height = box[2] - box[0], box[3] - box[1]
            longer = max(width, height)
            if longer < side and size < side * 48:
                small.append(i)
                continue
            pixels = np.frombuffer(bytes(ink), np.uint8).reshape(ink.size[1], ink.size[0])
            target = max(1, round(width * side / longer)), max(1, round(height * side / longer))
            drawn = np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.BOX, box))
            y, x = (out.shape[1] - target[1]) // 2, (out.shape[2] - target[0]) // 2
            out[i, y : y + target[1], x : x + target[0]] = drawn
        waiting = small  # type: ignore[assignment]
        if not small:
            break
    return out
