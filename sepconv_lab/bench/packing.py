"""How much a device trains when several runs share it: processes that step at the same time, with and without MPS."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .timing import Deadline

WORKER = [sys.executable, "-m", "sepconv_lab.bench.packed"]
SHAPES = ((0.5, 128), (1.0, 128), (0.5, 32), (1.0, 32), (0.5, 256), (1.0, 256))
"""Width and batch of the default network, the most telling first: time may run out."""
TURN = 0.6
"""Seconds that the processes of one measurement step at the same time."""


@dataclass(frozen=True)
class Rate:
    """Training images a second of all runs together."""

    width: float
    batch: int
    mps: bool
    graph: bool
    runs: int
    images_per_second: float


def measure(counts: Sequence[int], deadline: Deadline, *, gpu: bool, words: Sequence[str] = ()) -> Iterator[Rate]:
    """Rates as they are measured, until the time is over; half of it belongs to MPS where there is one.

    counts: how many runs at a time, ascending.
    """
    with_mps = gpu and shutil.which("nvidia-cuda-mps-control") is not None
    half = Deadline(deadline.left() / 2) if with_mps else deadline
    yield from _rates(counts, half, {}, gpu=gpu, mps=False, words=words)
    if with_mps:
        with mps() as environment:
            yield from _rates(counts, deadline, environment, gpu=gpu, mps=True, words=words)


def _rates(
    counts: Sequence[int], deadline: Deadline, environment: Mapping[str, str], *, gpu: bool, mps: bool, words: Sequence[str]
) -> Iterator[Rate]:  # fmt: skip
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(environment)) for _ in range(max(counts))]
        cost = 0.0
        for width, batch in SHAPES:
            if deadline.left() < cost:
                return
            began = time.monotonic()
            built = every(workers, width=width, batch=batch, words=list(words), device="cuda" if gpu else "cpu")
            graphs = all(answer["graph"] for answer in built)
            for runs, graph in itertools.product(counts, (True, False) if graphs else (False,)):
                if deadline.left() < TURN:
                    return
                start = time.time() + 0.05
                found = every(workers[:runs], graph=graph, start=start, seconds=TURN)
                rate = sum(answer["images_per_second"] for answer in found)
                yield Rate(width, batch, mps, graph, runs, rate)
            cost = time.monotonic() - began


class Worker:
    """A process that builds runs and takes their steps when it is told to (`packed.py`)."""

    def __init__(self, environment: Mapping[str, str]):
        own = {"OMP_NUM_THREADS": "1", **environment}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the worker lives
        self._process = subprocess.Popen(
            WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=os.environ | own
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def tell(self, **what: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, and the answer says of what
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Raises RuntimeError with the worker's last words."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._process.wait()
        self._errors.seek(0)
        raise RuntimeError("a packed run died: " + self._errors.read().strip()[-400:])


def every(workers: Sequence[Worker], **what: Any) -> list[dict[str, Any]]:
    """Tell them all, and wait for all answers."""
    for worker in workers:
        worker.tell(**what)
    return [worker.answer() for worker in workers]


@contextlib.contextmanager
def mps() -> Iterator[dict[str, str]]:
    """NVIDIA's multi-process service, which runs kernels of several processes at once: the environment that leads to it.

    An ordinary process with folders of its own; no setting of the device is changed.
    """
    with tempfile.TemporaryDirectory(prefix="mps") as folder:
        environment = {"CUDA_MPS_PIPE_DIRECTORY": f"{folder}/pipe", "CUDA_MPS_LOG_DIRECTORY": f"{folder}/log"}
        for path in environment.values():
            os.mkdir(path)
        control = ["nvidia-cuda-mps-control"]
        subprocess.run([*control, "-d"], env=os.environ | environment, check=True, capture_output=True, timeout=20)
        try:
            yield environment
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    control, input="quit\n", text=True, env=os.environ | environment, check=False, capture_output=True, timeout=20
                )  # fmt: skip
