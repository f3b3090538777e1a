"""Looks, strata and power hold what they promise in simulation: 20,000 studies each, at fixed seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from sepconv_lab.analysis.stats import decisions, looks, power, strata
from sepconv_lab.analysis.stats.intervals import t_interval, t_quantile
from sepconv_lab.config import BadInput

STUDIES = 20_000
D = 0.02
LOOKS = (5, 10, 20)
THREE = (1.0, 1.0, 1.0), (1.0, 1.0, 0.17), (1.0, 0.3, 0.3)
MARGIN = 0.007
"""Over 4 standard errors of a rate of 5 % in 20,000 studies: right code does not fail by chance."""

Array = NDArray[np.float64]


def intervals(d: Array, error: float = 0.05, labels: Sequence[int] | None = None) -> tuple[Array, Array]:
    """Low and high at every look of studies with differences (studies, seeds), (looks, studies) each."""
    n = LOOKS if labels is None else (6, 12, 24)
    groups = 1 if labels is None else len(set(labels))
    level = 1 - looks.nominal(n, error=error, strata=groups)
    found = []
    for k in n:
        if labels is None:
            found.append(t_interval(d[:, :k], level)[1:3])
        else:
            s = strata.stratified(d[:, :k], labels[:k])
            half = t_quantile(s.df, level) * s.se
            found.append((s.estimate - half, s.estimate + half))
    low, high = zip(*found, strict=True)
    return np.array(low), np.array(high)


def ended(d: Array, parts: int = 1) -> tuple[NDArray[np.int8], Array]:
    """How studies of one contrast end: the first verdict (a place in OUTCOMES), and the seeds that it took."""
    verdicts = decisions.decide(*intervals(d), D, against=intervals(d, 0.05 / parts))
    stop = decisions.stops(verdicts)
    stop[-1] = True
    at = stop.argmax(0)
    return np.take_along_axis(verdicts.outcome, at[None], 0)[0], np.array(LOOKS)[at]


def share(outcomes: NDArray[np.int8], *words: str) -> float:
    return float(np.isin(outcomes, [decisions.OUTCOMES.index(w) for w in words]).mean())


def draw(sd: float, effect: float, seed: int, n: int = LOOKS[-1]) -> Array:
    return np.random.default_rng(seed).normal(effect, sd, (STUDIES, n))


@pytest.mark.parametrize(
    ("n", "error", "groups", "published"),
    [
        ((5, 10, 20), 0.05, 1, 0.0195), ((5, 10, 20), 0.025, 1, 0.0094), ((5, 10, 20), 0.05 / 3, 1, 0.0062),
        ((5, 10, 20), 0.05 / 6, 1, 0.0030), ((10, 20, 40), 0.05, 1, 0.0202),
    ],
)  # fmt: skip
def test_the_constants_are_those_of_independent_simulations(
    n: tuple[int, ...], error: float, groups: int, published: float
) -> None:
    """Within 3 %; none is another one divided by a number of parts."""
    assert looks.nominal(n, error=error, strata=groups) == pytest.approx(published, rel=0.03)


def test_one_look_has_the_whole_error_and_more_looks_share_it() -> None:
    assert looks.nominal([20]) == 0.05
    assert looks.nominal([6], strata=3) == 0.05
    assert 0.025 < looks.nominal([10, 20]) < 0.05
    assert looks.nominal(LOOKS, variants=4) > looks.nominal(LOOKS)  # a pooled spread is known better
    assert looks.nominal(LOOKS) == looks.nominal(list(LOOKS))


@pytest.mark.parametrize(("n", "equal"), [(6, 0.983), (9, 0.968), (12, 0.961)])
@pytest.mark.parametrize("effects", [(0.0, 0.0, 0.0), (0.0, 0.06, 0.40)])
def test_stratified_intervals_cover(n: int, equal: float, effects: tuple[float, ...]) -> None:
    """Welch and Satterthwaite's 95 % interval covers at least .937 whatever the strata's spreads and effects; where they spread
    alike, as often as published."""
    labels = [i % 3 for i in range(n)]
    for sds in THREE:
        mean, sd = (np.array(values)[labels] for values in (effects, sds))
        s = strata.stratified(np.random.default_rng(n).normal(mean, 0.05 * sd, (STUDIES, n)), labels)
        covered = float(np.mean(np.abs(s.estimate - np.mean(effects)) <= t_quantile(s.df, 0.95) * s.se))
        assert covered >= 0.937, sds
        if sds == THREE[0]:
            assert covered == pytest.approx(equal, abs=MARGIN)


@pytest.mark.parametrize("sds", THREE)
def test_stratified_looks_hold_their_error(sds: tuple[float, ...]) -> None:
    """Over 6, 12, 24 seeds in three strata some interval leaves out the truth in at most 5 % of studies, and the worst ratio of
    spreads comes near it."""
    labels = [i % 3 for i in range(24)]
    low, high = intervals(np.random.default_rng(3).normal(0, np.array(sds)[labels], (STUDIES, 24)), labels=labels)
    error = float(np.mean(((low > 0) | (high < 0)).any(0)))
    assert error <= 0.05 + MARGIN
    assert error >= {THREE[0]: 0.025, THREE[1]: 0.03, THREE[2]: 0.043}[sds]


@pytest.mark.parametrize("sd", [0.015, 0.03, 0.08])
def test_a_single_contrast_errs_as_often_as_it_says(sd: float) -> None:
    """Without an effect: some interval leaves it out in 5 % of studies, and at most as many end with a direction. At a true d
    at most 3 % end as negligible, and few in the wrong direction."""
    low, high = intervals(draw(sd, 0, 1))
    assert np.mean(((low > 0) | (high < 0)).any(0)) == pytest.approx(0.05, abs=MARGIN)
    assert share(ended(draw(sd, 0, 2))[0], "supported", "contradicted") <= 0.05 + MARGIN
    for effect in (D, -D):
        outcome, _ = ended(draw(sd, effect, 4))
        assert share(outcome, "negligible") <= 0.03
        assert share(outcome, "contradicted" if effect > 0 else "supported") <= 0.025 + MARGIN


@pytest.mark.parametrize("sd", [0.015, 0.03, 0.08])
def test_a_claim_of_several_parts_errs_no_oftener(sd: float) -> None:
    """All three parts must hold. Where none has an effect, at most 5 % of studies are decided by one that speaks against the claim;
    where one has none and the others a large one, at most half as many support it; and it is falsely called negligible
    in at most 3 % where all are of size d."""
    nothing = [ended(draw(sd, 0, 10 + i), parts=3)[0] for i in range(3)]
    against = decisions.OUTCOMES.index("contradicted")
    assert np.mean([o == against for o in nothing], axis=1).max() <= 0.01 + MARGIN
    assert np.any([o == against for o in nothing], axis=0).mean() <= 0.05 + MARGIN
    large = [ended(draw(sd, 20 * sd, 20 + i), parts=3)[0] for i in range(2)]
    supported = decisions.OUTCOMES.index("supported")
    assert np.all([o == supported for o in (nothing[0], *large)], axis=0).mean() <= 0.025 + MARGIN
    at_d = [ended(draw(sd, D, 30 + i), parts=3)[0] for i in range(3)]
    negligible = decisions.OUTCOMES.index("negligible")
    assert np.any([o == negligible for o in at_d], axis=0).mean() <= 0.03


@pytest.mark.parametrize("sd", [0.015, 0.03, 0.08])
def test_an_interaction_errs_as_often_as_it_says(sd: float) -> None:
    """A difference of differences of four variants that share each seed's data is a contrast like any other."""
    rng = np.random.default_rng(5)
    seed = rng.normal(0, 0.1, (STUDIES, LOOKS[-1]))
    a, b, c, e = (seed + rng.normal(0, sd / 2, seed.shape) for _ in range(4))
    low, high = intervals((a - b) - (c - e))
    assert np.mean(((low > 0) | (high < 0)).any(0)) == pytest.approx(0.05, abs=MARGIN)


@pytest.mark.parametrize(
    ("sd", "effect", "seeds"), [(0.015, 0.05, 5.1), (0.015, 0.0, 11.0), (0.03, 0.04, 9.1), (0.08, 0.1, 9.8)]
)
def test_expected_seeds_and_chances_are_those_of_whole_simulations(sd: float, effect: float, seeds: float) -> None:
    """`power` draws means and sums of squares; drawing every seed's difference gives the same chances and seeds."""
    outcome, taken = ended(draw(sd, effect, 6))
    (found,) = power.chances(sd, LOOKS, smallest=D, times=[effect / D])
    assert found.expected_seeds == pytest.approx(seeds, rel=0.1)
    assert found.expected_seeds == pytest.approx(taken.mean(), rel=0.02)
    for word in decisions.OUTCOMES[:4]:
        assert getattr(found, word) == pytest.approx(share(outcome, word), abs=0.015), word


def test_power_of_stratified_and_of_shared_error() -> None:
    """Strata of unequal spread are drawn as such; a part of an all-of is contradicted less often than a contrast alone."""
    labels = [i % 3 for i in range(24)]
    sds = (0.03, 0.01, 0.01)
    low, high = intervals(np.random.default_rng(8).normal(D, np.array(sds)[labels], (STUDIES, 24)), labels=labels)
    (found,) = power.chances(sds, (6, 12, 24), smallest=D, strata=3, times=[1])
    assert found.stopped[0] == pytest.approx(
        float(np.mean(decisions.stops(decisions.decide(low, high, D))[0])), abs=0.015
    )
    (alone,), (part,) = (power.chances(0.03, LOOKS, smallest=D, parts=p, times=[-2]) for p in (1, 3))
    assert part.contradicted < alone.contradicted
    (goes_on,) = power.chances(0.015, LOOKS, smallest=D, times=[2], stop_when_supported=False)
    assert goes_on.expected_seeds > 5.4 + 0.5
    assert "supported 100 %" in goes_on.text


def test_strata_by_hand() -> None:
    """The differences of C3 on glyphs: three families, two seeds each."""
    c3 = [0.041, 0.019, 0.395, -0.034, 0.098, 0.408]
    s = strata.stratified(c3, ["serif", "sans", "mono"] * 2)
    assert s.labels == ("serif", "sans", "mono")
    assert s.means == pytest.approx([0.0035, 0.0585, 0.4015])
    assert float(s.estimate) == pytest.approx(np.mean(c3))
    pooled = t_quantile(s.pooled_df, 0.95) * s.pooled_se
    assert [float(s.estimate - pooled), float(s.estimate + pooled)] == pytest.approx([0.096, 0.213], abs=0.001)
    assert 1 <= float(s.df) < s.pooled_df == 3
    assert float(s.p) < 0.01
    assert strata.stratified([1.0, 2.0, 4.0], [0, 0, 0]).df == 2  # one stratum: Student's t
    assert np.isnan(strata.stratified([1.0, 1.0, 2.0, 2.0], [0, 0, 1, 1]).se)


@pytest.mark.parametrize(
    ("n", "groups", "words"),
    [
        ([5, 5, 20], 1, r"looks increase, such as \[5, 10, 20\], not \[5, 5, 20\]"),
        ([20, 10], 1, "looks increase"), ([], 1, "looks are numbers of seeds"), ([5.5], 1, "looks are numbers of seeds"),
        ([5, 10, 20], 3, r"balanced at looks that are multiples of 3, which 5 is not: take \[6, 9, 21\]"),
        ([3, 6], 3, "2 seeds in each stratum or more, 6 in all, not 3"), ([1, 2], 1, "takes 2 seeds or more"),
    ],
)  # fmt: skip
def test_looks_that_cannot_be_held_are_refused(n: list[int], groups: int, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        looks.nominal(n, strata=groups)


def test_strata_that_do_not_balance_are_refused() -> None:
    with pytest.raises(BadInput, match="equal size or not compared; seeds in each: a: 2, b: 1"):
        strata.stratified([1, 2, 3], ["a", "a", "b"])
    with pytest.raises(BadInput, match="takes 2 seeds or more"):
        strata.stratified([1, 2, 3], ["a", "b", "c"])
    with pytest.raises(BadInput, match="a positive SD is needed"):
        power.chances(0.0, LOOKS, smallest=D)
