"""The baseline against itself: how often would a difference be found where there is none?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...config import BadInput
from ..claims.contrasts import SMALLEST
from ..claims.rules import rule
from . import checks, outcomes
from .intervals import t_interval
from .outcomes import PRIMARY


def split_halves(
    values: ArrayLike,
    n: int,
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    level: float = 0.95,
    smallest: float = SMALLEST,
) -> pd.Series:
    """Draw 2n different runs of one variant, call half of them another variant, judge; `draws` times.

    values: (runs,), their outcomes, at least 2n. Returns shares: `false_difference` (the interval leaves out zero),
    then one for each word of a verdict. The draws reuse the same runs and are not independent: the share describes
    these runs and has no interval of its own. Pairs are of different seeds, so a real paired comparison has at most
    this spread.
    """
    y = np.asarray(values, float)
    if not isinstance(rng, np.random.Generator):
        raise BadInput("an explicit numpy Generator is needed: numpy.random.default_rng(seed)")
    if n < 2 or y.size < 2 * n:
        raise BadInput(f"{y.size} runs give no two groups of {max(n, 2)}: {2 * max(n, 2)} are needed")
    order = rng.permuted(np.tile(np.arange(y.size), (draws, 1)), axis=1)
    _, low, high, _ = t_interval(y[order[:, :n]] - y[order[:, n : 2 * n]], level)
    words = [rule(a, b, smallest).outcome for a, b in zip(low, high, strict=True)]
    shares = {"false_difference": float(np.mean((low > 0) | (high < 0)))}
    shares |= {
        w: words.count(w) / draws for w in ("supported", "contradicted", "negligible", "inconclusive", "not judged")
    }
    return pd.Series(shares, name=f"n={n}")


def a_a(
    runs: pd.DataFrame,
    rng: np.random.Generator,
    *,
    n: int | None = None,
    metric: str = PRIMARY,
    allow_partial: bool = False,
) -> pd.Series:
    """`split_halves` on a study of one variant over many seeds; n: seeds a side (default: half of them)."""
    chosen = checks.of_study(runs)
    variants = chosen["variant"].unique()
    if len(variants) != 1:
        raise BadInput(f"an A/A study has one variant, not {len(variants)}: {', '.join(map(str, variants))}")
    wide, _ = outcomes.table(chosen, variants, metric, allow_partial=allow_partial)
    values = wide.iloc[:, 0].dropna().to_numpy(float)
    return split_halves(values, values.size // 2 if n is None else n, rng)
