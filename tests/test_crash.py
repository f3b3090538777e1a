"""Whatever kills a run, and whenever: the same command ends it with the bits of one that was never killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sepconv_lab.compose import compose
from sepconv_lab.record import checkpoint
from sepconv_lab.record.record import Record, records
from sepconv_lab.run import main, run

from .forked import Runner
from .helpers import SMALL, cli, deterministic, environment, layered

pytestmark = pytest.mark.slow

WORDS = layered(SMALL, "data.images_per_class=12", "data.eval_images_per_class=4", "train.epochs=2", "wandb.mode=disabled",
         "train.checkpoint_every=1e-9")  # fmt: skip
"""Three steps an epoch, a checkpoint after each."""
KILLS = int(os.environ.get("SEPCONV_KILLS", "36"))
"""Kills in all, at least; the nightly number is 200."""
POINTS = {
    "config.yaml.opened": 1, "config.yaml.within": 1, "config.yaml.written": 1, "config.yaml.renamed": 1,
    "checkpoint.before": 2, "checkpoint.within": 3, "checkpoint.written": 3, "checkpoint.between": 2,
    "checkpoint.renamed": 4, "test.logged": 1, "predictions.written": 1, "summary.before": 1,
    "manifest.json.opened": 1, "manifest.json.within": 1, "manifest.json.written": 1, "manifest.json.renamed": 1,
    "summary.json.opened": 1,
    "summary.json.within": 1, "summary.json.written": 1, "summary.json.renamed": 1,
}  # fmt: skip
"""point -> which passage of it dies."""
CACHE_POINTS = {"cache.chunk": 3, "cache.written": 2, "cache.renamed": 1}


def bits(record: Path) -> dict[str, Any]:
    """All of a finished record that time and load do not decide."""
    summary = json.loads((record / "summary.json").read_text())
    timed = ("wall_time", "ended", "images_per_second", "peak_memory", "attempts")
    state = torch.load(record / "checkpoints" / "last.pt", weights_only=True)
    with np.load(record / "predictions.npz", allow_pickle=False) as kept:
        predictions = {k: kept[k].tolist() for k in kept.files}
    return {
        "summary": {k: v for k, v in summary.items() if k not in timed},
        "events": deterministic(Record(record.parent, record.name).events()),
        "predictions": predictions,
        "state": {k: v for k, v in state.items() if k not in ("seconds", "metrics_bytes", "sha256")},
        "files": sorted(str(p.relative_to(record)) for p in record.rglob("*")),
    }


def same(a: Any, b: Any) -> bool:
    """Equality to the bit, through containers."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def only_record(runs_dir: Path) -> Path:
    (record,) = records(runs_dir)
    return record.path


def assert_same(runs_dir: Path, expected: dict[str, Any], why: str) -> None:
    found = bits(only_record(runs_dir))
    for part in expected:
        assert same(found[part], expected[part]), f"{why}: {part} differs"


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with Runner(tmp_path_factory.mktemp("cache"), WORDS) as runner:
        yield runner


@pytest.fixture(scope="module")
def unkilled(attempt: Runner, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """The bits of a run never killed, and how long one takes once the cache is warm."""
    found = []
    for _ in range(2):
        runs_dir = tmp_path_factory.mktemp("unkilled")
        seconds = attempt([*WORDS, f"runs_dir={runs_dir}"])["seconds"]
        found.append(bits(only_record(runs_dir)))
    assert all(same(found[0][part], found[1][part]) for part in found[0]), "two runs agree before any is killed"
    return found[0], seconds


def test_a_run_killed_at_a_named_point_ends_with_the_same_bits(
    attempt: Runner,
    unkilled: tuple[dict[str, Any], float],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """SIGKILL within every file's writing and between every two; then the same command once more."""
    before = attempt.kills
    for point, passage in POINTS.items():
        words = [*WORDS, f"runs_dir={tmp_path / point}"]
        assert attempt(words, kill_at=f"{point}:{passage}")["status"] == -signal.SIGKILL, f"{point} is not passed"
        attempt.until_done(words)
        assert_same(tmp_path / point, unkilled[0], point)
    record_property("count kills at named points", attempt.kills - before)


def test_a_run_killed_while_the_cache_is_written_ends_with_the_same_bits(
    unkilled: tuple[dict[str, Any], float], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL while images are drawn into the cache leaves a cache from which the next run computes the same."""
    with Runner(tmp_path / "cache", WORDS) as attempt:
        words = [*WORDS, f"runs_dir={tmp_path / 'runs'}"]
        for point, passage in CACHE_POINTS.items():
            assert attempt(words, kill_at=f"{point}:{passage}")["status"] == -signal.SIGKILL, f"{point} is not passed"
        attempt.until_done(words)
        assert_same(tmp_path / "runs", unkilled[0], "cache")
        record_property("count kills while the cache is written", attempt.kills)


@pytest.mark.timeout(1800)
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(
    attempt: Runner,
    unkilled: tuple[dict[str, Any], float],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """SIGKILL after seeded random times, again and again in one run, until KILLS processes have died in all."""
    moments, before, tries = random.Random(0), attempt.kills, 0
    expected, seconds = unkilled
    wanted = KILLS - len(POINTS) - len(CACHE_POINTS)
    while attempt.kills - before < wanted:
        tries += 1
        assert tries <= 3 * wanted, "the runs end before they can be killed"
        words = [*WORDS, f"runs_dir={tmp_path / str(tries)}"]
        for _ in range(3):  # the last of them is let go on
            if attempt(words, delay=moments.uniform(0, seconds))["status"] == 0:
                break
        attempt.until_done(words)
        assert_same(tmp_path / str(tries), expected, f"series {tries}")
    record_property("count kills at random moments", attempt.kills - before)


# --- through the true command line ------------------------------------------------------------------------------------


def started(words: list[str], cwd: Path, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sepconv_lab.run", *words]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=environment(**env))  # fmt: skip


def wait_for_steps(runs_dir: Path, steps: int, process: subprocess.Popen[str]) -> None:
    """Until the run has logged so many events."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = list(records(runs_dir)) if runs_dir.is_dir() else []
        if found and len(found[0].events()) >= steps:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    raise AssertionError("the run logs nothing")


LONG = layered(
    WORDS, "data.eval_images_per_class=8", "train.epochs=30", "train.checkpoint_every=1000", "train.eval_every=15"
)
"""Steps enough that a signal comes in the middle, and no checkpoint by itself for long."""


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    runs_dir = tmp_path_factory.mktemp("long")
    assert run(compose([*LONG, f"runs_dir={runs_dir}"]))["status"] == "finished"
    return bits(only_record(runs_dir))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_the_same_command_goes_on(
    number: signal.Signals, long_run: dict[str, Any], tmp_path: Path
) -> None:
    """Ctrl-C and SIGTERM leave a checkpoint and `interrupted`; a second launch meanwhile leaves with a word; then the same bits."""
    process = started(LONG, tmp_path)
    wait_for_steps(tmp_path / "runs", 3, process)
    if number is signal.SIGINT:
        process.send_signal(signal.SIGSTOP)  # so that it surely still owns the record
        second = cli(*LONG, cwd=tmp_path)
        process.send_signal(signal.SIGCONT)
        assert (second.returncode, second.stderr) == (1, "")
        assert "under way in another process" in second.stdout
    process.send_signal(number)
    assert process.wait(120) == 1
    output = process.communicate()[0]
    assert "Traceback" not in output
    record = Record(tmp_path / "runs", only_record(tmp_path / "runs").name)
    summary = record.summary()
    assert summary is not None
    assert summary["status"] == "interrupted", output
    state = checkpoint.load(record.path / "checkpoints", record.run_id)
    assert state is not None
    assert state["step"] == summary["steps"] == record.events()[-1]["step"]
    assert main([*LONG, f"runs_dir={tmp_path / 'runs'}"]) == 0
    assert_same(tmp_path / "runs", long_run, number.name)


def test_the_true_command_survives_sigkill(
    long_run: dict[str, Any], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """`python -m sepconv_lab.run` killed in the middle, W&B mirror and all: the same command goes on to the same bits."""
    words = layered(LONG, "train.checkpoint_every=0.1", "wandb.mode=offline")
    process = started(words, tmp_path, WANDB_API_KEY="f" * 40)
    wait_for_steps(tmp_path / "runs", 3, process)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/checkpoints/last.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    process.communicate()
    again = cli(*words, cwd=tmp_path, WANDB_API_KEY="f" * 40)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "going on from step" in again.stdout
    found = bits(only_record(tmp_path / "runs"))
    for part in ("events", "predictions", "state"):
        assert same(found[part], long_run[part]), part
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"f" * 40 not in path.read_bytes(), f"{path} holds the W&B key"
    assert "f" * 40 not in again.stdout + again.stderr
    record_property("count kills of the true command", 1)


# --- full disks, damaged and foreign files ----------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system with so much room. Needs root, or the test is skipped."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here: needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def assert_interrupted_and_readable(runs_dir: Path) -> None:
    (record,) = records(runs_dir)
    summary = record.summary()
    assert summary is not None
    assert summary["status"] == "interrupted"
    assert str(summary["error"]).startswith("no room to write: [Errno ")
    assert record.config()["seed"] == 0
    assert record.events()


def test_a_full_disk_interrupts_the_run_and_says_its_cause(
    tmp_path: Path, unkilled: tuple[dict[str, Any], float]
) -> None:
    """ENOSPC from a real file system of 450 KB; with more room the same command ends to the same bits."""
    runs_dir = tmp_path / "disk" / "runs"
    with small_disk(tmp_path / "disk", "450k"):
        assert main([*WORDS, f"runs_dir={runs_dir}"]) == 1
        assert_interrupted_and_readable(runs_dir)
        assert main([*WORDS, f"runs_dir={runs_dir}"]) == 1, "still full"
        subprocess.run(["mount", "-o", "remount,size=8m", tmp_path / "disk"], check=True)
        assert main([*WORDS, f"runs_dir={runs_dir}"]) == 0
        assert_same(runs_dir, unkilled[0], "full disk")


def test_a_file_limit_interrupts_the_run_and_says_its_cause(
    tmp_path: Path, unkilled: tuple[dict[str, Any], float]
) -> None:
    """Without root, the kernel's limit on file sizes (EFBIG) stands in for the full disk: it cuts checkpoints off midway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        assert main([*WORDS, f"runs_dir={tmp_path}"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert_interrupted_and_readable(tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    assert main([*WORDS, f"runs_dir={tmp_path}"]) == 0
    assert_same(tmp_path, unkilled[0], "file limit")


def checksummed(state: dict[str, Any], path: Path) -> None:
    torch.save(state | {"sha256": checkpoint.digest(state)}, path)


class Payload:
    """Unpickling it leaves a trace."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


@pytest.fixture(scope="module")
def halfway(attempt: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record killed after its fourth checkpoint."""
    runs_dir = tmp_path_factory.mktemp("halfway")
    attempt([*WORDS, f"runs_dir={runs_dir}"], kill_at="checkpoint.renamed:4")
    return only_record(runs_dir)


@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        "empty",
        "foreign",
        "malicious",
        "of another run",
        "ahead of its metrics",
        "without an optimiser",
        "of other shapes",
        "beyond the end",
        "step of text",
    ],
)
@pytest.mark.parametrize("both", [False, True])
def test_a_bad_checkpoint_falls_back_to_the_one_before(
    damage: str,
    both: bool,
    halfway: Path,
    unkilled: tuple[dict[str, Any], float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is named and left aside, nothing in it is executed, and the run ends to the same bits; with none left it starts anew."""
    import shutil

    shutil.copytree(halfway, tmp_path / "runs" / halfway.name)
    folder = tmp_path / "runs" / halfway.name / "checkpoints"
    for name in ("last.pt", "previous.pt") if both else ("last.pt",):
        path = folder / name
        state = torch.load(path, weights_only=True)
        if damage == "truncated":
            os.truncate(path, path.stat().st_size // 2)
        elif damage == "empty":
            os.truncate(path, 0)
        elif damage == "foreign":
            path.write_bytes(b"PK\x03\x04 and then something else")
        elif damage == "malicious":
            path.write_bytes(pickle.dumps({"run_id": halfway.name, "step": Payload(tmp_path / "executed")}))
        elif damage == "of another run":
            checksummed(state | {"run_id": "0" * 16}, path)
        elif damage == "ahead of its metrics":
            checksummed(state | {"metrics_bytes": 10**9}, path)
        elif damage == "without an optimiser":
            checksummed({k: v for k, v in state.items() if k != "optimizer"}, path)
        elif damage == "of other shapes":
            checksummed(
                state | {"network": {k: v[..., :1] if v.ndim else v for k, v in state["network"].items()}}, path
            )
        else:
            checksummed(state | {"step": 10**6 if damage == "beyond the end" else "x"}, path)
    assert main([*WORDS, f"runs_dir={tmp_path / 'runs'}"]) == 0
    output = capsys.readouterr().out
    assert output.count("left aside") == (2 if both else 1)
    assert ("going on from step 3" in output) is not both
    assert not (tmp_path / "executed").exists()
    assert_same(tmp_path / "runs", unkilled[0], damage)


def test_a_forced_run_that_was_killed_goes_on(attempt: Runner, tmp_path: Path) -> None:
    """force=true archives what has ended, once; what it began itself and was killed resumes with the same command."""
    words = [*WORDS, f"runs_dir={tmp_path}"]
    attempt.until_done(words)
    forced = [*words, "force=true"]
    assert attempt(forced, kill_at="checkpoint.renamed:4")["status"] == -signal.SIGKILL
    assert "going on from step" in attempt(forced)["output"]
    assert len(list((tmp_path / "archive").iterdir())) == 1


def test_asking_for_a_status_never_costs_an_owner_its_record(tmp_path: Path) -> None:
    """`runs list` looks at the lock by taking it for a moment; a run that starts in that moment waits for it."""
    record = Record(tmp_path, "0" * 16)
    with record.owned():
        pass
    holder = os.fork()
    if holder == 0:
        with open(record._lock_path, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            (tmp_path / "held").touch()
            time.sleep(0.05)
            os._exit(0)
    deadline = time.monotonic() + 30
    while not (tmp_path / "held").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    with record.owned():
        pass
    os.waitpid(holder, 0)
