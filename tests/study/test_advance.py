"""A study goes to its next look and no further than it has to, wherever its runs were carried out. Nothing is trained here."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from sepconv_lab.analysis import load_runs
from sepconv_lab.analysis.claims import board
from sepconv_lab.record.plan import Plan, PlannedRun
from sepconv_lab.record.record import Record
from sepconv_lab.study import advance, frozen, load, make_plan
from sepconv_lab.study.__main__ import main
from sepconv_lab.study.looks import frame_of, needed
from sepconv_lab.study.status import sources_of
from sepconv_lab.study.supervisor import Supervisor

from ..analysis import generated as made
from .conftest import PLAIN, TINY, Writer

THREE = f"""
question: Which?
claim: {{id: own, contrasts: [a better than none, b better than none]}}
base: [model=xception]
baseline: none
variants: {{none: [], a: [block.mid_act=elu], b: [block.mid_act=relu]}}
seeds: {{looks: [4, 8, 12], first: 1000}}
scales: {{tiny: {TINY}}}
"""
"""`a` is decided at once, `b` is not."""


class Later(datetime.datetime):
    """A clock that is an hour ahead."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Later:
        return cast("Later", super().now(tz) + datetime.timedelta(hours=1))


class Machine:
    """Carries runs out by writing their records: errors by variant, the kind of machine, and how many runs it survives."""

    def __init__(self, errors: dict[str, float], **kind: Any):
        self.errors, self.kind, self.launched, self.most = errors, kind, list[str](), 1000
        self.noise = np.random.default_rng(0).normal(0, 0.02, (5000, 3))

    def go(self, supervisor: Supervisor, runs: Sequence[int]) -> None:
        plan = supervisor.plan
        for i in runs:
            if len(self.launched) >= self.most:
                raise advance.Stopped
            self.carry_out(plan, plan.runs[i], supervisor.runs_dir)
            self.launched.append(plan.runs[i].name)
            if supervisor.export is not None:
                from sepconv_lab.analysis.read.export import add_run

                add_run(supervisor.export, supervisor.runs_dir, str(plan.runs[i].run_id))

    def carry_out(self, plan: Plan, run: PlannedRun, runs_dir: str) -> None:
        place = list(plan.variants).index(run.variant)
        error = round(3000 * self.errors[run.variant] * float(np.exp(self.noise[run.seed, place]))) / 3000
        told = made.summary(str(run.run_id), 1 - error, **self.kind)
        made.write_record(Path(runs_dir), str(run.run_id), plan.variants[run.variant].config | {"seed": run.seed}, told)


@pytest.fixture
def study(write: Writer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(write(THREE).parent.parent.parent)
    return lambda *words: main(list(words))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine({"none": 0.3, "a": 0.2, "b": 0.3 * 0.975}, hardware_class="a CPU", threads=1)
    on(found, monkeypatch)
    return found


def on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, runs are carried out on this machine."""
    kind = {"hardware_class": "a CPU, AVX2", "device": "cpu", "precision": "fp32", "threads": 2,
            "versions": {"python": "3.11.7", "torch": "2.13.0"}} | machine.kind  # fmt: skip
    here = {k: v for k, v in kind.items() if k != "versions"} | {
        f"versions.{k}": v for k, v in kind["versions"].items()
    }
    monkeypatch.setattr(Supervisor, "go", lambda self, runs: machine.go(self, runs))
    monkeypatch.setattr(advance, "this_machine", lambda plan, how: here)


def names(variants: Iterable[str], seeds: Iterable[int]) -> list[str]:
    return [f"{v}/{s}" for s in seeds for v in variants]


def test_a_study_goes_to_its_next_look_only_where_a_contrast_is_open(
    study: Callable[..., int], machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """All variants to the first look, then those of the open contrast; each look says what it decided and what the next costs."""
    assert study("run", "mine", "scale=tiny") == 0
    assert machine.launched == names(("none", "a", "b"), range(1000, 1004))
    out = capsys.readouterr().out
    assert "look 1 of 3 at 4 seeds: 12 runs, 0/12 finished, 12 to run" in out
    assert "after 4 seeds, own: " in out
    assert (
        "open: b better than none. The next look takes 8 runs (seeds 1004 to 1007 of none, b), about 26:44 one after another"
        in out
    )
    assert study("status", "mine") == 0
    assert "12 runs: 12 finished" in capsys.readouterr().out

    assert study("run", "mine", "scale=tiny") == 0
    assert machine.launched[12:] == names(("none", "b"), range(1004, 1008))
    assert "look 2 of 3 at 8 seeds: 20 runs, 12/20 finished, 8 to run" in capsys.readouterr().out
    assert study("run", "mine", "scale=tiny", "until=decided") == 0
    assert study("run", "mine", "scale=tiny") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_until_decided_goes_through_the_looks(study: Callable[..., int], machine: Machine) -> None:
    assert study("run", "mine", "scale=tiny", "until=decided") == 0
    plan = make_plan(load("mine"), "tiny")[0]
    need = needed(plan, frame_of(plan, sources_of("runs")))
    assert need.over
    assert {r.split("/")[0] for r in machine.launched[12:]} == {"none", "b"}
    assert study("run", "mine", "scale=tiny", "until=decided") == 0


def test_a_study_goes_on_from_a_fresh_clone_with_nothing_but_committed_files(
    study: Callable[..., int], machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted after its first look and one seed of the second, on a machine that is gone: another kind of machine goes on
    with the next seed, and later looks pool what both committed."""
    assert study("run", "mine", "scale=tiny", "--export") == 0
    machine.most = 12 + 3  # a seed, and the first run of the next one
    assert study("run", "mine", "scale=tiny", "--export") == 1
    pooled = load_runs("experiments", study="mine", allow_partial=True)
    assert len(list(Path("experiments/mine/results/tiny/runs").glob("*.json"))) == 15
    before = json.loads(next(Path("runs/studies").rglob("plan.json")).read_text())
    shutil.rmtree("runs")
    monkeypatch.setattr(frozen.datetime, "datetime", Later)

    other = Machine(machine.errors, hardware_class="a GPU", device="cuda")
    on(other, monkeypatch)
    capsys.readouterr()
    assert study("plan", "mine", "scale=tiny") == 0
    assert "15 finished" in capsys.readouterr().out
    assert study("run", "mine", "scale=tiny", "--export") == 0
    out = capsys.readouterr().out
    assert other.launched == names(("none", "b"), range(1005, 1008))
    assert "seed 1005: none/1005 ended on another kind of machine; a seed is of one kind, so run again here" in out
    first_frozen = json.loads(Path("experiments/mine/results/tiny/plan.json").read_text())["frozen"]
    assert (
        first_frozen
        == before["frozen"]
        == json.loads(next(Path("runs/studies").rglob("plan.json")).read_text())["frozen"]
    )
    runs = load_runs("experiments", study="mine", allow_partial=True)
    assert runs.groupby("hardware_class")["seed"].nunique().to_dict() == {"a CPU": 5, "a GPU": 3}
    first = pooled["seed"] < 1004
    assert runs.loc[: first.sum() - 1, "test_ema/top1"].tolist() == pooled.loc[first, "test_ema/top1"].tolist()
    plan = make_plan(load("mine"), "tiny")[0]
    judged = board.judge_plan(plan, frame_of(plan, sources_of("runs")))
    assert judged is not None
    assert max(p.effect.n for p in judged.verdict.parts) == 8


def test_a_run_done_again_on_another_kind_stands_beside_the_first(
    study: Callable[..., int], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same runs_dir too: the record of the broken-off seed makes way, and nothing is lost."""
    machine.most = 2
    assert study("run", "mine", "scale=tiny") == 1
    other = Machine(machine.errors, hardware_class="a GPU", device="cuda")
    on(other, monkeypatch)
    assert study("run", "mine", "scale=tiny") == 0
    assert other.launched == names(("none", "a", "b"), range(1000, 1004))
    assert len(list(Path("runs/kinds").glob("*/*/summary.json"))) == 2
    assert set(load_runs("runs", allow_partial=True)["hardware_class"].dropna()) == {"a GPU"}


def test_studies_share_runs_that_another_one_has_committed(
    study: Callable[..., int], machine: Machine, write: Writer
) -> None:
    """The baseline of two studies is trained once, wherever it was."""
    assert study("run", "mine", "scale=tiny", "--export") == 0
    shutil.rmtree("runs")
    write(
        THREE.replace("{none: [], a: [block.mid_act=elu], b:", "{none: [], b:").replace("a better than none, ", ""),
        "yours",
    )
    before = len(machine.launched)
    assert study("run", "yours", "scale=tiny", "--export") == 0
    assert machine.launched[before:] == names(("none", "b"), range(1004, 1008))
    assert len(load_runs("experiments/yours")) == 16


def test_a_single_look_and_a_study_without_a_claim_end_when_all_runs_have(
    write: Writer, machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in (PLAIN, PLAIN.replace("claim: {id: own, contrasts: [relu better than none]}", "")):
        path = write(text)
        monkeypatch.chdir(path.parent.parent.parent)
        shutil.rmtree("runs", ignore_errors=True)
        machine.errors = {"none": 0.3, "relu": 0.2}
        assert main(["run", "mine", "scale=tiny"]) == 0
        assert main(["run", "mine", "scale=tiny"]) == 0
        assert "all 4 runs are finished; nothing to do" in capsys.readouterr().out


def test_failed_and_diverged_runs_keep_their_places(
    study: Callable[..., int], machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed run keeps a look open until `retry`; a diverged one is a result, though the command does not end with 0."""
    plan = make_plan(load("mine"), "tiny")[0]
    real = machine.carry_out

    def carry_out(plan: Plan, run: PlannedRun, runs_dir: str) -> None:
        if run.name in ends:
            told = made.summary(str(run.run_id), None, ends[run.name], hardware_class="a CPU", threads=1)
            made.write_record(
                Path(runs_dir), str(run.run_id), plan.variants[run.variant].config | {"seed": run.seed}, told
            )
        else:
            real(plan, run, runs_dir)

    machine.carry_out = carry_out  # type: ignore[method-assign]
    ends = {"a/1001": "failed", "b/1002": "diverged"}
    assert study("run", "mine", "scale=tiny") == 1
    assert "10/12 finished" in capsys.readouterr().out
    assert study("run", "mine", "scale=tiny") == 1
    assert len(machine.launched) == 12
    ends.clear()
    failed = next(r for r in plan.runs if r.name == "a/1001")
    shutil.rmtree(Record("runs", str(failed.run_id)).path)
    assert study("run", "mine", "scale=tiny") == 1
    assert machine.launched[12:] == ["a/1001"]
    assert "look 1 of 3 at 4 seeds: 12 runs, 10/12 finished, 1 to run" in capsys.readouterr().out
