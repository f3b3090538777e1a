"""The paper's own curves and tables. Package data in `paper/`, whose README gives source and accuracy.

Source: F. Chollet, Xception, CVPR 2017, arXiv 1610.02357v3. Figures 6-10 were digitised from their pixels; Tables 1-3
are as printed. Each curve is one training run: the paper gives no spread between seeds.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
import pandas as pd

from ...config import BadInput
from ...config.messages import did_you_mean

FIGURES = (6, 7, 8, 9, 10)
UNITS = {6: "top-1 accuracy", 7: "MAP@100", 8: "MAP@100", 9: "top-1 accuracy", 10: "top-1 accuracy"}
ACCURACY = {6: 0.003, 7: 0.015, 8: 0.015, 9: 0.003, 10: 0.003}
"""How far a digitised value may be off, in the figure's unit."""
DATA = {6: "ImageNet", 7: "JFT, without FC layers", 8: "JFT, with FC layers", 9: "ImageNet", 10: "ImageNet"}
"""What each figure was trained on; all at 299 pixels."""
COMMON_STEP = 112_700
"""Where Figure 10's curves can be compared: the end of the shortest."""


def _read(name: str) -> pd.DataFrame:
    with (resources.files(__package__) / name).open(encoding="utf-8") as file:
        return pd.read_csv(file)


def curves(figure: int | None = None) -> pd.DataFrame:
    """The curves of one figure (6-10) or all: `figure`, `curve`, `step` (gradient steps), `value` (in `UNITS`)."""
    known = _read("figure_curves.csv")
    if figure is None:
        return known
    if figure not in FIGURES:
        raise BadInput(f"the paper's curves are in Figures {', '.join(map(str, FIGURES))}, not {figure}")
    return known[known["figure"] == figure].reset_index(drop=True)


def _curve(figure: int, curve: str) -> pd.DataFrame:
    found = curves(figure)
    rows = found[found["curve"] == curve]
    if rows.empty:
        known = list(found["curve"].unique())
        raise BadInput(
            f"Figure {figure} has no curve {curve!r}; there are: {', '.join(known)}.{did_you_mean(curve, known)}"
        )
    return rows


def value_at(figure: int, curve: str, step: float) -> float:
    """A curve's value at a step, linear between digitised points; BadInput outside of what the figure shows."""
    rows = _curve(figure, curve)
    low, high = rows["step"].min(), rows["step"].max()
    if not low <= step <= high:
        raise BadInput(f"Figure {figure} shows {curve} from step {low:,} to {high:,}, not {step:,}")
    return float(np.interp(step, rows["step"], rows["value"]))


def end(figure: int, curve: str) -> float:
    """A curve's value at its last digitised step."""
    return float(_curve(figure, curve)["value"].iloc[-1])


def table(number: int) -> pd.DataFrame:
    """Table 1, 2 or 3 as printed: one row a model, one column a metric."""
    known = _read("tables.csv")
    if number not in (1, 2, 3):
        raise BadInput(f"the paper has Tables 1, 2 and 3, not {number}")
    rows = known[known["table"] == number]
    wide = rows.pivot(index="model", columns="metric", values="value")
    wide.columns.name = None
    return wide.loc[list(dict.fromkeys(rows["model"])), list(dict.fromkeys(rows["metric"]))]
