"""Under submitit a run behaves as on the command line: SIGTERM ends its step, the same command goes on to the same bits."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from sepconv_lab.compose import compose
from sepconv_lab.record import checkpoint
from sepconv_lab.record.record import Record, records
from sepconv_lab.run import run

from .helpers import SMALL, cli, deterministic, environment, layered

pytestmark = pytest.mark.slow

WORDS = layered(SMALL, "train.epochs=30", "train.eval_every=15", "train.checkpoint_every=1000", "wandb.mode=disabled")
"""Steps enough that a signal comes in their middle, and no checkpoint by itself for long."""
COMMAND = ["-m", *WORDS, "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
LOCK = "hhqqi"
"""struct flock on Linux: type, whence, start, length, pid."""


def owner(record: Record) -> int:
    """The process that owns a record, by its lock; 0: none."""
    with open(record._lock_path, "r+b") as file:
        asked = struct.pack(LOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, pid = struct.unpack(LOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def training(runs_dir: Path, launcher: subprocess.Popen[str], events: int) -> tuple[Record, int]:
    """The only record and the process that trains it, once it has logged so many events."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = list(records(runs_dir)) if runs_dir.is_dir() else []
        if found and len(found[0].events()) >= events and (pid := owner(found[0])):
            return found[0], pid
        assert launcher.poll() is None, launcher.communicate()[0]
        time.sleep(0.01)
    raise AssertionError("the run logs nothing")


def final(record: Record) -> dict[str, Any]:
    """What must come out the same, to the bit."""
    state = checkpoint.load(record.path / "checkpoints", record.run_id)
    summary = record.summary()
    assert state is not None
    assert summary is not None
    return {"metrics": summary["metrics"], "events": deterministic(record.events()),
            "network": state["network"], "average": state["average"]}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for a lock's owner as Linux answers")
def test_sigterm_under_submitit_leaves_a_checkpoint_and_the_same_command_ends_to_the_same_bits(tmp_path: Path) -> None:
    """The process that trains is told to stop, as a cluster does: `interrupted`, a checkpoint, then as if never stopped."""
    command = [sys.executable, "-m", "sepconv_lab.run", *COMMAND]
    launcher = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    )
    record, pid = training(tmp_path / "runs", launcher, events=3)
    assert pid != launcher.pid, "it trains in a job of its own"
    os.kill(pid, signal.SIGTERM)
    assert launcher.wait(120) == 1
    output = launcher.communicate()[0]
    summary = record.summary()
    assert summary is not None
    assert summary["status"] == "interrupted", output
    assert "interrupted" in output.splitlines()[-1]
    assert "Traceback" not in output
    state = checkpoint.load(record.path / "checkpoints", record.run_id)
    assert state is not None
    assert 0 < state["step"] == summary["steps"] == record.events()[-1]["step"] < 30 * 7

    again = cli(*COMMAND, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    logs = "".join(p.read_text() for p in (tmp_path / "runs" / ".sweep" / ".submitit").rglob("*_log.out"))
    assert f"going on from step {state['step']} of {30 * 7}" in logs
    reference = tmp_path / "never stopped"
    assert run(compose([*WORDS, f"runs_dir='{reference}'"]))["status"] == "finished"
    found, expected = final(record), final(Record(reference, record.run_id))
    assert found["metrics"] == expected["metrics"]
    assert found["events"] == expected["events"]
    for part in ("network", "average"):
        assert all(torch.equal(found[part][k], expected[part][k]) for k in expected[part]), part
