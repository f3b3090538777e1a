"""Several verdicts together: Holm's correction over the claims of all studies, and which of them share runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from ..stats import looks
from ..stats.effects import Effect
from .board import Judged
from .contrasts import AnyOf, Contrast, Node, leaves
from .design import ERROR, Design

Measure = Callable[[Effect], float]


@dataclass(frozen=True)
class Member:
    """One verdict of a family: the error at which it would just be reached, and the same after Holm's correction."""

    judged: Judged
    p: float
    adjusted: float

    @property
    def holds(self) -> bool:
        """Whether the word stands in the family too."""
        return self.judged.verdict.ruling.stops() and self.adjusted <= ERROR

    @property
    def text(self) -> str:
        v = self.judged.verdict
        word = (
            v.label
            if not v.ruling.stops()
            else f"{v.label}, {'holds' if self.holds else 'does not hold'} in the family"
        )
        return f"{v.claim.id} ({self.judged.place}): p {_spelled(self.p)}, adjusted {_spelled(self.adjusted)}: {word}"


def _spelled(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def family(judged: Sequence[Judged]) -> list[Member]:
    """Holm (1979) over the verdicts that have an interval, pilots aside, the surest first."""
    found = sorted(
        (
            (p_value(j), j)
            for j in judged
            if j.verdict.parts and j.verdict.outcome != "not judged" and not j.verdict.pilot
        ),
        key=lambda pair: pair[0],
    )
    members: list[Member] = []
    for rank, (p, j) in enumerate(found):
        before = members[-1].adjusted if members else 0.0
        members.append(Member(j, p, max(before, min(1.0, (len(found) - rank) * p))))
    return members


def shared(judged: Sequence[Judged]) -> list[str]:
    """Which verdicts rest on common runs, in sentences: their errors are not independent, which Holm's correction allows for."""
    said = []
    for a, b in combinations(judged, 2):
        if a.plan is None or b.plan is None or a.verdict.claim.id == b.verdict.claim.id:
            continue
        both = _runs(a) & _runs(b)
        if both:
            said.append(f"{a.verdict.claim.id} and {b.verdict.claim.id} share {len(both)} runs ({a.place}): the errors of their "
                        "verdicts are not independent; the correction holds all the same.")  # fmt: skip
    return said


def _runs(judged: Judged) -> set[str]:
    assert judged.plan is not None
    return {str(run.run_id) for run in judged.plan.runs if run.run_id is not None}


def p_value(judged: Judged) -> float:
    """The error, over all looks and parts, at which the verdict would just be reached; of an open one the least over all words."""
    v = judged.verdict
    node, d, design = v.claim.decides, v.claim.smallest_effect, v.design
    effects = [p.effect for p in v.parts]
    if v.claim.contrasts[0].asks == "equivalent":
        words = {
            "supported": _joined(node, effects, lambda e: max(_above(e, -d), _below(e, d)), design, every=True),
            "contradicted": _joined(node, effects, lambda e: min(_above(e, d), _below(e, -d)), design, every=False),
        }
    else:
        upper = _joined(node, effects, lambda e: _below(e, d), design, every=False)
        lower = _joined(node, effects, lambda e: _above(e, -d), design, every=True)
        words = {
            "supported": _joined(node, effects, lambda e: _above(e, 0), design, every=True),
            "contradicted": _joined(node, effects, lambda e: _below(e, 0), design, every=False),
            "negligible": max(upper, lower),
        }
    return words.get(v.outcome, min(words.values()))


def _above(e: Effect, threshold: float) -> float:
    """The two-sided error at which the interval just begins at the threshold; 1 where the estimate is below it."""
    p = float(looks.p_values(e.estimate - threshold, e.se, e.df))
    return p if e.estimate > threshold else 1.0


def _below(e: Effect, threshold: float) -> float:
    p = float(looks.p_values(e.estimate - threshold, e.se, e.df))
    return p if e.estimate < threshold else 1.0


def _joined(node: Node, effects: list[Effect], measure: Measure, design: Design, *, every: bool) -> float:
    """The error of a statement about a whole claim. every: of an all-of each part must make it (an any-of needs one); else the
    other way round. Where one is enough, the parts share the error."""
    if isinstance(node, Contrast):
        return design.overall(measure(effects[0]))
    found, taken = [], 0
    for part in node.parts:
        size = sum(1 for _ in leaves(part))
        found.append(_joined(part, effects[taken : taken + size], measure, design, every=every))
        taken += size
    needs_all = every != isinstance(node, AnyOf)
    return max(found) if needs_all else min(1.0, len(found) * min(found))
