"""A study on a real Slurm without accounting: jobs that are killed, told to stop, or refused, and what the study makes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sepconv_lab.record.record import Record
from sepconv_lab.study.frozen import frozen_plans

from .helpers import SMALL, cli, environment
from .slurm import cluster, need, slurm
from .test_submitit import owner

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(280)]

STUDY = f"""
question: Does it end?
base: [model=xception]
baseline: none
variants:
  killed: [train.epochs=16]
  out_of_time: [train.epochs=17]
  none: []
  relu: [block.mid_act=relu]
  elu: [block.mid_act=elu]
  gelu: [block.mid_act=gelu]
seeds: 1
scales: {{tiny: [{", ".join(SMALL)}, train.epochs=1, train.eval_every=30, train.checkpoint_every=0.5, wandb.mode=disabled]}}
"""
PLUGIN = ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=debug", "hydra.launcher.timeout_min=5",
          "hydra.launcher.max_num_timeout=2")  # fmt: skip
PRESET = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1")


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    need()
    with cluster():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "experiments" / "mine" / "study.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(STUDY)
    return tmp_path


@contextlib.contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The study at work; it does not outlive the test."""
    command = [sys.executable, "-m", "sepconv_lab.study", "run", "mine", "scale=tiny", *words]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    ) as study:
        try:
            yield study
        finally:
            study.kill()


def until(found: Callable[[], object], study: subprocess.Popen[str], pause: float = 0.02) -> None:
    deadline = time.monotonic() + 120
    while not found():
        assert study.poll() is None, study.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(pause)


def state(job: str, now: bool = False) -> str:
    """PD waits, R runs. now: what was queued again does not wait for the two minutes for which Slurm holds it back."""
    if now:
        slurm("scontrol", "update", f"jobid={job}", "starttime=now")
    return slurm("squeue", "--noheader", "--format=%t", f"--jobs={job}")


def test_a_killed_job_is_named_one_out_of_time_goes_on_and_retry_completes_the_study(folder: Path) -> None:
    """Six runs. One dies of SIGKILL, of which nobody tells the launcher: the study ends all the same and names it. One is told
    of its time limit: Slurm queues it again, and it goes on from its checkpoint within the same command."""
    with started(folder, *PLUGIN) as study:
        until(lambda: list((folder / "runs" / "studies").glob("mine/*/plan.json")), study)
        (plan,) = frozen_plans(folder / "runs", "mine")
        record = {run.variant: Record(folder / "runs", str(run.run_id)) for run in plan.runs}

        until((record["killed"].path / "checkpoints" / "last.pt").exists, study)  # from which the retry goes on
        pid = owner(record["killed"])
        assert b"SLURM_JOB_ID=" in Path(f"/proc/{pid}/environ").read_bytes()
        os.kill(pid, signal.SIGKILL)

        until(lambda: len(record["out_of_time"].events()) > 12, study)
        pid = owner(record["out_of_time"])
        job = dict(line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in line)
        number = f"{job['SLURM_ARRAY_JOB_ID']}_{job['SLURM_ARRAY_TASK_ID']}"
        slurm("scancel", "--signal=USR2", number)  # what Slurm sends ahead of a time limit
        until(lambda: state(number) == "PD", study)
        assert record["out_of_time"].status() == "interrupted"
        stopped_at = int((record["out_of_time"].summary() or {})["steps"])
        until(lambda: state(number, now=True) == "R", study, pause=0.5)

        out = study.communicate(timeout=200)[0]
    assert study.returncode == 1, out
    assert "6 runs: 5 finished, 1 interrupted" in out
    line = next(x for x in out.splitlines() if x.startswith("killed/0 "))
    assert "interrupted  killed: its process died without a word" in line
    assert str(record["killed"].path.relative_to(folder)) in line
    assert "Traceback" not in out
    attempts = {name: int((r.path / "attempts").read_text()) for name, r in record.items()}
    assert attempts == {"none": 1, "relu": 1, "elu": 1, "gelu": 1, "killed": 1, "out_of_time": 2}
    assert f"going on from step {stopped_at} of {17 * 7}" in said(folder, launch=1)

    done = cli("retry", "mine", "scale=tiny", *PRESET, cwd=folder, module="study")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5/6 finished, 1 to run" in done.stdout
    assert "6 runs: 6 finished" in done.stdout
    assert "going on from step" in said(folder, launch=2)  # in a job of Slurm's


def said(folder: Path, launch: int) -> str:
    """What the jobs of a launch printed."""
    logs = (folder / "runs" / "studies" / "mine").glob(f"*/launch-{launch}/.submitit/*/*_log.out")
    return "\n".join(path.read_text() for path in logs)


def test_what_slurm_refuses_is_said_and_nothing_waits(folder: Path) -> None:
    done = cli("run", "mine", "scale=tiny", *PRESET, "hydra.launcher.partition=nowhere", cwd=folder, module="study")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "submitit_slurm took no jobs" in done.stderr
    assert "invalid partition specified: nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_jobs_that_are_cancelled_before_they_begin_do_not_hold_the_study(folder: Path) -> None:
    """They leave no record; without accounting only the queue tells that nobody will run them."""
    with started(folder, *PLUGIN, "+hydra.launcher.additional_parameters.hold=true") as study:
        until(lambda: slurm("squeue", "--noheader"), study)
        slurm("scancel", f"--user={os.getuid()}")
        out = study.communicate(timeout=120)[0]
    assert study.returncode == 1, out
    assert "none/0: left the queue before it began" in out
    assert "6 runs: 6 waiting" in out
