"""Judging by a design: looks, strata, what parts share, mixed machines, divergence, a second line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sepconv_lab.analysis.claims import of_the_paper as claims, rules, verdicts
from sepconv_lab.analysis.claims.contrasts import AllOf, AnyOf, better, same
from sepconv_lab.analysis.claims.design import Design
from sepconv_lab.analysis.stats.effects import Effect
from sepconv_lab.config import BadInput

Builder = Callable[..., pd.DataFrame]
LOOKS = (5, 10, 20)
WIGGLE = np.array([0.01, -0.01, 0.02, -0.02, 0.0])


def runs_of(differences: Sequence[float], **columns: Any) -> pd.DataFrame:
    """Runs of C3's study with these gains of `residual` in ln error, one a seed; columns: a value, or one for each seed."""
    rows = []
    for seed, gain in enumerate(differences):
        for variant, ln_error in (("residual", -1.4 - gain), ("no_residual", -1.4)):
            own = {k: v[seed] if isinstance(v, list) else v for k, v in columns.items()}
            rows.append({
                "run_id": f"{variant}-{seed}", "study": claims.FIGURE09, "variant": variant, "seed": seed, "scale": "lab",
                "status": "finished", "test_ema/top1": 1 - np.exp(ln_error), "test_ema/loss": np.exp(0.5 * ln_error),
                "data.name": "glyphs", "data.num_classes": 300, "data.fold": "sans", "train.epochs": 3.0, "model.width": 0.5,
                "params_total": 50_314, "precision": "fp32", "hardware_class": "a CPU", "threads": 1, "data_digest": "d",
                "recipe": 1, "versions.torch": "2.13.0", "versions.wandb": "0.31",
            } | own)  # fmt: skip
    return pd.DataFrame(rows)


def design(n: int = 20, **more: Any) -> Design:
    return Design(tuple(range(n)), LOOKS, **more)


def gains(mean: float, n: int, scale: float = 1.0) -> list[float]:
    return list(mean + scale * np.tile(WIGGLE, 4)[:n])


def test_the_first_verdict_stands_whatever_later_seeds_say() -> None:
    """Supported at five seeds, which the seeds after them would take back."""
    data = gains(0.1, 5) + gains(-0.3, 15)
    for n in (5, 9, 10, 20):
        verdict = verdicts.judge(claims.C3, runs_of(data[:n]), design=design())
        assert (verdict.label, verdict.n, verdict.look, verdict.decided) == ("supported (materially)", 5, 1, True)
        assert verdict.next_look is None
    assert "95 % over all looks" in verdict.text()
    assert "Looks at 5, 10, 20 seeds hold the error together: each interval is at 98.05 %." in verdict.text()


def test_each_look_takes_its_seeds_alone_and_an_open_contrast_names_the_next() -> None:
    """Twelve seeds are judged as ten; none is decided by a look that was not declared."""
    verdict = verdicts.judge(claims.C3, runs_of(gains(0.0, 12, 4)), design=design())
    assert (verdict.label, verdict.n, verdict.look) == ("inconclusive", 10, 2)
    assert verdict.next_look == 20
    assert [p.open for p in verdict.parts] == [True]
    assert "The next look is at 20 seeds." in verdict.text()
    assert "would likely settle" not in verdict.text()
    last = verdicts.judge(claims.C3, runs_of(gains(0.0, 20, 8)), design=design())
    assert (last.outcome, last.look, last.next_look, last.decided) == ("inconclusive", 3, None, False)


def test_before_the_first_look_no_interval_is_shown() -> None:
    for n in (1, 4):
        verdict = verdicts.judge(claims.C3, runs_of(gains(0.1, n)), design=design())
        assert (verdict.label, verdict.look, verdict.next_look) == ("not judged, pilot", 0, 5)
        assert f"(before the first look, at 5 seeds), n={n} of 5" in verdict.text()
    runs = runs_of(gains(0.1, 5))
    runs.loc[3, "status"] = "failed"  # a look is complete or it is none
    assert verdicts.judge(claims.C3, runs, design=design()).outcome == "not judged"
    nothing = verdicts.judge(claims.C3, runs.assign(status="missing"), design=design())
    assert "no estimate (before the first look, at 5 seeds), n=0 of 5" in nothing.text()


def test_supported_not_materially_stops_or_goes_on_as_declared() -> None:
    data = gains(0.03, 10, 0.8)
    stops = verdicts.judge(claims.C3, runs_of(data), design=design())
    assert (stops.label, stops.look) == ("supported", 1)
    goes_on = verdicts.judge(claims.C3, runs_of(data), design=design(stop_when_supported=False))
    assert (goes_on.label, goes_on.look, goes_on.next_look) == ("supported", 2, 20)


def test_parts_are_decided_at_looks_of_their_own(make_runs: Builder) -> None:
    """The clear part of an all-of keeps its five seeds while the other one takes ten."""
    runs = make_runs(claims.FIGURE10, {"none": -1.45, "elu": -1.4, "relu": -1.0}, seeds=10, spread=0.03, rng=3)
    verdict = verdicts.judge(claims.C4, runs, design=design())
    assert [p.look for p in verdict.parts] == [2, 1]
    assert [p.effect.n for p in verdict.parts] == [10, 5]


def test_a_claim_that_one_part_contradicts_waits_for_no_other(make_runs: Builder) -> None:
    runs = make_runs(claims.FIGURE10, {"none": -1.2, "elu": -1.4, "relu": -1.4}, seeds=5, spread=0.03)
    verdict = verdicts.judge(claims.C4, runs, design=design())
    assert verdict.outcome == "contradicted"
    assert verdict.parts[1].ruling.outcome == "inconclusive"
    assert verdict.decided
    assert not any(p.open for p in verdict.parts)


def effect(low: float, high: float, far: float) -> Effect:
    mid = (low + high) / 2
    return Effect("x", mid, low, high, 0.95, 6, 6, 0.1, 5, against=(2 * mid - far, far), against_level=0.975)


def test_parts_that_speak_against_an_all_of_share_the_error() -> None:
    """Of two parts each is contradicted at 97.5 %, and supported at 95 %; an any-of's are supported at 97.5 %."""
    one = better("s", "a", than="b")
    assert np.array(rules.errors(AllOf((one, one)))) == pytest.approx(np.array([(0.05, 0.025)] * 2))
    assert rules.errors(AllOf((one, one)), shared=False) == [(0.05, 0.05)] * 2
    assert np.array(rules.errors(AnyOf((one, AllOf((one, one))))))[0] == pytest.approx([0.025, 0.025])
    both = AllOf((one, one))
    good = effect(0.05, 0.2, 0.25)
    assert rules.decide(both, [effect(-0.1, -0.01, 0.01), good], 0.02).outcome == "inconclusive"
    assert rules.decide(both, [effect(-0.1, -0.03, -0.01), good], 0.02).label == "contradicted"
    assert rules.decide(both, [effect(-0.1, -0.05, -0.03), good], 0.02).label == "contradicted (materially)"
    equal = AllOf((same("s", "a", as_="b"),) * 2)
    assert rules.decide(equal, [effect(0.03, 0.1, 0.12), effect(0, 0.01, 0.01)], 0.02).outcome == "inconclusive"


FOLDS = [["serif", "sans", "mono"][s % 3] for s in range(24)]


def in_strata(n: int, **columns: Any) -> pd.DataFrame:
    differences = [0.1 + 0.01 * (s % 2) + {"serif": 0.0, "sans": 0.05, "mono": 0.5}[FOLDS[s]] for s in range(n)]
    return runs_of(differences, **({"data.fold": FOLDS[:n]} | columns))


STRATIFIED = Design(tuple(range(24)), (6, 12, 24), "data.fold", 3)


def test_declared_strata_decide_and_are_named() -> None:
    """The mean of the strata's means, though seeds of different strata differ widely; where the test rejects, each one's sign."""
    verdict = verdicts.judge(claims.C3, in_strata(6), design=STRATIFIED)
    assert verdict.label == "supported (materially)"
    assert (
        verdicts.judge(claims.C3, in_strata(6), design=Design(tuple(range(24)), (6, 12, 24))).outcome == "inconclusive"
    )
    text = verdict.text()
    for words in (
        "on average over serif, sans, mono (data.fold)",
        "pooled [",
        "stratum x variant p = ",
        "serif +0.105",
    ):
        assert words in text


def test_a_stratum_key_that_no_run_has_is_refused() -> None:
    with pytest.raises(BadInput, match=r"strata: no run has 'data.fonts'"):
        verdicts.judge(claims.C3, in_strata(6), design=replace(STRATIFIED, strata="data.fonts"))


def test_machines_may_differ_between_seeds_and_the_verdict_names_them() -> None:
    kinds = ["a CPU"] * 3 + ["a GPU"] * 3
    verdict = verdicts.judge(claims.C3, runs_of([*gains(0.1, 5), 0.1], hardware_class=kinds))
    assert verdict.label == "supported (materially)"
    text = verdict.text()
    assert "Seeds ran on several kinds of machines: a CPU (n=3); a GPU (n=3)." in text
    assert "By kind, residual better than no_residual: a CPU +0.107 (n=3); a GPU +0.093 (n=3)." in text
    assert "a CPU/a GPU" in verdict.hardware


@pytest.mark.parametrize(
    ("column", "values"),
    [("hardware_class", ("a CPU", "a GPU")), ("threads", (1, 2)), ("versions.torch", ("2.11.0", "2.13.0"))],
)
def test_within_a_seed_machines_are_equal_or_refused(column: str, values: tuple[object, object]) -> None:
    runs = runs_of(gains(0.1, 5))
    runs[column] = [values[0]] * 9 + [values[1]]
    with pytest.raises(BadInput, match=rf"mixed {column} inside a comparison.*residual/seed 4.*no_residual/seed 4"):
        verdicts.judge(claims.C3, runs)
    between = runs_of(gains(0.1, 5), **{column: [values[0]] * 4 + [values[1]]})
    assert verdicts.judge(claims.C3, between).mix
    assert verdicts.judge(claims.C3, runs_of(gains(0.1, 5), **{"versions.wandb": list("12345")})).mix == ()


def test_precision_is_equal_throughout() -> None:
    with pytest.raises(BadInput, match="mixed precision"):
        verdicts.judge(claims.C3, runs_of(gains(0.1, 5), precision=["fp32"] * 4 + ["bf16"]))


def test_kinds_of_machines_never_stand_for_strata() -> None:
    aligned = ["a GPU" if fold == "mono" else "a CPU" for fold in FOLDS[:6]]
    with pytest.raises(BadInput, match="kinds of machines are aligned with strata"):
        verdicts.judge(claims.C3, in_strata(6, hardware_class=aligned), design=STRATIFIED)
    crossed = ["a CPU"] * 3 + ["a GPU"] * 3
    assert verdicts.judge(claims.C3, in_strata(6, hardware_class=crossed), design=STRATIFIED).mix


def test_divergence_has_two_lines() -> None:
    """The rate by arm, and the effect among the seeds in which all converged: one lost run does not hide what the others say."""
    runs = runs_of([*gains(0.1, 5), 0.1])
    runs.loc[11, "status"] = "diverged"
    verdict = verdicts.judge(claims.C3, runs)
    assert verdict.diverged == (
        "residual diverged in 0 of 6 runs (95 % [0.00, 0.46]).",
        "no_residual diverged in 1 of 6 runs (95 % [0.00, 0.64]): chance.",
        "Among converged seeds, residual better than no_residual: +0.100 [+0.080, +0.120], 95 %, n=5.",
    )
    assert verdict.parts[0].effect.n == 6


def test_a_second_line_is_judged_by_its_own_smallest_effect_and_opposite_signs_are_named() -> None:
    beside = {"metric": "test_ema/loss", "smallest_effect": 0.2}
    verdict = verdicts.judge(claims.C3, runs_of(gains(0.1, 5)), design=design(beside=beside))
    (second,) = verdict.beside
    assert second.ruling.outcome == "negligible"
    assert "Beside it, in ln test " in verdict.text()
    assert "opposite" not in verdict.text()
    runs = runs_of(gains(0.1, 5))
    runs["test_ema/loss"] = 1 / runs["test_ema/loss"]
    assert "The signs are opposite" in verdicts.judge(claims.C3, runs, design=design(beside=beside)).text()
    with pytest.raises(BadInput, match="no run has the metric 'test_ema/nll'"):
        verdicts.judge(claims.C3, runs, design=design(beside=beside | {"metric": "test_ema/nll"}))


def test_unequal_sizes_and_next_to_nothing_learned_come_before_the_verdict() -> None:
    runs = runs_of(gains(0.1, 5))
    assert verdicts.judge(claims.C3, runs).warnings == ()
    smaller = runs["params_total"].where(runs["variant"] == "residual", 47_562)
    poor = runs.assign(
        params_total=smaller, **{"test_ema/top1": 0.01 + 0.001 * runs["seed"] * (runs["variant"] == "residual")}
    )
    verdict = verdicts.judge(claims.C3, poor)
    assert verdict.warnings == (
        "residual has learned next to nothing: 1.2 % right, where chance is 0.3 %.",
        "no_residual has learned next to nothing: 1.0 % right, where chance is 0.3 %.",
        "no_residual has 5.5 % fewer parameters than residual (47,562 and 50,314): the effect is that of size too.",
    )
    assert verdict.text().splitlines()[1].startswith("  Warning: residual has learned next to nothing")


def test_every_verdict_names_length_size_and_the_papers_effect() -> None:
    text = verdicts.judge(claims.C3, runs_of(gains(0.1, 5))).text()
    assert "After 3 epochs, width 0.5, 50,314 parameters." in text
    assert "the paper has +0.443 in the same measure, which our interval excludes." in text
    papers = [c.paper for claim in (claims.C4, claims.C1, claims.C3) for c in claim.contrasts if c.paper is not None]
    assert papers == pytest.approx([0.047, 0.040, 0.037, 0.443], abs=0.0006)
