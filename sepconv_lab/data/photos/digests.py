"""Content digests of data files, remembered so that large data is read once."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...config import BadInput
from ...console.progress import progress
from ...disk import replacing
from ..cache import cache_dir

_SETTLED_SECONDS = 2.0
"""A file changed more recently is not remembered: within one tick of the clock it could change again unseen."""


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def file_digests(root: Path, files: Sequence[Path]) -> list[str]:
    """sha256 of each file, in order. Raises BadInput for a file that cannot be read.

    Remembered for `root` in the user's cache by path, size, times of modification and of change.
    """
    memory = cache_dir() / "digests" / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:40]}.json"
    known = _load(memory)
    names = [os.path.relpath(path, root) for path in files]
    try:
        stats = [path.stat() for path in files]
    except OSError as error:
        raise BadInput(f"{error.filename}: cannot be read: {error.strerror}") from error
    marks = [[s.st_size, s.st_mtime_ns, s.st_ctime_ns] for s in stats]
    digests = {n: known[n][1] for n, mark in zip(names, marks, strict=True) if n in known and known[n][0] == mark}
    missing = [i for i, n in enumerate(names) if n not in digests]
    if missing:
        now = time.time()
        total = sum(stats[i].st_size for i in missing)
        with progress("Hashing the data", total, "B") as bar, ThreadPoolExecutor(min(8, cores())) as pool:
            for i, digest in zip(missing, pool.map(_sha256, (files[i] for i in missing)), strict=True):
                digests[names[i]] = digest
                bar.update(stats[i].st_size)
        settled = {
            n: (m, digests[n]) for n, m in zip(names, marks, strict=True) if now - max(m[1:]) / 1e9 > _SETTLED_SECONDS
        }
        _save(memory, known | settled)
    return [digests[n] for n in names]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error


def _load(memory: Path) -> dict[str, tuple[list[int], str]]:
    """What was remembered; nothing where the file is not as it was written: that costs time, and nothing else."""
    try:
        checksum, _, text = memory.read_bytes().partition(b"\n")
        if checksum.decode() != hashlib.sha256(text).hexdigest():
            return {}
        return {name: (mark, digest) for name, (mark, digest) in json.loads(text).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _save(memory: Path, entries: dict[str, tuple[list[int], str]]) -> None:
    """One line of checksum, one of JSON."""
    text = json.dumps(entries).encode()
    try:
        with replacing(memory, "cache", shared=True) as file:
            file.write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    except OSError:
        pass
