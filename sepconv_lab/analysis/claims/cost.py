"""What a verdict costs: core-hours to decide a claim at a true effect of d and of 5d, with one look and with several.

One look: as many seeds as find an effect of d four times in five, whatever the effect turns out to be, and the spread over all
seeds alike. Looks: at five seeds and twice as many each time until they do the same, in strata where the seeds' blocks have them;
the mean over 20,000 simulated studies is what it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...record.plan import Plan
from ..stats import checks, outcomes, power
from ..stats.intervals import t_quantile
from ..stats.strata import split
from .board import frozen_claim
from .contrasts import Contrast, leaves

CHANCE = 0.8
FEWEST = 5
MOST = 4000
INFLATED = 1.25
"""How many times the seeds of one look the last of several takes at most, for the same chance."""
SHIPPED = 3
"""Looks of a shipped study."""


@dataclass(frozen=True)
class Cost:
    """Of one contrast. SDs of its difference over all seeds, and within strata; seeds, and hours of one core."""

    claim: str
    label: str
    contrast: str
    sd: float
    within: float
    strata: int
    seeds: int
    """At one look."""
    looks: tuple[int, ...]
    expected: tuple[float, float]
    """Seeds with looks, at d and 5d."""
    hours_a_seed: float

    @property
    def cells(self) -> tuple[str, ...]:
        before = self.seeds * self.hours_a_seed
        after = [n * self.hours_a_seed for n in self.expected]
        spread = f"{self.sd:.3f}" + (f"; {self.within:.3f} in {self.strata} strata" if self.strata > 1 else "")
        return (
            f"{self.claim}, {self.label}: {self.contrast}", spread, f"{self.seeds:,} seeds, {before:,.1f} h",
            f"{', '.join(map(str, self.looks))}", *(f"{n:,.0f} seeds, {h:,.1f} h ({h / before:.2f})"
            for n, h in zip(self.expected, after, strict=True)),
        )  # fmt: skip


HEADER = ("claim, results: contrast", "SD", "one look, at d and at 5d", "looks", "with looks at d", "with looks at 5d")


def costs(plan: Plan, runs: pd.DataFrame) -> Iterator[Cost]:
    """Of every contrast that decides the plan's claim, from the spread and the time of its runs."""
    claim = frozen_claim(plan)
    for c in leaves(claim.decides) if claim is not None else ():
        wide, _ = outcomes.table(
            runs[runs["study"] == plan.study], c.variants, c.metric, allow_partial=True, arms=c.arms or None
        )
        wide = wide.dropna()
        d = wide.to_numpy() @ np.array([c.weights[v] for v in wide.columns])
        labels = _strata(plan, [int(s) for s in wide.index])
        groups = d[np.stack(list(split(labels).values()))]
        ended = runs[runs["status"].isin(checks.USABLE) & runs["variant"].isin(c.variants)]
        core_hours = float((ended["wall_time"].astype(float) * ended["threads"].astype(float)).mean()) / 3600
        assert claim is not None
        yield _cost(
            claim.id,
            plan.label,
            c,
            claim.smallest_effect,
            d,
            groups,
            core_hours * len(c.variants),
            len(claim.contrasts),
        )


def _cost(
    claim: str, label: str, c: Contrast, smallest: float, d: np.ndarray, groups: np.ndarray, hours: float, parts: int
) -> Cost:
    sd, within = float(d.std(ddof=1)), float(np.sqrt(groups.var(-1, ddof=1).mean()))
    strata = len(groups)
    enough = INFLATED * _one_look(within, smallest)
    design = [-(-FEWEST // strata) * strata]
    while len(design) < SHIPPED or design[-1] < enough:
        design.append(2 * design[-1])
    found = power.chances(within, design, smallest=smallest, strata=strata, parts=parts, times=(1, 5))
    expected = (found[0].expected_seeds, found[1].expected_seeds)
    return Cost(claim, label, c.name, sd, within, strata, _one_look(sd, smallest), tuple(design), expected, hours)


def _one_look(sd: float, smallest: float) -> int:
    """The seeds at which a paired 95 % interval lies above zero in four studies of five whose true effect is d."""
    from scipy.special import nctdtr

    n = np.arange(FEWEST, MOST + 1)
    found = n[1 - nctdtr(n - 1, smallest * np.sqrt(n) / sd, t_quantile(n - 1, 0.95)) >= CHANCE]
    return int(found[0]) if found.size else MOST


def _strata(plan: Plan, seeds: list[int]) -> list[str]:
    """The seeds' strata: declared ones, or the values of a block's key that repeat evenly; one for all without."""
    block = {r.seed: r.block for r in plan.runs}
    for key in (plan.strata,) if plan.strata else dict.fromkeys(k for b in block.values() for k in b):
        labels = [str(block[s].get(key)) for s in seeds]
        counts = {labels.count(label) for label in labels}
        if len(set(labels)) > 1 and len(counts) == 1 and min(counts) > 1:
            return labels
    return [""] * len(seeds)
