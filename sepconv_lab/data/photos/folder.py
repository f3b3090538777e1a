"""`data=folder`: one folder of images per class, below `train/` and `test/` or directly below the path."""

from __future__ import annotations

import bisect
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, overload
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from ...config import BadInput, FolderConfig
from ...config.messages import did_you_mean
from ...config.registry import register
from ...console.progress import progress
from ...disk import replacing
from ..cache import cache_dir
from .decode import check
from .digests import cores
from .photos import CHUNK, Photos, Pool, existing_folder, note

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".apng", ".jpe", ".jfif", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
"""Of the formats that are read (`decode.FORMATS`)."""


class Paths(Sequence[Path]):
    """Files in a few folders, as names: two million paths would take a gigabyte."""

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._firsts: list[int] = []
        self._names: list[str] = []

    def extend(self, folder: Path, names: Iterable[str]) -> None:
        self._folders.append(folder)
        self._firsts.append(len(self._names))
        self._names.extend(names)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, row: int) -> Path: ...
    @overload
    def __getitem__(self, row: slice) -> list[Path]: ...
    def __getitem__(self, row: int | slice) -> Path | list[Path]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        return self._folders[bisect.bisect_right(self._firsts, range(len(self))[row]) - 1] / self._names[row]


class ImageFiles(Pool):
    """Files, sorted by class and name."""

    def __init__(self, files: Sequence[Path], labels: npt.NDArray[np.int64]) -> None:
        self.files, self._labels = files, labels

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


@register(FolderConfig)
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
        root, top = self.root, _folders(self.root)
        trained = self.config.train_split
        if trained not in top and trained != type(self.config).train_split:
            raise BadInput(
                f"{root}: no folder {trained!r} (data.train_split); found: {', '.join(top)}.{did_you_mean(trained, top)}"
            )
        names = _folders(root / trained) if trained in top else top
        if not names:
            held = f"it holds {', '.join(sorted(os.listdir(root))[:5])}" if os.listdir(root) else "it is empty"
            raise BadInput(f"{root}: no folders of images; expected train/<class>/*.png or <class>/*.png, but {held}")
        if trained not in top and not any(_listed(folder)[0] for name in top for folder in _spellings(root, name)):
            raise BadInput(
                f"{root}: no images in its folders {', '.join(top[:5])}; expected train/<class>/*.png or <class>/*.png. "
                "data.train_split and data.test_split name the folders of a split that are called otherwise"
            )
        return names

    def fingerprint(self) -> str:
        labels = [(pool.labels.tobytes(), name) for name, pool in self.pools.items()]
        return hashlib.sha256(repr((super().fingerprint(), self.read_class_names(), labels)).encode()).hexdigest()

    def read_pools(self) -> dict[str, Pool]:
        root, names, config = self.root, self.read_class_names(), self.config
        top, train, test = _folders(root), config.train_split, config.test_split
        if train not in top:
            return {"all": _images(root, names)}
        if test not in top:
            others = [name for name in top if name != train]
            instead = f"; data.test_split={others[0]} takes {others[0]}/ as the test" if others else ""
            raise BadInput(f"{root}: has {train}/ but no {test}/; found: {', '.join(top)}{instead}")
        if config.test_fraction != type(config).test_fraction:
            raise BadInput(
                f"data.test_fraction={config.test_fraction:g}: {root} has a {test}/ folder, nothing is split off"
            )
        for name in top:
            if name not in (train, test):
                note(
                    f"{root / name} is not used: training is {train}/, the test {test}/, and validation is cut from {train}/"
                )
        unknown = [name for name in _folders(root / test) if name not in names]
        if unknown:
            raise BadInput(
                f"{root / test / unknown[0]}: no such class in {root / train}, which has {', '.join(names[:10])}"
            )
        return {"train": _images(root / train, names), "test": _images(root / test, names, required=False)}


def _folders(path: Path) -> list[str]:
    """Names of the visible folders in a folder, sorted; spellings that Unicode holds equal are one (NFC)."""
    return sorted({normalize("NFC", e.name) for e in os.scandir(path) if not e.name.startswith(".") and _is(e.is_dir)})


def _spellings(path: Path, name: str) -> list[Path]:
    """The folders whose name is `name` but for the way in which Unicode composes its letters."""
    return sorted(Path(e.path) for e in os.scandir(path) if normalize("NFC", e.name) == name and _is(e.is_dir))


def _is(kind: Callable[[], bool]) -> bool:
    """Whether an entry is a file, or a folder; a link that leads in a circle is neither."""
    try:
        return kind()
    except OSError:
        return False


def _listed(folder: Path) -> tuple[list[str], Counter[str]]:
    """The images in a folder, sorted, and how many entries of which kind are none."""
    names, others = [], Counter[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            suffix = os.path.splitext(entry.name)[1].lower()
            if not _is(entry.is_file):
                others["folder" if _is(entry.is_dir) else "broken link"] += 1
            elif suffix in SUFFIXES:
                names.append(entry.name)
            else:
                others[f"{suffix or 'nameless'} file"] += 1
    return sorted(names), others


def _images(path: Path, names: Sequence[str], required: bool = True) -> ImageFiles:
    files, counts, others = Paths(), [], Counter[str]()
    with progress(f"Listing {path.name}", len(names), "classes") as bar:
        for name in names:
            before = len(files)
            for folder in _spellings(path, name):
                listed, left_out = _listed(folder)
                files.extend(folder, listed)
                others += left_out
            if len(files) == before and required:
                raise BadInput(f"{path / name}: no images; looked for {', '.join(SUFFIXES)}")
            counts.append(len(files) - before)
            bar.update(1)
    if not len(files):
        raise BadInput(f"{path}: no images in its folders {', '.join(names[:5])}; looked for {', '.join(SUFFIXES)}")
    if others:
        kinds = ", ".join(f"{count:,} {kind}{'s' * (count > 1)}" for kind, count in others.most_common(5))
        note(f"{path}: {len(files):,} images; left out in its class folders: {kinds}")
    return ImageFiles(files, np.repeat(np.arange(len(names)), counts))
