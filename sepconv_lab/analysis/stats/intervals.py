"""Intervals from numbers: paired t, pooled block model, exact binomial, bootstrap. Arrays in, numbers out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...config import BadInput

BOOTSTRAP_FROM = 10
"""Seeds below which the bootstrap is refused: its intervals are too short there."""


class Interval(NamedTuple):
    """An estimate with its interval. Without one (a single seed, no spread) se, low and high are NaN."""

    estimate: float
    low: float
    high: float
    se: float
    df: float


def t_quantile(df: ArrayLike, level: float) -> NDArray[np.float64]:
    """The two-sided quantile of Student's t: how many standard errors reach to either side. NaN where df < 1."""
    from scipy.special import stdtrit

    df = np.asarray(df, float)
    return np.where(df >= 1, stdtrit(np.where(df >= 1, df, 1.0), 0.5 + level / 2), np.nan)


def t_interval(differences: ArrayLike, level: float = 0.95) -> tuple[NDArray[np.float64], ...]:
    """Student's t interval of the mean along the last axis.

    differences: (..., n), one value a seed. Returns mean, low, high, standard error, each (...). With n = 1, and where
    all values are equal, there is no spread to judge by: low, high and standard error are NaN, not a point.
    """
    d = np.asarray(differences, float)
    n = d.shape[-1]
    mean = d.mean(-1)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    se = d.std(-1, ddof=1) / np.sqrt(n)
    se = np.where(np.ptp(d, axis=-1) <= 1e-12 * np.maximum(1.0, np.abs(mean)), np.nan, se)
    half = t_quantile(n - 1, level) * se
    return mean, mean - half, mean + half, se


def paired(values: ArrayLike, weights: ArrayLike, level: float = 0.95) -> Interval:
    """The paired t interval of a linear contrast.

    values: (seeds, variants), complete; weights: (variants,), summing to zero. Each seed gives one number; df = seeds -
    1.
    """
    per_seed = np.asarray(values, float) @ np.asarray(weights, float)
    mean, low, high, se = t_interval(per_seed, level)
    return Interval(float(mean), float(low), float(high), float(se), per_seed.size - 1)


def pooled(values: ArrayLike, weights: ArrayLike, level: float = 0.95) -> Interval:
    """The interval of a linear contrast in the additive model value = variant + seed, the spread pooled over all
    variants.

    values: (seeds, variants), NaN where there is no run; weights: (variants,), summing to zero. Complete blocks have
    df = (variants - 1)(seeds - 1). Assumes the same spread in every variant. With df = 0 there is no interval (NaN).
    Raises BadInput where the runs that exist cannot estimate the contrast.
    """
    y = np.asarray(values, float)
    w = np.asarray(weights, float)
    seed, variant = np.nonzero(~np.isnan(y))
    seeds, variants = y.shape
    design = np.zeros((seed.size, variants + seeds))
    design[np.arange(seed.size), variant] = 1
    design[np.arange(seed.size), variants + seed] = 1
    contrast = np.concatenate([w, np.zeros(seeds)])
    gram = np.linalg.pinv(design.T @ design, hermitian=True)
    if not np.allclose(gram @ (design.T @ (design @ contrast)), contrast, atol=1e-8):
        raise BadInput("the runs that exist share too few seeds to compare these variants")
    coefficients = gram @ design.T @ y[seed, variant]
    residual = y[seed, variant] - design @ coefficients
    df = int(seed.size - np.linalg.matrix_rank(design))
    estimate = float(contrast @ coefficients)
    noise = float(residual @ residual)
    if df < 1 or noise <= 1e-24 * seed.size:
        return Interval(estimate, np.nan, np.nan, np.nan, df)
    se = float(np.sqrt(noise / df * (contrast @ gram @ contrast)))
    half = float(t_quantile(df, level)) * se
    return Interval(estimate, estimate - half, estimate + half, se, df)


def clopper_pearson(count: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval (Clopper and Pearson 1934) of a rate after `count` of `n`; a mean count may be a fraction."""
    from scipy.special import betaincinv

    if not 0 <= count <= n or n < 1:
        raise BadInput(f"a rate needs 0 <= count <= n and n >= 1, not {count} of {n}")
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - tail))
    return low, high


def bootstrap(
    differences: ArrayLike, rng: np.random.Generator, *, level: float = 0.95, draws: int = 9999
) -> tuple[float, float]:
    """The BCa bootstrap interval of the mean; beside the t interval, never the one that decides.

    differences: (n,), one value a seed, n >= 10 (fewer: BadInput). rng: an explicit numpy Generator; nothing else is
    random.
    """
    from scipy.stats import bootstrap as resample

    d = np.asarray(differences, float)
    if not isinstance(rng, np.random.Generator):
        raise BadInput("bootstrap needs an explicit numpy Generator: numpy.random.default_rng(seed)")
    if d.size < BOOTSTRAP_FROM:
        raise BadInput(f"no bootstrap below {BOOTSTRAP_FROM} seeds, there are {d.size}: use the t interval")
    if np.isnan(d).any():
        raise BadInput("NaN among the differences")
    low, high = resample(
        (d,), np.mean, confidence_level=level, n_resamples=draws, rng=rng, method="BCa"
    ).confidence_interval
    return float(low), float(high)
