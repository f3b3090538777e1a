"""Verdicts: the rules at their edges, each type on planted effects, and never more than the interval says."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sepconv_lab.analysis.claims import of_the_paper as claims, rules, verdicts
from sepconv_lab.analysis.claims.contrasts import AllOf, AnyOf, Claim, better, same
from sepconv_lab.analysis.figures import forest_of
from sepconv_lab.config import BadInput

Builder = Callable[..., pd.DataFrame]
EXACT = {"spread": 0.004, "block": 0.05}


@pytest.mark.parametrize(
    ("low", "high", "label"),
    [
        (-0.019, 0.019, "negligible"),
        (0.001, 0.019, "negligible"),  # inside the band comes first, whatever the sign
        (0.001, 0.02, "supported"),
        (0.02, 0.5, "supported (materially)"),
        (0.0, 0.05, "inconclusive"),
        (-0.05, 0.01, "inconclusive (material gain excluded)"),
        (-0.05, 0.02, "inconclusive"),
        (-0.02, -0.001, "contradicted"),
        (-0.5, -0.02, "contradicted (materially)"),
        (np.nan, np.nan, "not judged"),
    ],
)
def test_superior_rules(low: float, high: float, label: str) -> None:
    assert rules.rule(low, high, 0.02).label == label


@pytest.mark.parametrize(
    ("low", "high", "label"),
    [
        (-0.019, 0.019, "supported"),
        (-0.02, 0.01, "inconclusive"),
        (0.02, 0.1, "contradicted"),
        (-0.1, -0.02, "contradicted"),
        (0.005, 0.1, "inconclusive"),
    ],
)
def test_equivalent_rules(low: float, high: float, label: str) -> None:
    assert rules.rule(low, high, 0.02, "equivalent").label == label


@pytest.mark.parametrize(
    ("means", "label"),
    [
        ({"none": -1.5, "elu": -1.4, "relu": -1.3}, "supported (materially)"),
        ({"none": -1.5, "elu": -1.4, "relu": -1.5}, "contradicted (materially)"),
        ({"none": -1.5, "elu": -1.4, "relu": -1.4}, "negligible"),
    ],
)
def test_all_of_is_as_strong_as_its_weakest_part(make_runs: Builder, means: dict[str, float], label: str) -> None:
    verdict = verdicts.judge(claims.C4, make_runs(claims.FIGURE10, means, **EXACT))
    assert verdict.label == label
    assert [p.effect.level for p in verdict.parts] == [0.95, 0.95]
    assert verdict.ruling.low == min(p.effect.low for p in verdict.parts)


SPECTRUM = {"conv": -1.3, "segments_1": -1.3, "segments_2": -1.35, "segments_4": -1.4, "segments_8": -1.4}


@pytest.mark.parametrize(
    ("channels", "label"),
    [(-1.3, "supported (materially)"), (-1.6, "contradicted (materially)"), (-1.4, "negligible")],
)
def test_any_of_is_judged_at_bonferroni(make_runs: Builder, channels: float, label: str) -> None:
    runs = make_runs(claims.SPECTRUM, SPECTRUM | {"segments_channels": channels}, **EXACT)
    verdict = verdicts.judge(claims.C6, runs)
    assert verdict.label == label
    assert [p.effect.level for p in verdict.parts] == pytest.approx([1 - 0.05 / 3] * 9)


@pytest.mark.parametrize(
    ("shift", "label"), [(0.0, "supported"), (0.1, "contradicted"), (-0.1, "contradicted"), (0.014, "inconclusive")]
)
def test_equivalent(make_runs: Builder, shift: float, label: str) -> None:
    means = {f"{o}_{p}": -1.4 for o in ("depthwise_first", "pointwise_first") for p in claims.PLACEMENTS}
    means["pointwise_first_after_both"] += shift
    assert verdicts.judge(claims.C5, make_runs(claims.ORDER, means, **EXACT)).label == label


@pytest.mark.parametrize(
    ("many", "label"), [(-1.7, "supported (materially)"), (-1.5, "negligible"), (-1.4, "contradicted (materially)")]
)
def test_interaction_across_two_data_sets(make_runs: Builder, many: float, label: str) -> None:
    means = {"xception_many": many, "inception_many": -1.4, "xception_few": -2.1, "inception_few": -2.0}
    config = {v: {"data_digest": v.split("_")[1], "data.num_classes": 300 if "many" in v else 30} for v in means}
    verdict = verdicts.judge(claims.C2, make_runs(claims.FIGURE07_08, means, config=config, **EXACT))
    assert verdict.label == label
    assert "300/30 classes" in verdict.data


@pytest.mark.parametrize(
    ("effect", "label"), [(0.1, "supported (materially)"), (-0.1, "contradicted (materially)"), (0, "negligible")]
)
def test_superior(make_runs: Builder, effect: float, label: str) -> None:
    runs = make_runs(claims.FIGURE09, {"residual": -1.4 - effect, "no_residual": -1.4}, **EXACT)
    assert verdicts.judge(claims.C3, runs).label == label
    assert verdicts.judge(claims.C3, runs, method="pooled").label == label


def test_a_wide_interval_is_inconclusive_and_says_how_many_seeds(make_runs: Builder) -> None:
    runs = make_runs(claims.FIGURE09, {"residual": -1.43, "no_residual": -1.4}, spread=0.06, rng=1)
    verdict = verdicts.judge(claims.C3, runs)
    assert verdict.outcome == "inconclusive"
    assert (verdict.ruling.seeds_to_settle or 0) > 6
    assert f"about {verdict.ruling.seeds_to_settle}" in verdict.text()


def test_fewer_than_five_seeds_and_the_smoke_scale_are_pilots(make_runs: Builder) -> None:
    means = {"residual": -1.6, "no_residual": -1.4}
    for n, scale, pilot in ((4, "lab", True), (5, "lab", False), (6, "smoke", True)):
        verdict = verdicts.judge(claims.C3, make_runs(claims.FIGURE09, means, seeds=n, scale=scale, **EXACT))
        assert verdict.label == "supported (materially)" + (", pilot" if pilot else "")
        assert ("Pilot" in verdict.text()) == pilot


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ((-1.5, -1.4, -1.3), "Every part's interval lies above zero, the least bound at 0.02 or above."),
        ((-1.5, -1.4, -1.5), "A part's interval lies at -0.02 or below."),
        (
            (-1.5, -1.4, -1.4),
            "A part's interval lies within ±0.02 or ends below 0.02, and no part's goes down to -0.02.",
        ),
    ],
)
def test_what_is_said_of_several_parts_is_true_of_them(
    make_runs: Builder, means: tuple[float, float, float], words: str
) -> None:
    """The bounds of the whole belong to no single part, so no sentence and no cell speaks of one's interval."""
    runs = make_runs(claims.FIGURE10, dict(zip(("none", "elu", "relu"), means, strict=True)), **EXACT)
    assert words in verdicts.judge(claims.C4, runs).text()


def test_a_direction_and_an_equivalence_are_no_one_claim() -> None:
    parts = (better("s", "a", than="b"), same("s", "a", as_="c"))
    with pytest.raises(ValueError, match="a direction and for an equivalence"):
        replace(claims.C4, decides=AllOf(parts))


def test_one_seed_is_not_judged(make_runs: Builder) -> None:
    verdict = verdicts.judge(claims.C3, make_runs(claims.FIGURE09, {"residual": -1.6, "no_residual": -1.4}, seeds=1))
    assert verdict.label == "not judged, pilot"
    assert "one seed: no interval" in verdict.text()
    assert "Nothing can be said" in verdict.text()


def test_runs_that_all_diverged_are_not_judged(make_runs: Builder) -> None:
    """Chance against chance has no spread: that must not read as equivalence."""
    verdict = verdicts.judge(
        claims.C3, make_runs(claims.FIGURE09, {"residual": 0, "no_residual": 0}, status="diverged")
    )
    assert verdict.outcome == "not judged"
    assert "diverged in 6 of 6 runs (95 % [0.54, 1.00])" in verdict.text()


def test_the_text_names_data_scale_and_what_is_not_shown(figure10_runs: pd.DataFrame) -> None:
    text = verdicts.judge(claims.C4, figure10_runs).text()
    for words in ("cifar10, 10 classes, 32 pixels (not ImageNet)", "scale lab", "Does not show: ImageNet", "n=6",
                  "Not compared: none better than relu, without norm"):  # fmt: skip
        assert words in text


def test_words_follow_the_interval(make_runs: Builder) -> None:
    """Supported but not materially says so; negligible does not speak of no effect."""
    runs = make_runs(claims.FIGURE09, {"residual": -1.425, "no_residual": -1.4}, spread=0.008, rng=5)
    verdict = verdicts.judge(claims.C3, runs)
    assert verdict.label == "supported"
    assert "The interval lies above zero, not at 0.02 or above." in verdict.text()
    assert verdicts.judge(replace(claims.C3, smallest_effect=0.06), runs).label == "negligible"


def test_partial_runs_are_named(figure10_runs: pd.DataFrame) -> None:
    figure10_runs.loc[0, "status"] = "failed"
    with pytest.raises(BadInput, match="none/seed 0"):
        verdicts.judge(claims.C4, figure10_runs)
    verdict = verdicts.judge(claims.C4, figure10_runs, allow_partial=True)
    assert verdict.n == 5
    assert "Partial, without: figure10_mid_activation/none/seed 0 (failed)" in verdict.text()
    assert verdict.label == "supported (materially)"


def test_two_data_sets_are_not_judged_as_one(figure10_runs: pd.DataFrame) -> None:
    glyphs = figure10_runs.assign(**{"data.name": "glyphs", "data_digest": "d2", "data.num_classes": 300})
    with pytest.raises(BadInput, match=r"mixed scale|duplicate|mixed data_digest"):
        verdicts.judge(claims.C4, pd.concat([figure10_runs, glyphs]))


def test_every_claim_is_judged_on_the_variants_that_it_names(make_runs: Builder) -> None:
    studies = [make_runs(s, dict.fromkeys(claims.needed_variants(s), -1.4)) for s in claims.STUDIES if s != claims.A_A]
    runs = pd.concat(studies, ignore_index=True)
    found = [verdicts.judge(claim, runs) for claim in claims.CLAIMS.values() if claim.kind != "speed"]
    assert len(found) == len(claims.CLAIMS) - 1
    assert not [v.not_run for v in found if v.not_run]
    assert {v.claim.kind for v in found} == {"superior", "equivalent", "all_of", "any_of", "interaction"}
    assert forest_of(found)


def test_a_claim_whose_contrasts_do_not_fit_its_kind_is_refused() -> None:
    one = better("s", "a", than="b")
    with pytest.raises(ValueError, match="not of the kind 'interaction'"):
        replace(claims.C3, kind="interaction")
    with pytest.raises(ValueError, match="smallest effect is positive"):
        replace(claims.C3, smallest_effect=0.0)
    assert Claim("X", "x", "-", "any_of", AnyOf((one, AllOf((one, one)))), "-").studies == ("s",)
    assert rules.levels(AnyOf((one, AllOf((one, one))))) == pytest.approx([0.975] * 3)


def test_claims_are_found_by_id() -> None:
    assert claims.get("C4") is claims.C4
    with pytest.raises(BadInput, match=r"unknown claim 'C44'.*Did you mean C4"):
        claims.get("C44")
    assert claims.needed_variants(claims.FIGURE10) == ("elu", "none", "relu")
