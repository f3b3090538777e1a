"""What the study command prints, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sepconv_lab.study import load, make_plan
from sepconv_lab.study.__main__ import main
from sepconv_lab.study.frozen import freeze

from .conftest import PLAIN, Writer


@pytest.fixture
def study(write: Writer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(write().parent.parent.parent)
    return lambda *words: main(list(words))


def test_a_plan_shows_what_a_study_will_cost_and_starts_nothing(
    study: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Variants with their overrides, parameters, MACs, steps, time and disk; claim and seeds; nothing on the disk."""
    assert study("plan", "mine", "scale=tiny") == 0
    out = capsys.readouterr().out
    rows = {line.split("  ")[0]: line.split() for line in out.splitlines() if line.startswith(("none  ", "relu  "))}
    assert rows["relu"][:2] == ["relu", "block.mid_act=relu"]
    assert int(rows["none"][2].replace(",", "")) > 1000
    assert rows["none"][-1] == "0/2"
    assert "decided by: relu better than none; smallest effect 0.02" in out
    assert "4 runs, all variants of a seed before the next seed: 0 finished, 4 to do" in out
    assert "a measured step" in out
    assert "nothing was started" in out
    assert not (tmp_path / "runs").exists()


def test_status_counts_by_variant_and_seed(
    study: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from sepconv_lab.record.record import Record

    plan = freeze(make_plan(load("mine"), "tiny")[0], "runs")
    done, killed, diverged, waiting = [Record("runs", str(r.run_id)) for r in plan.runs]
    for record in (done, killed, diverged):
        record.begin({})
    done.finish({"status": "finished"})
    diverged.finish({"status": "diverged", "error": "the loss is not finite at step 3\nmore"})
    assert study("status", "mine") == 1
    out = capsys.readouterr().out
    assert "4 runs: 1 finished, 1 diverged, 1 interrupted, 1 waiting" in out
    assert [line.split()[:2] for line in out.splitlines()[2:4]] == [["none", "+d"], ["relu", "!."]]
    failures = [line.split("  ")[0] for line in out.splitlines() if "runs/" in line]
    assert failures == ["relu/0", "none/1"]
    assert "the loss is not finite at step 3 " in out
    with killed.owned():
        study("status", "mine")
    assert "relu/0: starting" in capsys.readouterr().out
    assert waiting.status() == "missing"


def test_the_list_names_question_and_state(study: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert study("list") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["mine", "own", "2", "x", "2", "-", "Does", "it?"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rum", "mine"], "rum: unknown.*Did you mean run"),
        (["run"], "takes one study"),
        (["run", "mime"], "study mime: unknown.*Did you mean mine"),
        (["run", "mine", "scale=tini"], "scale=tini: unknown.*Did you mean tiny"),
        (["run", "mine", "stage=tund"], "stage=tund: unknown.*Did you mean tun"),
        (["run", "mine", "stage=tuned"], "has no `tune` part"),
        (["run", "mine", "--replann"], "--replann: unknown.*Did you mean --replan"),
        (["run", "mine", "block.mid_acts=relu"], "block.mid_acts=relu: unknown"),
        (["run", "mine", "train.threads=1", "train.threads=2"], "given twice"),
        (["run", "mine", "hydra/launcher=joblb"], "hydra/launcher=joblb: unknown.*Did you mean joblib"),
        (["run", "mine", "hydra/launcher=joblib", "hydra.launcher.n_job=2"], "n_job"),
        (["run", "mine", "seeds=0,0"], "0 repeated"),
        (["status", "mine"], "no plan of mine in runs"),
    ],
)
def test_a_mistyped_command_is_answered_and_writes_nothing(
    study: Callable[..., int], words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit 2, one message, no traceback, no folder."""
    import re

    assert study(*words) == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err), captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "runs").exists()


def test_a_changed_study_is_refused_with_what_changed(
    study: Callable[..., int], write: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(make_plan(load("mine"), "tiny")[0], "runs")
    write(PLAIN.replace("mid_act=relu", "mid_act=elu"))
    assert study("run", "mine", "scale=tiny") == 2
    assert "variant relu: block.mid_act: relu -> elu" in capsys.readouterr().err
    assert study("plan", "mine", "scale=tiny") == 0
    assert "the study has changed since" in capsys.readouterr().out
