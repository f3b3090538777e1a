"""What the intervals and the rules promise holds in simulation, at fixed seeds."""

import numpy as np
import pytest

from sepconv_lab.analysis.claims import rules
from sepconv_lab.analysis.stats import aa, effects, intervals
from sepconv_lab.analysis.stats.decisions import OUTCOMES
from sepconv_lab.config import BadInput

TRIALS = 1000


@pytest.mark.parametrize("n", [3, 6, 10])
def test_t_intervals_cover_and_rarely_find_what_is_not_there(n: int) -> None:
    """Of 1,000 intervals 935 to 965 hold the true difference; without a difference at most 65 leave out zero."""
    rng = np.random.default_rng(100 + n)
    block = rng.normal(0, 0.1, (TRIALS, n))
    baseline = -1.5 + block + rng.normal(0, 0.03, (TRIALS, n))
    variant = -1.45 + block + rng.normal(0, 0.03, (TRIALS, n))
    again = -1.5 + block + rng.normal(0, 0.03, (TRIALS, n))
    _, low, high, _ = intervals.t_interval(variant - baseline)
    assert 935 <= int(((low <= 0.05) & (high >= 0.05)).sum()) <= 965
    _, low, high, _ = intervals.t_interval(again - baseline)
    assert int(((low > 0) | (high < 0)).sum()) <= 65


@pytest.mark.parametrize("n", [3, 6])
def test_pooled_intervals_cover(n: int) -> None:
    rng = np.random.default_rng(200 + n)
    means = np.array([0.0, 0.05, 0.1, 0.2])
    held = 0
    for _ in range(TRIALS):
        y = means + rng.normal(0, 0.1, (n, 1)) + rng.normal(0, 0.03, (n, 4))
        found = intervals.pooled(y, [-1, 1, 0, 0])
        held += found.low <= 0.05 <= found.high
    assert 935 <= held <= 965


def test_bonferroni_intervals_hold_together() -> None:
    rng = np.random.default_rng(7)
    y = rng.normal(0, 1, (TRIALS, 4, 6))
    level = effects.bonferroni(0.95, 3)
    together = np.ones(TRIALS, bool)
    for other in (1, 2, 3):
        _, low, high, _ = intervals.t_interval(y[:, other] - y[:, 0], level)
        together &= (low <= 0) & (high >= 0)
    assert together.sum() >= 935


@pytest.mark.parametrize(
    ("truth", "asks", "false", "true"),
    [
        (0.0, "superior", {"supported", "contradicted"}, "negligible"),
        (0.1, "superior", {"contradicted", "negligible"}, "supported"),
        (-0.1, "superior", {"supported", "negligible"}, "contradicted"),
        (0.0, "equivalent", {"contradicted"}, "supported"),
        (0.1, "equivalent", {"supported"}, "contradicted"),
    ],
)
def test_rules_on_planted_effects(truth: float, asks: str, false: set[str], true: str) -> None:
    """A wrong word comes at most 65 times in 1,000, the right one nearly always when the seeds suffice."""
    d = np.random.default_rng(11).normal(truth, 0.012, (TRIALS, 8))
    _, low, high, _ = intervals.t_interval(d)
    words = [rules.rule(a, b, 0.02, asks).outcome for a, b in zip(low, high, strict=True)]
    assert sum(w in false for w in words) <= 65
    assert words.count(true) >= 900


def test_seeds_to_settle_settle_about_as_often_as_promised() -> None:
    """With the planted effect and spread, the stated number of seeds decides in about 80 % of repetitions."""
    effect = effects.Effect("planted", 0.03, -0.02, 0.08, 0.95, 4, 4, 0.04 / 2, 3.0)
    n = effects.seeds_to_settle(effect, 0.02)
    assert n is not None
    assert 10 < n < 30
    d = np.random.default_rng(3).normal(0.03, 0.04, (TRIALS, n))
    _, low, high, _ = intervals.t_interval(d)
    decided = sum(rules.rule(a, b, 0.02).outcome != "inconclusive" for a, b in zip(low, high, strict=True))
    assert 760 <= decided <= 860


def test_a_a_halves_differ_about_as_often_as_the_level_says() -> None:
    values = np.random.default_rng(4).normal(-1.5, 0.03, 24)
    shares = aa.split_halves(values, 6, np.random.default_rng(5))
    assert 0.02 <= shares["false_difference"] <= 0.09
    assert shares[list(OUTCOMES)].sum() == pytest.approx(1)
    assert shares.equals(aa.split_halves(values, 6, np.random.default_rng(5)))


def test_the_false_rate_has_an_interval_and_pairs_within_blocks_and_strata() -> None:
    """Where runs share a block's noise, pairs within blocks have the spread of a real paired comparison: other pairs exceed it."""
    rng = np.random.default_rng(6)
    blocks = np.repeat(np.arange(24), 2)
    values = rng.normal(0, 0.3, 24)[blocks] + rng.normal(0, 0.01, 48)
    loose = aa.split_halves(values, 12, np.random.default_rng(1))
    within = aa.split_halves(values, 12, np.random.default_rng(1), blocks=blocks.tolist())
    assert loose["negligible"] < 0.05
    assert within["negligible"] > 0.9
    assert within["comparisons"] == 2
    assert within["low"] <= within["false_difference"] <= within["high"]
    assert within["high"] > 0.5  # two comparisons say little
    many = aa.split_halves(rng.normal(0, 1, 600), 6, np.random.default_rng(2))
    assert (many["comparisons"], many["high"] < 0.2) == (50, True)
    strata = (np.arange(48) // 2 % 3).tolist()
    stratified = aa.split_halves(values, 12, np.random.default_rng(1), blocks=blocks.tolist(), strata=strata)
    assert stratified["false_difference"] <= 0.12
    with pytest.raises(BadInput, match="10 pairs do not go evenly into 3 strata"):
        aa.split_halves(values, 10, rng, strata=strata)
