"""Contenders that take turns, and what their times say: medians, and ratios formed within each round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Turn = Callable[[], float]
"""Do the work once and say how many seconds it took."""


class Ended(RuntimeError):
    """A contender's process ended before its turn did; `why` says how."""

    def __init__(self, name: str, why: str):
        super().__init__(f"{name}: {why}")
        self.why = why


def interleaved(turns: Mapping[str, Turn], rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """name -> seconds of each round, and how those ended that did not last: they have no seconds.

    Everybody's turn, then everybody's again: what slows the machine for a while slows all.
    """
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    ended: dict[str, str] = {}
    for _ in range(rounds):
        for name, turn in turns.items():
            if name in ended:
                continue
            try:
                seconds[name].append(turn())
            except Ended as error:
                ended[name] = error.why
    return {name: each for name, each in seconds.items() if name not in ended}, ended


@dataclass(frozen=True)
class Ratio:
    """How many times longer one takes than another: the median over rounds, and the lowest and highest round."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(seconds: Sequence[float], base: Sequence[float]) -> Ratio:
    """seconds / base, round by round."""
    each = [a / b for a, b in zip(seconds, base, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


class Deadline:
    """So many seconds from now on."""

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())
