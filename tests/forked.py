"""Runs in real processes without paying for their imports: one parent imports everything, each attempt is a fork of it.

`python -m tests.forked` reads one JSON job a line from stdin and answers with one line on stdout. A job is
{"words": [...], "kill_at": "point:count" | null, "delay": seconds | null}: the run is started, and with a delay the parent sends
it SIGKILL when that time is over; with `kill_at` it sends the signal to itself at the named point. The answer is
{"status": exit code or minus signal, "seconds": ..., "output": ...}. The parent starts no threads, so that forking is safe.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from .helpers import environment

LIMIT = 120.0
"""Seconds after which an attempt is given up."""


class Runner:
    """The parent process; `with Runner(cache) as attempt: attempt(words)`."""

    def __init__(self, cache: Path, warm: list[str]):
        self._environment = environment(SEPCONV_LAB_CACHE=str(cache), OMP_NUM_THREADS="1")
        self._warm = warm
        self.kills = 0

    def __enter__(self) -> Runner:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked", *self._warm], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=self._environment, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(LIMIT)
        self._process.stdout.close()

    def __call__(self, words: list[str], *, kill_at: str | None = None, delay: float | None = None) -> dict[str, Any]:
        """One attempt at a run; kills are counted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"words": words, "kill_at": kill_at, "delay": delay}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        self.kills += answer["status"] == -signal.SIGKILL
        assert answer["status"] in (0, -signal.SIGKILL), answer["output"]
        return answer

    def until_done(self, words: list[str]) -> None:
        assert self(words)["status"] == 0


def _attempt(job: dict[str, Any]) -> dict[str, Any]:
    from sepconv_lab.run import main

    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            if job["kill_at"]:
                os.environ["SEPCONV_KILL_AT"] = job["kill_at"]
            status = 1
            try:
                status = main(job["words"])
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        limit = LIMIT if job["delay"] is None else job["delay"]
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            seconds = time.perf_counter() - began
            if ended:
                break
            if seconds >= limit:
                os.kill(child, signal.SIGKILL)
                status = os.waitpid(child, 0)[1]
                break
            time.sleep(min(0.001, limit - seconds))
        output.seek(0)
        text = output.read().decode(errors="replace")
        if job["delay"] is None and seconds >= LIMIT:
            return {"status": 1, "seconds": seconds, "output": "no end: " + text}
        return {"status": os.waitstatus_to_exitcode(status), "seconds": seconds, "output": text}


def _serve(warm: list[str]) -> None:
    from sepconv_lab import models
    from sepconv_lab.compose import compose
    from sepconv_lab.data import glyphs  # noqa: F401
    from sepconv_lab.models.complexity import complexity
    from sepconv_lab.training import environment

    config = compose(warm)
    models.build_checked(config, 2, device="meta")  # on the meta device: nothing is computed
    complexity(config, 2)
    environment.versions()
    environment.git_state()
    for line in sys.stdin:
        print(json.dumps(_attempt(json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1:])
