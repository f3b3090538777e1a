"""Accuracy against what it costs: parameters, MACs, measured time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ...config import BadInput
from ...config.messages import did_you_mean
from . import checks
from .outcomes import PRIMARY, outcome

COSTS = ("params_total", "params_body", "macs", "seconds_per_image", "wall_time", "peak_memory")


def front(cost: ArrayLike, error: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other beats (as good in both, better in one); equal points share it. (n,) and (n,) -> (n,)."""
    c, e = np.asarray(cost, float), np.asarray(error, float)
    if c.shape != e.shape or c.ndim != 1:
        raise BadInput(f"cost and error are two lists of one length, not {c.shape} and {e.shape}")
    if np.isnan(c).any() or np.isnan(e).any():
        raise BadInput("NaN among costs or errors")
    no_worse = (c[:, None] <= c) & (e[:, None] <= e)
    better = (c[:, None] < c) | (e[:, None] < e)
    return np.logical_not((no_worse & better).any(axis=0))


def pareto(
    runs: pd.DataFrame,
    cost: str = "params_total",
    *,
    variants: Iterable[str] | None = None,
    study: str | None = None,
    metric: str = PRIMARY,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """One row a variant of the study (or of `variants`): `variant`, `cost`, `accuracy`, `low`, `high`, `n`, `planned`,
    `on_front`, by cost.

    cost is the mean over seeds, accuracy 1 - exp(mean ln error), low and high the smallest and largest seed. The front
    is that of these means: two variants nearer than their spread may change places.
    """
    chosen = checks.of_study(runs, study)
    wanted = chosen["variant"].unique() if variants is None else list(variants)
    chosen = checks.of_variants(chosen, wanted)
    good, _ = checks.usable(chosen, wanted, allow_partial=allow_partial)
    if cost not in COSTS:
        raise BadInput(f"unknown cost {cost!r}; there are: {', '.join(COSTS)}.{did_you_mean(cost, COSTS)}")
    if cost == "seconds_per_image":
        spent = np.exp(outcome(good, cost))
    else:
        checks.columns(good, (cost,))
        spent = good[cost].astype(float)
    if spent.isna().any():
        raise BadInput(f"{cost} is NaN in: {checks.names(good[spent.isna()])}")
    data = good.assign(cost=spent, ln_error=outcome(good, metric))
    rows = []
    for variant, group in data.groupby("variant", sort=False):
        errors = np.exp(group["ln_error"])
        accuracy = 1 - float(np.exp(group["ln_error"].mean()))
        planned = chosen["seed"].nunique()
        rows.append({"variant": variant, "cost": group["cost"].mean(), "accuracy": accuracy, "low": 1 - errors.max(),
                     "high": 1 - errors.min(), "n": len(group), "planned": planned})  # fmt: skip
    table = pd.DataFrame(rows)
    table["on_front"] = front(table["cost"], 1 - table["accuracy"])
    return table.sort_values("cost", ignore_index=True)
