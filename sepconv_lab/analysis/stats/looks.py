"""Looking at a study several times while all its looks together hold one error: group-sequential intervals for t statistics.

The boundary is Pocock's (1977), one nominal level for every look, but for Student's t with the degrees of freedom that each
look really has, and for stratified designs for Welch and Satterthwaite's. It is found by simulation from a fixed seed, through the
smallest p value over the looks: its quantile at the error is the nominal level. So every error rate has a constant of its own;
a constant divided by a number of parts would not hold the error.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...config import BadInput

Array = NDArray[np.float64]

BATCH, BATCHES = 1 << 18, 8
"""Simulated studies behind a constant, eight batches of them (stratified: one): they fix a level of 0.02 to 0.2 % (0.5 %)."""
MOST = 0.1
"""The largest error rate that a constant is found for."""
SEED = 20161007
FEWEST = 2
"""Seeds in each stratum that the first look takes: with one there is no spread."""


def check(looks: Sequence[int], strata: int = 1) -> tuple[int, ...]:
    """The looks, as seeds at each. Raises BadInput where they do not increase or do not fit the strata."""
    found = tuple(looks)
    if not found or any(isinstance(n, bool) or not isinstance(n, int) for n in found):
        raise BadInput(f"looks are numbers of seeds, such as [5, 10, 20], not {list(looks)}")
    if any(a >= b for a, b in itertools.pairwise(found)):
        raise BadInput(f"looks increase, such as [5, 10, 20], not {list(found)}")
    if strata < 1:
        raise BadInput(f"a design has one stratum or more, not {strata}")
    uneven = [n for n in found if n % strata]
    if uneven:
        fits = sorted({max(FEWEST, round(n / strata)) * strata for n in found})
        raise BadInput(f"{strata} strata are balanced at looks that are multiples of {strata}, which {uneven[0]} is not: "
                       f"take {fits}")  # fmt: skip
    if found[0] < FEWEST * strata:
        where = "in each stratum " if strata > 1 else ""
        raise BadInput(f"the first look takes {FEWEST} seeds {where}or more, {FEWEST * strata} in all, not {found[0]}")
    return found


def spreads(strata: int) -> tuple[tuple[float, ...], ...]:
    """The ratios of the strata's standard deviations over which a stratified constant is calibrated, the worst one counting:
    equal, one small, all but one small. With three strata 1:1:1, 1:1:.17 and 1:.3:.3."""
    if strata == 1:
        return ((1.0,),)
    return ((1.0,) * strata, (1.0,) * (strata - 1) + (0.17,), (1.0,) + (0.3,) * (strata - 1))


def statistics(
    rng: np.random.Generator,
    looks: Sequence[int],
    *,
    sds: Sequence[float] = (1.0,),
    effect: float = 0.0,
    contrasts: int = 1,
    draws: int = BATCH,
) -> tuple[Array, Array, Array]:
    """Simulated studies: estimate, its standard error and degrees of freedom at each look, (looks, draws) each.

    sds: of the difference between two variants, one for each stratum. contrasts: independent contrasts over which the spread is
    pooled, variants - 1 (paired: 1). Means and sums of squares are drawn as such, normal and chi-square.
    """
    n = np.array(looks) // len(sds)
    new = np.diff(n, prepend=0)
    df = contrasts * (n - 1)
    means, variances, squared = (np.zeros((len(n), draws)) for _ in range(3))
    for sd in sds:
        for k, size in enumerate(new):
            added = effect + rng.standard_normal(draws) * (sd / np.sqrt(size))
            free = size - 1 + (contrasts - 1) * (n[k] - (n[k - 1] if k else 1))
            within = rng.standard_gamma(free / 2, draws) * (2 * sd**2)
            if k == 0:
                mean, squares = added, within
            else:
                step = added - mean
                mean = mean + step * (size / n[k])
                squares = squares + within + step**2 * (n[k - 1] * size / n[k])
            variance = squares / (df[k] * n[k])
            means[k] += mean
            variances[k] += variance
            squared[k] += variance**2
    freedom = np.maximum(variances**2 / squared, 1.0) * df[:, None]
    return means / len(sds), np.sqrt(variances) / len(sds), freedom


def p_values(estimate: ArrayLike, se: ArrayLike, df: ArrayLike) -> Array:
    """Two-sided p values of estimates against zero. NaN without a spread."""
    from scipy.special import stdtr

    return np.asarray(2 * stdtr(df, -np.abs(np.asarray(estimate) / se)), float)


@functools.cache
def _least(looks: tuple[int, ...], sds: tuple[float, ...], contrasts: int) -> tuple[Array, int]:
    """The smallest p value over the looks of simulated studies, sorted, where it is below `MOST`; and how many there were."""
    from scipy.special import ndtri

    rng = np.random.default_rng(SEED)
    batches = BATCHES if len(sds) == 1 else 1
    found = []
    for _ in range(batches):
        mean, se, df = statistics(rng, looks, sds=sds, contrasts=contrasts)
        tail = np.abs(mean) > -ndtri(MOST / 2) * se  # elsewhere p is larger whatever the degrees of freedom
        p = np.ones_like(mean)
        p[tail] = p_values(mean[tail], se[tail], df[tail])
        least = p.min(0)
        found.append(least[least < MOST])
    return np.sort(np.concatenate(found)), batches * BATCH


def nominal(looks: Sequence[int], *, error: float = 0.05, strata: int = 1, variants: int = 2) -> float:
    """The two-sided error of the interval at each look for which all looks together leave out the truth at most at rate `error`.

    looks: seeds at each look, increasing. strata: of equal size; the interval is then Welch and Satterthwaite's, and the
    level the one that holds at the worst of `spreads`. variants: over which the spread is pooled; 2 for paired intervals.
    A single look has the whole error. Deterministic, and found once a process. Raises BadInput for looks that `check` refuses.
    """
    if not 0 < error <= MOST:
        raise BadInput(f"an error rate lies above 0 and at {MOST:g} or below, not at {error}")
    design = check(looks, strata)
    if len(design) == 1:
        return error
    if variants > 2 and strata > 1:
        raise BadInput("a spread pooled over variants is not stratified: declare the paired interval")
    simulated = (_least(design, sds, variants - 1) for sds in spreads(strata))
    return min(float(least[int(error * studies)]) for least, studies in simulated)


def overall(looks: Sequence[int], level: float, *, strata: int = 1, variants: int = 2) -> float:
    """The error that all looks hold together where the interval at each has the nominal error `level`: the inverse of `nominal`.

    Beyond what `nominal` gives for the largest error that it knows, the bound of Bonferroni.
    """
    design = check(looks, strata)
    if len(design) == 1 or level >= MOST:
        return min(1.0, level * len(design))
    found = (_least(design, sds, variants - 1) for sds in spreads(strata))
    rates = [(float(np.searchsorted(least, level)), least.size, studies) for least, studies in found]
    if any(below >= size for below, size, _ in rates):
        return min(1.0, level * len(design))
    return max(below / studies for below, _, studies in rates)
