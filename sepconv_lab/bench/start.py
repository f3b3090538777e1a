"""What a run costs beside its steps: the time to the first one, peak memory, and a run that has ended already."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from ..compose import compose
from ..console.tables import print_table
from ..record.record import records
from .timing import interleaved

START_AIM = 8.0
MEMORY_AIM = 2 * 2**30
SKIP_AIM = 0.05
JOBS = 21
"""Runs of the sweep that has nothing left to do."""
TINY = ["train=smoke", "train.max_steps=1", "data.num_classes=2", "data.images_per_class=16", "data.eval_images_per_class=2",
        "model.width=0.25", "wandb.mode=disabled"]  # fmt: skip


def start(overrides: Sequence[str], rounds: int) -> None:
    """From the command to the end of the first step: data cached, files in the page cache."""
    words = _layered(["train.log_every=1"], overrides)
    importing = [sys.executable, "-c", "import torch"]
    _to_first_step(words)  # caches the data
    seconds, _ = interleaved(
        {"to the first step": lambda: _to_first_step(words), "import torch": lambda: _run(importing)}, rounds
    )
    print(f"\nFrom the command to the first step, files warm and data cached: medians of {rounds} rounds")
    print_table(
        ["", "seconds", "lowest", "highest"],
        [[n, *(f"{t:.2f}" for t in (statistics.median(s), min(s), max(s)))] for n, s in seconds.items()],
    )
    _judge("at most", START_AIM, "s", statistics.median(seconds["to the first step"]))
    imports = _imports(words)
    total = sum(imports.values())
    print(f"Importing takes {total:.1f} s of it (with Python's import timer on, which adds some): "
          + ", ".join(f"{name} {t:.1f}" for name, t in imports.most_common(6)))  # fmt: skip


def memory(overrides: Sequence[str], rounds: int, cifar10: str | None) -> None:
    """Largest memory of a run on CIFAR-10, or on as many glyphs: first while images are decoded or drawn, then from the cache."""
    if cifar10:
        what, words = "CIFAR-10", ["data=cifar10", f"data.path='{cifar10}'"]
    else:
        what = "45,000 glyphs (name CIFAR-10's folder with --cifar10)"
        words = ["data.num_classes=10", "data.images_per_class=4500", "data.eval_images_per_class=500"]
    words = _layered([*words, "train.max_steps=30", "wandb.mode=disabled"], overrides)
    with tempfile.TemporaryDirectory() as cache:
        first = _peak(words, cache)
        later = [_peak(words, cache) for _ in range(rounds)]
    print(f"\nPeak memory of a run on {what}: 30 steps, both evaluations")
    rows = [["images decoded and cached", f"{first / 2**20:,.0f}"]]
    rows += [[f"from the cache, highest of {rounds}", f"{max(later) / 2**20:,.0f}"]]
    print_table(["", "MiB"], rows)
    _judge("under", MEMORY_AIM / 2**20, "MiB", max(first, *later) / 2**20)


def skip(rounds: int) -> None:
    """What each run of a sweep costs that has finished already."""
    with tempfile.TemporaryDirectory() as folder:

        def sweep(runs: int) -> float:
            return _run([*_command("-m"), *TINY, f"runs_dir='{folder}'", f"seed={','.join(map(str, range(runs)))}"])

        sweep(JOBS)  # trains them
        one, many = f"{1} run", f"{JOBS} runs"
        seconds, _ = interleaved({one: lambda: sweep(1), many: lambda: sweep(JOBS)}, rounds)
        if len(list(records(folder))) != JOBS:
            raise RuntimeError("the sweep did not finish its runs")
    print(f"\nA sweep whose runs have all finished, from command to table: medians of {rounds} rounds")
    print_table(["", "seconds"], [[name, f"{statistics.median(s):.2f}"] for name, s in seconds.items()])
    each = [(b - a) / (JOBS - 1) for a, b in zip(seconds[one], seconds[many], strict=True)]
    _judge("under", 1000 * SKIP_AIM, "ms a run", 1000 * statistics.median(each))


def _layered(base: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The base without what the overrides set anew, and the overrides: no key is typed twice. Raises BadInput."""
    keys = {word.split("=")[0] for word in overrides}
    words = [*(word for word in base if word.split("=")[0] not in keys), *overrides]
    compose(words)  # refused here rather than in a child
    return words


def _judge(word: str, aim: float, unit: str, found: float) -> None:
    print(f"Aim, {word} {aim:,.0f} {unit}: {'met' if found <= aim else 'missed'} with {found:,.1f}")


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "sepconv_lab.run", *words]


def _run(command: Sequence[str], **environment: str) -> float:
    """Seconds of a command that has to end well."""
    began = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return time.perf_counter() - began


@contextlib.contextmanager
def _first_step(command: Sequence[str], runs_dir: str, errors: int) -> Iterator[float]:
    """Start a run in runs_dir, give the seconds until its first step is logged, and stop it."""
    began = time.perf_counter()
    process = subprocess.Popen([*command, f"runs_dir='{runs_dir}'"], stdout=errors, stderr=errors)
    try:
        while not any((r.path / "metrics.jsonl").exists() and r.events() for r in records(runs_dir)):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with {process.returncode} before its first step")
            time.sleep(0.005)
        yield time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def _to_first_step(words: Sequence[str]) -> float:
    with tempfile.TemporaryDirectory() as folder, _first_step(_command(*words), folder, subprocess.DEVNULL) as seconds:
        return seconds


def _imports(words: Sequence[str]) -> collections.Counter[str]:
    """package -> seconds spent in importing it, itself alone, until the first step."""
    found: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-X", "importtime", *_command(*words)[1:]]
        with _first_step(command, folder, errors.fileno()):
            pass
        errors.seek(0)
        for line in errors:
            if match := re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)", line):
                found[".".join(match[2].split(".")[: 2 if match[2].startswith("torch._dynamo") else 1])] += int(
                    match[1]
                )
    return collections.Counter({name: microseconds / 1e6 for name, microseconds in found.items()})


def _peak(words: Sequence[str], cache: str) -> int:
    """Peak memory that the record of a run states, bytes."""
    with tempfile.TemporaryDirectory() as folder:
        _run(_command(*words, f"runs_dir='{folder}'"), SEPCONV_LAB_CACHE=cache)
        (record,) = records(folder)
        summary = record.summary()
    assert summary is not None
    return int(summary["peak_memory"])
