"""How a plan is judged: at which looks, in which strata, with what error. All of it frozen before the first run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..stats.effects import Method
from ..stats.looks import nominal, overall

ERROR = 0.05
"""Of a claim's verdict, over all its looks and parts."""


@dataclass(frozen=True)
class Design:
    """What decides beside the claim itself. The default: one look at all the seeds that there are."""

    seeds: tuple[int, ...] = ()
    """In the order in which they are trained; a look takes the first so many. Empty: those of the frame."""
    looks: tuple[int, ...] = ()
    """Numbers of seeds. Empty: one look at whatever has ended."""
    strata: str | None = None
    """The setting that tells fixed strata apart, e.g. data.fold."""
    groups: int = 1
    """How many strata there are."""
    stop_when_supported: bool = True
    """Whether "supported, not materially" ends a contrast before the last look."""
    beside: Mapping[str, Any] | None = None
    """A second line: metric, smallest_effect."""
    method: Method = "paired"
    variants: int = 2
    """Over which the spread is pooled."""
    shared: bool = True
    """Whether the parts of an all-of share the error of a contradiction. Plans of schema 1 did not."""

    @property
    def sequential(self) -> bool:
        return len(self.looks) > 1

    def level(self, error: float) -> float:
        """The level of each look's interval such that all looks together hold `error`."""
        if not self.sequential:
            return 1 - error
        return 1 - nominal(self.looks, error=error, strata=self.groups, variants=self._pooled)

    def overall(self, error: float) -> float:
        """The error that all looks together hold where each has this nominal one: the way back from `level`."""
        return overall(self.looks, error, strata=self.groups, variants=self._pooled) if self.sequential else error

    @property
    def _pooled(self) -> int:
        return self.variants if self.method == "pooled" else 2
