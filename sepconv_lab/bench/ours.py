"""This library's contender of the step table: the training step that `python -m sepconv_lab.run` takes, on random images."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import models
from ..compose import compose
from ..data.splits import ImageData, Split
from ..models.complexity import complexity
from ..training import environment
from ..training.loop import Training
from .worker import Built, Step, serve


class Noise(Split):
    """A split with labels and no images."""

    def read(self, batches: Sequence[Tensor], workers: int = 0) -> Iterator[Tensor]:
        raise NotImplementedError


def training(overrides: Sequence[str]) -> Training:
    """A run of these overrides between two steps, without its data."""
    config = compose(overrides)
    device = environment.resolve_device(config.train)
    precision = environment.resolve_precision(config.train, device)
    environment.set_threads(config.train)
    environment.set_deterministic(device)
    classes, size = config.data.num_classes, config.data.image_size
    noise = Noise([0] * (1000 * config.train.batch_size), size)
    data = ImageData(noise, noise, noise, classes, [], digest="", content="")
    return Training(config, models.build_model(config, classes), data, device, precision)


def build(job: dict[str, Any]) -> Built:
    """`job["overrides"]` compose the run."""
    run = training(job["overrides"])
    batch, size, classes = run.config.train.batch_size, run.config.data.image_size, run.config.data.num_classes
    images = torch.randn(batch, 3, size, size).to(run.device, memory_format=torch.channels_last)
    labels = torch.randint(0, classes, (batch,)).to(run.device)

    def step() -> None:
        run.train_step(images, labels)
        float(run.sums["loss"])  # a Keras step returns its loss, which waits for the device
        if run.device.type == "cuda":
            torch.cuda.synchronize()

    macs = complexity(run.config).macs
    return step, ["torch"], {"profile": lambda: profile(step, run.device), "floor": lambda: floor(run, macs * batch)}


KINDS = {
    "convolutions": ("convolution", "conv2d"),
    "normalisation": ("batch_norm",),
    "activations": ("relu", "clamp_min", "threshold", "elu", "gelu", "silu", "mish", "tanh", "sigmoid", "hardswish"),
    "pooling": ("pool",),
    "linear layers": ("addmm", "aten::mm", "linear"),
    "copies and fills": ("copy", "fill_", "zero_", "aten::cat", "contiguous", "aten::to", "clone", "constant_pad"),
}
"""kind -> parts of the names of its operators, the first kind that matches."""


def profile(step: Step, device: torch.device) -> dict[str, float]:
    """kind of operator -> its share of a step's time."""
    gpu = device.type == "cuda"
    activities = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if gpu else [])]
    with torch.profiler.profile(activities=activities) as profile:
        step()
    shares: dict[str, float] = dict.fromkeys([*KINDS, "optimiser", "the rest"], 0.0)
    for event in profile.events() or []:
        if gpu and event.device_type != torch.autograd.DeviceType.CPU:
            continue  # counted in its operator's time
        seconds = (event.self_device_time_total if gpu else event.self_cpu_time_total) / 1e6
        kind = next((k for k, names in KINDS.items() if any(n in event.name.lower() for n in names)), "the rest")
        shares["optimiser" if _in_optimizer(event) else kind] += seconds
    total = sum(shares.values()) or 1.0
    return {kind: seconds / total for kind, seconds in shares.items()}


def _in_optimizer(event: Any) -> bool:
    while event is not None:
        if event.name.startswith("Optimizer."):
            return True
        event = event.cpu_parent
    return False


def floor(run: Training, macs: int) -> dict[str, float]:
    """Seconds that a step's multiplications take at this machine's matrix-product rate: forward, and twice that backward."""
    kind = torch.bfloat16 if run.autocast._enabled else torch.float32
    a, b = (torch.randn(2048, 2048, device=run.device, dtype=kind) for _ in range(2))
    times = []
    for _ in range(12):
        began = time.perf_counter()
        float((a @ b)[0, 0])
        times.append(time.perf_counter() - began)
    rate = 2 * 2048**3 / min(times)
    return {"seconds": 3 * 2 * macs / rate, "flops": rate}


if __name__ == "__main__":
    serve(build)
