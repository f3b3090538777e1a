"""Speed and cost, side by side with others where they are installed: `python -m sepconv_lab.bench [TABLE] [key=value ...]`

step    a training step beside Keras's and timm's Xception, and beside Inception V3 (claim C8)
loop    the training loop beside a bare one
start   from the command to the first step
memory  peak memory of a run on CIFAR-10
skip    what a finished run costs in a sweep
study   planning and looking at ten thousand runs, and what each small one costs beside its training
all     all of them
gpu     everything that a machine with a GPU is to show, within a given time: see `gpu --help`

Overrides change what is timed, e.g. `step data.image_size=150`, and are for the tables step, loop, start and memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import BadInput
from ..config.messages import unknown
from ..console.streams import exit_with

if TYPE_CHECKING:
    import torch

TABLES = ("step", "loop", "start", "memory", "skip", "study")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["gpu"]:
        from . import gpu

        return gpu.main(argv[1:])
    parser = argparse.ArgumentParser(
        prog="python -m sepconv_lab.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="TABLE or key=value", help="default: all")
    parser.add_argument("--rounds", type=int, help="times that every contender has its turn (default: 3; loop: 15)")
    parser.add_argument("--python", action="append", default=[], metavar="PATH",
                        help="a further interpreter in which to look for Keras's back ends and timm")  # fmt: skip
    parser.add_argument("--cifar10", metavar="DIR", help="folder of CIFAR-10 as the Hugging Face hub lays it out")
    parser.add_argument("--json", metavar="FILE", type=Path, help="step: the times that claim C8 is judged from, e.g. "
                        "experiments/bench/NAME.json; a file for each device where there are several")  # fmt: skip
    args = parser.parse_intermixed_args(argv)
    overrides = [w for w in args.words if "=" in w]
    chosen = [w for w in args.words if "=" not in w] or ["all"]
    try:
        for word in chosen:
            if word not in (*TABLES, "all"):
                raise BadInput(unknown(word, word, [*TABLES, "all"]))
        for python in args.python:
            if shutil.which(python) is None:
                raise BadInput(f"--python {python}: no such program")
        if args.json is not None and not args.json.parent.is_dir():
            raise BadInput(f"--json {args.json}: no folder {args.json.parent}")
        if args.rounds is not None and args.rounds < 1:
            raise BadInput(f"--rounds {args.rounds} is not allowed: int >= 1")
        _tables(set(TABLES) if "all" in chosen else set(chosen), overrides, args)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _tables(chosen: set[str], overrides: Sequence[str], args: argparse.Namespace) -> None:
    import torch

    from . import loop, start, step, study

    rounds = args.rounds or 3
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    plans = [step.plan(device, overrides, args.python) for device in devices] if "step" in chosen else []
    _header(devices)
    for plan in plans:
        to = (
            args.json
            if args.json is None or len(plans) == 1
            else args.json.with_stem(f"{args.json.stem}_{plan.device.type}")
        )
        step.table(plan, rounds, to)
    if "loop" in chosen:
        loop.table(overrides, args.rounds or 15)
    if "start" in chosen:
        start.start(overrides, rounds)
    if "memory" in chosen:
        start.memory(overrides, rounds, args.cifar10)
    if "skip" in chosen:
        start.skip(rounds)
    if "study" in chosen:
        study.table()


def _header(devices: Sequence[torch.device]) -> None:
    """On what all of this was measured."""
    from ..config import TrainConfig
    from ..training import environment

    threads = environment.set_threads(TrainConfig())
    git = environment.git_state()
    commit = f", commit {git['commit'][:12]}{' with changes' if git['dirty'] else ''}" if git else ""
    for device in devices:
        native = "native bf16" if environment.has_bf16(device) else "no native bf16"
        print(f"{device}: {environment.hardware_class(device)}, {native}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, {threads} threads; load before the first table {load:.1f}"
          + (": other work runs here, times are too long" if load > 0.3 * (os.cpu_count() or 1) else ""))  # fmt: skip
    print(" ".join(f"{k} {v}" for k, v in environment.versions().items()) + commit)


if __name__ == "__main__":
    exit_with(main)
