"""Output is never a reason to fail: a reader that left, a closed stream, a full disk, a terminal with few characters."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from sepconv_lab.console.progress import Progress
from sepconv_lab.console.say import refuse, say
from sepconv_lab.console.streams import lossy
from sepconv_lab.record.record import records

from .helpers import SMALL, environment


def left_by_its_reader() -> TextIO:
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


def closed() -> TextIO:
    stream = open(os.devnull, "w")  # noqa: SIM115
    stream.close()
    return stream


def full() -> TextIO:
    return open("/dev/full", "w")


@pytest.mark.parametrize(
    "opened", [left_by_its_reader, closed, full, lambda: None], ids=["pipe", "closed", "full", "none"]
)  # fmt: skip
def test_what_cannot_be_printed_is_lost_and_nothing_is_raised(
    opened: type[TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines, messages, the progress of training; the last flush, at the interpreter's end, neither."""
    out, err = opened(), opened()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with lossy():
        for _ in range(3):
            say("x" * 100_000)
        assert refuse(ValueError("y" * 100_000)) == 2
        print("without a flush")
        progress = Progress(0, 3, 8, [10])
        progress.stepped()
        progress.show(1.0, 0.5, force=True)
        progress.close()
    assert (sys.stdout, sys.stderr) == (out, err)
    for stream in (out, err):
        if stream is not None:
            stream.close()


def test_characters_that_a_terminal_lacks_are_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with lossy():
        say("runs/日本")
    assert raw.getvalue() == b"runs/\\u65e5\\u672c\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirected", "ascii_"),
    [("| head -1", False), (">&- 2>&-", False), ("> /dev/full 2>&1", False), ("| cat", True)],
    ids=["head", "closed", "full", "ascii"],
)
def test_a_run_whose_output_is_lost_finishes(redirected: str, ascii_: bool, tmp_path: Path) -> None:
    """Exit code 0, a finished record that holds no line of output, and `runs list | head -1` ends quietly."""
    runs_dir = tmp_path / "日本"
    words = " ".join(f"'{w}'" for w in [*SMALL, "train.epochs=1", "wandb.mode=disabled", f"runs_dir={runs_dir}"])
    env = environment(**({"PYTHONIOENCODING": "ascii"} if ascii_ else {}))

    def bash(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-o", "pipefail", "-c", command], env=env, capture_output=True, text=True)

    done = bash(f"{sys.executable} -m sepconv_lab.run {words} {redirected}")
    assert done.returncode == 0, done.stderr
    (record,) = records(runs_dir)
    summary = record.summary(full=True)
    assert summary is not None
    assert summary["status"] == "finished"
    assert len(record.events()) == len((record.path / "metrics.jsonl").read_bytes().splitlines())
    done = bash(f"{sys.executable} -m sepconv_lab.runs --runs-dir {runs_dir} list {redirected}")
    assert (done.returncode, done.stderr) == (0, "")
