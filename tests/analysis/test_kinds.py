"""Machines may differ between the seeds of a study, never within one: a run done again elsewhere stands beside the first."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sepconv_lab.analysis import load_history, load_runs
from sepconv_lab.analysis.claims import board
from sepconv_lab.analysis.read import kinds, load
from sepconv_lab.analysis.read.export import export
from sepconv_lab.analysis.read.sources import Records
from sepconv_lab.record.plan import read_plan

from . import generated as made

CPU, GPU = {}, {"device": "cuda", "hardware_class": "a GPU"}
LAB = Path("experiments") / made.FIGURE10 / "results" / "lab"


def carried_out(runs_dir: Path, ends: dict[tuple[str, int], float], machine: dict[str, str], top1: float = 0.8) -> None:
    """Records of these runs, ended at these times on one kind of machine."""
    for (variant, seed), ended in ends.items():
        run_id = made.run_id(made.FIGURE10, variant, seed)
        told = made.summary(run_id, top1, ended=ended, **machine)
        made.write_record(runs_dir, run_id, made.config(seed, str(runs_dir), block__mid_act=variant), told)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a planned study of two seeds and no run."""
    monkeypatch.chdir(tmp_path)
    variants = {name: made.config(block__mid_act=name) for name in made.ERRORS}
    for place in ("runs", "elsewhere"):
        made.write_plan(Path(place), variants, seeds=(0, 1))
    return tmp_path


def seeds_on(runs: pd.DataFrame) -> dict[int, set[str]]:
    return {int(s): set(rows["hardware_class"].dropna()) for s, rows in runs.groupby("seed")}


ALL = [(v, s) for s in (0, 1) for v in made.ERRORS]


def test_a_seed_is_taken_from_the_first_kind_on_which_all_its_variants_ended(here: Path) -> None:
    """Seed 0 broke off on the CPU and was done again on the GPU; seed 1 was whole on the CPU before the GPU had it."""
    carried_out(Path("runs"), {key: float(i) for i, key in enumerate(ALL) if key != ("relu", 0)}, CPU, 0.8)
    export(made.FIGURE10, allow_partial=True)
    carried_out(Path("elsewhere"), {key: 100.0 + i for i, key in enumerate(ALL)}, GPU, 0.9)
    export(made.FIGURE10, "elsewhere", allow_partial=True)
    runs = load_runs(LAB)
    assert seeds_on(runs) == {0: {"a GPU"}, 1: {"a CPU, AVX2"}}
    assert runs["test_ema/top1"].tolist() == [0.9] * 3 + [0.8] * 3
    assert len(list(LAB.glob("runs/*.json"))) == 5 + 6


def test_what_was_taken_stays_when_the_seed_is_done_again(here: Path) -> None:
    carried_out(Path("runs"), {key: float(i) for i, key in enumerate(ALL)}, CPU)
    export(made.FIGURE10)
    before = load_runs(LAB)
    carried_out(Path("elsewhere"), {key: 50.0 + i for i, key in enumerate(ALL)}, GPU, 0.9)
    export(made.FIGURE10, "elsewhere")
    pd.testing.assert_frame_equal(load_runs(LAB), before, check_exact=True)


def test_a_seed_without_a_whole_kind_shows_its_mixture(here: Path) -> None:
    """No run is dropped: what has ended on the other kind alone stands there, and comparisons refuse it by name."""
    carried_out(Path("runs"), {("none", 0): 1.0, ("elu", 0): 2.0}, CPU)
    export(made.FIGURE10, allow_partial=True)
    carried_out(Path("elsewhere"), {("elu", 0): 3.0, ("relu", 0): 4.0}, GPU)
    export(made.FIGURE10, "elsewhere", allow_partial=True)
    runs = load_runs(LAB, allow_partial=True)
    assert runs.loc[runs["seed"] == 0, "status"].tolist() == ["finished"] * 3
    assert seeds_on(runs)[0] == {"a CPU, AVX2", "a GPU"}


def test_records_that_made_way_stand_beside_in_the_runs_dir(here: Path) -> None:
    """`<runs_dir>/kinds/<kind>/<run id>`: read as the others, for every study that they are part of."""
    carried_out(Path("runs/kinds/0123abcd"), {key: float(i) for i, key in enumerate(ALL)}, CPU)
    carried_out(Path("runs"), {("none", 0): 9.0}, GPU)
    assert seeds_on(load_runs()) == {0: {"a CPU, AVX2"}, 1: {"a CPU, AVX2"}}
    assert len(Records("runs").candidates(made.run_id(made.FIGURE10, "none", 0))) == 2


def test_a_plan_in_two_places_has_the_runs_of_both(here: Path) -> None:
    """Records of this machine and what is committed from another one are judged together."""
    carried_out(Path("elsewhere"), {key: float(i) for i, key in enumerate(ALL) if key[1] == 0}, CPU)
    export(made.FIGURE10, "elsewhere", allow_partial=True)
    carried_out(Path("runs"), {key: float(i) for i, key in enumerate(ALL) if key[1] == 1}, CPU)
    both = load_runs(["runs", "experiments"], study=made.FIGURE10, label="lab")
    assert both["status"].tolist() == ["finished"] * 6
    assert len(load_history(["experiments", "runs"])) == 6 * len(made.events())
    (judged,) = board.judge_plans(["runs", "experiments"]).judged
    assert (judged.verdict.n, judged.verdict.planned) == (2, 2)


def test_a_kind_is_named_in_words(here: Path) -> None:
    carried_out(Path("runs"), {("none", 0): 1.0}, CPU)
    plan = read_plan(made.plan_file(Path("runs")))
    (row,) = (r for r in load.pooled(plan, [Records("runs")]).rows() if r["status"] == "finished")
    assert kinds.words(kinds.kind_of(row)) == "a CPU, AVX2, fp32, 2 threads, torch 2.13.0"
    assert len(kinds.tag(kinds.kind_of(row))) == 8
