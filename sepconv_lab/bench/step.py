"""The training step beside Keras's and timm's Xception, and Xception beside Inception V3 (claim C8)."""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..compose import compose
from ..config import Precision, RunConfig
from ..console.tables import print_table
from ..disk import write_atomically
from ..models.complexity import complexity
from ..training import environment
from .contender import Contender, fits
from .timing import Ratio, interleaved, ratio

BASE = ["data=imagenet", "data.image_size=299", "train=paper_imagenet", "train.batch_size=8", "train.average=false"]
OURS, FP32, INCEPTION = "sepconv_lab", "sepconv_lab, fp32", "sepconv_lab inception_v3"
C8 = {OURS: "xception", INCEPTION: "inception_v3"}
KERAS_AIM, TIMM_AIM = 2.5, 1.1
WORKER = str(Path(__file__).with_name("worker.py"))


@dataclass(frozen=True)
class Plan:
    """What is timed, and where. `words`: overrides of each of our own contenders."""

    device: torch.device
    words: dict[str, list[str]]
    pythons: tuple[str, ...]
    """Interpreters in which to look for the other frameworks."""

    @property
    def config(self) -> RunConfig:
        return compose(self.words[OURS])

    @property
    def bf16(self) -> bool:
        return environment.resolve_precision(self.config.train, self.device) is Precision.bf16


def plan(device: torch.device, overrides: Sequence[str], pythons: Sequence[str]) -> Plan:
    """Raises BadInput. What concerns the network is not meant for Inception V3, which has no such settings."""
    base = [*BASE, f"train.device={device.type}"]
    shared = [o for o in overrides if o.startswith(("data.", "train.", "seed="))]
    words = {OURS: [*base, "model=xception", *overrides], INCEPTION: [*base, "model=inception_v3", *shared]}
    for own in words.values():
        compose(own)
    return Plan(device, words, (sys.executable, *pythons))


def table(plan: Plan, rounds: int, to: Path | None = None) -> None:
    """Time all contenders and print the tables; `to`: a file for the times of claim C8."""
    config = plan.config
    with _own(plan) as own:
        seconds, against, absent = _timed(plan, own, rounds)
        batch, size = config.train.batch_size, config.data.image_size
        print(
            f"\nTraining step of model=xception at {size} pixels, batch {batch}, {config.data.num_classes} classes, SGD, "
            f"on {plan.device.type}: medians of {rounds} rounds, in turn; {OURS} in {'bf16' if plan.bf16 else 'fp32'}"
        )
        print_table(
            ["", "s/step", "images/s", f"time against {OURS} (lowest to highest round)"],
            [[n, f"{t:.3f}", f"{batch / t:.2f}", str(against[n])]
             for n, t in ((n, statistics.median(s)) for n, s in seconds.items()) if n != INCEPTION]
            + [[name, "-", "-", why] for name, why in absent.items()],
        )  # fmt: skip
        missed = _judged(against)
        _claim_c8(plan, seconds)
        if to is not None:
            write_atomically(to, json.dumps(timing(plan, seconds), indent=1).encode() + b"\n")
        if missed:
            _why(own[0], missed, seconds)


def _timed(
    plan: Plan, own: list[Contender], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Ratio], dict[str, str]]:
    """Seconds of each round, ratios to ours in the same rounds, and why others have none, each by name.

    As many peers at a time as memory holds stand beside our own contenders; the next ones follow when those have ended.
    """
    seconds: dict[str, list[float]] = {c.name: [] for c in own}
    against: dict[str, Ratio] = {}
    absent: dict[str, str] = {}
    waiting = list(_peers(plan))
    while waiting or not against:
        with contextlib.ExitStack() as group:
            there: list[Contender] = []
            while waiting and (not there or fits([*own, *there])):
                name, commands = waiting.pop(0)
                contender, why = _started(plan, group, name, commands)
                if contender is None:
                    absent[name] = f"absent: {why}"
                else:
                    there.append(contender)
            times, ended = interleaved({c.name: c.turn for c in [*own, *there]}, rounds)
            if lost := [c.name for c in own if c.name in ended]:
                raise RuntimeError(f"{lost[0]}: {ended[lost[0]]}")
            absent |= {name: f"ended: {why}" for name, why in ended.items()}
            for name, each in times.items():
                seconds.setdefault(name, []).extend(each)
                against.setdefault(name, ratio(each, times[OURS]))
    return seconds, against, absent


@contextlib.contextmanager
def _own(plan: Plan) -> Iterator[list[Contender]]:
    """Our own contenders, each in a process of its own; the first is OURS."""
    own = {**plan.words, **({FP32: [*plan.words[OURS], "train.precision=fp32"]} if plan.bf16 else {})}
    with contextlib.ExitStack() as stack:
        there = []
        for name, words in own.items():
            command = [sys.executable, "-m", "sepconv_lab.bench.ours", json.dumps({"overrides": words})]
            contender, why = _started(plan, stack, name, [command])
            if contender is None:
                raise RuntimeError(f"{name}: {why}")
            there.append(contender)
        yield there


def _started(
    plan: Plan, stack: contextlib.ExitStack, name: str, commands: Sequence[Sequence[str]]
) -> tuple[Contender | None, str]:
    """The contender from the first command that starts, its versions in its name where they are not ours; or why none did."""
    reasons: dict[str, None] = {}
    known = environment.versions()  # they stand above the tables
    for command in commands:
        contender = stack.enter_context(Contender(name, command, gpu=plan.device.type == "cuda"))
        if not contender.absent:
            versions = ", ".join(f"{k} {v}" for k, v in contender.versions.items() if known.get(k) != v)
            contender.name = f"{name} ({versions})" if versions else name
            return contender, ""
        reasons[contender.absent] = None
    return None, "; ".join(reasons)


def _peers(plan: Plan) -> Iterator[tuple[str, list[list[str]]]]:
    """The other frameworks' contenders: name, and commands of which one may start it."""
    for bf16 in (False, True) if plan.bf16 else (False,):
        kind = ", bf16" * bf16
        for backend in ("torch", "tensorflow"):
            yield f"Keras on {backend}{kind}", _peer(plan, framework="keras", backend=backend, bf16=bf16)
        for layout in ("", ", channels_last"):
            yield f"timm{layout}{kind}", _peer(plan, framework="timm", channels_last=bool(layout), bf16=bf16)


def _peer(plan: Plan, **job: Any) -> list[list[str]]:
    """Commands that start the same contender in each of the interpreters."""
    train, data = plan.config.train, plan.config.data
    job |= {
        "size": data.image_size, "batch": train.batch_size, "classes": data.num_classes, "lr": train.lr,
        "momentum": train.momentum, "device": plan.device.type, "threads": environment.set_threads(train),
    }  # fmt: skip
    return [[python, WORKER, json.dumps(job)] for python in plan.pythons]


def _judged(against: dict[str, Ratio]) -> list[str]:
    """Say which aims are met. The names of the contenders against which they are missed."""
    missed = []
    for kind, aim in (("Keras", KERAS_AIM), ("timm", TIMM_AIM)):
        peers = {name: r for name, r in against.items() if name.startswith(kind)}
        if not peers:
            print(f"Aim, {aim}x {kind}: not measured, it is absent")
            continue
        name = min(peers, key=lambda n: peers[n].median)
        met = peers[name].median >= aim
        print(f"Aim, {aim}x the fastest {kind}: {'met' if met else 'missed'} with {peers[name]}")
        missed += [] if met else [name]
    return missed


def timing(plan: Plan, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """What claim C8 is judged from (`analysis.claims.speed`): the seconds of every round of both networks, and on what."""
    config = plan.config
    sizes = {label: complexity(compose(plan.words[own])) for own, label in C8.items()}
    return {
        "schema": 1, "device": plan.device.type, "hardware_class": environment.hardware_class(plan.device),
        "precision": "bf16" if plan.bf16 else "fp32", "threads": environment.set_threads(config.train),
        "image_size": config.data.image_size, "batch_size": config.train.batch_size, "classes": config.data.num_classes,
        "seconds": {label: seconds[own] for own, label in C8.items()},
        "macs": {label: size.macs for label, size in sizes.items()},
        "params": {label: size.params for label, size in sizes.items()}, "versions": environment.versions(),
    }  # fmt: skip


def _claim_c8(plan: Plan, seconds: dict[str, list[float]]) -> None:
    batch = plan.config.train.batch_size
    macs = {name: complexity(compose(words)).macs for name, words in plan.words.items()}
    rows = []
    for name, label in C8.items():
        t = statistics.median(seconds[name])
        rows.append(
            [label, f"{macs[name] / 1e9:.3f}", f"{1 / t:.3f}", f"{t:.3f}", f"{1e12 * t / batch / macs[name]:.1f}"]
        )
    print("\nClaim C8: Xception beside Inception V3")
    print_table(["", "GMAC/image", "steps/s", "s/step", "ps/MAC"], rows)
    speed = ratio(seconds[INCEPTION], seconds[OURS])
    per_mac = ratio([t / macs[OURS] for t in seconds[OURS]], [t / macs[INCEPTION] for t in seconds[INCEPTION]])
    print(f"steps/s of Xception against Inception V3: {speed}; the paper, on 60 GPUs: 28/31 = 0.90")
    print(f"time per MAC of Xception against Inception V3: {per_mac}")


def _why(ours: Contender, missed: list[str], seconds: dict[str, list[float]]) -> None:
    """Where a step's time goes, and what no implementation can get below."""
    shares, floor = ours.ask("profile"), ours.ask("floor")
    step = statistics.median(seconds[OURS])
    print("\nWhere a step goes: " + ", ".join(f"{k} {v:.0%}" for k, v in sorted(shares.items(), key=lambda x: -x[1])))
    limits = " and ".join(f"{statistics.median(seconds[name]) / floor['seconds']:.2f}x {name}" for name in missed)
    print(
        f"Its multiplications alone take {floor['seconds']:.3f} s, {floor['seconds'] / step:.0%} of the step, at the "
        f"{floor['flops'] / 1e9:,.0f} GFLOP/s of a large matrix product here: the most that this machine allows is {limits}"
    )
