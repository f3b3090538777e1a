"""From a run to the number that is compared: ln(test error) of the averaged weights at the last epoch, by default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ...config import BadInput
from ...record import metrics
from . import checks
from .intervals import clopper_pearson

PRIMARY = metrics.PRIMARY
COSTS = {"seconds_per_image": "images_per_second", "seconds_per_mac": "images_per_second"}
"""Outcomes of speed, natural logarithms too, and the column each is made from. Smaller is faster."""


def unit(metric: str) -> str:
    """What an outcome is, in words, e.g. "ln test error (averaged weights)"."""
    if metric in COSTS:
        return "ln " + metric.replace("_", " ")
    split, _, name = metric.partition("/")
    weights = "averaged weights" if split.endswith("_ema") else "raw weights"
    row = metrics.of(metric)
    return f"ln {split.removesuffix('_ema')} {row.outcome if row else name} ({weights})"


def outcome(runs: pd.DataFrame, metric: str = PRIMARY, *, test_examples: int | None = None) -> pd.Series:
    """The outcome of each run, a float Series on the frame's index; smaller is better. All rows must be finished or
    diverged.

    Of an accuracy ln(1 - value), of another metric of the table that has an outcome ln(value). `seconds_per_image`,
    `seconds_per_mac`: ln of one over throughput, over MACs times throughput.
    A diverged run counts as chance level (the table's) whatever it measured.
    An error of exactly zero has no logarithm: it counts as half an error, 0.5 / N, N being `test_examples` or the
    column of that name; where N is not known it is refused. No other value is touched.
    Raises BadInput for an absent metric, NaN, accuracies outside [0, 1], and unknown class counts of diverged runs.
    """
    if metric in COSTS:
        return _cost(runs, metric)
    checks.metric(runs, metric)
    row = metrics.of(metric)
    if row is None or row.chance is None or not row.outcome:
        known = ", ".join(f"<split>/{m.name}" for m in metrics.with_outcome())
        raise BadInput(f"no outcome is defined for {metric!r}: take {known}, {', '.join(COSTS)}")
    value = runs[metric].astype(float)
    diverged = runs["status"] == "diverged"
    if diverged.any():
        value = value.mask(diverged, classes_of(runs, diverged).where(diverged).map(row.chance))
    if not row.is_accuracy:
        if (value <= 0).any():
            raise BadInput(f"{metric} is not positive in: {checks.names(runs[value <= 0])}; its logarithm is compared")
        return pd.Series(np.log(value), index=runs.index)
    outside = ~value.between(0, 1)
    if outside.any():
        raise BadInput(
            f"{metric} is outside [0, 1] in: {checks.names(runs[outside])}; accuracies are fractions, not per cent"
        )
    error = row.loss_of(value)
    zero = error <= 0
    if zero.any():
        examples = test_examples or (runs["test_examples"] if "test_examples" in runs.columns else np.nan)
        error = error.mask(zero, 0.5 / examples)
        if error.isna().any():
            raise BadInput(f"{metric} is 1, an error of zero, in: {checks.names(runs[zero])}; its logarithm needs "
                           "test_examples=N, the test examples: it then counts as half an error, 0.5/N")  # fmt: skip
    return pd.Series(np.log(error), index=runs.index)


def classes_of(runs: pd.DataFrame, diverged: pd.Series | None = None) -> pd.Series:
    """The number of classes of each run, a float Series; BadInput where it is not known for a diverged one."""
    checks.columns(runs, ("data.num_classes",))
    classes = runs["data.num_classes"].astype(float)
    unknown = ~(classes >= 2) & (True if diverged is None else diverged)
    if unknown.any():
        raise BadInput(
            f"diverged runs count as chance level, but data.num_classes is not known: {checks.names(runs[unknown])}"
        )
    return classes


def _cost(runs: pd.DataFrame, metric: str) -> pd.Series:
    checks.columns(runs, (COSTS[metric],))
    speed = runs[COSTS[metric]].astype(float)
    if metric == "seconds_per_mac":
        checks.columns(runs, ("macs",))
        speed = speed * runs["macs"].astype(float)
    if not (speed > 0).all():
        raise BadInput(f"{metric} needs a positive throughput: {checks.names(runs[~(speed > 0)])}")
    return pd.Series(-np.log(speed), index=runs.index)


def table(
    runs: pd.DataFrame,
    variants: Iterable[str],
    metric: str = PRIMARY,
    *,
    allow_partial: bool = False,
    arms: Sequence[Iterable[str]] | None = None,
    test_examples: int | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The outcomes of one study as seeds x variants (float; NaN where a run cannot be used), and the unusable runs'
    names.

    A diverged run has the speed that it was measured at, not chance level. Raises BadInput as `checks.usable` and
    `outcome` do.
    """
    wanted = list(dict.fromkeys(variants))
    good, absent = checks.usable(runs, wanted, allow_partial=allow_partial, arms=arms)
    if metric in COSTS and COSTS[metric] in good.columns:
        unmeasured = (good["status"] == "diverged") & good[COSTS[metric]].isna()
        names = tuple(f"{n} (diverged before its speed was measured)" for n in checks.run_names(good[unmeasured]))
        if names and not allow_partial:
            raise BadInput(f"{metric} of {', '.join(names)}; allow_partial=True goes on without and shows n")
        good, absent = good[~unmeasured], (*absent, *names)
    values = good.assign(outcome=outcome(good, metric, test_examples=test_examples))
    wide = values.pivot(index="seed", columns="variant", values="outcome")
    seeds = sorted(checks.of_variants(checks.of_study(runs), wanted)["seed"].unique())
    return wide.reindex(index=seeds, columns=wanted), absent


def divergence(runs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """How often each variant diverged. One row a variant: `variant`, `diverged`, `n`, `rate`, `low`, `high`.

    n counts the runs that ended, finished or diverged; low and high are the exact (Clopper-Pearson) binomial interval.
    """
    ended = runs[runs["status"].isin(checks.USABLE)]
    rows = []
    for variant, group in ended.groupby("variant", sort=False):
        count, n = int((group["status"] == "diverged").sum()), len(group)
        low, high = clopper_pearson(count, n, level)
        rows.append({"variant": variant, "diverged": count, "n": n, "rate": count / n, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["variant", "diverged", "n", "rate", "low", "high"])
