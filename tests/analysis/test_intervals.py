"""Intervals agree with hand computation and with scipy."""

import numpy as np
import pytest
import scipy.stats

from sepconv_lab.analysis.stats import intervals
from sepconv_lab.config import BadInput


def test_paired_interval_by_hand() -> None:
    # differences 1, 2, 3: mean 2, sd 1, se 1/sqrt(3); t(0.975, 2) = 4.302653
    values = np.array([[1.0, 0.0], [3.0, 1.0], [5.0, 2.0]])
    found = intervals.paired(values, [1, -1])
    assert found.estimate == 2
    assert found.df == 2
    assert found.se == pytest.approx(0.5773503)
    assert (found.low, found.high) == (pytest.approx(2 - 2.484138), pytest.approx(2 + 2.484138))


@pytest.mark.parametrize("n", [2, 6, 30])
@pytest.mark.parametrize("level", [0.9, 0.95, 1 - 0.05 / 3])
def test_t_interval_equals_scipy(n: int, level: float) -> None:
    d = np.random.default_rng(n).normal(0.3, 2, n)
    _, low, high, _ = intervals.t_interval(d, level)
    wanted = scipy.stats.ttest_1samp(d, 0).confidence_interval(level)
    assert (low, high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))


def test_one_seed_and_no_spread_have_no_interval() -> None:
    for d in ([0.4], [0.1, 0.1, 0.1]):
        mean, low, high, se = intervals.t_interval(d)
        assert mean == pytest.approx(d[0])
        assert np.isnan([low, high, se]).all()


@pytest.mark.parametrize("holes", [[], [(0, 1), (3, 2)]])
def test_pooled_interval_equals_that_of_the_linear_model(holes: list[tuple[int, int]]) -> None:
    """y ~ variant + seed by least squares: estimate, its standard error, degrees of freedom, t interval."""
    values = np.random.default_rng(5).normal(0, 1, (6, 4))
    for hole in holes:
        values[hole] = np.nan
    seed, variant = np.nonzero(~np.isnan(values))
    design, y = np.hstack([np.eye(4)[variant], np.eye(6)[seed][:, 1:]]), values[seed, variant]
    contrast = np.array([0, -1, 1, 0, *[0] * 5])
    fit, *_ = np.linalg.lstsq(design, y)
    df = len(y) - 9
    spread = ((y - design @ fit) ** 2).sum() / df * contrast @ np.linalg.inv(design.T @ design) @ contrast
    found = intervals.pooled(values, [0, -1, 1, 0])
    assert (found.estimate, found.se, found.df) == pytest.approx((contrast @ fit, np.sqrt(spread), df))
    assert (found.low, found.high) == pytest.approx(scipy.stats.t.interval(0.95, df, contrast @ fit, np.sqrt(spread)))


def test_pooled_and_paired_agree_for_two_variants() -> None:
    values = np.random.default_rng(2).normal(0, 1, (5, 2))
    assert intervals.pooled(values, [1, -1]) == pytest.approx(intervals.paired(values, [1, -1]))


def test_pooled_refuses_variants_that_share_no_seed() -> None:
    with pytest.raises(BadInput, match="share too few seeds"):
        intervals.pooled([[1.0, np.nan], [np.nan, 2.0]], [1, -1])


@pytest.mark.parametrize(("count", "n"), [(0, 6), (1, 6), (6, 6), (3, 20)])
def test_clopper_pearson_equals_scipy(count: int, n: int) -> None:
    wanted = scipy.stats.binomtest(count, n).proportion_ci(0.95, "exact")
    assert intervals.clopper_pearson(count, n) == pytest.approx((wanted.low, wanted.high))


def test_bootstrap_wants_ten_seeds_and_a_generator() -> None:
    d = np.random.default_rng(0).normal(1, 1, 40)
    with pytest.raises(BadInput, match="no bootstrap below 10 seeds, there are 9"):
        intervals.bootstrap(d[:9], np.random.default_rng(1))
    with pytest.raises(BadInput, match="explicit numpy Generator"):
        intervals.bootstrap(d, 1)  # type: ignore[arg-type]
    low, high = intervals.bootstrap(d, np.random.default_rng(1), draws=999)
    assert (low, high) == intervals.bootstrap(d, np.random.default_rng(1), draws=999)
    _, t_low, t_high, _ = intervals.t_interval(d)
    assert low == pytest.approx(t_low, abs=0.15)
    assert high == pytest.approx(t_high, abs=0.15)
