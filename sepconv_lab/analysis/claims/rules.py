"""The rules that turn intervals into a word, for one contrast and for several. Numbers in, words out; `decisions` has the rule.

"Material gain excluded" stands beside an inconclusive verdict whose interval ends below the smallest effect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..stats.decisions import OUTCOMES, Outcome, decide as decided
from ..stats.effects import Effect, bonferroni, seeds_to_settle
from .contrasts import AllOf, AnyOf, Contrast, Node, leaves

Bounds = tuple[float, float]


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
    against: Bounds | None = None
    """The bounds that a contradiction was judged by, where they are not `low` and `high`."""

    @property
    def far(self) -> Bounds:
        return (self.low, self.high) if self.against is None else self.against

    @property
    def label(self) -> str:
        """E.g. "supported (materially)", "inconclusive (material gain excluded)"."""
        note = "materially" if self.materially else "material gain excluded" if self.material_gain_excluded else ""
        return self.outcome + (f" ({note})" if note else "")

    def stops(self, when_supported: bool = True) -> bool:
        """Whether it ends a contrast: all but inconclusive and not judged, and on demand "supported, not materially"."""
        slight = self.outcome == "supported" and not self.materially
        return self.outcome in ("supported", "contradicted", "negligible") and (when_supported or not slight)


def rule(
    low: float,
    high: float,
    smallest: float,
    asks: str = "superior",
    estimate: float = math.nan,
    against: Bounds | None = None,
) -> Ruling:
    """The ruling on one interval. NaN bounds: not judged. against: as for `decisions.decide`."""
    code, materially = decided(low, high, smallest, asks, against=against)
    outcome = OUTCOMES[int(code)]
    excluded = outcome == "inconclusive" and asks == "superior" and (against or (low, high))[1] < smallest
    return Ruling(outcome, estimate, low, high, bool(materially), excluded, against=against)


def errors(node: Node, error: float = 0.05, against: float | None = None, *, shared: bool = True) -> list[Bounds]:
    """The error of each contrast's support and of its contradiction, in `leaves` order.

    An AnyOf is supported by one part, so its parts share that error; an AllOf is contradicted by one, so its parts share that one,
    unless `shared` is off. No contradiction is judged at a larger error than a support.
    """
    far = error if against is None else against
    if isinstance(node, Contrast):
        return [(error, min(error, far))]
    each, each_far = error, far
    if isinstance(node, AnyOf):
        each = 1 - bonferroni(1 - error, len(node.parts))
    elif shared:
        each_far = 1 - bonferroni(1 - far, len(node.parts))
    return [pair for part in node.parts for pair in errors(part, each, each_far, shared=shared)]


def levels(node: Node, level: float = 0.95) -> list[float]:
    """The level of each contrast's interval, in `leaves` order: shared out among an AnyOf's parts, not an AllOf's."""
    return [1 - support for support, _ in errors(node, 1 - level)]


def decide(node: Node, effects: list[Effect], smallest: float) -> Ruling:
    """The ruling on a whole claim from its contrasts' effects (in the order of `leaves`).

    For directions, all-of is judged by the smallest effect (smallest estimate, low and high of the parts), any-of by the
    largest: the parts' own intervals bound it. So an all-of is supported when all parts are, each at the full level, and
    contradicted when one is, at the level that the parts share. For equivalences, all-of takes the hull of the intervals.
    """
    if isinstance(node, Contrast):
        effect = effects[0]
        ruling = rule(effect.low, effect.high, smallest, node.asks, effect.estimate, effect.against)
        if ruling.outcome != "inconclusive":
            return ruling
        return replace(ruling, seeds_to_settle=seeds_to_settle(effect, smallest, asks=node.asks))
    children = [decide(part, mine, smallest) for part, mine in _shared_out(node, effects)]
    if any(c.outcome == "not judged" for c in children):
        return Ruling("not judged", math.nan, math.nan, math.nan)
    if any(c.asks == "equivalent" for c in leaves(node)):
        whole = _equivalences(children)
    else:
        pick = max if isinstance(node, AnyOf) else min
        low, high, estimate = (pick(getattr(c, k) for c in children) for k in ("low", "high", "estimate"))
        far = (pick(c.far[0] for c in children), pick(c.far[1] for c in children))
        whole = rule(low, high, smallest, "superior", estimate, None if far == (low, high) else far)
    return replace(whole, seeds_to_settle=_settling(node, children)) if whole.outcome == "inconclusive" else whole


def still_open(node: Node, effects: list[Effect], smallest: float, *, when_supported: bool = True) -> list[bool]:
    """Whether each contrast, in `leaves` order, is undecided, and so is what it is a part of: further seeds could count."""
    if decide(node, effects, smallest).stops(when_supported):
        return [False] * len(effects)
    if isinstance(node, Contrast):
        return [True]
    parts = (
        still_open(part, mine, smallest, when_supported=when_supported) for part, mine in _shared_out(node, effects)
    )
    return [is_open for part in parts for is_open in part]


def _shared_out(node: AllOf | AnyOf, effects: list[Effect]) -> list[tuple[Node, list[Effect]]]:
    """Each part with the effects of its contrasts."""
    found: list[tuple[Node, list[Effect]]] = []
    rest = list(effects)
    for part in node.parts:
        size = sum(1 for _ in leaves(part))
        found.append((part, rest[:size]))
        rest = rest[size:]
    return found


def _equivalences(children: list[Ruling]) -> Ruling:
    words = {c.outcome for c in children}
    outcome: Outcome = (
        "contradicted" if "contradicted" in words else "supported" if words == {"supported"} else "inconclusive"
    )
    widest = max(children, key=lambda c: abs(c.estimate))
    low, high = min(c.low for c in children), max(c.high for c in children)
    far = (min(c.far[0] for c in children), max(c.far[1] for c in children))
    return Ruling(outcome, widest.estimate, low, high, against=None if far == (low, high) else far)


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
