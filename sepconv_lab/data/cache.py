"""The user's cache: decoded images under a content key, whole or not there at all.

A file is an .npy array (version 1.0, uint8) followed by the sha256 of its pixels. It is written aside, synced and renamed,
so a killed writer leaves nothing under the final name; what is truncated or altered is noticed and made again. No file is
ever unpickled. Without a writable cache directory everything still works, made anew each time.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..disk import cache_dir, crash_point, locked, replacing

Images = npt.NDArray[np.uint8]
IN_MEMORY = 2 << 30
"""Arrays up to this many bytes are read into memory, larger ones are mapped."""
_TRAILER = 64
_verified: set[tuple[str, int, int, int]] = set()


def key(*parts: object) -> str:
    """A file name from what determines a cached thing."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


class CachedImages:
    """Images (N, 3, side, side), uint8, that `build` gives in chunks; built once and kept under `key`.

    `build` is called in the thread and process that first asks, at most once unless the kept file turns out damaged.
    """

    def __init__(self, key: str, name: str, count: int, side: int, build: Callable[[], Iterator[Images]]) -> None:
        self.path = cache_dir() / "images" / key / f"{name}.npy"
        self.shape = (count, 3, side, side)
        self._build = build
        self._unsaved: tuple[Images, str] | None = None

    @property
    def sha256(self) -> str:
        """Of the pixels, in order, as they are: builds what is not there or damaged."""
        if self._unsaved:
            return self._unsaved[1]
        return _digest_of(self.path, self.shape) if _intact(self.path, self.shape) else self._make()[1]

    @functools.cached_property
    def array(self) -> Images:
        """The images, verified: in memory, or mapped copy-on-write when large."""
        if self._unsaved:
            return self._unsaved[0]
        return _read(self.path, self.shape) if _intact(self.path, self.shape) else self._make()[0]

    def _make(self) -> tuple[Images, str]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.with_suffix(".lock")):
                if not _intact(self.path, self.shape):  # else another process has made it meanwhile
                    _write(self.path, self.shape, self._build())
                return _read(self.path, self.shape), _digest_of(self.path, self.shape)
        except OSError as error:
            print(f"the cache {cache_dir()} cannot be written ({error}); going on without it", file=sys.stderr)
        array = np.concatenate(list(self._build()))
        self._unsaved = array, hashlib.sha256(array.data).hexdigest()
        return self._unsaved


def _write(path: Path, shape: tuple[int, ...], chunks: Iterator[Images]) -> None:
    digest, rows = hashlib.sha256(), 0
    with replacing(path, "cache", shared=True) as file:
        file.write(_header(shape))
        for chunk in chunks:
            assert chunk.dtype == np.uint8, chunk.dtype
            assert chunk.shape[1:] == shape[1:], chunk.shape
            pixels = np.ascontiguousarray(chunk).data
            file.write(pixels)
            digest.update(pixels)
            rows += len(chunk)
            crash_point("cache.chunk")
        assert rows == shape[0], f"{rows} images instead of {shape[0]}"
        file.write(digest.hexdigest().encode())


def _header(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return out.getvalue()


def _digest_of(path: Path, shape: tuple[int, ...]) -> str:
    """The digest at the file's end, or "" where the file is missing, truncated or something else."""
    header = _header(shape)
    try:
        with path.open("rb") as file:
            if (
                file.read(len(header)) != header
                or os.fstat(file.fileno()).st_size != len(header) + int(np.prod(shape)) + _TRAILER
            ):
                return ""
            file.seek(-_TRAILER, os.SEEK_END)
            return file.read().decode("ascii", "replace")
    except OSError:
        return ""


def _read(path: Path, shape: tuple[int, ...]) -> Images:
    array = np.memmap(path, np.uint8, "c", len(_header(shape)), shape)
    return np.array(array) if array.nbytes <= IN_MEMORY else array


def _intact(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file is there and its pixels have the digest at its end. Pixels are looked at once a process and file."""
    expected = _digest_of(path, shape)
    if not expected:
        return False
    stat = path.stat()
    identity = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if identity not in _verified:
        pixels = np.memmap(path, np.uint8, "r", len(_header(shape)), shape)
        if hashlib.sha256(pixels.data).hexdigest() != expected:
            return False
        _verified.add(identity)
    return True
