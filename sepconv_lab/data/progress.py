"""A progress bar on a terminal, one plain line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    def update(self, n: int, /) -> object: ...


class _Line:
    def __init__(self) -> None:
        self.count = 0

    def update(self, n: int, /) -> None:
        self.count += n


@contextmanager
def progress(what: str, total: int, unit: str = "images") -> Iterator[Bar]:
    """A bar on stderr to `update(n)`; without a terminal, one line at the end if it took longer than a second."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=what, unit=f" {unit}", unit_scale=unit == "B", leave=False) as bar:
            yield bar
        return
    start, line = time.monotonic(), _Line()
    yield line
    seconds = time.monotonic() - start
    if seconds > 1:
        amount = f"{total / 1e6:,.0f} MB" if unit == "B" else f"{total:,} {unit}"
        print(f"{what}: {amount} in {seconds:.1f} s", file=sys.stderr, flush=True)
