"""Figures of the end of training, every seed a point: order, spectrum, Pareto front, paired slopes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...config import BadInput
from ..claims.of_the_paper import ORDER, SPECTRUM
from ..stats import checks, outcomes, pareto
from ..stats.intervals import t_interval
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ERROR = "test error, %"


def _errors(runs: pd.DataFrame, metric: str, allow_partial: bool) -> pd.DataFrame:
    """seeds x variants, in per cent."""
    wide, _ = outcomes.table(runs, runs["variant"].unique(), metric, allow_partial=allow_partial)
    return 100 * wide.map(np.exp)


def _mean(ax: Axes, x: float, values: pd.Series, colour: str, half: float = 0.11) -> None:
    """The geometric mean (the mean of ln error) as a bar across the points."""
    mean = float(np.exp(np.log(values.dropna()).mean()))
    ax.plot([x - half, x + half], [mean, mean], color=colour, linewidth=2.2, solid_capstyle="butt")


def _partial(values: pd.Series) -> str:
    n, planned = int(values.notna().sum()), len(values)
    return "" if n == planned else f"\n{style.seeds(n, planned)}"


def _diverged(runs: pd.DataFrame, *variants: str) -> str:
    """Says how many of the points are runs that diverged and stand at chance level; empty where none did."""
    count = int(((runs["status"] == "diverged") & runs["variant"].isin(variants)).sum())
    return f", {count} diverged" if count else ""


def order_at_placements(
    runs: pd.DataFrame,
    *,
    study: str = ORDER,
    residual: bool = True,
    metric: str = outcomes.PRIMARY,
    ax: Axes | None = None,
    allow_partial: bool = False,
) -> Axes:
    """Both orders at each equal (after_depthwise, after_pointwise); thin lines join the two runs of a seed.

    residual: of the arms with shortcuts, or of those without.
    Orders are comparable only at equal placements (claim C5). Raises BadInput where a placement has one order only.
    """
    chosen = checks.of_study(runs, study)
    checks.columns(chosen, ("after_depthwise", "after_pointwise", "block.order"))
    if "block.residual" in chosen.columns:
        # A run that is still to come knows nothing of its variant.
        known = chosen.groupby("variant")["block.residual"].transform("first")
        chosen = chosen[known.eq(residual).fillna(False).astype(bool)]
    wide = _errors(chosen, metric, allow_partial)
    keys = chosen.groupby("variant", sort=False)[["after_depthwise", "after_pointwise", "block.order"]].first()
    orders = ("depthwise_first", "pointwise_first")
    with style.drawing(ax, (style.HALF, 2.6)) as ax:
        ticks = []
        for x, (placement, rows) in enumerate(keys.groupby(["after_depthwise", "after_pointwise"], sort=False)):
            depthwise, pointwise = map(str, placement)
            by_order = {order: rows.index[rows["block.order"] == order] for order in orders}
            if any(len(variants) != 1 for variants in by_order.values()):
                raise BadInput(f"after_depthwise={depthwise}, after_pointwise={pointwise} needs one variant of each "
                               f"order; it has: {', '.join(map(str, rows.index))}")  # fmt: skip
            pair = [wide[by_order[o][0]] for o in orders]
            ends = (x - 0.17, x + 0.17)
            ax.plot(ends, np.array(pair), color=style.GREY, linewidth=0.5, zorder=1)
            for end, values, order in zip(ends, pair, orders, strict=True):
                colour, label = style.colour(order), order.replace("_", " ") if x == 0 else "_"
                ax.plot([end] * len(values), values, style.marker(order), color=colour, markersize=3, label=label)
                _mean(ax, end, values, colour)
            tick = depthwise.replace("+", "\n+ ") + "\n–––\n" + pointwise.replace("+", "\n+ ")
            ticks.append(tick + "".join(_partial(v) for v in pair))
        ax.set_xticks(range(len(ticks)), ticks)
        ax.set_xlim(-0.5, len(ticks) - 0.5)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.16 * (high - low))  # room for the legend
        ax.set_ylabel(ERROR)
        diverged = _diverged(chosen, *wide.columns)
        ax.set_xlabel(f"above: after depthwise, below: after pointwise; n={len(wide)}{diverged}")
        ax.legend(ncols=2, loc="upper left", borderaxespad=0, columnspacing=1, handletextpad=0.2)
        style.note(ax, chosen)
        return ax


def _segments(place: float) -> str:
    return f"{place:g}" if np.isfinite(place) else "channels"


def spectrum(
    runs: pd.DataFrame,
    *,
    study: str = SPECTRUM,
    metric: str = outcomes.PRIMARY,
    ax: Axes | None = None,
    allow_partial: bool = False,
) -> Axes:
    """Error over the number of channel segments, from a dense spatial convolution (1) to a depthwise one (`channels`).

    The bars are means with their 95 % t intervals over seeds (not paired; read differences in the forest plot). The
    regular convolution (`block.name` conv) stands apart at the left.
    """
    chosen = checks.of_study(runs, study)
    checks.columns(chosen, ("block.segments", "block.name"))
    wide = _errors(chosen, metric, allow_partial)
    first = chosen.groupby("variant", sort=False)[["block.name", "block.segments"]].first()
    conv = list(first.index[first["block.name"] == "conv"])
    rest = first[first["block.name"] != "conv"].copy()
    rest["place"] = [np.inf if s == "channels" else float(s) for s in rest["block.segments"]]
    inner = list(rest.sort_values("place").index)
    with style.drawing(ax) as ax:
        at = {v: float(i) for i, v in enumerate([*conv, *inner])}
        at |= {v: at[v] - 0.25 for v in conv}
        means = {v: float(np.exp(np.log(wide[v].dropna()).mean())) for v in at}
        ax.plot([at[v] for v in inner], [means[v] for v in inner], color=style.GREY, linewidth=1, zorder=1)
        for variant, x in at.items():
            values = wide[variant].dropna()
            _, low, high, _ = t_interval(np.log(values))
            colour = style.colour(variant)
            if np.isfinite(low):
                ax.plot([x, x], np.exp([low, high]), color=colour, linewidth=1.6, zorder=2, solid_capstyle="butt")
            ax.plot(x + np.linspace(0.1, 0.26, len(values)), values, ".", color=colour, markersize=3.5, zorder=2)
            ax.plot(x, means[variant], style.marker(variant), color=colour, markersize=5, zorder=3)
        names = dict.fromkeys(conv, "conv") | {str(v): _segments(p) for v, p in rest["place"].items()}
        labels = [names[v] + _partial(wide[v]) for v in at]
        ax.set_xticks(list(at.values()), labels)
        ax.set_ylabel(ERROR)
        ax.set_xlabel(f"channel segments of the spatial convolution; n={len(wide)}{_diverged(chosen, *wide.columns)}")
        style.note(ax, chosen)
        return ax


AXES = {
    "params_total": ("parameters, millions", 1e-6), "params_body": ("parameters of the body, millions", 1e-6),
    "macs": ("MACs an image, millions", 1e-6), "seconds_per_image": ("training time an image, ms", 1e3),
    "wall_time": ("wall time, min", 1 / 60), "peak_memory": ("peak memory, GiB", 2.0**-30),
}  # fmt: skip


def pareto_front(
    runs: pd.DataFrame,
    cost: str = "params_total",
    *,
    study: str | None = None,
    variants: list[str] | None = None,
    metric: str = outcomes.PRIMARY,
    ax: Axes | None = None,
    allow_partial: bool = False,
) -> Axes:
    """Accuracy against a cost, a variant a point (line: from its worst to its best seed), the front of the means a
    staircase.

    Variants on the front are filled. Columns and errors as for `pareto.pareto`.
    """
    table = pareto.pareto(runs, cost, study=study, variants=variants, metric=metric, allow_partial=allow_partial)
    label, factor = AXES[cost]
    columns, rows = style.legend_rows(map(style.label, table["variant"]))
    with style.drawing(ax, (style.HALF, 2.25 + rows * style.ROW)) as ax:
        best = table[table["on_front"]].sort_values(["cost", "accuracy"])
        ax.step(factor * best["cost"], 100 * best["accuracy"], where="post", color=style.GREY, linewidth=0.8, zorder=1)
        chosen = checks.of_study(runs, study)
        for row in table.to_dict("records"):
            name = str(row["variant"])
            colour, x = style.colour(name), factor * row["cost"]
            ax.plot([x, x], [100 * row["low"], 100 * row["high"]], color=colour, linewidth=1)
            partial = "" if row["n"] == row["planned"] else f" ({style.seeds(row['n'], row['planned'])})"
            ax.plot(x, 100 * row["accuracy"], style.marker(name), color=colour, markersize=5.5, linestyle="none",
                    label=style.label(name) + partial + _diverged(chosen, name),
                    markerfacecolor=colour if row["on_front"] else "white")  # fmt: skip
        ax.margins(x=0.12)
        ax.set_xlabel(f"{label}; n={table['planned'].max()}")
        ax.set_ylabel("test accuracy, %")
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.22), ncols=columns, borderaxespad=0, columnspacing=1,
                  handletextpad=0.2)  # fmt: skip
        style.note(ax, chosen)
        return ax


def slopes(
    runs: pd.DataFrame,
    variant: str,
    baseline: str,
    *,
    study: str | None = None,
    metric: str = outcomes.PRIMARY,
    ax: Axes | None = None,
    allow_partial: bool = False,
) -> Axes:
    """Seed by seed: the baseline's error at the left, the variant's right. Dashed lines rise; thick: the mean."""
    chosen = checks.of_variants(checks.of_study(runs, study), [baseline, variant])
    wide = _errors(chosen, metric, allow_partial)[[baseline, variant]]
    pairs = wide.dropna()
    if pairs.empty:
        raise BadInput(f"{variant} and {baseline} share no seed")
    with style.drawing(ax, (style.HALF, 2.6)) as ax:
        for left, right in pairs.to_numpy():
            dashes = "solid" if right <= left else (0, (3, 2))
            ax.plot([0, 1], [left, right], color=style.GREY, linewidth=0.7, linestyle=dashes)
        for x, name in enumerate((baseline, variant)):
            place = [x] * len(pairs)
            ax.plot(place, pairs[name], style.marker(name), color=style.colour(name), markersize=3.5, linestyle="none")
        ax.plot([0, 1], np.exp(np.log(pairs).mean()), color="black", linewidth=2, gid="mean")
        ax.set_xticks([0, 1], [textwrap.fill(style.label(name), 18) for name in (baseline, variant)])
        ax.set_xlim(-0.25, 1.25)
        fewer = int((pairs[variant] < pairs[baseline]).sum())
        diverged = _diverged(chosen, variant, baseline)
        ax.set_xlabel(f"{fewer} of {len(pairs)} seeds fall; {style.seeds(len(pairs), len(wide))}{diverged}")
        ax.set_ylabel(ERROR)
        style.note(ax, chosen)
        return ax
