"""What the study command prints, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sepconv_lab.record.plan import Plan
from sepconv_lab.study import load, make_plan
from sepconv_lab.study.__main__ import main
from sepconv_lab.study.frozen import freeze, frozen_plans

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
        (["run", "mine", "plan=0123", "--replan"], "leave one of them out"),
        (["run", "mine", "plan=0123"], "no plan of mine in runs"),
        (["retry", "mine"], "no plan of mine in runs: `study run mine` freezes one"),
        (["retry", "mine", "scale=tiny", "--replan"], "--replan: unknown"),
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


# --- which plan a command is about ------------------------------------------------------------------------------------


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that commands carry out; none of their runs is started."""
    plans: list[Plan] = []
    monkeypatch.setattr("sepconv_lab.study.__main__.advance", lambda plan, how: plans.append(plan) or 0)
    return plans


def test_run_and_retry_alone_go_on_with_the_plan_frozen_last(
    study: Callable[..., int], launched: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever words it was frozen with; nothing is planned anew."""
    assert study("run", "mine", "scale=tiny", "model.dropout=0.1") == 0
    for words in (
        ("run", "mine"),
        ("retry", "mine"),
        ("retry", "mine", "scale=tiny"),
        ("run", "mine", "train.workers=0"),
    ):
        assert study(*words) == 0
    assert len({p.plan_id for p in launched}) == 1
    assert len(frozen_plans("runs", "mine")) == 1
    assert f"plan={launched[0].plan_id} (tiny, model.dropout=0.1) was frozen last" in capsys.readouterr().out
    assert study("run", "mine", "scale=lab") == 0
    assert study("run", "mine") == 0
    assert [p.scale for p in launched[-2:]] == ["lab", "lab"]


def test_other_words_than_before_name_the_plan_that_is_there(
    study: Callable[..., int], launched: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    """Another plan under the same label takes --replan; the one that is there goes on by its id."""
    study("run", "mine", "scale=tiny", "model.dropout=0.1")
    (first,) = launched
    assert study("run", "mine", "scale=tiny") == 2
    said = capsys.readouterr().err
    assert f"has plan {first.plan_id} at tiny" in said
    assert "with model.dropout=0.1; these words (no overrides) ask for another" in said
    assert f"plan={first.plan_id}` goes on with that one, --replan" in said
    assert study("run", "mine", f"plan={first.plan_id[:5]}") == 0
    assert study("run", "mine", "scale=tiny", "--replan") == 0
    assert launched[1] == first != launched[2]
    assert [p.plan_id for p in frozen_plans("runs", "mine")] == [launched[2].plan_id]
    assert study("retry", "mine", f"plan={first.plan_id}") == 0, "a replaced plan is still there by its id"
    assert launched[3].plan_id == first.plan_id
    assert study("retry", "mine", "model.dropout=0.2") == 2
    assert f"no plan of mine is like that; there are: plan={launched[2].plan_id} (tiny)" in capsys.readouterr().err


def test_a_study_file_that_changed_or_broke_does_not_change_what_goes_on(
    study: Callable[..., int], launched: list[Plan], write: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has changed is said, with the command that would freeze it."""
    study("run", "mine", "scale=tiny")
    write(PLAIN.replace("mid_act=relu", "mid_act=elu"))
    assert study("run", "mine") == 0
    out = capsys.readouterr().out
    assert "variant relu: block.mid_act: relu -> elu; `python -m sepconv_lab.study run mine scale=tiny --replan`" in out
    write("nonsense")
    assert study("retry", "mine") == 0
    assert "note: the study file cannot be planned any more" in capsys.readouterr().out
    assert len({p.plan_id for p in launched}) == 1


def test_a_frozen_plan_alone_runs_no_code(
    study: Callable[..., int], launched: list[Plan], write: Writer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Modules that the plan names and the study file does not are not imported, by whatever command."""
    (tmp_path / "harmless.py").write_text("")
    write(PLAIN.replace("base: [model=xception]", "base: ['imports=[harmless]']"))
    (plan,) = launched if study("run", "mine", "scale=tiny") == 0 else ()
    assert study("run", "mine", f"plan={plan.plan_id}") == 0
    write()
    for command in ("run", "retry"):
        assert study(command, "mine", f"plan={plan.plan_id}") == 2
        assert "imports harmless, and the study nothing: a plan alone runs no code" in capsys.readouterr().err
    assert len(launched) == 2
