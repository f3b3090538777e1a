"""Fixed strata: the mean of the strata's means, with an interval that does not assume that they spread alike.

A stratum is a block's value that was chosen, not drawn, such as a family of typefaces: the result holds on average over these
strata. Balanced designs only: the same seeds in each.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...config import BadInput
from .looks import FEWEST

Array = NDArray[np.float64]


class Stratified(NamedTuple):
    """Estimates of differences that were made in strata; (...) each, NaN where there is no spread."""

    estimate: Array
    """The mean of the strata's means."""
    se: Array
    df: Array
    """Welch and Satterthwaite's: between seeds - strata, where the strata spread alike, and seeds / strata - 1, where one does."""
    pooled_se: Array
    """With one spread for all strata: too short an interval where they differ in it."""
    pooled_df: int
    means: Array
    """(..., strata), in the order of `labels`."""
    labels: tuple[Any, ...]
    p: Array
    """Of the F test that the effect is the same in all strata (stratum x variant); 1 for a single stratum."""


def split(labels: Sequence[Hashable]) -> dict[Any, NDArray[np.intp]]:
    """Stratum -> positions of its seeds, in the order of appearance. Raises BadInput where strata are unequal or too small."""
    places: dict[Any, list[int]] = {}
    for i, label in enumerate(labels):
        places.setdefault(label, []).append(i)
    sizes = {label: len(where) for label, where in places.items()}
    spelled = ", ".join(f"{label}: {size}" for label, size in sizes.items())
    if len(set(sizes.values())) != 1:
        raise BadInput(f"strata are of equal size or not compared; seeds in each: {spelled or 'none'}")
    if min(sizes.values()) < FEWEST:
        raise BadInput(f"a stratum takes {FEWEST} seeds or more: with one there is no spread; seeds in each: {spelled}")
    return {label: np.array(where) for label, where in places.items()}


def stratified(differences: ArrayLike, labels: Sequence[Hashable]) -> Stratified:
    """The stratified estimate of a difference along the last axis.

    differences: (..., n), one value a seed; labels: (n,), the stratum of each. Raises BadInput as `split` does.
    """
    from scipy.special import fdtrc

    d = np.asarray(differences, float)
    if d.shape[-1] != len(labels):
        raise BadInput(f"{d.shape[-1]} seeds have {len(labels)} strata: one for each is needed")
    places = split(labels)
    groups = d[..., np.stack(list(places.values()))]
    strata, size = groups.shape[-2:]
    means = groups.mean(-1)
    estimate = means.mean(-1)
    variances = groups.var(-1, ddof=1)
    flat = np.ptp(groups, axis=-1) <= 1e-12 * np.maximum(1.0, np.abs(means))
    variances = np.where(flat, 0.0, variances)
    total = variances.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.where(total > 0, np.sqrt(total / size) / strata, np.nan)
        df = np.where(total > 0, np.maximum(total**2 / np.square(variances).sum(-1), 1.0) * (size - 1), np.nan)
        between = size * np.square(means - estimate[..., None]).sum(-1) / max(strata - 1, 1)
        ratio = between / np.where(total > 0, total / strata, np.nan)
    pooled_df = strata * (size - 1)
    p = fdtrc(strata - 1, pooled_df, ratio) if strata > 1 else np.ones_like(estimate)
    return Stratified(estimate, se, df, se, pooled_df, means, tuple(places), p)
