"""The vocabulary of claims: a contrast, the ways to join several, the claim itself. Data only; `verdicts` judges."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Union

from ..stats.decisions import SMALLEST
from ..stats.outcomes import COSTS, PRIMARY, unit

Kind = Literal["superior", "equivalent", "all_of", "any_of", "interaction", "speed"]
CONTRAST = re.compile(r"(?P<variant>.+) (?P<how>better than|same as) (?P<than>.+)")
"""A contrast in words, as a study file and a plan write it."""


@dataclass(frozen=True)
class Contrast:
    """One comparison within one study, signed so that a positive estimate is as claimed.

    weights: variant -> weight on its outcome (smaller outcomes are better, so "a better than b" is b minus a).
    asks: `superior` (is it above zero?) or `equivalent` (is it within the band?).
    arms: groups of variants that must share their data.
    """

    name: str
    study: str
    weights: Mapping[str, float]
    asks: Literal["superior", "equivalent"] = "superior"
    metric: str = PRIMARY
    arms: tuple[tuple[str, ...], ...] = ()
    paper: float | None = None
    """The paper's own effect in the same measure."""

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(self.weights)

    @property
    def unit(self) -> str:
        return unit(self.metric)


@dataclass(frozen=True)
class AllOf:
    """Holds only if every part does. Each part's interval at the claim's own level."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class AnyOf:
    """Holds if one part does. The parts' intervals are Bonferroni's."""

    parts: tuple[Node, ...]


Node = Union[Contrast, AllOf, AnyOf]


def better(
    study: str,
    variant: str,
    *,
    than: str,
    name: str = "",
    metric: str = PRIMARY,
    paper: tuple[float, float] | None = None,
) -> Contrast:
    """`variant` errs less than `than` (or is faster, with a metric of speed). paper: the accuracies of the two in the paper."""
    effect = None if paper is None else math.log((1 - paper[1]) / (1 - paper[0]))
    words = name or f"{variant} better than {than}"
    return Contrast(words, study, {than: 1.0, variant: -1.0}, metric=metric, paper=effect)


def same(study: str, variant: str, *, as_: str, name: str = "") -> Contrast:
    """`variant` errs as much as `as_`, within the smallest effect."""
    return Contrast(name or f"{variant} same as {as_}", study, {as_: 1.0, variant: -1.0}, asks="equivalent")


def gains_more(study: str, gain: tuple[str, str], *, than: tuple[str, str], name: str) -> Contrast:
    """The gain of gain[0] over gain[1] exceeds that of than[0] over than[1]: a difference of differences."""
    weights: dict[str, float] = {}
    for variant, weight in ((gain[1], 1.0), (gain[0], -1.0), (than[1], -1.0), (than[0], 1.0)):
        weights[variant] = weights.get(variant, 0.0) + weight
    return Contrast(name, study, weights, arms=(gain, than))


def leaves(node: Node) -> Iterator[Contrast]:
    """Every contrast of a claim's tree, in order."""
    if isinstance(node, Contrast):
        yield node
    else:
        for part in node.parts:
            yield from leaves(part)


@dataclass(frozen=True)
class PaperNumber:
    """One number of the paper. `how`: "printed", or "read" off a figure (±0.003 top-1, ±0.015 MAP)."""

    what: str
    value: float
    how: Literal["printed", "read"]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper as something that runs can decide.

    kind: the type of the contract. `superior`, `interaction` and `speed` have one contrast, `equivalent` asks
    equivalence of each of its contrasts, `all_of` and `any_of` are a tree.
    also: contrasts shown beside the verdict that do not decide it.
    """

    id: str
    statement: str
    place: str
    kind: Kind
    decides: Node
    not_shown: str
    """What a lab-scale result on this claim does not show."""
    paper: tuple[PaperNumber, ...] = ()
    paper_says: str = ""
    """The paper's evidence in words, where numbers alone mislead."""
    smallest_effect: float = SMALLEST
    also: tuple[Contrast, ...] = field(default=())

    def __post_init__(self) -> None:
        parts = tuple(leaves(self.decides))
        single = isinstance(self.decides, Contrast)
        fits = {
            "superior": single and parts[0].asks == "superior",
            "interaction": single and len(parts[0].weights) >= 3,
            "speed": single and parts[0].metric in COSTS,
            "equivalent": not isinstance(self.decides, AnyOf) and all(p.asks == "equivalent" for p in parts),
            "all_of": isinstance(self.decides, AllOf),
            "any_of": isinstance(self.decides, AnyOf),
        }
        if len({p.asks for p in parts}) > 1:
            raise ValueError(
                f"claim {self.id}: asks for a direction and for an equivalence, which have no common interval"
            )
        if not fits[self.kind]:
            raise ValueError(f"claim {self.id}: its contrasts are not of the kind {self.kind!r}")
        if not self.smallest_effect > 0:
            raise ValueError(f"claim {self.id}: the smallest effect is positive, not {self.smallest_effect}")

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The contrasts that decide."""
        return tuple(leaves(self.decides))

    @property
    def studies(self) -> tuple[str, ...]:
        """The studies whose runs decide."""
        return tuple(dict.fromkeys(c.study for c in self.contrasts))
