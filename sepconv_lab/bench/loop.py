"""What the loop costs beside the bare one: augmentation, averaging, logging, progress, looking for signals."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import data, models
from ..compose import compose
from ..config import BadInput, RunConfig
from ..console.tables import print_table
from ..record.record import Record
from ..record.wandb_mirror import WandbMirror
from ..training import environment
from ..training.loop import Training, fit
from .timing import interleaved, ratio

AIM = 1.02
STEPS = 12
"""Timed steps of a turn."""


class _Enough(Exception):
    pass


def table(overrides: Sequence[str], rounds: int) -> None:
    """Time `fit` and a bare loop on the same batches and print the table. Raises BadInput."""
    config = compose(["train.batch_size=128", "wandb.mode=disabled", *overrides])
    device = environment.resolve_device(config.train)
    threads = environment.set_threads(config.train)
    environment.set_deterministic(device)
    loaded = data.load(config.data)
    ours = _training(config, loaded, device)
    if ours.epoch_steps <= STEPS:
        raise BadInput(f"the loop is timed over {STEPS} steps of one epoch: more images, or a smaller train.batch_size")
    # The bare loop takes batches that are ready: the time in which `fit` makes its own counts as its cost.
    batches = list(islice(ours._batches(0), STEPS + 1))
    bare = _training(config, loaded, device)
    with tempfile.TemporaryDirectory() as folder:
        record = Record(folder, "0" * 16)
        record.begin({})
        mirror = WandbMirror(config, record.run_id, record.path, 1, "bench")
        turns = {
            "sepconv_lab": lambda: _loop(ours, record, mirror),
            "the step alone": lambda: _steps(bare, batches),
            "bare loop": lambda: _bare(bare, batches),
        }
        for turn in turns.values():
            turn()  # warm
        seconds, _ = interleaved(turns, rounds)
        record.close()
    size, batch = config.data.image_size, config.train.batch_size
    print(
        f"\nTraining loop beside a bare one: model={config.model.name} at {size} pixels, batch {batch}, on {device.type} with "
        f"{threads} threads, averaging {'on' if config.train.average else 'off'}: medians of {rounds} rounds of {STEPS} steps"
    )
    print_table(
        ["", "ms/step", "time against the bare loop (lowest to highest round)"],
        [[n, f"{1000 * statistics.median(s):.1f}", str(ratio(s, seconds["bare loop"]))] for n, s in seconds.items()],
    )
    times = ratio(seconds["sepconv_lab"], seconds["bare loop"]).median
    print(f"Aim, at most {AIM - 1:.0%} more: {'met' if times <= AIM else 'missed'} with {times - 1:+.1%}")


def _training(config: RunConfig, loaded: data.ImageData, device: torch.device) -> Training:
    network = models.build_model(config, loaded.num_classes)
    return Training(config, network, loaded, device, environment.resolve_precision(config.train, device))


def _loop(training: Training, record: Record, mirror: WandbMirror) -> float:
    """Seconds of one step of `fit`, from the end of its first step in this turn to the end of its last."""
    ends: list[float] = []

    def stepped() -> bool:  # asked once after every step
        if len(ends) in (0, STEPS):
            _finish(training)
        ends.append(time.perf_counter())
        if len(ends) > STEPS:
            raise _Enough
        return False

    training.step = 0  # counted anew, so that no evaluation falls within a turn
    with contextlib.suppress(_Enough):
        fit(training, record, mirror, should_stop=stepped)
    return (ends[-1] - ends[0]) / STEPS


def _steps(training: Training, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Seconds of one step of `Training.train_step` on batches ready in memory."""
    training.step = 0
    training.train_step(*batches[0])
    _finish(training)
    began = time.perf_counter()
    for images, labels in batches[1:]:
        training.train_step(images, labels)
    _finish(training)
    return (time.perf_counter() - began) / STEPS


def _bare(training: Training, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Seconds of one step of what everybody writes first, on batches ready in memory."""
    network, optimizer, settings = training.network.train(), training.optimizer, training.config.train

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        with training.autocast:
            loss = F.cross_entropy(network(images).float(), labels, label_smoothing=settings.label_smoothing)
        loss.backward()
        optimizer.step()

    step(*batches[0])
    _finish(training)
    began = time.perf_counter()
    for images, labels in batches[1:]:
        step(images, labels)
    _finish(training)
    return (time.perf_counter() - began) / STEPS


def _finish(training: Training) -> None:
    """A GPU works behind the program's back."""
    if training.device.type == "cuda":
        torch.cuda.synchronize()
