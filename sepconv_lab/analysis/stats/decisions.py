"""What an interval decides, for one interval or for many at once: the rule of every verdict.

With d the smallest effect that matters and [low, high] in the claimed direction: inside (-d, d): negligible; low > 0:
supported, materially if low >= d; high < 0: contradicted, materially if high <= -d; else inconclusive. Where equivalence is
claimed, negligible means supported, an interval beyond d on either side contradicted. Without an interval nothing is judged.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMALLEST = 0.02
"""The default smallest effect that matters, in ln error: an error 2 % smaller."""
Outcome = Literal["supported", "contradicted", "negligible", "inconclusive", "not judged", "refused"]
OUTCOMES: tuple[Outcome, ...] = ("supported", "contradicted", "negligible", "inconclusive", "not judged")


class Decisions(NamedTuple):
    """`outcome`: places in `OUTCOMES`; `materially`: of a support or a contradiction by d or more. (...) each."""

    outcome: NDArray[np.int8]
    materially: NDArray[np.bool_]


def decide(
    low: ArrayLike,
    high: ArrayLike,
    smallest: float,
    asks: str = "superior",
    *,
    against: tuple[ArrayLike, ArrayLike] | None = None,
) -> Decisions:
    """The decision on intervals. NaN bounds: not judged.

    against: bounds of the interval that a contradiction, and the upper end of a negligible effect, is judged by, where it is not
    the same: the parts of a claim that needs all of them share the error when one of them speaks against it.
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    far_low, far_high = (low, high) if against is None else (np.asarray(b, float) for b in against)
    judged = np.isfinite(low) & np.isfinite(high)
    if asks == "equivalent":
        supported = (-smallest < low) & (high < smallest)
        contradicted = (far_low >= smallest) | (far_high <= -smallest)
        negligible = materially = np.zeros_like(supported)
    else:
        negligible = (-smallest < low) & (far_high < smallest)
        supported, contradicted = low > 0, far_high < 0
        materially = (supported & (low >= smallest)) | (contradicted & (far_high <= -smallest))
    codes = np.select([~judged, negligible, supported, contradicted], [4, 2, 0, 1], default=3)
    return Decisions(codes.astype(np.int8), materially & judged)


def stops(decisions: Decisions, *, stop_when_supported: bool = True) -> NDArray[np.bool_]:
    """Whether decisions end a contrast, (...): all but inconclusive and not judged ones, and on demand but "supported, not
    materially"."""
    ends = decisions.outcome < OUTCOMES.index("inconclusive")
    slight = (decisions.outcome == OUTCOMES.index("supported")) & ~decisions.materially
    return np.asarray(ends if stop_when_supported else ends & ~slight)
