"""`data=folder`: one folder of images per class, below `train/` and `test/` or directly below the path."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ...config import BadInput, FolderConfig
from ...console.progress import progress
from ...disk import replacing
from ..cache import cache_dir
from .decode import check
from .digests import cores
from .photos import CHUNK, Photos, Pool, existing_folder

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


class ImageFiles(Pool):
    """Files, sorted by class and name."""

    def __init__(self, files: Sequence[Path], labels: Sequence[int]) -> None:
        self.files = list(files)
        self._labels = np.array(labels, np.int64)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self._labels

    def where(self, row: int) -> str:
        return str(self.files[row])

    def read(self, row: int) -> bytes:
        """The file's bytes. Raises BadInput."""
        with self._open(row) as file:
            return file.read()

    @contextmanager
    def _open(self, row: int) -> Iterator[BinaryIO]:
        try:
            with self.files[row].open("rb") as file:
                yield file
        except OSError as error:
            raise BadInput(f"{self.files[row]}: cannot be read: {error.strerror}") from error

    def chunks(self) -> Iterator[list[bytes | None]]:
        for first in range(0, len(self.files), CHUNK):
            yield [self.read(row) for row in range(first, min(first + CHUNK, len(self.files)))]

    def indexed(self, content: str) -> ImageFiles:
        def one(row: int) -> None:
            with self._open(row) as file:
                check(file, lambda: self.where(row))

        checked = cache_dir() / "checked" / content
        if not checked.exists():
            with progress("Checking images", len(self.files)) as bar, ThreadPoolExecutor(min(8, cores())) as pool:
                for _ in pool.map(one, range(len(self.files))):
                    bar.update(1)
            with suppress(OSError), replacing(checked, "cache", shared=True):
                pass
        return self


class Folder(Photos):
    """Class names are the folders' names, sorted."""

    config: FolderConfig

    @property
    def root(self) -> Path:
        if not self.config.path:
            raise BadInput(
                "data=folder needs data.path=DIR, a folder with train/<class>/*.png and test/<class>/*.png, or <class>/*.png"
            )
        return existing_folder(self.config.path)

    def read_class_names(self) -> list[str]:
        root = self.root
        top = _folders(root)
        names = _folders(root / "train") if "train" in top else top
        if not names:
            held = f"it holds {', '.join(sorted(os.listdir(root))[:5])}" if os.listdir(root) else "it is empty"
            raise BadInput(f"{root}: no folders of images; expected train/<class>/*.png or <class>/*.png, but {held}")
        return names

    def fingerprint(self) -> str:
        labels = [(pool.labels.tobytes(), name) for name, pool in self.pools.items()]
        return hashlib.sha256(repr((super().fingerprint(), self.read_class_names(), labels)).encode()).hexdigest()

    def read_pools(self) -> dict[str, Pool]:
        root, names = self.root, self.read_class_names()
        top = _folders(root)
        if "train" not in top:
            return {"all": _images(root, names)}
        if "test" not in top:
            raise BadInput(f"{root}: has train/ but no test/; found: {', '.join(top)}")
        if self.config.test_fraction != type(self.config).test_fraction:
            raise BadInput(
                f"data.test_fraction={self.config.test_fraction:g}: {root} has a test/ folder, nothing is split off"
            )
        unknown = [name for name in _folders(root / "test") if name not in names]
        if unknown:
            raise BadInput(
                f"{root / 'test' / unknown[0]}: no such class in {root / 'train'}, which has {', '.join(names[:10])}"
            )
        return {"train": _images(root / "train", names), "test": _images(root / "test", names, required=False)}


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def _images(path: Path, names: Sequence[str], required: bool = True) -> ImageFiles:
    files, labels = [], []
    for label, name in enumerate(names):
        here = sorted(os.scandir(path / name), key=lambda entry: entry.name) if (path / name).is_dir() else []
        found = [
            Path(e.path)
            for e in here
            if e.name.lower().endswith(SUFFIXES) and not e.name.startswith(".") and e.is_file()
        ]
        if not found and required:
            raise BadInput(f"{path / name}: no images; looked for {', '.join(SUFFIXES)}")
        files += found
        labels += [label] * len(found)
    if not files:
        raise BadInput(f"{path}: no images in its folders {', '.join(names[:5])}; looked for {', '.join(SUFFIXES)}")
    return ImageFiles(files, labels)
