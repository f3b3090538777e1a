"""What the runs of a plan will cost here: seconds from finished records, else from a measured step; bytes from parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from ..config import Optimizer, RunConfig
from ..record.plan import Plan, PlannedRun
from .status import State

BUDGET = 8.0
"""Seconds for measuring; variants that come too late for it are reckoned by their MACs."""
PIXELS = 300_000
"""Of a measured batch, so that a step of the published network does not take a minute."""


def seconds_per_run(plan: Plan, found: Sequence[State], runs_dir: str | Path) -> tuple[dict[str, float], str]:
    """variant -> seconds of one of its runs (NaN where the data is not here), and where the figures come from."""
    known: dict[str, list[float]] = {}
    for state in found:
        if state.status == "finished" and state.summary:
            known.setdefault(state.run.variant, []).append(float(state.summary["wall_time"]))
    out = {name: sum(times) / len(times) for name, times in known.items()}
    rates: dict[str, float] = {}
    began = time.perf_counter()
    first: dict[str, PlannedRun] = {}
    for run in plan.runs:
        first.setdefault(run.variant, run)
    for name, variant in plan.variants.items():
        if name in out or variant.steps is None:
            continue
        if not rates or time.perf_counter() - began < BUDGET:
            rates[name] = measured_rate(plan.config(first[name], str(runs_dir)))
    per_mac = sum(rates[n] * plan.variants[n].macs for n in rates) / len(rates) if rates else math.nan
    for name, variant in plan.variants.items():
        if name not in out:
            rate = rates.get(name, per_mac / variant.macs)
            out[name] = _seconds(plan.config(first[name], str(runs_dir)), variant.steps, rate)
    words = ["finished records"] * bool(known) + ["a measured step"] * bool(rates)
    return out, " and ".join(words) or "nothing: the data is not here"


def measured_rate(config: RunConfig) -> float:
    """Training images a second on this machine: two steps on random images after a first one."""
    import torch
    import torch.nn.functional as F

    from .. import models
    from ..training import environment
    from ..training.optim import make_optimizer

    device = environment.resolve_device(config.train)
    precision = environment.resolve_precision(config.train, device)
    environment.set_threads(config.train)
    size, classes = config.data.image_size, config.data.num_classes or 1000
    batch = max(2, min(config.train.batch_size, PIXELS // size**2))
    network = models.build_model(config, classes).to(device).train()
    optimizer = make_optimizer(network, config.train)
    images = torch.randn(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.long, device=device)
    steps, began = 2, 0.0
    for step in range(steps + 1):
        if step == 1:
            began = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision.name == "bf16"):
            loss = F.cross_entropy(network(images).float(), labels)
        loss.backward()
        optimizer.step()
        float(loss.detach())  # waits for a GPU
    return steps * batch / (time.perf_counter() - began)


def _seconds(config: RunConfig, steps: int | None, rate: float) -> float:
    if steps is None:
        return math.nan
    from .. import data
    from ..data.batches import steps_per_epoch

    train, val, test, _ = data.sizes(config.data)
    settings = config.train
    evaluations = math.ceil(steps / (steps_per_epoch(train, settings.batch_size) * settings.eval_every))
    limit = settings.eval_images or max(val, test)
    evaluated = (evaluations * min(val, limit) + min(test, limit)) * (2 if settings.average else 1)
    return 2 + (steps * settings.batch_size + evaluated / 3) / rate  # evaluating costs a third of training


def bytes_per_run(plan: Plan, variant: str) -> int:
    """Disk that a finished run keeps: its last checkpoint (weights, optimiser, average), and about 0.3 MB of the rest."""
    train = plan.variants[variant].config["train"]
    copies = 1 + bool(train["average"]) + (2 if train["optimizer"] != Optimizer.sgd.name else bool(train["momentum"]))
    return int(4 * plan.variants[variant].params * copies + 300_000)
