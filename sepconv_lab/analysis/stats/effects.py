"""Effects with intervals from a runs frame: differences, interactions, families, and how many seeds would settle them.

The outcome is ln(test error) of the averaged weights unless another metric is named (see `outcomes`), the unit the
seed. An effect is a linear contrast of variants: weights that sum to zero, applied to the outcomes of each seed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ...config import BadInput
from ...config.messages import did_you_mean
from . import checks, intervals, outcomes, strata as stratification
from .intervals import bootstrap, clopper_pearson, t_interval
from .outcomes import PRIMARY, divergence

__all__ = [
    "Effect", "Method", "bonferroni", "bootstrap", "clopper_pearson", "contrast", "difference", "divergence",
    "effect_table", "family", "interaction", "seeds_to_settle", "t_interval",
]  # fmt: skip

Method = Literal["paired", "pooled"]
"""`paired`: the spread of this contrast over seeds; `pooled`: that of the variant + seed model, of all variants."""


@dataclass(frozen=True)
class Strata:
    """The strata that an effect is the mean of."""

    key: str
    """The setting that tells them apart, e.g. data.fold."""
    means: Mapping[str, float]
    pooled: tuple[float, float]
    """The interval with one spread for all of them: beside the one that decides, too short where they spread differently."""
    p: float
    """Of the test that the effect is the same in all (stratum x variant)."""

    @property
    def differ(self) -> bool:
        """Whether the test rejects at 5 %."""
        return self.p < 0.05

    def text(self, digits: int = 3) -> str:
        """E.g. "on average over serif, mono (data.fold); pooled [+0.096, +0.213]; stratum x variant p = 0.002: serif +0.004"."""
        low, high = self.pooled
        words = f"on average over {', '.join(self.means)} ({self.key}); pooled [{low:+.{digits}f}, {high:+.{digits}f}]"
        each = ", ".join(f"{label} {mean:+.{digits}f}" for label, mean in self.means.items())
        return f"{words}; stratum x variant p = {self.p:.2g}" + (f": {each}" if self.differ else "")


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
    against: tuple[float, float] | None = None
    """The bounds that a contradiction is judged by, where they are not `low` and `high`."""
    against_level: float = math.nan
    strata: Strata | None = None
    overall: float = math.nan
    """The level that all looks hold together, where `level` is that of one of several."""
    not_yet: str = ""
    """Why no interval is shown, where the seeds are too few to look at."""

    @property
    def far(self) -> tuple[float, float]:
        """The bounds that a contradiction is judged by."""
        return (self.low, self.high) if self.against is None else self.against

    @property
    def has_interval(self) -> bool:
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def why_no_interval(self) -> str:
        """Empty where there is one."""
        if self.has_interval:
            return ""
        if self.not_yet:
            return self.not_yet
        if self.n < 2:
            return "one seed: no interval"
        return "no spread between seeds: no interval"

    def text(self, digits: int = 3) -> str:
        """E.g. "+0.051 [+0.030, +0.072], 95 %, n=6"; without an interval the reason; n of planned where they differ."""
        seeds = f"n={self.n}" + (f" of {self.planned}" if self.n < self.planned else "")
        if math.isnan(self.estimate):
            return f"no estimate ({self.why_no_interval}), {seeds}"
        if not self.has_interval:
            return f"{self.estimate:+.{digits}f} ({self.why_no_interval}), {seeds}"
        bounds = f"[{self.low:+.{digits}f}, {self.high:+.{digits}f}]"
        return f"{self.estimate:+.{digits}f} {bounds}, {self.how_sure}, {seeds}"

    @property
    def how_sure(self) -> str:
        """E.g. "95 %", "95 % over all looks"."""
        if math.isnan(self.overall):
            return f"{100 * self.level:.4g} %"
        return f"{100 * self.overall:.4g} % over all looks"


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
    against: float | None = None,
    strata: str | None = None,
    method: Method = "paired",
    allow_partial: bool = False,
    arms: Sequence[Iterable[str]] | None = None,
    test_examples: int | None = None,
) -> Effect:
    """The effect sum(weight x outcome) over the variants of one study, averaged over seeds.

    weights: variant -> weight, summing to zero. arms: groups of variants that must share their data (default: all).
    against: the level of the interval that a contradiction is judged by (default: `level`). strata: a setting that tells fixed
    strata apart: the effect is the mean of theirs, its interval Welch and Satterthwaite's.
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
    shown = None
    if strata is not None:
        if method == "pooled":
            raise BadInput("a spread pooled over variants is not stratified: declare the paired interval")
        interval, shown = _stratified(complete.to_numpy() @ w, strata_of(chosen, strata, complete.index), strata, level)
    elif method == "paired":
        interval = intervals.paired(complete.to_numpy(), w, level)
    else:
        interval = intervals.pooled(wide.to_numpy(), w, level)
    far = None
    if against is not None and against != level:
        half = float(intervals.t_quantile(interval.df, against)) * interval.se
        far = (interval.estimate - half, interval.estimate + half)
    lost = chosen["status"] == "diverged"
    counted = checks.run_names(chosen[lost & chosen["variant"].isin(used)]) if lost.any() else []
    n = len(complete) if method == "paired" else int(wide[used].notna().sum().min())
    return Effect(
        name or _words(weights), *interval[:3], level, n, len(wide), interval.se, interval.df, method, metric, absent,
        tuple(counted), far, level if against is None else against, shown,
    )  # fmt: skip


def strata_of(runs: pd.DataFrame, key: str, seeds: Iterable[int]) -> list[str]:
    """The stratum of each seed. Raises BadInput for a key that no run has, or has several values of within a seed."""
    if key not in runs.columns or runs[key].isna().all():
        raise BadInput(
            f"strata: no run has {key!r}.{did_you_mean(key, [c for c in runs.columns if c.startswith('data.')])}"
        )
    values = runs.dropna(subset=[key]).groupby("seed")[key].unique()
    found = []
    for seed in seeds:
        here = values.get(seed, ())
        if len(here) != 1:
            raise BadInput(f"strata: seed {seed} has {len(here)} values of {key}, not one")
        found.append(str(here[0]))
    return found


def _stratified(
    differences: np.ndarray, labels: list[str], key: str, level: float
) -> tuple[intervals.Interval, Strata]:
    s = stratification.stratified(differences, labels)
    estimate, se, df = float(s.estimate), float(s.se), float(s.df)
    half, pooled = (float(intervals.t_quantile(f, level)) * se for f in (df, s.pooled_df))
    means = dict(zip(map(str, s.labels), map(float, s.means), strict=True))
    shown = Strata(key, means, (estimate - pooled, estimate + pooled), float(s.p))
    return intervals.Interval(estimate, estimate - half, estimate + half, se, df), shown


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
