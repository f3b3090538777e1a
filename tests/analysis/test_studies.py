"""Factorial studies, leave-one-out, convergence, budgets, Pareto fronts, tables."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sepconv_lab.analysis.paper import tables
from sepconv_lab.analysis.stats import convergence, effects, factorial, pareto
from sepconv_lab.config import BadInput

Builder = Callable[..., pd.DataFrame]
FACTORS = ("block.mid_norm", "block.mid_act")


@pytest.fixture
def grid(make_runs: Builder) -> pd.DataFrame:
    """ln error = -1.5 + 0.1 relu - 0.05 norm - 0.04 both, over 2 norms x 3 activations."""
    means, config = {}, {}
    for norm, act in itertools.product((False, True), ("none", "elu", "relu")):
        name = f"{'norm' if norm else 'plain'}_{act}"
        means[name] = -1.5 + 0.1 * (act == "relu") - 0.05 * norm - 0.04 * (norm and act == "relu")
        config[name] = {"block.mid_norm": norm, "block.mid_act": act}
    return make_runs("mid_norm", means, seeds=8, spread=0.005, config=config)


@pytest.mark.parametrize("method", ["paired", "pooled"])
def test_factor_effects_recover_what_was_planted(grid: pd.DataFrame, method: effects.Method) -> None:
    table = factorial.factor_effects(grid, FACTORS, method=method).set_index(["kind", "level_of"])
    planted = {
        ("main", "True - False"): -0.05 - 0.04 / 3,
        ("main", "relu - none"): 0.1 - 0.04 / 2,
        ("main", "elu - none"): 0.0,
        ("interaction", "(True - False) x (relu - none)"): -0.04,
        ("interaction", "(True - False) x (elu - none)"): 0.0,
    }
    assert set(table.index) == set(planted)
    for key, value in planted.items():
        assert table.loc[key, "low"] < value < table.loc[key, "high"]
    assert table["level"].iloc[0] == pytest.approx(1 - 0.05 / 5)


def test_a_main_effect_by_hand(grid: pd.DataFrame) -> None:
    """Norm's main effect is the mean over activations of its three differences."""
    table = factorial.factor_effects(grid, FACTORS, joint=False)
    pairs = [effects.difference(grid, f"norm_{a}", f"plain_{a}").estimate for a in ("none", "elu", "relu")]
    assert table.loc[0, "estimate"] == pytest.approx(np.mean(pairs))


def test_factor_effects_go_without_excluded_cells(grid: pd.DataFrame) -> None:
    runs = grid[grid["variant"] != "norm_elu"]
    table = factorial.factor_effects(runs, FACTORS, joint=False)
    pairs = [effects.difference(grid, f"norm_{a}", f"plain_{a}").estimate for a in ("none", "relu")]
    assert table.loc[0, "estimate"] == pytest.approx(np.mean(pairs))
    assert "(True - False) x (elu - none)" not in set(table["level_of"])


def test_ambiguous_cells_are_refused(grid: pd.DataFrame) -> None:
    with pytest.raises(BadInput, match=r"both have block.mid_act=none"):
        factorial.factor_effects(grid, ["block.mid_act"])


def test_what_is_no_factor_of_all_variants_and_misspelt_references_are_refused(grid: pd.DataFrame) -> None:
    """A block without the axis is no level of it; a reference that is not there would quietly drop a factor."""
    runs = grid.astype({"block.mid_norm": "boolean"})
    runs.loc[runs["variant"] == "plain_none", "block.mid_norm"] = pd.NA
    with pytest.raises(BadInput, match=r"variant 'plain_none' has no block.mid_norm: not a factor of all"):
        factorial.factor_effects(runs, FACTORS)
    with pytest.raises(BadInput, match=r"no variant has block.mid_act=nonne.*Did you mean none"):
        factorial.factor_effects(grid, FACTORS, reference={"block.mid_act": "nonne"})
    with pytest.raises(BadInput, match=r"'block.mid_actt' is none of the factors. Did you mean block.mid_act"):
        factorial.factor_effects(grid, FACTORS, reference={"block.mid_actt": "relu"})
    with pytest.raises(BadInput, match="takes two seeds or more"):
        factorial.anova(grid[grid["seed"] == 0], FACTORS)


def test_anova_finds_the_planted_terms(grid: pd.DataFrame) -> None:
    table = factorial.anova(grid, FACTORS)
    assert list(table.index) == ["seed", *FACTORS, "block.mid_norm x block.mid_act", "residual"]
    assert (table.loc[["block.mid_norm", "block.mid_act", "block.mid_norm x block.mid_act"], "p"] < 1e-3).all()
    assert table.loc["residual", "df"] == 7 * 5
    two = grid[grid["variant"].isin(["plain_none", "plain_relu"])]
    effect = effects.difference(two, "plain_relu", "plain_none")
    assert factorial.anova(two, ["block.mid_act"]).loc["block.mid_act", "F"] == pytest.approx(
        (effect.estimate / effect.se) ** 2
    )


def test_order_at_equal_mid_act_averages_to_zero_by_construction(make_runs: Builder) -> None:
    """Claim C5's trap: networks that are equal when re-bracketed cancel over a full mid x act factorial."""
    means, config = {}, {}
    by_placement = {("none", "none"): -1.0, ("relu", "none"): -1.2, ("none", "relu"): -1.5, ("relu", "relu"): -1.3}
    for order, mid, act in itertools.product(("depthwise_first", "pointwise_first"), *[("none", "relu")] * 2):
        after = (mid, act) if order == "depthwise_first" else (act, mid)
        name = f"{order}_{mid}_{act}"
        means[name] = by_placement[after]
        config[name] = {"block.order": order, "block.mid_act": mid, "block.act": act}
    runs = make_runs("order", means, seeds=4, spread=0, config=config)
    table = factorial.factor_effects(runs, ("block.order", "block.mid_act", "block.act"))
    assert table.loc[table["factor"] == "block.order", "estimate"].item() == pytest.approx(0, abs=1e-12)
    assert effects.difference(runs, "pointwise_first_relu_none", "depthwise_first_relu_none").estimate == pytest.approx(
        -0.3
    )


def test_leave_one_out_puts_the_costliest_removal_first(make_runs: Builder) -> None:
    runs = make_runs("components", {"whole": -1.5, "no_norm": -1.3, "no_average": -1.48, "no_residual": -1.0})
    table = factorial.leave_one_out(runs, "whole")
    assert table["variant"].tolist() == ["no_residual", "no_norm", "no_average"]
    assert table["level"].iloc[0] == pytest.approx(1 - 0.05 / 3)
    assert table["accuracy"].is_monotonic_increasing
    assert table["baseline_accuracy"].nunique() == 1


def test_steps_and_area_by_hand() -> None:
    curve = pd.Series([0.0, 0.4, 0.6, np.nan, 0.8], index=[0, 100, 200, 250, 300])
    assert convergence.steps_to(curve, 0.5) == 150
    assert convergence.steps_to(curve, 0.0) == 0
    assert convergence.steps_to(curve, 0.9) == np.inf
    assert convergence.area(curve, 0, 300) == pytest.approx((0.2 + 0.5 + 0.7) / 3)
    assert convergence.area(curve, 100, 150) == pytest.approx(0.45)


def test_a_faster_variant_has_more_area_and_fewer_steps(figure10_runs: pd.DataFrame, make_history: Builder) -> None:
    found, absent = convergence.curves(figure10_runs, make_history(figure10_runs), ("none", "elu", "relu"))
    assert not absent
    assert found["none"].shape == (8, 6)
    measured = convergence.measures(found)
    assert convergence.compare_measure(measured, "none", "relu").low > 0
    low = convergence.measures(found, threshold=0.5)
    assert convergence.compare_measure(low, "none", "relu", by="steps_to").high < 0
    with pytest.raises(BadInput, match="never reached by 6 runs of none and 6 of relu, of 6 each"):
        convergence.compare_measure(convergence.measures(found, 0.99), "none", "relu", by="steps_to")


def test_a_diverged_curve_falls_to_chance(figure10_runs: pd.DataFrame, make_history: Builder) -> None:
    figure10_runs.loc[0, "status"] = "diverged"
    found, _ = convergence.curves(figure10_runs, make_history(figure10_runs), ("none",))
    assert found["none"][0].tolist()[4:] == [0.1] * 4
    assert found["none"][0].iloc[3] > 0.5


def test_curves_refuse_what_is_not_there(figure10_runs: pd.DataFrame, make_history: Builder) -> None:
    history = make_history(figure10_runs)
    with pytest.raises(BadInput, match=r"no event has the metric 'val_emma/top1'.*Did you mean val_ema/top1"):
        convergence.curves(figure10_runs, history, ("none",), metric="val_emma/top1")
    with pytest.raises(BadInput, match=r"no event with val_ema/top1 in: .*none/seed 1"):
        convergence.curves(figure10_runs, history[history["run_id"] != "figure10_mid_activation-none-1"], ("none",))


def test_a_variants_name_may_end_with_a_multiple_of_its_budget(make_runs: Builder) -> None:
    """In one plan every budget is a variant of its own; the table is that of equal names."""

    def runs(*ends: str) -> pd.DataFrame:
        return pd.concat([
            make_runs("budgets", {f"relu{end}": -0.9, f"none{end}": -1.2}, rng=i, **{"train.epochs": 3.0 * (i + 1)})
            for i, end in enumerate(ends)
        ])  # fmt: skip

    named, alike = (convergence.budgets(runs(*ends), "relu", "none") for ends in (("_x1", "_x2"), ("", "")))
    pd.testing.assert_frame_equal(named, alike)


def test_budgets_compare_within_each(make_runs: Builder) -> None:
    runs = pd.concat([
        make_runs("budgets", {"relu": -0.9, "none": -1.2}, rng=1, **{"train.epochs": 16.0}),
        make_runs("budgets", {"relu": -0.9, "none": -1.0}, rng=2, **{"train.epochs": 4.0}),
    ])  # fmt: skip
    table = convergence.budgets(runs, "relu", "none")
    assert table["budget"].tolist() == [4.0, 16.0]
    assert table["estimate"].tolist() == pytest.approx([0.1, 0.3], abs=0.04)


def test_front_by_hand() -> None:
    cost, error = [1, 2, 2, 3, 4, 1], [0.5, 0.3, 0.4, 0.3, 0.1, 0.5]
    assert pareto.front(cost, error).tolist() == [True, True, False, False, True, True]
    with pytest.raises(BadInput, match="NaN"):
        pareto.front([1.0, np.nan], [0.1, 0.2])


def test_pareto_table(make_runs: Builder) -> None:
    config = {"small": {"params_total": 1e5}, "big": {"params_total": 4e5}, "bad": {"params_total": 5e5}}
    table = pareto.pareto(make_runs("sizes", {"bad": -0.5, "big": -1.5, "small": -1.0}, config=config))
    assert table["variant"].tolist() == ["small", "big", "bad"]
    assert table["on_front"].tolist() == [True, True, False]
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    with pytest.raises(BadInput, match="unknown cost 'params'"):
        pareto.pareto(make_runs("sizes", {"a": 0}), "params")


def test_tables_from_ones_own_runs(make_runs: Builder) -> None:
    runs = make_runs("figure06_inception_vs_xception", {"inception": -1.3, "xception": -1.5})
    one = tables.table1(runs)
    assert list(one.index) == ["inception", "xception"]
    assert one.loc["xception", "test_ema/top1"] == runs.loc[runs["variant"] == "xception", "test_ema/top1"].mean()
    three = tables.table3(runs)
    assert three.loc["xception", "steps_per_second"] == pytest.approx(800 / 64, rel=0.01)
    assert three.loc["xception", "seconds_per_mac"] == pytest.approx(1 / (800 * 25e6), rel=0.01)
    runs.loc[0, ["status", "test_ema/top1"]] = ["diverged", np.nan]
    with_one = tables.table1(runs)
    assert with_one.loc["inception", ["n", "diverged"]].tolist() == [6, 1]
    assert with_one.loc["inception", "test_ema/top1"] < one.loc["inception", "test_ema/top1"]
    many = make_runs(
        "figure07_08_many_classes", {f"{m}_many{f}": -1 for m in ("inception", "xception") for f in ("", "_fc")}
    )
    assert len(tables.table2(many)) == 4
