"""What hub and folder data sets share: pools of encoded images, cut into splits, decoded into memory or streamed."""

from __future__ import annotations

import abc
import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...config import BadInput, FolderConfig, HubConfig
from ...config.messages import did_you_mean
from ...console.progress import progress
from ...console.say import say
from ..cache import CachedImages, key
from ..splits import Encoded, ImageData, MemorySplit, Rows, Split, StreamSplit, cut, first_of_each_class, image_data
from .decode import decode_all
from .digests import file_digests

PREPROCESSING = 2
"""Raised by hand when the same files come to give other bytes."""
IN_MEMORY_SIDE = 64
"""Data sets for networks that see at most this many pixels a side are decoded once (at `resize`) and kept in memory."""
CHUNK = 256


class Pool(abc.ABC):
    """The encoded images of one part of the data, in a fixed order. `files`: all that it was read from."""

    files: Sequence[Path]

    @property
    @abc.abstractmethod
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,). Raises BadInput where one is not a whole number."""

    @abc.abstractmethod
    def where(self, row: int) -> str:
        """The image in words: which file, which row."""

    @abc.abstractmethod
    def chunks(self) -> Iterator[list[bytes | None]]:
        """All images in order, a bounded number at a time; None where there is none. Raises BadInput."""

    @abc.abstractmethod
    def indexed(self, content: str) -> Encoded:
        """The images by row, their headers checked. What that leaves in the cache has its name from `content`. Raises BadInput."""


class Photos(abc.ABC):
    """A data set of photographs. Everything raises BadInput for data that cannot be used."""

    def __init__(self, config: HubConfig | FolderConfig) -> None:
        self.config = config

    @property
    @abc.abstractmethod
    def root(self) -> Path:
        """The folder that holds the data."""

    @abc.abstractmethod
    def read_pools(self) -> dict[str, Pool]:
        """`train` and `test`, or `all` where the data has no split of its own."""

    @abc.abstractmethod
    def read_class_names(self) -> list[str]:
        """Names that the data gives, or none."""

    def revision(self) -> str | None:
        """Commit on the hub, where the data came from there."""
        return None

    @functools.cached_property
    def pools(self) -> dict[str, Pool]:
        return self.read_pools()

    def fingerprint(self) -> str:
        """sha256 over the content of the files that are used, whatever folder they are in."""
        return hashlib.sha256(
            repr({name: self._digests(pool) for name, pool in self.pools.items()}).encode()
        ).hexdigest()

    def _digests(self, pool: Pool) -> list[str]:
        return file_digests(self.root, pool.files)

    def _images_of(self, pool: Pool) -> tuple[list[str], str]:
        """What tells the pool's images from all others."""
        return self._digests(pool), getattr(self.config, "image_column", "")

    def sizes(self) -> tuple[int, int, int, int]:
        """Examples for training, validation and test, and classes. Reads labels, no images."""
        classes = len(self.class_names)  # first: it checks the labels
        train, val, test = (len(rows) for _, rows in self.rows().values())
        return train, val, test, classes

    @functools.cached_property
    def class_names(self) -> list[str]:
        """The names, as many as there are classes; checks that every label has one."""
        given = self.read_class_names()
        highest = max(int(pool.labels.max(initial=-1)) for pool in self.pools.values())
        images = sum(len(pool.labels) for pool in self.pools.values())
        # without names, a label beyond the number of images is a mistake rather than that many classes
        count = self.config.num_classes or len(given) or min(highest + 1, images)
        for pool in self.pools.values():
            wrong = np.flatnonzero((pool.labels < 0) | (pool.labels >= count))
            if len(wrong):
                row = int(wrong[0])
                others = f" ({len(wrong):,} such rows)" if len(wrong) > 1 else ""
                raise BadInput(
                    f"{pool.where(row)}: label {pool.labels[row]} is out of range: {self._range(count, given)}{others}"
                )
        if not self.config.num_classes and not given:
            empty = np.setdiff1d(np.arange(count), np.concatenate([pool.labels for pool in self.pools.values()]))
            if len(empty):
                raise BadInput(
                    f"{self.root}: labels run to {highest}, but no image has label {', '.join(map(str, empty[:5]))}: count classes "
                    f"from 0, or keep empty ones with data.num_classes={count}"
                )
        if count < 2:
            raise BadInput(f"{self.root}: {count} class; at least 2 are needed")
        return (given + [str(i) for i in range(len(given), count)])[:count]

    def _range(self, count: int, given: list[str]) -> str:
        if self.config.num_classes:
            return f"data.num_classes={count} allows 0 to {count - 1}; data.num_classes=0 takes as many classes as the data has"
        return (
            f"the data names {len(given)} classes, 0 to {count - 1}"
            if given
            else f"{count} images allow 0 to {count - 1}"
        )

    def rows(self) -> dict[str, tuple[str, Rows]]:
        """Of each split, train, val and test: its pool, and which rows of it."""
        config, pools = self.config, self.pools
        if "all" in pools:
            assert isinstance(config, FolderConfig)
            source = tested = "all"
            rest, test = cut(pools["all"].labels, config.test_fraction, config.seed, "test")
        else:
            source, tested = "train", "test"
            rest, test = np.arange(len(pools["train"].labels)), np.arange(len(pools["test"].labels))
        labels = pools[source].labels
        kept, val = cut(labels[rest], config.val_fraction, config.seed, "val")
        train, val = rest[kept], rest[val]
        if config.images_per_class:
            train = train[first_of_each_class(labels[train], config.images_per_class, config.seed)]
        for name, rows in (("training", train), ("validation", val), ("test", test)):
            if not len(rows):
                raise BadInput(f"{self.root}: too few images ({len(labels)}): none is left for the {name} split")
        return {"train": (source, train), "val": (source, val), "test": (tested, test)}

    def load(self) -> ImageData:
        """The data set; small images are decoded here unless the cache has them."""
        config, names = self.config, self.class_names
        side = config.resize or config.image_size
        if side < config.image_size:
            raise BadInput(f"data.resize={side} is smaller than data.image_size={config.image_size}")
        in_memory = config.image_size <= IN_MEMORY_SIDE
        stored: dict[str, CachedImages | Encoded] = {}
        for name, pool in self.pools.items():
            stored[name] = self._decoded(name, pool, side) if in_memory else pool.indexed(key(self._images_of(pool)))
        splits: dict[str, Split] = {}
        for split, (name, rows) in self.rows().items():
            source, labels = stored[name], self.pools[name].labels
            if isinstance(source, CachedImages):
                part = None if len(rows) == len(labels) else rows
                splits[split] = MemorySplit(source, part, labels[rows], config.image_size)
            else:
                splits[split] = StreamSplit(source, rows, labels[rows], side, config.image_size)
        return image_data(splits, names, self.fingerprint(), self.revision())

    def _decoded(self, name: str, pool: Pool, side: int) -> CachedImages:
        import PIL

        # without the cut, so that every data.seed and images_per_class shares one file
        where = key(PREPROCESSING, PIL.__version__, side, self._images_of(pool))

        def build() -> Iterator[npt.NDArray[np.uint8]]:
            with progress(f"Decoding {pool.files[0].parent.name}/{name}", len(pool.labels)) as bar:
                for chunk in decode_all(pool.chunks(), side, pool.where):
                    bar.update(len(chunk))
                    yield chunk

        return CachedImages(where, name, len(pool.labels), side, build)


def existing_folder(path: str) -> Path:
    """The folder that `data.path` names. Raises BadInput when it is not there or not a folder."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        near = did_you_mean(folder.name, (p.name for p in folder.parent.iterdir())) if folder.parent.is_dir() else ""
        raise BadInput(f"data.path={path} {reason}; it names the folder that holds the data (docs/records.md).{near}")
    return folder


_noted: set[str] = set()


def note(line: str) -> None:
    """Say what of the data is not used, once a process however often the data is looked at."""
    if line not in _noted:
        _noted.add(line)
        say(f"note: {line}")
