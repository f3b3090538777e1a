"""Ctrl-C on a launch with worker processes: every run at work ends after its step with a checkpoint, and no further one begins.

Joblib answers an interrupt, its own or one that a job raises, by killing all workers, wherever their runs are. So neither
reaches it: a file says that it is over. Runs look for it after every step, and jobs that find it leave at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WATCH = 1.0
"""Seconds between a worker's looks at whether its launcher lives."""


@dataclass(frozen=True)
class StopSign:
    """`path`: the file. `launcher`: the process that waits for the jobs."""

    path: Path
    launcher: int

    def is_up(self) -> bool:
        return self.path.exists()

    @contextlib.contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """In the launching process: the first Ctrl-C puts the sign up, the second is an interrupt."""

        def put_up(number: int, frame: Any) -> None:
            if self.is_up():
                signal.default_int_handler(number, frame)
            self.path.touch()
            print("stopping after the steps at work; Ctrl-C again stops at once", flush=True)

        if not _can_listen():
            yield
            return
        before = signal.signal(signal.SIGINT, put_up)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextlib.contextmanager
    def around_job(self) -> Iterator[None]:
        """Around one job, in whatever process: KeyboardInterrupt, the end of a stopped run, puts the sign up."""
        worker = os.getpid() != self.launcher and _can_listen()
        if worker:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _leave_with(self)
        try:
            with _at_work:
                yield
        except KeyboardInterrupt:
            self.path.touch()
        finally:
            if worker:  # a worker that dies of an interrupt while it waits takes the others with it
                signal.signal(signal.SIGINT, signal.SIG_IGN)


_at_work = threading.Lock()
_signs: list[StopSign] = []
"""Of the launches that this process works for, the newest last."""


def _leave_with(sign: StopSign) -> None:
    """Let this worker end with the launcher, were it killed: at once, or after the step at work and its checkpoint."""
    _signs.append(sign)
    if len(_signs) > 1 or os.getppid() != sign.launcher:  # watched already, or somebody else's child
        return

    def watch() -> None:
        while os.getppid() == sign.launcher:
            time.sleep(WATCH)
        with contextlib.suppress(OSError):  # the folder of a sweep's sign may be gone with it
            _signs[-1].path.touch()
        with _at_work:
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _can_listen() -> bool:
    return threading.current_thread() is threading.main_thread()
