"""Effects from frames: hand-computed values, signs, divergence, partial frames."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sepconv_lab.analysis.stats import aa, effects, outcomes
from sepconv_lab.config import BadInput

FIGURE10 = "figure10_mid_activation"
Builder = Callable[..., pd.DataFrame]


@pytest.fixture
def known(make_runs: Builder) -> pd.DataFrame:
    """Three seeds with errors of .20 .25 .20 (none) and .25 .30 .30 (relu)."""
    runs = make_runs(FIGURE10, {"none": 0.0, "relu": 0.0}, seeds=3)
    return runs.assign(**{"test_ema/top1": [0.80, 0.75, 0.80, 0.75, 0.70, 0.70]})


def test_difference_is_variant_minus_baseline_in_ln_error(known: pd.DataFrame) -> None:
    effect = effects.difference(known, "relu", "none")
    d = np.log([0.25 / 0.20, 0.30 / 0.25, 0.30 / 0.20])
    assert effect.estimate == pytest.approx(d.mean())
    assert effect.se == pytest.approx(d.std(ddof=1) / np.sqrt(3))
    assert (effect.n, effect.planned, effect.df, effect.name) == (3, 3, 2, "relu - none")
    assert effect.high - effect.estimate == pytest.approx(4.302653 * effect.se)
    assert effect.text().startswith(f"{d.mean():+.3f} [")
    assert effect.text().endswith("95 %, n=3")


def test_a_row_order_does_not_matter(known: pd.DataFrame) -> None:
    shuffled = known.sample(frac=1, random_state=np.random.default_rng(0))
    assert effects.difference(shuffled, "relu", "none") == effects.difference(known, "relu", "none")


def test_a_diverged_run_counts_as_chance_and_is_named(known: pd.DataFrame) -> None:
    known.loc[4, ["status", "test_ema/top1"]] = ["diverged", np.nan]
    effect = effects.difference(known, "relu", "none")
    d = np.log([0.25 / 0.20, 0.90 / 0.25, 0.30 / 0.20])  # ten classes: chance errs in nine of ten
    assert effect.estimate == pytest.approx(d.mean())
    assert effect.diverged == (f"{FIGURE10}/relu/seed 1",)
    rates = outcomes.divergence(known).set_index("variant")
    assert rates.loc["relu", ["diverged", "n"]].tolist() == [1, 3]
    assert rates.loc["none", "high"] == pytest.approx(1 - 0.025 ** (1 / 3))


def test_an_error_of_zero_needs_the_number_of_examples(known: pd.DataFrame) -> None:
    known.loc[0, "test_ema/top1"] = 1.0
    with pytest.raises(BadInput, match=r"none/seed 0; its logarithm needs test_examples"):
        effects.difference(known, "relu", "none")
    effect = effects.difference(known, "relu", "none", test_examples=100)
    assert effect.estimate == pytest.approx(np.log([0.25 / 0.005, 0.30 / 0.25, 0.30 / 0.20]).mean())
    column = known.assign(test_examples=100)
    assert effects.difference(column, "relu", "none").estimate == pytest.approx(effect.estimate)


def test_one_seed_has_an_estimate_and_says_that_it_has_no_interval(known: pd.DataFrame) -> None:
    effect = effects.difference(known[known["seed"] == 0], "relu", "none")
    assert effect.estimate == pytest.approx(np.log(0.25 / 0.20))
    assert not effect.has_interval
    assert "one seed: no interval" in effect.text()


def test_a_run_against_its_copy_has_no_interval(known: pd.DataFrame) -> None:
    """Equal differences in every seed show no spread; a point interval would claim certainty."""
    known["test_ema/top1"] = [0.8, 0.7, 0.75] * 2
    effect = effects.difference(known, "relu", "none")
    assert effect.estimate == pytest.approx(0)
    assert "no spread" in effect.why_no_interval


def test_partial_frames_carry_n_and_the_names(known: pd.DataFrame) -> None:
    known.loc[3, "status"] = "failed"
    effect = effects.difference(known, "relu", "none", allow_partial=True)
    assert (effect.n, effect.planned) == (2, 3)
    assert effect.text().endswith("n=2 of 3")
    assert effect.absent == (f"{FIGURE10}/relu/seed 0 (failed)",)
    assert effect.estimate == pytest.approx(np.log([0.30 / 0.25, 0.30 / 0.20]).mean())


def test_an_interaction_is_the_difference_of_differences(make_runs: Builder) -> None:
    runs = make_runs("segments_x_mid_act", {"a": -1.0, "b": -1.2, "c": -1.3, "d": -1.35})
    found = effects.interaction(runs, ("a", "b"), ("c", "d"))
    parts = [effects.difference(runs, *pair).estimate for pair in (("a", "b"), ("c", "d"))]
    assert found.estimate == pytest.approx(parts[0] - parts[1])


def test_an_interaction_may_span_two_data_sets_but_a_difference_may_not(make_runs: Builder) -> None:
    config = {v: {"data_digest": "many", "data.num_classes": 100} for v in ("a", "b")}
    runs = make_runs("figure07_08_many_classes", {"a": -1.0, "b": -1.2, "c": -1.3, "d": -1.35}, config=config)
    assert effects.interaction(runs, ("a", "b"), ("c", "d")).has_interval
    with pytest.raises(BadInput, match="mixed data_digest"):
        effects.difference(runs, "a", "c")


def test_a_family_widens_each_interval_to_bonferroni(figure10_runs: pd.DataFrame) -> None:
    pair = {"relu": {"relu": 1, "none": -1}, "elu": {"elu": 1, "none": -1}}
    found = effects.family(figure10_runs, pair)
    assert [e.level for e in found] == pytest.approx([0.975, 0.975])
    alone = effects.difference(figure10_runs, "relu", "none")
    assert found[0].low < alone.low
    assert found[0].high > alone.high
    assert found[0].estimate == alone.estimate


def test_pooling_uses_every_variant_of_the_study(figure10_runs: pd.DataFrame) -> None:
    effect = effects.difference(figure10_runs, "relu", "none", method="pooled")
    assert effect.df == 2 * 5
    assert effect.n == 6
    assert effect.estimate == pytest.approx(effects.difference(figure10_runs, "relu", "none").estimate)


def test_speed_and_loss_are_logarithms_too(known: pd.DataFrame) -> None:
    known["images_per_second"] = [100.0, 110.0, 90.0, 50.0, 55.0, 46.0]
    speed = effects.difference(known, "relu", "none", metric="seconds_per_image")
    assert speed.estimate == pytest.approx(np.log([2, 2, 90 / 46]).mean())
    loss = effects.difference(known, "relu", "none", metric="test_ema/loss")
    assert loss.has_interval
    per_mac = effects.difference(known.assign(macs=[1e6] * 3 + [2e6] * 3), "relu", "none", metric="seconds_per_mac")
    assert per_mac.estimate == pytest.approx(speed.estimate - np.log(2))


def test_weights_must_be_a_contrast(known: pd.DataFrame) -> None:
    with pytest.raises(BadInput, match="sum to zero"):
        effects.contrast(known, {"relu": 1.0})


def test_seeds_to_settle_falls_with_the_effect_and_says_never() -> None:
    def one(estimate: float, asks: str = "superior") -> int | None:
        return effects.seeds_to_settle(effects.Effect("x", estimate, -1, 1, 0.95, 3, 3, 0.02, 2.0), 0.02, asks=asks)

    assert (one(0.2) or 0) < (one(0.05) or 0) < (one(0.011) or 0)
    assert one(0.02, "equivalent") is None
    assert effects.seeds_to_settle(effects.Effect("x", 0.1, np.nan, np.nan, 0.95, 1, 1, np.nan, 0), 0.02) is None


def test_pooled_with_one_seed_of_a_variant_has_no_number_of_seeds(figure10_runs: pd.DataFrame) -> None:
    """The interval stands on the other variants' spread, from which nothing follows for more seeds of this one."""
    runs = figure10_runs[(figure10_runs["variant"] != "relu") | (figure10_runs["seed"] == 0)]
    effect = effects.difference(runs, "relu", "none", method="pooled", allow_partial=True)
    assert effect.has_interval
    assert effect.n == 1
    assert effects.seeds_to_settle(effect, 0.02) is None


def test_a_a_study_has_one_variant(make_runs: Builder) -> None:
    runs = make_runs("a_a", {"baseline": -1.5}, seeds=12)
    shares = aa.a_a(runs, np.random.default_rng(0))
    assert shares.name == "n=6"
    assert 0 <= shares["false_difference"] <= 1
    with pytest.raises(BadInput, match="two groups of 7: 7 pairs are needed, there are 6"):
        aa.a_a(runs, np.random.default_rng(0), n=7)
    with pytest.raises(BadInput, match="one variant, not 2"):
        aa.a_a(make_runs("a_a", {"a": 0, "b": 0}), np.random.default_rng(0))
