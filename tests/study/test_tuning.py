"""A learning rate for each variant, from one grid for all, on validation and on seeds of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepconv_lab.config import BadInput
from sepconv_lab.record.plan import PlannedRun, from_json
from sepconv_lab.study import load, make_plan, tuning
from sepconv_lab.study.status import State
from sepconv_lab.study.tuning import Candidate

from .conftest import PLAIN, Writer

TUNED = PLAIN.replace("seeds: 2", "seeds: 2\ntune: {lr_points: 3, seeds: [90, 91], metric: val/top1}")


def _states(scores: dict[str, dict[int, float | None]], rates: dict[str, float]) -> list[State]:
    """Finished tuning runs with these accuracies by variant and exponent; None: diverged."""
    return [
        State(PlannedRun(f"{name} lr={rates[name] * 10 ** (k / 2):.4g}", seed, "x"), "diverged" if score is None else "finished",
              Path(), summary={"metrics": {"val/top1": (score or 0.0) + 0.001 * seed}})
        for name, points in scores.items() for k, score in points.items() for seed in (90, 91)
    ]  # fmt: skip


def test_the_grid_is_the_same_half_decades_for_every_variant(write: Writer) -> None:
    study = load(write(TUNED))
    rates = tuning.base_rates(study, "tiny", [])
    assert rates == {"none": 0.2, "relu": 0.2}
    found = tuning.candidates(study, "tiny", rates, tuning.grid(study))
    assert list(found)[:3] == ["none lr=0.06325", "none lr=0.2", "none lr=0.6325"]
    assert found["relu lr=0.6325"] == Candidate(
        "relu", 1, ("block.mid_act=relu", "train.lr=0.6325", "train.test=false")
    )
    assert tuning.grid(study, below=1, above=2) == [-2, -1, 0, 1, 2, 3]


def test_the_best_mean_on_validation_is_chosen_and_a_diverged_run_is_the_worst(write: Writer) -> None:
    study, rates = load(write(TUNED)), {"none": 0.2, "relu": 0.2}
    scores = {"none": {-1: 0.5, 0: 0.6, 1: None}, "relu": {-1: 0.7, 0: 0.6, 1: 0.5}}
    grid = tuning.candidates(study, "tiny", rates, [-1, 0, 1])
    best = tuning.choose(study, grid, _states(scores, rates))
    assert best == {"none": 0, "relu": -1}
    assert tuning.extension([-1, 0, 1], best) == (1, 0)  # relu's best is the lowest rate tried
    chosen = tuning.tuned(study, "tiny", rates, best)
    assert chosen == {"none": ("train.lr=0.2",), "relu": ("block.mid_act=relu", "train.lr=0.06325")}


def test_an_unfinished_or_unmeasured_tuning_chooses_nothing(write: Writer) -> None:
    study, rates = load(write(TUNED)), {"none": 0.2}
    found = _states({"none": {-1: 0.5, 0: 0.6, 1: 0.5}}, rates)
    grid = {
        name: c
        for name, c in tuning.candidates(study, "tiny", rates | {"relu": 0.2}, [-1, 0, 1]).items()
        if c.origin == "none"
    }
    with pytest.raises(BadInput, match=r"tuning is not complete: none lr=0\.06325/90"):
        tuning.choose(study, grid, [State(found[0].run, "failed", Path()), *found[1:]])
    blind = [State(s.run, s.status, s.record, summary={"metrics": {"val/loss": 1.0}}) for s in found]
    with pytest.raises(BadInput, match="no run has it; there are: val/loss"):
        tuning.choose(study, grid, blind)


def test_a_variant_that_sets_its_own_rate_cannot_be_tuned(write: Writer) -> None:
    study = load(write(TUNED.replace("[block.mid_act=relu]", "[block.mid_act=relu, train.lr=0.1]")))
    with pytest.raises(BadInput, match=r"relu sets train\.lr itself"):
        tuning.base_rates(study, "tiny", [])
    with pytest.raises(BadInput, match="has no `tune` part"):
        tuning.base_rates(load(write()), "tiny", [])


def test_tuning_runs_are_matched_in_size_as_their_variants_are(write: Writer) -> None:
    """The reference keeps its width, and every other candidate has its variant's."""
    text = TUNED.replace("  relu: [block.mid_act=relu]", "  relu: [block=conv]\nmatch: {count: params, to: none}")
    study = load(write(text))
    rates = tuning.base_rates(study, "lab", [])
    grid = tuning.candidates(study, "lab", rates, [0, 1])
    plan, _ = make_plan(study, "lab", stage="tune", seeds=[90], variants={n: c.overrides for n, c in grid.items()},
                        origins={n: c.origin for n, c in grid.items()})  # fmt: skip
    assert {n: v.origin for n, v in plan.variants.items()} == {n: n.split()[0] for n in grid}
    assert from_json(plan.to_json()) == plan
    widths = {name: v.config["model"]["width"] for name, v in plan.variants.items()}
    assert widths["none lr=0.2"] == widths["none lr=0.6325"] == 1.0
    assert widths["relu lr=0.2"] == widths["relu lr=0.6325"] != 1.0
