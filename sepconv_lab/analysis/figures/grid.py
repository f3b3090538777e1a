"""Norm x activation: a grid of cells, each with its accuracy and its effect against one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..claims.of_the_paper import MID_NORM
from ..stats import checks, outcomes
from ..stats.effects import bonferroni, contrast
from ..stats.factorial import cells
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECAY = "train.decay_depthwise"
NAMES = {"block.mid_norm": "norm between the operations", "block.mid_act": "activation between the operations"}


def norm_activation_grid(
    runs: pd.DataFrame,
    *,
    study: str = MID_NORM,
    baseline: str = "none",
    factors: tuple[str, str] = ("block.mid_norm", "block.mid_act"),
    metric: str = outcomes.PRIMARY,
    ax: Axes | None = None,
    allow_partial: bool = False,
) -> Axes:
    """One cell a combination of two factors (rows, columns): accuracy in per cent, and ln error against `baseline`.

    Arms whose depthwise kernels decay otherwise than the baseline's are left out.

    Darker is more accurate. The half-width after ± is Bonferroni's over the grid; "*" where its interval leaves out
    zero.
    """
    chosen = checks.of_study(runs, study)
    checks.of_variants(chosen, [baseline])
    if DECAY in chosen.columns:
        chosen = chosen[chosen[DECAY] == chosen.loc[chosen["variant"] == baseline, DECAY].iloc[0]]
    known = cells(chosen, factors)
    variants = list(known.values())
    wide, _ = outcomes.table(chosen, variants, metric, allow_partial=allow_partial)
    rows, columns = ([*dict.fromkeys(c[i] for c in known)] for i in (0, 1))
    accuracy = np.full((len(rows), len(columns)), np.nan)
    level = bonferroni(0.95, len(variants) - 1)
    with style.drawing(ax, (style.HALF, 0.9 + 0.52 * len(rows))) as ax:
        texts: list[tuple[int, int, str]] = []
        for (row, column), variant in known.items():
            i, j = rows.index(row), columns.index(column)
            values = wide[variant].dropna()
            accuracy[i, j] = 100 * (1 - np.exp(values.mean()))
            text = f"{accuracy[i, j]:.1f} %"
            if len(values) < len(wide):
                text += f", {style.seeds(len(values), len(wide))}"
            if variant == baseline:
                text += "\nbaseline"
            else:
                effect = contrast(
                    chosen, {variant: 1.0, baseline: -1.0}, metric=metric, level=level, allow_partial=allow_partial
                )
                text += f"\n{effect.estimate:+.3f}"
                if effect.has_interval:
                    star = "*" if effect.low > 0 or effect.high < 0 else ""
                    text += f"±{effect.high - effect.estimate:.3f}{star}"
            texts.append((i, j, text))
        low, high = np.nanmin(accuracy), np.nanmax(accuracy)
        ax.imshow(accuracy, cmap="Blues", vmin=low - 0.3 * (high - low), vmax=high + 1.2 * (high - low), aspect="auto")
        for i, j, text in texts:
            ax.text(j, i, text, ha="center", va="center", fontsize=7, color="black")
        ax.set_xticks(range(len(columns)), [str(c) for c in columns])
        ax.set_yticks(range(len(rows)), [str(r).lower() for r in rows])
        ax.set_ylabel(NAMES.get(factors[0], factors[0]).replace(" between", "\nbetween"))
        against = f"second line: {outcomes.unit(metric).split(' (')[0]} against baseline, n={len(wide)}"
        ax.set_xlabel(f"{NAMES.get(factors[1], factors[1])}\n{against}")
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        style.note(ax, chosen)
        return ax
