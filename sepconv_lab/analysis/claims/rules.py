"""The rules that turn an interval into a word, for one contrast and for several. Numbers in, words out.

With d the smallest effect that matters and [low, high] in the claimed direction:
inside (-d, d): negligible; low > 0: supported, materially if low >= d; high < 0: contradicted; else inconclusive, with
"material gain excluded" if high < d. Where equivalence is claimed, negligible means supported, an interval beyond d on
either side contradicted, anything else inconclusive. Without an interval nothing is judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..stats.effects import Effect, bonferroni, seeds_to_settle
from .contrasts import AllOf, AnyOf, Contrast, Node, leaves

Outcome = Literal["supported", "contradicted", "negligible", "inconclusive", "not judged", "refused"]


@dataclass(frozen=True)
class Ruling:
    """What an interval says. Of several contrasts, estimate and bounds are each the least or greatest of the parts'."""

    outcome: Outcome
    estimate: float
    low: float
    high: float
    materially: bool = False
    material_gain_excluded: bool = False
    seeds_to_settle: int | None = None
    """Only where inconclusive; None there: more than could be counted."""

    @property
    def label(self) -> str:
        """E.g. "supported (materially)", "inconclusive (material gain excluded)"."""
        note = "materially" if self.materially else "material gain excluded" if self.material_gain_excluded else ""
        return self.outcome + (f" ({note})" if note else "")


def rule(low: float, high: float, smallest: float, asks: str = "superior", estimate: float = math.nan) -> Ruling:
    """The ruling on one interval. NaN bounds: not judged."""
    if math.isnan(low) or math.isnan(high):
        return Ruling("not judged", estimate, low, high)
    inside = -smallest < low and high < smallest
    if asks == "equivalent":
        beyond = low >= smallest or high <= -smallest
        return Ruling("supported" if inside else "contradicted" if beyond else "inconclusive", estimate, low, high)
    if inside:
        return Ruling("negligible", estimate, low, high)
    if low > 0:
        return Ruling("supported", estimate, low, high, materially=low >= smallest)
    if high < 0:
        return Ruling("contradicted", estimate, low, high)
    return Ruling("inconclusive", estimate, low, high, material_gain_excluded=high < smallest)


def levels(node: Node, level: float = 0.95) -> list[float]:
    """The level of each contrast's interval, in `leaves` order: shared out among an AnyOf's parts, not an AllOf's."""
    if isinstance(node, Contrast):
        return [level]
    each = bonferroni(level, len(node.parts)) if isinstance(node, AnyOf) else level
    return [lv for part in node.parts for lv in levels(part, each)]


def decide(node: Node, effects: list[Effect], smallest: float) -> Ruling:
    """The ruling on a whole claim from its contrasts' effects (in the order of `leaves`).

    For directions, all-of is judged by the smallest effect (smallest estimate, low and high of the parts), any-of by the
    largest: the parts' own intervals bound it. So an all-of is supported when all parts are, and contradicted when one
    is; as its parts stand at the full level each, k parts contradict falsely at up to k times the rate of one. For
    equivalences, all-of takes the hull of the intervals.
    """
    if isinstance(node, Contrast):
        effect = effects[0]
        ruling = rule(effect.low, effect.high, smallest, node.asks, effect.estimate)
        if ruling.outcome != "inconclusive":
            return ruling
        return _with(ruling, seeds_to_settle(effect, smallest, asks=node.asks))
    children: list[Ruling] = []
    taken = 0
    for part in node.parts:
        size = len(list(leaves(part)))
        children.append(decide(part, effects[taken : taken + size], smallest))
        taken += size
    if any(c.outcome == "not judged" for c in children):
        return Ruling("not judged", math.nan, math.nan, math.nan)
    if any(c.asks == "equivalent" for c in leaves(node)):
        whole = _equivalences(children)
    else:
        pick = max if isinstance(node, AnyOf) else min
        whole = rule(
            pick(c.low for c in children),
            pick(c.high for c in children),
            smallest,
            "superior",
            pick(c.estimate for c in children),
        )
    return _with(whole, _settling(node, children)) if whole.outcome == "inconclusive" else whole


def _equivalences(children: list[Ruling]) -> Ruling:
    words = {c.outcome for c in children}
    outcome: Outcome = (
        "contradicted" if "contradicted" in words else "supported" if words == {"supported"} else "inconclusive"
    )
    widest = max(children, key=lambda c: abs(c.estimate))
    return Ruling(outcome, widest.estimate, min(c.low for c in children), max(c.high for c in children))


def _settling(node: Node, children: list[Ruling]) -> int | None:
    """All-of waits for its slowest open part; any-of may be settled by the quickest part that points upward."""
    waiting = [c for c in children if c.outcome == "inconclusive"]
    if isinstance(node, AllOf):
        counts = [c.seeds_to_settle for c in waiting]
        return max((n for n in counts if n is not None), default=None) if None not in counts else None
    upward = [c.seeds_to_settle for c in waiting if c.estimate > 0 and c.seeds_to_settle is not None]
    if upward:
        return min(upward)
    return max((c.seeds_to_settle for c in waiting if c.seeds_to_settle is not None), default=None)


def _with(ruling: Ruling, seeds: int | None) -> Ruling:
    return Ruling(ruling.outcome, ruling.estimate, ruling.low, ruling.high, ruling.materially,
                  ruling.material_gain_excluded, seeds)  # fmt: skip
