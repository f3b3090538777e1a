"""Workers and launches that die: nobody is left behind, and nothing that has not begun is given up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from sepconv_lab.record.plan import Plan, PlannedRun, Variant
from sepconv_lab.record.record import Record
from sepconv_lab.study import supervisor
from sepconv_lab.study.supervisor import IN_VAIN, Supervisor

from .helpers import environment

LAUNCHER = """
import os, sys, time
from pathlib import Path
from joblib import Parallel, delayed
from sepconv_lab.launch.stopping import StopSign

def work(sign, number, seconds):
    with sign.around_job():
        Path(f"worker-{number}").write_text(str(os.getpid()))
        while seconds and not sign.is_up():
            time.sleep(0.05)
            seconds -= 1
        Path(f"ended-{number}").touch()

sign = StopSign(Path("stop"), os.getpid())
with Parallel(n_jobs=2) as pool:
    pool(delayed(work)(sign, i, 0) for i in range(2))
    if sys.argv[1] == "at work":
        pool(delayed(work)(sign, i, 10_000) for i in (2, 3))
    time.sleep(600)
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("state", ["idle", "at work"])
def test_workers_leave_when_their_launcher_is_gone(state: str, tmp_path: Path) -> None:
    """After SIGKILL: idle ones within seconds, those at work after their step, not in its midst."""
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    process = subprocess.Popen([sys.executable, "launcher.py", state], cwd=tmp_path, env=environment())
    numbers = (0, 1) if state == "idle" else (2, 3)
    files = [tmp_path / f"worker-{i}" for i in numbers]
    deadline = time.monotonic() + 60
    while not all(f.exists() and f.read_text() for f in files):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = {int(f.read_text()) for f in files}
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(map(lives, workers)):
        assert time.monotonic() < deadline, "workers stay behind"
        time.sleep(0.05)
    assert all((tmp_path / f"ended-{i}").exists() for i in numbers), "the job at work was cut off"


def plan_of(number: int) -> Plan:
    variant = Variant((), (), {}, 1, 1, 1, 1)
    runs = tuple(PlannedRun("only", seed, f"{seed:016x}") for seed in range(number))
    return Plan(
        "mine", "lab", "fixed", "lab", (), "Does it?", "only", None, tuple(range(number)), {}, {"only": variant}, runs
    )


@pytest.mark.parametrize("deaths", [1, IN_VAIN - 1, IN_VAIN])
def test_a_pool_that_breaks_before_any_run_begins_is_launched_again(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker killed while it starts takes nothing with it; a launcher that never starts anything is given up."""
    plan, launches = plan_of(3), []

    def multirun(words: list[str], task: object) -> None:
        launches.append(words)
        if len(launches) <= deaths:
            raise BrokenProcessPool
        told = json.loads(next(tmp_path.rglob(f"launch-{len(launches)}.json")).read_text())
        for i in told["runs"]:
            record = Record(tmp_path, str(plan.runs[i].run_id))
            record.begin({"model": {}, "data": {}, "train": {}})
            (record.path / "attempts").write_text("1")
            record.finish({"status": "failed"})

    monkeypatch.setattr(supervisor, "multirun", multirun)
    plan.folder(tmp_path).mkdir(parents=True)
    Supervisor(plan, str(tmp_path), ["hydra/launcher=joblib"]).go([0, 1, 2])
    gave_up = deaths == IN_VAIN
    assert len(launches) == deaths + (not gave_up)
    assert [Record(tmp_path, str(r.run_id)).status() for r in plan.runs] == ["missing" if gave_up else "failed"] * 3
    assert "a worker died before any run began; launching again (1 of 3 times)" in capsys.readouterr().out


def test_a_launcher_that_starts_nothing_and_does_not_break_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launches: list[object] = []
    monkeypatch.setattr(supervisor, "multirun", lambda words, task: launches.append(words))
    plan = plan_of(2)
    plan.folder(tmp_path).mkdir(parents=True)
    Supervisor(plan, str(tmp_path), ["hydra/launcher=joblib"]).go([0, 1])
    assert len(launches) == 1
    assert os.listdir(plan.folder(tmp_path)) == ["launch-1.json"]
