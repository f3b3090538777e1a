"""The baseline against itself: how often would a difference be found where there is none?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...config import BadInput
from . import checks, outcomes
from .decisions import OUTCOMES, SMALLEST, decide
from .effects import strata_of
from .intervals import clopper_pearson, t_interval, t_quantile
from .outcomes import PRIMARY
from .strata import stratified


def split_halves(
    values: ArrayLike,
    n: int,
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    level: float = 0.95,
    smallest: float = SMALLEST,
    blocks: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
) -> pd.Series:
    """Draw n pairs of different runs of one variant, call the second of each another variant, judge; `draws` times.

    values: (runs,), their outcomes. blocks: (runs,), what a pair shares, such as the test images: the spread is then that of a real
    paired comparison, which pairs of different blocks exceed or fall short of. strata: (runs,); as many pairs from each, and
    the stratified interval.
    Returns `false_difference`, the share in which the interval leaves out zero, with `low`, `high`: its 95 % interval as of
    `comparisons` independent ones, so many as the runs give without using one twice (the draws reuse them, and tell more of
    these runs, not of others); then the share of each word of a verdict.
    """
    y = np.asarray(values, float)
    if not isinstance(rng, np.random.Generator):
        raise BadInput("an explicit numpy Generator is needed: numpy.random.default_rng(seed)")
    labels = list(strata) if strata is not None else [0] * y.size
    kinds = list(dict.fromkeys(labels))
    if n < 2 or n % len(kinds):
        raise BadInput(f"{n} pairs do not go evenly into {len(kinds)} strata, of at least 2 in all")
    each = n // len(kinds)
    groups = {k: _blocks(labels, blocks, k) for k in kinds}
    there = {k: sum(len(b) // 2 for b in blocks_of) for k, blocks_of in groups.items()}
    if min(there.values()) < each:
        where = f" in each of {len(kinds)} strata" if len(kinds) > 1 else ""
        raise BadInput(
            f"{y.size} runs give no two groups of {n}: {each} pairs{where} are needed, there are {min(there.values())}"
        )
    pairs = np.array([np.concatenate([_pairs(rng, groups[k], each) for k in kinds]) for _ in range(draws)])
    d = y[pairs[..., 0]] - y[pairs[..., 1]]
    if len(kinds) > 1:
        s = stratified(d, np.repeat(np.arange(len(kinds)), each).tolist())
        half = t_quantile(s.df, level) * s.se
        low, high = s.estimate - half, s.estimate + half
    else:
        _, low, high, _ = t_interval(d, level)
    rate = float(np.mean((low > 0) | (high < 0)))
    comparisons = min(there.values()) // each
    bounds = clopper_pearson(rate * comparisons, comparisons)
    rates = {"false_difference": rate, "low": bounds[0], "high": bounds[1], "comparisons": float(comparisons)}
    outcome = decide(low, high, smallest).outcome
    return pd.Series(rates | {w: float(np.mean(outcome == i)) for i, w in enumerate(OUTCOMES)}, name=f"n={n}")


def _blocks(labels: Sequence[Hashable], blocks: Sequence[Hashable] | None, kind: Hashable) -> list[list[int]]:
    """The runs of a stratum by block; without blocks any two may be paired."""
    positions: dict[Hashable, list[int]] = {}
    for i, label in enumerate(labels):
        if label == kind:
            positions.setdefault(None if blocks is None else blocks[i], []).append(i)
    return list(positions.values())


def _pairs(rng: np.random.Generator, blocks: list[list[int]], count: int) -> np.ndarray:
    """`count` random pairs of runs, (count, 2), each within a block, no run twice."""
    every = [rng.permutation(b)[: len(b) // 2 * 2].reshape(-1, 2) for b in blocks]
    return rng.permutation(np.concatenate(every))[:count]


def a_a(
    runs: pd.DataFrame,
    rng: np.random.Generator,
    *,
    n: int | None = None,
    metric: str = PRIMARY,
    allow_partial: bool = False,
    blocks: str | None = None,
    strata: str | None = None,
) -> pd.Series:
    """`split_halves` on a study of one variant over many seeds; n: seeds a side (default: half of them).

    blocks, strata: settings that tell blocks and fixed strata apart, such as data.seed and data.fold.
    """
    chosen = checks.of_study(runs)
    variants = chosen["variant"].unique()
    if len(variants) != 1:
        raise BadInput(f"an A/A study has one variant, not {len(variants)}: {', '.join(map(str, variants))}")
    wide, _ = outcomes.table(chosen, variants, metric, allow_partial=allow_partial)
    values = wide.iloc[:, 0].dropna()
    of = {k: strata_of(chosen, k, values.index) if k is not None else None for k in (blocks, strata)}
    groups = len(set(of[strata] or [""]))
    size = values.size // 2 // groups * groups if n is None else n
    return split_halves(values.to_numpy(float), size, rng, blocks=of[blocks], strata=of[strata])
