"""A study survives whatever happens to its runs, its launcher and itself. Processes are really killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sepconv_lab.record.record import Record, records
from sepconv_lab.runs import load_all
from sepconv_lab.study.__main__ import main

from ..helpers import SMALL, cli, deterministic, environment
from .conftest import PLAIN, TINY, Writer

pytestmark = pytest.mark.slow


@pytest.fixture
def study(write: Writer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`study(words...)`: the command, in this process, in a fresh folder that holds the study `mine`."""
    path = write()
    monkeypatch.chdir(path.parent.parent.parent)
    return lambda *words: main(list(words))


def _bits(runs_dir: Path) -> dict[str, object]:
    """What training computed, by run id: final metrics, events without time, and the predictions."""
    found = {}
    for run in load_all(runs_dir):
        predictions = (run.record.path / "predictions.npz").read_bytes()
        found[run.record.run_id] = (
            run.summary["status"],
            run.summary["metrics"],
            deterministic(run.record.events()),
            predictions,
        )
    return found


def test_a_finished_study_does_nothing_and_says_so(
    study: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """And with one record's summary gone, only that run is evaluated again, from its final checkpoint."""
    assert study("run", "mine", "scale=tiny") == 0
    bits, runs = _bits(Path("runs")), [r.run_id for r in records("runs")]
    stamps = {r: (Path("runs") / r / "metrics.jsonl").stat().st_mtime_ns for r in runs}
    assert len(runs) == 4
    assert "report: python -m sepconv_lab.report mine --label tiny" in capsys.readouterr().out
    assert study("run", "mine", "scale=tiny") == 0
    assert "all 4 runs are finished; nothing to do" in capsys.readouterr().out

    (Path("runs") / runs[1] / "summary.json").unlink()
    assert study("status", "mine") == 1
    assert study("run", "mine", "scale=tiny") == 0
    out = capsys.readouterr().out
    assert out.count("going on from step 7 of 7") == 1
    assert _bits(Path("runs")) == bits
    changed = [r for r in runs if (Path("runs") / r / "metrics.jsonl").stat().st_mtime_ns != stamps[r]]
    assert changed == [runs[1]]
    assert study("status", "mine") == 0


def test_a_damaged_record_is_named_and_the_others_go_on(
    study: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """`run` and `retry` end with a table that says what is damaged; put aside, `retry` runs it again."""
    assert study("run", "mine", "scale=tiny") == 0
    bad, *others = [r.run_id for r in records("runs")]
    (Path("runs") / bad / "summary.json").write_text('{"sta')
    (Path("runs") / others[0] / "summary.json").unlink()
    for command in ("run", "retry"):
        assert study(command, "mine", "scale=tiny") == 1
        out = capsys.readouterr().out
        assert "4 runs: 3 finished, 1 failed" in out
        assert "summary.json is damaged" in out
    Record("runs", bad).archive()
    assert study("retry", "mine", "scale=tiny") == 0


BROKEN = """
import os, pathlib, signal
from dataclasses import dataclass
from torch import nn
from sepconv_lab.config import BlockConfig, setting
from sepconv_lab.registry import register

@dataclass
class FragileConfig(BlockConfig):
    name: str = setting("fragile", "the name")
    how: str = setting("fine", "how it breaks, until a file `mended` is there")

@register(FragileConfig)
class Fragile(nn.Sequential):
    def __init__(self, config, cin, cout, conventions):
        super().__init__(nn.Conv2d(cin, cout, 3, padding=1, bias=False), conventions.norm(cout))
        self.how = config.how
    def forward(self, x):
        if x.device.type != "meta" and self.training and not pathlib.Path("mended").exists():
            if self.how == "exception":
                raise RuntimeError("a layer that does not work")
            if self.how == "exit":
                raise SystemExit(3)
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)
"""

FINE = ["relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "relu6", "hardswish"]


def _study(fine: list[str], broken: str) -> str:
    return f"""
question: What stops a study?
base: ["imports=[broken.py]"]
baseline: relu
variants:
{"".join(f"  {a}: [block.mid_act={a}]{chr(10)}" for a in fine)}{broken}
seeds: 1
scales: {{tiny: {TINY}}}
"""


TWELVE = _study(FINE, """  exception: [block=fragile, block.how=exception]
  kill: [block=fragile, block.how=kill]
  diverges: [train.lr=1.0e+38]""")  # fmt: skip
ENDS = {
    "exception/0": ("failed", "RuntimeError: a layer that does not work"),
    "diverges/0": ("diverged", "the loss is not finite"),
    "kill/0": ("interrupted", "killed"),
}


@pytest.fixture
def twelve(write: Writer, tmp_path: Path) -> Path:
    (tmp_path / "broken.py").write_text(BROKEN)
    return write(TWELVE)


def test_three_broken_runs_of_twelve_neither_stop_nor_hide_the_others(twelve: Path, tmp_path: Path) -> None:
    """An exception, a divergence and a SIGKILL on two joblib workers: nine finished, three named, exit 1. Mended,
    `--replan` and `retry` end with twelve."""
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    first = cli("run", "mine", "scale=tiny", *launcher, cwd=tmp_path, module="study")
    assert first.returncode == 1, first.stdout + first.stderr
    table = first.stdout[first.stdout.index("12 runs: 9 finished"):]  # fmt: skip
    for name, (status, error) in ENDS.items():
        line = next(x for x in table.splitlines() if x.startswith(f"{name} "))
        assert status in line
        assert error in line
        assert "runs/" in line  # where its record is

    again = cli(
        "run", "mine", "scale=tiny", *launcher, cwd=tmp_path, module="study"
    )  # the killed one once more, not the failed ones
    assert again.returncode == 1
    assert "9/12 finished, 1 to run" in again.stdout

    (tmp_path / "mended").touch()
    twelve.write_text(TWELVE.replace("train.lr=1.0e+38", "train.lr=0.1"))
    changed = cli("run", "mine", "scale=tiny", *launcher, cwd=tmp_path, module="study")
    assert changed.returncode == 2
    assert "variant diverges: train.lr: 1e+38 -> 0.1" in changed.stderr
    assert "Traceback" not in changed.stderr
    replanned = cli("run", "mine", "scale=tiny", "--replan", *launcher, cwd=tmp_path, module="study")
    assert "9/12 finished, 2 to run" in replanned.stdout  # the new one and the killed one
    assert replanned.returncode == 1
    retried = cli("retry", "mine", "scale=tiny", *launcher, cwd=tmp_path, module="study")
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert "12/12 finished" in retried.stdout


def test_the_basic_launcher_outlives_exceptions_and_exits(twelve: Path, tmp_path: Path) -> None:
    """A run that raises SystemExit in this very process ends as failed, and the next one starts."""
    twelve.write_text(_study(FINE[:2], """  exception: [block=fragile, block.how=exception]
  exit: [block=fragile, block.how=exit]"""))  # fmt: skip
    done = cli("run", "mine", "scale=tiny", cwd=tmp_path, module="study")
    assert done.returncode == 1
    assert "4 runs: 2 finished, 2 failed" in done.stdout, done.stdout + done.stderr
    assert "SystemExit: 3" in done.stdout


def test_a_run_whose_data_changed_since_the_plan_is_refused_by_its_job(write: Writer, tmp_path: Path) -> None:
    """The job checks the id that it was planned under: what would become another experiment is named and not run."""
    from PIL import Image

    for split, count in (("train", 24), ("test", 6)):
        for label in ("a", "b"):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (i, 20 if label == "a" else 200, 0)).save(folder / f"{i}.png")
    path = write(PLAIN.replace("base: [model=xception]", "base: [data=folder, data.path=images]").replace(
        "data.num_classes=5, data.images_per_class=24, data.eval_images_per_class=8, ", ""))  # fmt: skip
    from sepconv_lab.study import load, make_plan
    from sepconv_lab.study.frozen import freeze
    from sepconv_lab.study.status import states
    from sepconv_lab.study.supervisor import Supervisor

    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        plan = freeze(make_plan(load(path), "tiny")[0], "runs")
        Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "images" / "train" / "a" / "0.png")
        Supervisor(plan, "runs").go([0])
        state = states(plan, "runs")[0]
    finally:
        os.chdir(here)
    assert state.status == "failed"
    assert f"none/0 was planned as {plan.runs[0].run_id} and has become" in state.error


def test_a_study_killed_at_ten_moments_ends_as_one_never_killed(
    write: Writer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL after seeded times, the same command again each time: the same records, bit for bit."""
    path = write(PLAIN.replace("train.epochs=1", "train.epochs=4, train.checkpoint_every=0.2"))
    never = cli("run", "mine", "scale=tiny", "runs_dir=never", cwd=tmp_path, module="study")
    assert never.returncode == 0, never.stdout + never.stderr
    draw, kills = random.Random(7), 0
    command = [sys.executable, "-m", "sepconv_lab.study", "run", str(path), "scale=tiny", "runs_dir=killed"]
    for _ in range(10):
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "to run" in line:
                break
        time.sleep(draw.uniform(0.2, 2.0))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert kills >= 5  # the last ones may find the study finished
    record_property("count processes killed", kills)
    last = cli("run", "mine", "scale=tiny", "runs_dir=killed", cwd=tmp_path, module="study")
    assert last.returncode == 0, last.stdout + last.stderr
    assert _bits(tmp_path / "killed") == _bits(tmp_path / "never")


@pytest.mark.parametrize(("module", "heard_by"), [("study", "all"), ("run", "all"), ("study", "the launcher")])
def test_ctrl_c_ends_every_run_at_work_after_its_step_and_begins_no_other(
    module: str, heard_by: str, write: Writer, tmp_path: Path
) -> None:
    """With workers, in a study and in a sweep: each run has its checkpoint, though the launcher would have killed them. So too
    where only the launcher hears of it, as from `kill -INT`."""
    long = [*SMALL, "train.epochs=200", "wandb.mode=disabled", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    sweep = ["-m", "block.mid_act=none,relu,elu,gelu", *long]
    words = ["run", str(write(PLAIN)), "scale=lab", *long] if module == "study" else sweep
    process = subprocess.Popen(
        [sys.executable, "-m", f"sepconv_lab.{module}", *words], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env=environment(), start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "runs").is_dir() or sum(bool(r.events()) for r in records(tmp_path / "runs")) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (os.killpg if heard_by == "all" else os.kill)(process.pid, signal.SIGINT)  # a terminal tells all
    out = process.communicate(timeout=100)[0]
    assert process.returncode == 1, out
    assert "stopping after the steps at work" in out
    ends = [r.summary() for r in records(tmp_path / "runs")]
    assert [(e or {}).get("status") for e in ends] == ["interrupted"] * 2, out
    assert all(str(e["error"]).startswith("stopped by a signal after step ") for e in ends if e)
    assert all((r.path / "checkpoints" / "last.pt").exists() for r in records(tmp_path / "runs"))


def test_two_launches_at_once_run_nothing_twice(write: Writer, tmp_path: Path) -> None:
    path = write(PLAIN.replace("train.epochs=1", "train.epochs=3"))
    command = [sys.executable, "-m", "sepconv_lab.study", "run", str(path), "scale=tiny"]
    both = [
        subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
        )
        for _ in "ab"
    ]
    said = [p.communicate(timeout=200)[0] for p in both]
    found = load_all(tmp_path / "runs")
    assert [r.summary["status"] for r in found] == ["finished"] * 4, said
    assert [r.summary["attempts"] for r in found] == [1] * 4


def test_a_rate_is_tuned_for_each_variant_and_both_results_are_kept(write: Writer, tmp_path: Path) -> None:
    """stage=tuned: the grid on validation first, then every variant at its own rate; the fixed results stay beside."""
    text = PLAIN.replace("seeds: 2", "seeds: 1\ntune: {lr_points: 3, seeds: [90], metric: val/top1}")
    write(text)
    assert cli("run", "mine", "scale=tiny", cwd=tmp_path, module="study").returncode == 0
    done = cli("run", "mine", "scale=tiny", "stage=tuned", cwd=tmp_path, module="study")
    assert done.returncode == 0, done.stdout + done.stderr
    plans = [json.loads(p.read_text()) for p in (tmp_path / "runs" / "studies" / "mine").glob("*/plan.json")]
    gone = {r for p in plans for r in p["replaces"]}
    current = {p["label"]: p for p in plans if p["plan_id"] not in gone}
    assert set(current) == {"tiny", "tiny_tune", "tiny_tuned"}
    assert current["tiny_tune"]["seeds"] == [90]
    assert len(current["tiny_tune"]["variants"]) >= 6
    rates = {name: v["own"][-1] for name, v in current["tiny_tuned"]["variants"].items()}
    assert all(r.startswith("train.lr=") for r in rates.values())
    assert current["tiny_tuned"]["seeds"] == current["tiny"]["seeds"] == [0]


def test_wandb_groups_a_study_and_names_its_runs(write: Writer, tmp_path: Path) -> None:
    """Group = study, name = variant/seed; claim and plan hash are in the config, for a dashboard's filters."""
    from unittest.mock import patch

    seen = []
    with patch("wandb.init", side_effect=lambda **k: seen.append(k) or (_ for _ in ()).throw(RuntimeError("offline"))):
        path = write(PLAIN.replace(", wandb.mode=disabled", ""))
        assert main(["run", str(path), "scale=tiny", "seeds=1", f"runs_dir={tmp_path / 'runs'}"]) == 0
    assert [(k["group"], k["name"]) for k in seen] == [("mine", "none/0"), ("mine", "relu/0")]
    assert {k["config"]["claim"] for k in seen} == {"own"}
    assert len(seen[0]["config"]["plan"]) == 12
    assert seen[0]["config"]["variant"] == "none"
