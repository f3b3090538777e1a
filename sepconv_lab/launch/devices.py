"""Which GPU of this machine a run takes when several share them, and when: counted in one file that all processes see.

Runs go in turn to the GPU with the fewest of them that has room. The first run of a kind claims what its counts let expect;
once a step has been measured, that is what it, and every later run of its kind, claims. A run that fits nowhere waits. A claim
ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk import locked, write_atomically

RESERVE = 0.05
"""Share of a GPU's memory that is left free: libraries take some beside the tensors."""
POLL = 0.5
"""Seconds between two looks of a run that waits."""


@dataclass(frozen=True)
class GPU:
    """One of this machine's, as the program numbers them, and the bytes of its memory."""

    index: int
    bytes: int


class Placement:
    """Claims on GPUs, kept at `path`; `alive`: whether a process still is."""

    def __init__(self, path: Path, gpus: Sequence[GPU], alive: Callable[[int], bool] | None = None):
        self.path, self.gpus, self.alive = path, tuple(gpus), alive or is_alive

    def take(self, owner: int, kind: str, expected: int) -> int | None:
        """Claim room for a run of a kind; the GPU's index, or None where there is no room now.

        A run larger than a whole GPU gets an empty one, and its own message when memory is out.
        """
        with self._book() as book:
            need = book["measured"].get(kind, expected)
            claims = {gpu.index: [c for c in book["claims"].values() if c["gpu"] == gpu.index] for gpu in self.gpus}
            fitting = [
                gpu
                for gpu in self.gpus
                if not claims[gpu.index]
                or sum(c["bytes"] for c in claims[gpu.index]) + need <= gpu.bytes * (1 - RESERVE)
            ]
            if not fitting:
                return None
            chosen = min(fitting, key=lambda gpu: len(claims[gpu.index])).index
            book["claims"][str(owner)] = {"gpu": chosen, "bytes": need}
            return chosen

    def measured(self, owner: int, kind: str, size: int) -> None:
        """Claim the bytes that a step of this kind was seen to take, from now on and for every later run of the kind."""
        with self._book() as book:
            book["measured"][kind] = max(size, book["measured"].get(kind, 0))
            if str(owner) in book["claims"]:
                book["claims"][str(owner)]["bytes"] = book["measured"][kind]

    def leave(self, owner: int) -> None:
        """Give the room back."""
        with self._book() as book:
            book["claims"].pop(str(owner), None)

    @contextlib.contextmanager
    def placed(
        self, owner: int, kind: str, expected: int, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[int]:
        """Wait for room; the GPU's index, claimed until the end. Raises KeyboardInterrupt when told to stop meanwhile."""
        while (index := self.take(owner, kind, expected)) is None:
            if should_stop():
                raise KeyboardInterrupt
            time.sleep(POLL)
        try:
            yield index
        finally:
            self.leave(owner)

    @contextlib.contextmanager
    def _book(self) -> Iterator[dict[str, Any]]:
        """What is claimed and measured, without the claims of processes that are no more; written back at the end."""
        with locked(self.path.with_suffix(".lock")):
            try:
                book = json.loads(self.path.read_text())
                claims = {k: c for k, c in book["claims"].items() if self.alive(int(k))}
                book = {"claims": claims, "measured": dict(book["measured"])}
            except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
                book = {"claims": {}, "measured": {}}
            yield book
            write_atomically(self.path, json.dumps(book).encode())


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def book_of_this_machine() -> Path:
    """Where this user's processes on this machine count, those that see the same GPUs."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all").replace(",", "-").replace("/", "-")
    return Path(tempfile.gettempdir()) / f"sepconv_lab-gpus-{os.getuid()}-{seen}.json"
