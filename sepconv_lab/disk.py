"""Files that are whole or not there, locks, and the crash points at which tests prove it.

`SEPCONV_KILL_AT=checkpoint.between:2` sends SIGKILL at the second passage of that point. Unset, a point costs one look-up.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_passed: dict[str, int] = {}
_STALE_SECONDS = 3600.0
"""Age at which a writer's unfinished file counts as left by a killed process."""


def crash_point(name: str) -> None:
    """Die here, as by `kill -9`, if the environment asks for it: for tests alone."""
    wanted = os.environ.get("SEPCONV_KILL_AT")
    if wanted:
        _passed[name] = _passed.get(name, 0) + 1
        if wanted == f"{name}:{_passed[name]}":
            os.kill(os.getpid(), signal.SIGKILL)


def cache_dir() -> Path:
    """`$SEPCONV_LAB_CACHE`, or `sepconv_lab` in `$XDG_CACHE_HOME`, or in `~/.cache`."""
    if own := os.environ.get("SEPCONV_LAB_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sepconv_lab"


@contextmanager
def replacing(path: Path, point: str = "", *, previous: Path | None = None, shared: bool = False) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path` only once it is complete and on disk; until then the old one stays.

    point: prefix of its crash points (the file's name unless given). previous: where the old file is kept. shared: several
    processes may write the same path at once; what killed ones left behind is removed.
    """
    point = point or path.name
    aside = path.with_name(path.name + ".part")
    if shared:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.tmp"):
            with suppress(FileNotFoundError):  # another process has removed it
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    left.unlink()
        aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with aside.open("xb" if shared else "wb") as file:
            crash_point(f"{point}.opened")
            yield file
            crash_point(f"{point}.within")  # nothing of it, or not its end, is flushed yet
            file.flush()
            os.fsync(file.fileno())
        crash_point(f"{point}.written")
        if previous is not None and path.exists():
            os.replace(path, previous)
            crash_point(f"{point}.between")
        os.replace(aside, path)
    except BaseException:  # on a full disk the room is needed
        aside.unlink(missing_ok=True)
        raise
    crash_point(f"{point}.renamed")
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Aside, synced, renamed: at every moment the path holds the old content or the new, whole."""
    with replacing(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Make a rename inside the folder outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the system frees a dead owner's lock. A file system without locks: several work, the last wins."""
    import fcntl

    with path.open("a") as file:
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield
