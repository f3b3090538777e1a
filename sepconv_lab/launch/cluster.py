"""A launcher that hands jobs to a cluster: in a process of its own, because it may wait for ever, and with Slurm asked itself.

submitit learns from accounting how a job ended: without, it waits for the dead; with, it leaves at the first dead job while
others are at work. So it is only there to submit, and is stopped when the records and the queue say that all is over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import BadInput
from ..disk import write_atomically
from .hydra import multirun

if TYPE_CHECKING:
    from omegaconf import DictConfig

ASK = 15.0
"""Seconds between two questions to Slurm, whose controller serves everybody."""


class Launching:
    """Hydra's launcher at work in another process, which ends with this object, or with this process.

    folder: for what it prints, `launcher.log`, and for what kept it from submitting, `refused.txt`. module: what that process
    runs, which passes its arguments and its task on to `main`.
    """

    def __init__(self, words: Sequence[str], folder: Path, module: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._ids: frozenset[str] = frozenset()
        command = [sys.executable, "-m", module, str(folder), *words]
        with open(folder / "launcher.log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def __enter__(self) -> Launching:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def works(self) -> bool:
        return self.process.poll() is None

    def refused(self) -> str:
        """Why nothing could be submitted; empty if something was."""
        if self.works() or self.ids():
            return ""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "refused.txt").read_text()
        return f"it ended without a word, see {self.folder / 'launcher.log'}" if self.process.returncode else ""

    def ids(self) -> frozenset[str]:
        """What submitit files the launch under: on Slurm the job, or the array of all its jobs; here, each job's process."""
        if not self._ids:
            self._ids = frozenset(p.name for p in (self.folder / ".submitit").glob("*") if p.name.isdigit())
        return self._ids


class Queue:
    """What Slurm still holds of one launch: jobs that wait, run, or were put back to run again."""

    def __init__(self, launching: Launching):
        self.launching = launching
        self.asked = -ASK
        self.answer: set[str] | None = None

    def jobs(self) -> set[int] | None:
        """Numbers of the launch's jobs in the queue. None: nothing submitted yet, or nobody there to ask."""
        ids = self.launching.ids()
        if not ids:
            return None
        if time.monotonic() - self.asked >= ASK:
            self.asked = time.monotonic()
            with contextlib.suppress(OSError, subprocess.SubprocessError):  # while Slurm is away its last answer stands
                command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
                said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
                self.answer = set(said.stdout.split())
        if self.answer is None:
            return None
        held = (job.partition("_") for job in self.answer)
        return {int(number or 0) for job, _, number in held if job in ids}


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """SIGUSR2, with which submitit announces a time limit, stops a run after its step, as SIGTERM does.

    Whoever listened to it before hears it after the run's record is closed: submitit queues the job again, to go on from
    there (`max_num_timeout` times). A run that has ended otherwise meanwhile keeps its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are somebody else's
        return
    heard: list[int] = []

    def stop(number: int, _: object) -> None:
        heard.append(number)
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGUSR2, stop)
    try:
        yield
    except KeyboardInterrupt:  # how a stopped run ends
        signal.signal(signal.SIGUSR2, before)
        if heard and callable(before):
            signal.raise_signal(signal.SIGUSR2)
        raise
    finally:
        signal.signal(signal.SIGUSR2, before)


def main(folder: Path, words: Sequence[str], task: Callable[[DictConfig], None]) -> int:
    """The other process."""

    def leave_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    try:
        multirun(words, task)
    except BaseException as error:
        traceback.print_exc()
        words_for_people = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        write_atomically(folder / "refused.txt", words_for_people.encode())
        return 1
    return 0
