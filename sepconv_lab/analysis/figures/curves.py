"""The paper's Figures 6-10: learning curves of one's own runs, and the paper's own curves on axes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...config import BadInput
from ...record import metrics
from .. import paper
from ..claims.of_the_paper import FIGURE06, FIGURE07_08, FIGURE09, FIGURE10
from ..stats import checks, convergence
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_INSIDE = 4
"""Lines whose legend stands among the curves; that of more stands below."""
LONG = 17
"""Letters beside a stroke that two columns of such a legend have room for."""


def learning_curves(
    runs: pd.DataFrame,
    history: pd.DataFrame,
    variants: Sequence[str],
    *,
    study: str | None = None,
    metric: str = convergence.CURVE,
    ax: Axes | None = None,
    allow_partial: bool = False,
) -> Axes:
    """Accuracy over gradient steps: every seed a thin line, the mean over seeds a thick one, drawn where all seeds have
    events.

    A diverged run is drawn to its last event, marked with a cross; in the mean it is at chance from there on. The
    legend shows n. Raises BadInput as `convergence.curves`.
    """
    curves, _ = convergence.curves(runs, history, variants, study=study, metric=metric, allow_partial=allow_partial)
    chosen = checks.of_variants(checks.of_study(runs, study), variants)
    planned = chosen["seed"].nunique()
    diverged = chosen[chosen["status"] == "diverged"]
    many = len(curves) > MOST_INSIDE
    rows = style.legend_rows((f"{style.label(v)}, n=6" for v in curves), LONG)[1] if many else 0
    with style.drawing(ax, (style.HALF, 2.4 + rows * style.ROW)) as ax:
        for variant, wide in curves.items():
            colour, dashes = style.colour(variant), style.linestyle(variant)
            diverged_seeds = set(diverged.loc[diverged["variant"] == variant, "seed"])
            for seed, curve in wide.items():
                line = curve.dropna()
                if seed in diverged_seeds:
                    run_ids = diverged.loc[(diverged["variant"] == variant) & (diverged["seed"] == seed), "run_id"]
                    measured = history[history["run_id"].isin(run_ids) & history[metric].notna()]
                    line = line[line.index <= measured["step"].max()] if len(measured) else line[:0]
                    ax.plot(line.index[-1:], line.iloc[-1:], marker="x", color=colour, markersize=5, label="_diverged")
                alone = "o" if len(line) == 1 else ""  # a line through one point is not seen
                ax.plot(
                    line.index,
                    line,
                    marker=alone,
                    color=colour,
                    linewidth=0.5,
                    alpha=0.8,
                    markersize=3,
                    label="_seed",
                    zorder=4,
                )
            mean = wide.dropna().mean(axis=1)
            label = f"{style.label(variant)}, {style.seeds(wide.shape[1], planned)}"
            label += f", {len(diverged_seeds)} diverged" if diverged_seeds else ""
            ax.plot(
                mean.index,
                mean,
                color=colour,
                linestyle=dashes,
                linewidth=1.5,
                marker="o" if len(mean) == 1 else "",
                markersize=5,
                zorder=3,
                label=label,
                gid=f"mean {variant}",
            )
        split, averaged = metrics.split_of(metric)
        _finish(ax, f"{split} {metrics.label(metric)}" + ("\naveraged weights" if averaged else ""))
        style.note(ax, chosen)
        return ax


def _finish(ax: Axes, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("gradient steps")
    ax.set_ylabel(label)
    reach = ax.dataLim.xmax
    divisor, suffix = next((d, s) for d, s in ((1e6, "M"), (1e3, "k"), (1, "")) if reach >= d or d == 1)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / divisor:g}{suffix if x else ''}")
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    lines.sort(key=lambda line: -float(np.asarray(line.get_ydata(), float)[-1]))  # as the curves end, from the top
    if len(lines) <= MOST_INSIDE:
        ax.legend(handles=lines, loc="lower right", handlelength=2.6)
    else:
        columns, _ = style.legend_rows((str(line.get_label()) for line in lines), LONG)
        ax.legend(handles=lines, loc="upper left", bbox_to_anchor=(0, -0.22), ncols=columns, borderaxespad=0,
                  columnspacing=1, handlelength=2.6)  # fmt: skip


def paper_figure(number: int, *, ax: Axes | None = None) -> Axes:
    """Figure 6, 7, 8, 9 or 10 of the paper, from its digitised curves alone. One run a curve."""
    known = paper.curves(number)
    with style.drawing(ax) as ax:
        for curve, rows in known.groupby("curve", sort=False):
            name = str(curve)
            ax.plot(rows["step"], rows["value"], color=style.colour(name), linestyle=style.linestyle(name),
                    linewidth=1.4, label=style.label(name), gid=f"paper {name}")  # fmt: skip
        _finish(ax, paper.UNITS[number])
        ax.set_title(f"paper, Figure {number}: {paper.DATA[number]}, 299 pixels", color=style.GREY)
        return ax


def figure06(
    runs: pd.DataFrame, history: pd.DataFrame, *, ax: Axes | None = None, study: str = FIGURE06,
    variants: Sequence[str] = ("xception", "inception"), metric: str = convergence.CURVE, allow_partial: bool = False,
) -> Axes:  # fmt: skip
    """Figure 6 from one's own runs: Xception and the Inception-style network at equal parameters."""
    return learning_curves(runs, history, variants, study=study, metric=metric, ax=ax, allow_partial=allow_partial)


def figure07(
    runs: pd.DataFrame, history: pd.DataFrame, *, ax: Axes | None = None, study: str = FIGURE07_08,
    variants: Sequence[str] = ("xception_many", "inception_many"), metric: str = convergence.CURVE,
    allow_partial: bool = False,
) -> Axes:  # fmt: skip
    """Figure 7 from one's own runs: many classes, without FC layers. Top-1 here; the paper has MAP@100."""
    return learning_curves(runs, history, variants, study=study, metric=metric, ax=ax, allow_partial=allow_partial)


def figure08(
    runs: pd.DataFrame, history: pd.DataFrame, *, ax: Axes | None = None, study: str = FIGURE07_08,
    variants: Sequence[str] = ("xception_many_fc", "inception_many_fc"), metric: str = convergence.CURVE,
    allow_partial: bool = False,
) -> Axes:  # fmt: skip
    """Figure 8 from one's own runs: many classes, with FC layers. Top-1 here; the paper has MAP@100."""
    return learning_curves(runs, history, variants, study=study, metric=metric, ax=ax, allow_partial=allow_partial)


def figure09(
    runs: pd.DataFrame, history: pd.DataFrame, *, ax: Axes | None = None, study: str = FIGURE09,
    variants: Sequence[str] = ("residual", "no_residual"), metric: str = convergence.CURVE, allow_partial: bool = False,
) -> Axes:  # fmt: skip
    """Figure 9 from one's own runs: with and without shortcuts."""
    return learning_curves(runs, history, variants, study=study, metric=metric, ax=ax, allow_partial=allow_partial)


def figure10(
    runs: pd.DataFrame, history: pd.DataFrame, *, ax: Axes | None = None, study: str = FIGURE10,
    variants: Sequence[str] = ("none", "elu", "relu"), metric: str = convergence.CURVE, allow_partial: bool = False,
) -> Axes:  # fmt: skip
    """Figure 10 from one's own runs: the activation between the depthwise and the pointwise operation."""
    return learning_curves(runs, history, variants, study=study, metric=metric, ax=ax, allow_partial=allow_partial)


FIGURES: dict[int, Callable[..., Axes]] = {6: figure06, 7: figure07, 8: figure08, 9: figure09, 10: figure10}


def beside_paper(
    number: int, runs: pd.DataFrame, history: pd.DataFrame, *, allow_partial: bool = False, **options: object
) -> Figure:
    """One's own figure at the left, the paper's at the right, each on axes of its own. Options as for the figure."""
    if number not in FIGURES:
        raise BadInput(f"the figures are {', '.join(map(str, FIGURES))}, not {number}")
    figure, (left, right) = style.panels(2)
    FIGURES[number](runs, history, ax=left, allow_partial=allow_partial, **options)
    paper_figure(number, ax=right)
    return figure
