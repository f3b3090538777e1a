"""Effects with intervals from a runs frame: differences, interactions, families, and how many seeds would settle them.

The outcome is ln(test error) of the averaged weights unless another metric is named (see `outcomes`), the unit the
seed. An effect is a linear contrast of variants: weights that sum to zero, applied to the outcomes of each seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ...config import BadInput
from . import checks, intervals, outcomes
from .intervals import bootstrap, clopper_pearson, t_interval
from .outcomes import PRIMARY, divergence

__all__ = [
    "Effect", "Method", "bonferroni", "bootstrap", "clopper_pearson", "contrast", "difference", "divergence",
    "effect_table", "family", "interaction", "seeds_to_settle", "t_interval",
]  # fmt: skip

Method = Literal["paired", "pooled"]
"""`paired`: the spread of this contrast over seeds; `pooled`: that of the variant + seed model, of all variants."""


@dataclass(frozen=True)
class Effect:
    """A contrast's estimate and interval, in the outcome's unit (a difference of logarithms), and its basis."""

    name: str
    estimate: float
    low: float
    """NaN where there is no interval; `why_no_interval` says why."""
    high: float
    level: float
    n: int
    """Seeds that entered."""
    planned: int
    """Seeds that the frame knows for these variants; n < planned only with allow_partial."""
    se: float
    df: float
    method: Method = "paired"
    metric: str = PRIMARY
    absent: tuple[str, ...] = ()
    """Runs that could not be used, by name."""
    diverged: tuple[str, ...] = ()
    """Runs counted at chance level, by name."""

    @property
    def has_interval(self) -> bool:
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def why_no_interval(self) -> str:
        """Empty where there is one."""
        if self.has_interval:
            return ""
        if self.n < 2:
            return "one seed: no interval"
        return "no spread between seeds: no interval"

    def text(self, digits: int = 3) -> str:
        """E.g. "+0.051 [+0.030, +0.072], 95 %, n=6"; without an interval the reason; n of planned where they differ."""
        seeds = f"n={self.n}" + (f" of {self.planned}" if self.n < self.planned else "")
        if not self.has_interval:
            return f"{self.estimate:+.{digits}f} ({self.why_no_interval}), {seeds}"
        bounds = f"[{self.low:+.{digits}f}, {self.high:+.{digits}f}]"
        return f"{self.estimate:+.{digits}f} {bounds}, {100 * self.level:.4g} %, {seeds}"


def bonferroni(level: float, contrasts: int) -> float:
    """The level of each of several intervals so that all hold together with probability `level` or more."""
    return 1 - (1 - level) / contrasts


def contrast(
    runs: pd.DataFrame,
    weights: Mapping[str, float],
    *,
    study: str | None = None,
    name: str = "",
    metric: str = PRIMARY,
    level: float = 0.95,
    method: Method = "paired",
    allow_partial: bool = False,
    arms: Sequence[Iterable[str]] | None = None,
    test_examples: int | None = None,
) -> Effect:
    """The effect sum(weight x outcome) over the variants of one study, averaged over seeds.

    weights: variant -> weight, summing to zero. arms: groups of variants that must share their data (default: all).
    Raises BadInput for whatever `checks` refuses; runs that are not there raise unless `allow_partial`.
    """
    if abs(sum(weights.values())) > 1e-9 or not any(weights.values()):
        raise BadInput(f"the weights of a contrast sum to zero and are not all zero: {dict(weights)}")
    chosen = checks.of_study(runs, study)
    used = [v for v, w in weights.items() if w]
    if method == "paired":
        chosen = checks.of_variants(chosen, used)
    columns = list(dict.fromkeys([*used, *chosen["variant"]])) if method == "pooled" else used
    if method == "pooled" and arms is None:
        arms = [used]
    wide, absent = outcomes.table(
        chosen, columns, metric, allow_partial=allow_partial, arms=arms, test_examples=test_examples
    )
    complete = wide.dropna(subset=used)
    w = np.array([weights.get(c, 0.0) for c in columns])
    if complete.empty and method == "paired":
        raise BadInput(f"no seed has all of {', '.join(used)}: nothing to pair. Not usable: {', '.join(absent)}")
    if method == "paired":
        interval = intervals.paired(complete.to_numpy(), w, level)
    else:
        interval = intervals.pooled(wide.to_numpy(), w, level)
    lost = chosen["status"] == "diverged"
    counted = checks.run_names(chosen[lost & chosen["variant"].isin(used)]) if lost.any() else []
    n = len(complete) if method == "paired" else int(wide[used].notna().sum().min())
    return Effect(
        name or _words(weights), *interval[:3], level, n, len(wide), interval.se, interval.df, method, metric, absent,
        tuple(counted),
    )  # fmt: skip


def _words(weights: Mapping[str, float]) -> str:
    plus, minus = ([v for v, w in weights.items() if w * sign > 0] for sign in (1, -1))
    return " + ".join(plus) + " - " + (minus[0] if len(minus) == 1 else "(" + " + ".join(minus) + ")")


def difference(runs: pd.DataFrame, variant: str, baseline: str, **options: object) -> Effect:
    """Variant minus baseline, paired over seeds; negative: the variant errs less. Options as for `contrast`."""
    return contrast(runs, {variant: 1.0, baseline: -1.0}, **options)  # type: ignore[arg-type]


def interaction(runs: pd.DataFrame, first: tuple[str, str], second: tuple[str, str], **options: object) -> Effect:
    """The difference of differences (first[0] - first[1]) - (second[0] - second[1]). Each pair must share its data.

    Options as for `contrast`.
    """
    weights: dict[str, float] = {}
    for variant, weight in zip((*first, *second), (1.0, -1.0, -1.0, 1.0), strict=True):
        weights[variant] = weights.get(variant, 0.0) + weight
    options = {"arms": [first, second], "name": f"({first[0]} - {first[1]}) - ({second[0]} - {second[1]})", **options}
    return contrast(runs, weights, **options)  # type: ignore[arg-type]


def family(
    runs: pd.DataFrame, contrasts: Mapping[str, Mapping[str, float]], *, level: float = 0.95, **options: object
) -> list[Effect]:
    """Several contrasts (name -> weights) whose intervals hold together at `level`: Bonferroni."""
    each = bonferroni(level, len(contrasts))
    return [contrast(runs, w, name=n, level=each, **options) for n, w in contrasts.items()]  # type: ignore[arg-type]


def seeds_to_settle(
    effect: Effect, smallest: float, *, asks: str = "superior", power: float = 0.8, most: int = 1000
) -> int | None:
    """How many seeds would likely settle an effect, if estimate and spread stay as they are; None: more than `most`.

    Rule: the least n for which the half-width plus t(power) standard errors, both at n seeds, fits into the margin. For
    `superior` the margin is max(|estimate|, smallest - |estimate|): far enough from zero, or within the band; for
    `equivalent` it is the distance of the estimate from the band's edge. Read it as an order of magnitude: an early
    estimate that looks large is likely to shrink. NaN intervals (one seed) give None.
    """
    if not effect.has_interval or effect.n < 2:  # pooled intervals stand on other variants' seeds too
        return None
    size = abs(effect.estimate)
    margin = abs(size - smallest) if asks == "equivalent" else max(size, smallest - size)
    n = np.arange(2, most + 1)
    df = effect.df / (effect.n - 1) * (n - 1)
    reach = intervals.t_quantile(df, effect.level) + intervals.t_quantile(df, 2 * power - 1)
    enough = reach * effect.se * np.sqrt(effect.n / n) <= margin
    return int(n[enough][0]) if enough.any() else None


def effect_table(effects: Iterable[Effect]) -> pd.DataFrame:
    """One row an effect, the fields of `Effect` as columns: what `figures.forest` draws."""
    rows = [dataclasses.asdict(e) | {"why_no_interval": e.why_no_interval} for e in effects]
    return pd.DataFrame(rows, columns=[*(f.name for f in dataclasses.fields(Effect)), "why_no_interval"])
