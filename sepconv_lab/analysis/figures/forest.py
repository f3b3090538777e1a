"""Effects with intervals, one a row, beside the band of effects too small to matter."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...config import BadInput
from ..claims.verdicts import Verdict
from ..stats.decisions import SMALLEST
from ..stats.effects import effect_table
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LETTERS = 56
"""Of a row's words in half a page."""


def forest(
    effects: pd.DataFrame, *, smallest: float = SMALLEST, ax: Axes | None = None, title: str = "", unit: str = ""
) -> Axes:
    """Estimates and intervals of an `effect_table`, in the frame's order from the top; shaded: ±smallest.

    A row without an interval shows its reason in place of one. Column `decides` (bool, optional): rows that are not
    deciding are hollow and grey. unit: the axis's words.
    """
    from matplotlib.ticker import MaxNLocator

    if effects.empty:
        raise BadInput("there is no effect to draw")
    count = len(effects)
    wrapped = sum(len(str(name)) + 8 > LETTERS for name in effects["name"])
    with style.drawing(ax, (style.HALF, 0.95 + 0.36 * count + 0.12 * wrapped)) as ax:
        ax.axvspan(-smallest, smallest, color="#DDDDDD", linewidth=0, zorder=0)
        ax.axvline(0, color="black", linewidth=0.6, zorder=1)
        levels = effects["level"].round(6)
        reasons = set(effects["why_no_interval"])
        alike = reasons.pop() if len(reasons) == 1 else ""
        for y, (_, row) in enumerate(effects.iterrows()):
            decides = bool(row.get("decides", True))
            shade = "black" if decides else style.GREY
            if np.isfinite(row["low"]):
                ax.plot(
                    [row["low"], row["high"]],
                    [y, y],
                    color=shade,
                    linewidth=1.4 if decides else 0.9,
                    solid_capstyle="butt",
                )
            face = shade if decides else "white"
            ax.plot(row["estimate"], y, "o", color=shade, markerfacecolor=face, markersize=4.5, zorder=3)
            label = style.seeds(int(row["n"]), int(row["planned"]))
            if levels.nunique() > 1:
                label += f", {100 * row['level']:.3g} %"
            if not np.isfinite(row["low"]) and not alike:
                label += f", {row['why_no_interval']}"
            text = textwrap.fill(f"{style.label(str(row['name']))}  ({label})", LETTERS)
            ax.annotate(text, (0, y), xycoords=("axes fraction", "data"), xytext=(0, 5), textcoords="offset points",
                        color=shade, fontsize=7, va="bottom", ha="left", zorder=2,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85})  # fmt: skip
        ax.set_ylim(count - 0.5, -0.85)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        reach = np.nanmax(np.abs(effects[["estimate", "low", "high"]].to_numpy(float)))
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlim(-1.08 * max(reach, 1.5 * smallest), 1.08 * max(reach, 1.5 * smallest))
        stated = alike or (f"{100 * levels.iloc[0]:.4g} % intervals" if levels.nunique() == 1 else "intervals")
        joint = ",\n" if alike else "; "
        ax.set_xlabel(f"{unit or 'difference of ln error'}\n{stated}{joint}shaded: smaller than {smallest:g}")
        if title:
            ax.set_title(title)
        return ax


def forest_of(verdicts: Iterable[Verdict], *, ax: Axes | None = None) -> Axes:
    """The forest plot of one claim's verdicts (several data sets or scales a row each), or of several claims with one
    unit.

    Right is as claimed. Contrasts that do not decide are grey and hollow. Verdicts without effects (refused) are left
    out and named under the axis.
    """
    judged = list(verdicts)
    refused = [v.claim.id for v in judged if not v.parts]
    shown = [v for v in judged if v.parts]
    if not shown:
        raise BadInput(f"no verdict has an effect to draw; refused: {', '.join(refused) or 'none'}")
    units = {v.parts[0].contrast.unit for v in shown}
    smallest = {v.claim.smallest_effect for v in shown}
    if len(units) > 1 or len(smallest) > 1:
        raise BadInput(
            f"verdicts in {', '.join(sorted(units))} with smallest effects {sorted(smallest)} do not share an axis"
        )
    places = {(v.scale, v.data) for v in shown}
    tables = []
    for v in shown:
        for parts, decides in ((v.parts, True), (tuple(p for p in v.also if p.contrast.unit in units), False)):
            table = effect_table([p.effect for p in parts]).assign(decides=decides)
            prefix = f"{v.claim.id} " if len({w.claim.id for w in shown}) > 1 else ""
            suffix = f", {v.data.split(',')[0]} {v.scale}" if len(places) > 1 else ""
            tables.append(table.assign(name=prefix + table["name"].astype(str) + suffix))
    title = f"{shown[0].data.removesuffix(' (not ImageNet)')}, {shown[0].scale} scale" if len(places) == 1 else ""
    drawn = forest(pd.concat([t for t in tables if len(t)], ignore_index=True), smallest=smallest.pop(), ax=ax,
                   title=title, unit=f"right: as claimed, in {units.pop()}")  # fmt: skip
    if refused:
        drawn.set_xlabel(drawn.get_xlabel() + f"\nrefused: {', '.join(refused)}")
    return drawn
