"""The splits of a data set: what `load` returns, where the images live, and how validation is cut.

A split in memory holds decoded bytes; a streamed one holds where its encoded images are, and decodes them in worker
processes. Both are read through `Split.read`.
"""

from __future__ import annotations

import abc
import functools
import hashlib
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..config import BadInput
from . import streams
from .cache import CachedImages
from .photos.decode import decode

Rows = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]


class Split(abc.ABC):
    """Examples in a fixed order. `labels`: (N,) int64; `image_size`: side S that the network sees, pixels."""

    def __init__(self, labels: npt.ArrayLike, image_size: int) -> None:
        self.labels = torch.as_tensor(np.asarray(labels, np.int64))
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.labels)

    @abc.abstractmethod
    def read(self, batches: Sequence[Tensor], workers: int = 0) -> Iterator[Tensor]:
        """The images of each batch of example indices, (B, 3, R, R) uint8, R >= S. A batch depends on its indices alone."""


class MemorySplit(Split):
    """Decoded images, read or made when first needed. `rows`: which of the stored images this split has; all if None."""

    def __init__(self, stored: CachedImages, rows: Rows | None, labels: npt.ArrayLike, image_size: int) -> None:
        super().__init__(labels, image_size)
        self.stored = stored
        self.rows = None if rows is None else torch.from_numpy(rows)

    @functools.cached_property
    def _all(self) -> Tensor:
        return torch.from_numpy(self.stored.array)

    @property
    def images(self) -> Tensor:
        """The images (N, 3, R, R), uint8; a copy where the split is a part of what is stored."""
        return self._all if self.rows is None else self._all[self.rows]

    def read(self, batches: Sequence[Tensor], workers: int = 0) -> Iterator[Tensor]:
        for batch in batches:
            yield self._all[batch if self.rows is None else self.rows[batch]]

    def content(self) -> str:
        """sha256 over images, rows and labels."""
        rows = b"" if self.rows is None else self.rows.numpy().tobytes()
        parts = (bytes.fromhex(self.stored.sha256), rows, self.labels.numpy().tobytes())
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


class Encoded(Protocol):
    """Encoded images by row, readable from any process."""

    def read(self, row: int) -> bytes: ...
    def where(self, row: int) -> str: ...


class StreamSplit(Split):
    """Images decoded each time they are needed, in DataLoader workers: RGB, shorter side resized to `side`, centre cropped."""

    def __init__(self, encoded: Encoded, rows: Rows, labels: npt.ArrayLike, side: int, image_size: int) -> None:
        super().__init__(labels, image_size)
        self.encoded, self.rows, self.side = encoded, rows, side

    def __getitem__(self, example: int) -> Tensor | str:
        """One image, or what is wrong with it: an exception would reach the parent wrapped in a worker's traceback."""
        row = int(self.rows[example])
        try:
            image = decode(self.encoded.read(row), self.side, lambda: self.encoded.where(row))
            return torch.from_numpy(np.ascontiguousarray(image))
        except (BadInput, OSError) as error:
            return str(error)

    def read(self, batches: Sequence[Tensor], workers: int = 0) -> Iterator[Tensor]:
        """As declared; raises BadInput for an image that cannot be decoded."""
        order = [batch.tolist() for batch in batches]
        loader: Iterable[Pixels | str] = torch.utils.data.DataLoader(
            self,  # type: ignore[arg-type]
            batch_sampler=order,
            num_workers=workers,
            collate_fn=_stack,
            worker_init_fn=_leave_signals_to_parent,
            generator=torch.Generator(),  # else it draws from the global one, and dropout would depend on workers
        )
        for images in loader:
            if isinstance(images, str):
                raise BadInput(images)
            yield torch.from_numpy(images)


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and SIGTERM reach workers too: they go on, so that the parent can end its step. They end with their parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _stack(images: list[Tensor | str]) -> Pixels | str:
    """As an array, which goes through a pipe: tensors would go through shared memory and sockets below TMPDIR, whose name may
    be too long for a socket, and what a worker then fails to send is waited for without end.
    """
    wrong = next((image for image in images if isinstance(image, str)), None)
    return wrong if wrong is not None else torch.stack(images).numpy()  # type: ignore[arg-type]


@dataclass
class ImageData:
    """A data set, ready to use."""

    train: Split
    val: Split
    test: Split
    num_classes: int
    class_names: list[str]
    digest: str
    """What `fingerprint` gives: fonts, files and what else determines the images."""
    content: str
    """sha256 over the decoded arrays of all splits where they live in memory, else `digest`."""
    revision: str | None = None
    """Commit on the hub that the data came from, where it came from there."""


def image_data(splits: dict[str, Split], class_names: list[str], digest: str, revision: str | None = None) -> ImageData:
    """`splits`: train, val, test. Makes images that are not in the cache yet, to know their content."""
    contents = [f"{name} {split.content()}" for name, split in splits.items() if isinstance(split, MemorySplit)]
    content = hashlib.sha256("\n".join(contents).encode()).hexdigest() if contents else digest
    return ImageData(**splits, num_classes=len(class_names), class_names=class_names, digest=digest, content=content,
                     revision=revision)  # fmt: skip


def cut(labels: npt.NDArray[np.int64], fraction: float, seed: int, name: str) -> tuple[Rows, Rows]:
    """Rows (rest, taken), ascending: `fraction` of the examples taken at random, from each class its share.

    Shares are rounded so that their sum is the rounded total (largest remainders first) and a class keeps at least one
    example. `name` keeps the cut for validation apart from the one for the test.
    """
    counts = np.bincount(labels)
    exact = counts * fraction
    quota = np.floor(exact).astype(np.int64)
    spare = max(1, round(len(labels) * fraction)) - int(quota.sum())
    for label in np.argsort(quota - exact, kind="stable")[: max(0, spare)]:
        quota[label] += quota[label] + 1 < counts[label]
    taken = _rank_in_class(labels, seed, name) < quota[labels]
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def first_of_each_class(labels: npt.NDArray[np.int64], count: int, seed: int) -> Rows:
    """Rows, ascending, of `count` random examples of each class: nested, the ones for a larger count include these."""
    return np.flatnonzero(_rank_in_class(labels, seed, "images_per_class") < count)


def spread(labels: npt.NDArray[np.int64], limit: int) -> Rows:
    """Rows, ascending, of `limit` examples spread over the classes: always the same ones, and nested."""
    rank = _rank_in_class(labels, 0, "spread")
    turn = streams.permutation(int(labels.max()) + 1, 0, "spread over classes")
    return np.sort(np.lexsort((turn[labels], rank))[:limit])


def _rank_in_class(labels: npt.NDArray[np.int64], seed: int, name: str) -> Rows:
    """Each example's place in a random order of its class."""
    order = streams.permutation(len(labels), seed, name)
    by_class = order[np.argsort(labels[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels))[:-1]])
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - starts[labels[by_class]]
    return rank
