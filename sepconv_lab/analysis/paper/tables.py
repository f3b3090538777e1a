"""The paper's Tables 1-3 from one's own runs, as frames. The paper's own, `paper.table`, stand beside them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ...config import BadInput
from ...record import metrics
from ..claims.of_the_paper import FIGURE06, FIGURE07_08
from ..stats import checks


def summary(
    runs: pd.DataFrame,
    columns: Iterable[str],
    variants: Iterable[str],
    *,
    study: str | None = None,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """Mean and standard deviation over seeds: one row a variant (its name the index).

    columns: metrics or sizes. Gives `<column>` and `<column> sd` (NaN with one seed), `n` runs that entered, `diverged`
    (accuracies at chance among them), and `planned`. Metrics of diverged runs other than accuracies do not enter.
    """
    wanted = list(dict.fromkeys(variants))
    chosen = checks.of_variants(checks.of_study(runs, study), wanted)
    good, _ = checks.usable(chosen, wanted, allow_partial=allow_partial)
    rows = []
    for variant in wanted:
        mine = good[good["variant"] == variant]
        row: dict[str, object] = {"variant": variant}
        for column in columns:
            values = _values(mine, column)
            row[column] = values.mean()
            row[f"{column} sd"] = values.std(ddof=1)
        row |= {
            "n": len(mine),
            "diverged": int((mine["status"] == "diverged").sum()),
            "planned": chosen["seed"].nunique(),
        }
        rows.append(row)
    return pd.DataFrame(rows).set_index("variant")


def _values(runs: pd.DataFrame, column: str) -> pd.Series:
    from ..stats.outcomes import outcome

    row = metrics.of(column)
    if row is not None and row.is_accuracy:
        checks.metric(runs, column)
        perfect = runs[column] >= 1
        values = runs[column].astype(float)
        rest = runs[~perfect]
        return values.mask(~perfect, 1 - np.exp(outcome(rest, column))) if len(rest) else values
    checks.columns(runs, (column,))
    values = runs.loc[runs["status"] == "finished", column].astype(float)
    if values.isna().any():
        raise BadInput(f"{column} is NaN in: {checks.names(runs.loc[values.index[values.isna()]])}")
    return values


def table1(
    runs: pd.DataFrame,
    *,
    study: str = FIGURE06,
    variants: Iterable[str] = ("inception", "xception"),
    allow_partial: bool = False,
) -> pd.DataFrame:
    """Table 1: top-1 and top-5 test accuracy of the averaged weights (fractions), mean and sd over seeds."""
    return summary(runs, ("test_ema/top1", "test_ema/top5"), variants, study=study, allow_partial=allow_partial)


def table2(runs: pd.DataFrame, *, study: str = FIGURE07_08, allow_partial: bool = False) -> pd.DataFrame:
    """Table 2: many classes, without and with FC layers. Top-1 and top-5; the paper's MAP@100 needs its data."""
    variants = ("inception_many", "xception_many", "inception_many_fc", "xception_many_fc")
    return summary(runs, ("test_ema/top1", "test_ema/top5"), variants, study=study, allow_partial=allow_partial)


def table3(
    runs: pd.DataFrame,
    *,
    study: str = FIGURE06,
    variants: Iterable[str] = ("inception", "xception"),
    allow_partial: bool = False,
) -> pd.DataFrame:
    """Table 3: parameters and gradient steps a second; for claim C8 also MACs, seconds per image and per MAC."""
    checks.columns(runs, ("images_per_second", "train.batch_size", "macs", "params_total"))
    speed = runs["images_per_second"].astype(float)
    more = runs.assign(
        steps_per_second=speed / runs["train.batch_size"].astype(float),
        seconds_per_image=1 / speed,
        seconds_per_mac=1 / (speed * runs["macs"].astype(float)),
    )
    columns = ("params_total", "macs", "steps_per_second", "seconds_per_image", "seconds_per_mac")
    table = summary(more, columns, variants, study=study, allow_partial=allow_partial)
    return table.drop(columns=["params_total sd", "macs sd"])
