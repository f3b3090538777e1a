"""How fast runs learn, beside where they end: steps to a threshold, area under the curve, comparisons at several
budgets.

A schedule that anneals at the end makes "faster convergence" partly an artefact of the schedule: `budgets` over
separately annealed runs is the fairer question, and the end result stays the primary metric.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ...config import BadInput
from ...config.messages import did_you_mean
from ...record import metrics
from . import checks, intervals, outcomes
from .effects import Effect, difference, effect_table

CURVE = metrics.SELECTION
"""The curve that is read by default. Test figures exist at the last epoch only."""


def curves(
    runs: pd.DataFrame,
    history: pd.DataFrame,
    variants: Iterable[str],
    *,
    study: str | None = None,
    metric: str = CURVE,
    allow_partial: bool = False,
) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """Accuracy curves of a study's usable runs: variant -> frame of steps x seeds, and the names of the unusable runs.

    A diverged run keeps what it measured up to its last event and is at chance level from there on. Entries are NaN
    before a run's first event and where a run has none at that step. metric: an accuracy of the table of metrics.
    Raises BadInput as `checks.usable`, for a metric no event has, and for runs without any event.
    """
    wanted = list(dict.fromkeys(variants))
    good, absent = checks.usable(checks.of_study(runs, study), wanted, allow_partial=allow_partial)
    checks.columns(history, ("run_id", "step"))
    accuracy = metrics.of(metric)
    if accuracy is None or accuracy.chance is None or not accuracy.is_accuracy:
        allowed = " or ".join(f"<split>/{m.name}" for m in metrics.TABLE if m.is_accuracy)
        raise BadInput(f"a curve is an accuracy, {allowed}, not {metric!r}")
    if metric not in history.columns or history[metric].isna().all():
        known = [c for c in history.columns if "/" in c]
        raise BadInput(
            f"no event has the metric {metric!r}; there are: {', '.join(known)}.{did_you_mean(metric, known)}"
        )
    here = history["run_id"].isin(good["run_id"]) & history[metric].notna()
    events = history.loc[here, ["run_id", "step", metric]].drop_duplicates(["run_id", "step"], keep="last")
    silent = good[(good["status"] == "finished") & ~good["run_id"].isin(events["run_id"])]
    if len(silent):
        raise BadInput(f"no event with {metric} in: {checks.names(silent)}")
    merged = good[["run_id", "variant", "seed"]].merge(events, on="run_id")
    by_variant: dict[str, pd.DataFrame] = {}
    steps = np.unique(merged["step"])
    for variant in wanted:
        rows = merged[merged["variant"] == variant]
        wide = rows.pivot(index="step", columns="seed", values=metric).astype(float)
        lost = good[(good["variant"] == variant) & (good["status"] == "diverged")]
        if len(lost):
            classes = outcomes.classes_of(lost)
            wide = wide.reindex(index=steps, columns=sorted({*wide.columns, *lost["seed"]}))
            for seed, count in zip(lost["seed"], classes, strict=True):
                last = wide[seed].last_valid_index()
                after = wide.index > (last if last is not None else -1)
                wide.loc[after, seed] = accuracy.chance(count)
        by_variant[variant] = wide
    return by_variant, absent


def steps_to(curve: pd.Series, threshold: float) -> float:
    """The step at which a curve (index: steps) first reaches a threshold, linear between events; inf: never."""
    known = curve.dropna()
    steps, values = known.index.to_numpy(float), known.to_numpy(float)
    reached = np.flatnonzero(values >= threshold)
    if not reached.size:
        return float("inf")
    i = int(reached[0])
    if i == 0:
        return float(steps[0])
    share = (threshold - values[i - 1]) / (values[i] - values[i - 1])
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))


def area(curve: pd.Series, first: float, last: float) -> float:
    """The mean height of a curve between two steps (trapezoids, linear between events): its area over the length."""
    known = curve.dropna()
    steps, values = known.index.to_numpy(float), known.to_numpy(float)
    inside = steps[(steps > first) & (steps < last)]
    grid = np.concatenate([[first], inside, [last]])
    return float(np.trapezoid(np.interp(grid, steps, values), grid) / (last - first))


def measures(curves_of: dict[str, pd.DataFrame], threshold: float | None = None) -> pd.DataFrame:
    """One row a run: `variant`, `seed`, `end`, `area`, `steps_to` (inf: never reached), `threshold`.

    curves_of: as from `curves`. The area runs over the steps that all curves cover. threshold: by default the height that
    the variant with the lowest mean end reaches on average, so that about every run has a chance.
    """
    spans = [c.dropna().index for wide in curves_of.values() for _, c in wide.items()]
    first, last = max(s[0] for s in spans), min(s[-1] for s in spans)
    if not first < last:
        raise BadInput("the curves share no stretch of steps: each run needs events at two steps or more")
    ends = {v: float(wide.ffill().iloc[-1].mean()) for v, wide in curves_of.items()}
    height = min(ends.values()) if threshold is None else threshold
    rows = [
        {
            "variant": v,
            "seed": seed,
            "end": c.dropna().iloc[-1],
            "area": area(c, first, last),
            "steps_to": steps_to(c, height),
        }
        for v, wide in curves_of.items()
        for seed, c in wide.items()
    ]
    return pd.DataFrame(rows).assign(threshold=height)


def compare_measure(
    measured: pd.DataFrame, variant: str, baseline: str, by: str = "area", level: float = 0.95
) -> Effect:
    """Variant minus baseline in one measure of `measures`, paired over the seeds that both have.

    `area` and `end` are compared as they are (accuracy), `steps_to` by its logarithm: negative is faster. Where a run
    never reached the threshold there is no finite number: refused, with a count.
    """
    checks.of_variants(measured, [variant, baseline])
    wide = measured.pivot(index="seed", columns="variant", values=by)[[variant, baseline]]
    both = wide.dropna()
    if both.empty:
        raise BadInput(f"{variant} and {baseline} share no seed")
    values = both.to_numpy(float)
    if by == "steps_to":
        never = np.isinf(values).sum(0)
        if never.any():
            height = measured["threshold"].iloc[0]
            raise BadInput(f"accuracy {height:.3f} was never reached by {never[0]} runs of {variant} and {never[1]} of "
                           f"{baseline}, of {len(both)} each: lower the threshold, or compare the area")  # fmt: skip
        values = np.log(values)
    interval = intervals.paired(values, [1.0, -1.0], level)
    label = {"steps_to": "ln steps to threshold"}.get(by, by)
    return Effect(f"{variant} - {baseline}", *interval[:3], level, len(both), len(wide), interval.se, interval.df,
                  "paired", label)  # fmt: skip


SPEED = ("n", "area", "area sd", "difference", "low", "high", "why_no_interval", "steps_to", "reached", "threshold")


def speed(
    runs: pd.DataFrame,
    history: pd.DataFrame,
    variants: Iterable[str],
    *,
    reference: str,
    study: str | None = None,
    metric: str = CURVE,
    level: float = 0.95,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """How fast variants learn, one row each (its name the index), columns `SPEED`.

    area: mean height of the curve, over seeds; difference: of the area to `reference`, paired over seeds, with its
    interval, each for itself (NaN for the reference). steps_to: mean steps to the threshold of the `reached` runs that
    came to it. Variants without a usable run are left out. Raises BadInput as `curves` and `measures`.
    """
    wanted = list(dict.fromkeys([*variants, reference]))
    curves_of, _ = curves(runs, history, wanted, study=study, metric=metric, allow_partial=allow_partial)
    measured = measures({v: wide for v, wide in curves_of.items() if wide.shape[1]})
    rows = []
    for variant in [v for v in dict.fromkeys(variants) if curves_of[v].shape[1]]:
        values = measured[measured["variant"] == variant]
        reached = values.loc[np.isfinite(values["steps_to"]), "steps_to"]
        row = {"variant": variant, "n": len(values), "area": values["area"].mean(), "area sd": values["area"].std(ddof=1),
               "steps_to": reached.mean(), "reached": len(reached), "threshold": values["threshold"].iloc[0]}  # fmt: skip
        if variant != reference:
            e = compare_measure(measured, variant, reference, level=level)
            row |= {"difference": e.estimate, "low": e.low, "high": e.high, "why_no_interval": e.why_no_interval}
        rows.append(row)
    return pd.DataFrame(rows, columns=["variant", *SPEED]).set_index("variant")


MULTIPLE = r"_x\d+$"
"""How the name of a variant ends that is another with a multiple of its budget."""


def budgets(
    runs: pd.DataFrame,
    variant: str,
    baseline: str,
    *,
    by: str = "train.epochs",
    study: str | None = None,
    **options: object,
) -> pd.DataFrame:
    """The same comparison at each budget, every run annealed for its own: one row a budget, ascending.

    by: the column that holds the budget; a variant's name may end with it as a multiple (`relu_x2`), as in the study
    `budget`. Columns: `budget`, then those of `effect_table`. Each interval stands alone at the given level. Options as for
    `effects.contrast`.
    """
    of_study = checks.of_study(runs, study)
    checks.columns(of_study, (by,))
    of_study = of_study.assign(variant=of_study["variant"].str.replace(MULTIPLE, "", regex=True))
    chosen = checks.of_variants(of_study, [variant, baseline])
    table = []
    for budget, rows in chosen.groupby(by):
        effect = difference(rows, variant, baseline, **options)
        table.append(effect_table([effect]).assign(budget=budget, name=f"{effect.name} at {by}={budget}"))
    if not table:
        raise BadInput(f"{by} is not recorded in: {checks.names(chosen)}")
    whole = pd.concat(table, ignore_index=True)
    return whole[["budget", *(c for c in whole.columns if c != "budget")]]
