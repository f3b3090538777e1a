"""The training loop: steps, averaging, evaluation, checkpoints.

Everything that a step needs is a pure function of (config, step): the batch, the learning rate, the dropout masks. So a
checkpoint is the network, the optimiser, the average and a few sums, and a resumed run computes the bits of one never stopped.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Precision, RunConfig
from ..console.progress import Progress
from ..data import ImageData
from ..data.batches import steps_per_epoch, train_batches
from ..data.resident import ResidentSplit, resident
from ..disk import crash_point
from ..record import checkpoint
from ..record.metrics import shown
from ..record.record import Record
from ..record.wandb_mirror import WandbMirror
from .averaging import Average, measure_norms
from .evaluation import Metrics, evaluate
from .optim import clip, learning_rate, load_optimizer, make_optimizer, set_learning_rate
from .static import StaticStep

BN_IMAGES = 2048
"""Training images over which the averaged network's BatchNorm statistics are recomputed."""


class Diverged(Exception):
    """The loss is no longer a number."""

    def __init__(self, step: int):
        super().__init__(f"the loss is not finite at step {step}")
        self.step = step


class Interrupted(Exception):
    """Somebody asked the run to stop; the checkpoint is written."""


def stream_seed(*key: int | str) -> int:
    """A seed for one stream of random numbers, e.g. (seed, "dropout", step)."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def total_steps(config: RunConfig, train_images: int) -> int:
    """Optimiser steps of the whole run."""
    steps = max(1, math.ceil(config.train.epochs * steps_per_epoch(train_images, config.train.batch_size) - 1e-9))
    return min(steps, config.train.max_steps) if config.train.max_steps else steps


class Training:
    """The state of a run between two steps, and what moves it on."""

    def __init__(
        self, config: RunConfig, network: nn.Module, data: ImageData, device: torch.device, precision: Precision, *,
        on_device: bool | None = None,
    ):  # fmt: skip
        """on_device: images and learning rate lie beside the weights; None: on a GPU."""
        on_device = device.type == "cuda" if on_device is None else on_device
        self.config, self.device = config, device
        self.data = resident(data, device) if on_device else data
        self.network = network.to(device)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision is Precision.bf16)
        self.optimizer = make_optimizer(self.network, config.train, on_device=on_device)
        self.epoch_steps = steps_per_epoch(len(data.train), config.train.batch_size)
        self.total = total_steps(config, len(data.train))
        self.rate = learning_rate(config.train, self.total, self.epoch_steps)
        self.average: Average | None = None
        if config.train.average:
            self.average = Average(self.network, 1 - 1 / max(1.0, config.train.average_span * self.total))
        self.step = 0
        self.seconds = 0.0
        self.results: Metrics = {}
        self.environments: list[dict[str, Any]] = []
        """On what it was computed so far; more than one where an attempt went on elsewhere, or otherwise."""
        zero = torch.zeros((), dtype=torch.float64, device=device)
        self.sums = {"loss": zero.clone(), "correct": zero.clone(), "images": zero.clone(), "bad_step": zero - 1}
        """Since the last event: loss and hits, summed over images, and the first step whose loss was not finite, or -1."""
        self.number = zero.clone()
        """The step's, where the device can read it."""
        graph = device.type == "cuda" and config.train.graph and isinstance(self.data.train, ResidentSplit)
        self.static = StaticStep(self) if graph else None

    # --- one step ---

    def steps(self, epoch: int, start: int) -> Iterator[None]:
        """Take the steps of an epoch from its batch number `start` on, one each time the caller asks for the next."""
        if self.static is not None:
            self.static.begin(epoch, start)
            for _ in range(start, self.epoch_steps):
                self.static.step()
                yield
            return
        for images, labels in self._batches(epoch, start):
            self.train_step(images, labels)
            yield

    def train_step(self, images: Tensor, labels: Tensor) -> None:
        """One optimiser step on images (B, 3, S, S) and labels (B,)."""
        self.before_step()
        self.compute(images, labels)
        self.step += 1

    def before_step(self) -> None:
        """Hand the device what a step needs beside its batch: the numbers that follow from the step's."""
        torch.manual_seed(stream_seed(self.config.seed, "dropout", self.step))
        set_learning_rate(self.optimizer, self.rate(self.step))
        self.number.fill_(self.step)
        if not self.network.training:
            self.network.train()

    def compute(self, images: Tensor, labels: Tensor) -> None:
        """What the device does in a step. It never waits for the program, nor the program for it."""
        settings = self.config.train
        self.optimizer.zero_grad(set_to_none=True)
        for part, target in zip(images.chunk(settings.accumulate), labels.chunk(settings.accumulate), strict=True):
            with self.autocast:
                logits = self.network(part)
                loss = F.cross_entropy(logits.float(), target, label_smoothing=settings.label_smoothing)
            (loss * (len(part) / len(images))).backward()
            loss = loss.detach()
            self.sums["loss"] += loss * len(part)
            self.sums["correct"] += (logits.detach().argmax(1) == target).sum()
            self.sums["images"] += len(part)
            first_bad = (self.sums["bad_step"] < 0) & ~loss.isfinite()
            self.sums["bad_step"].copy_(torch.where(first_bad, self.number, self.sums["bad_step"]))
        clip(self.network.parameters(), settings)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network, first=self.step == 0)

    def train_event(self) -> Metrics:
        """Means since the last event. Raises Diverged."""
        sums = dict(zip(self.sums, torch.stack(list(self.sums.values())).tolist(), strict=True))  # waits for the device
        if sums["bad_step"] >= 0:
            raise Diverged(int(sums["bad_step"]))
        event = {
            "train/loss": sums["loss"] / sums["images"],
            "train/top1": sums["correct"] / sums["images"],
            "train/lr": self.rate(self.step - 1),
        }
        for name, value in self.sums.items():
            value.fill_(-1 if name == "bad_step" else 0)
        return event

    # --- evaluation ---

    def _batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        settings = self.config.train
        return train_batches(
            self.data.train, self.config.data, epoch=epoch, batch_size=settings.batch_size, seed=self.config.seed,
            device=self.device, workers=settings.workers, start=start,
        )  # fmt: skip

    def networks(self) -> dict[str, nn.Module]:
        """suffix -> network: the raw one, and the averaged one with BatchNorm statistics of its own."""
        by_suffix: dict[str, nn.Module] = {"": self.network}
        if self.average is not None:
            epoch = max(0, self.step - 1) // self.epoch_steps
            count = max(1, BN_IMAGES // self.config.train.batch_size)
            with self.autocast:
                measure_norms(itertools.islice(self._batches(epoch), count), self.average.module)
            by_suffix["_ema"] = self.average.module
        return by_suffix

    def evaluate(self, split: str) -> tuple[Metrics, dict[str, np.ndarray]]:
        """Metrics of a split for raw and averaged weights, and the predicted classes of each."""
        settings, metrics, predictions = self.config.train, {}, {}
        for suffix, network in self.networks().items():
            values, predicted, labels = evaluate(
                network, getattr(self.data, split), self.device, batch_size=max(128, settings.batch_size),
                workers=settings.workers, limit=settings.eval_images, autocast=self.autocast,
            )  # fmt: skip
            metrics |= {f"{split}{suffix}/{k}": v for k, v in values.items()}
            predictions |= {"label": labels, f"predicted{suffix}": predicted}
        return metrics, predictions

    def eval_images(self) -> list[int]:
        """Images of each evaluation that is still to come, the test included."""
        limit = self.config.train.eval_images
        factor = 2 if self.average is not None else 1
        counts = {s: min(limit or len(getattr(self.data, s)), len(getattr(self.data, s))) for s in ("val", "test")}
        ends = sum(self.evaluates_at(s) for s in range(self.step + 1, self.total + 1)) if self.total < 10**7 else 1
        bn = BN_IMAGES if self.average is not None else 0
        return [factor * counts["val"] + bn] * ends + [factor * counts["test"] + bn] * self.config.train.test

    def evaluates_at(self, step: int) -> bool:
        """Whether validation follows after `step` steps: at the end, and every eval_every epochs."""
        return step == self.total or step % (self.epoch_steps * self.config.train.eval_every) == 0

    # --- state ---

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "results": self.results,
            "sums": self.sums,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "environments": self.environments,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint. What it raises for one that does not fit leaves this object unusable."""
        if not 0 <= state["step"] <= self.total:
            raise ValueError(f"step {state['step']} of {self.total}")
        self.step, self.seconds, self.results = state["step"], state["seconds"], state["results"]
        self.environments = state.get("environments", [])
        for name, value in self.sums.items():
            value.copy_(state["sums"][name])
        self.network.load_state_dict(state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def fit(
    training: Training, record: Record, mirror: WandbMirror, *, should_stop: Callable[[], bool] = lambda: False
) -> Metrics:
    """Train to the last step, evaluate the test split once (`train.test`), and return the final metrics.

    Raises Diverged, or Interrupted after writing a checkpoint.
    """
    settings, folder = training.config.train, record.path / "checkpoints"
    progress = Progress(training.step, training.total, settings.batch_size, training.eval_images())
    began = time.perf_counter() - training.seconds
    saved = time.perf_counter()

    def log(event: Metrics) -> None:
        stamp = {
            "step": training.step,
            "epoch": training.step / training.epoch_steps,
            "time": time.perf_counter() - began,
        }
        full = stamp | {k: v if math.isfinite(v) else None for k, v in event.items()}
        record.log(full)
        mirror.log(full)

    def save() -> None:
        nonlocal saved
        training.seconds = time.perf_counter() - began
        crash_point("checkpoint.before")  # its events are logged
        position = {"run_id": record.run_id, "metrics_bytes": record.metrics_size()}
        checkpoint.save(folder, training.state() | position)
        saved = time.perf_counter()

    def measured(split: str) -> tuple[Metrics, dict[str, np.ndarray]]:
        start = time.perf_counter()
        metrics, predictions = training.evaluate(split)
        progress.evaluated(progress_images[split], time.perf_counter() - start)
        log(metrics)
        line = " ".join(f"{k} {v:.4f}" for k, v in metrics.items() if k.rpartition("/")[2] in printed)
        progress.say(f"epoch {training.step / training.epoch_steps:.2f}: {line}")
        # An average that still holds wild early weights may recover; what is reported in the end has to be a number.
        if not math.isfinite(metrics[f"{split}/loss"]) or (
            split == "test" and not all(map(math.isfinite, metrics.values()))
        ):
            raise Diverged(training.step)
        return metrics, predictions

    evals = training.eval_images()
    test_images = evals.pop() if settings.test else 0
    printed = {m.name for m in shown("evaluation")}
    progress_images = {"val": evals[0] if evals else 0, "test": test_images}
    try:
        while training.step < training.total:
            epoch, start = divmod(training.step, training.epoch_steps)
            for _ in training.steps(epoch, start):
                progress.stepped()
                at_end = training.evaluates_at(training.step)
                if training.step % settings.log_every == 0 or at_end:
                    event = training.train_event()
                    log(event | {"perf/images_per_second": progress.images_per_second})
                    progress.show(event["train/loss"], event["train/top1"])
                if at_end:
                    training.results |= measured("val")[0]
                stop = should_stop()  # once: a signal between two looks would end the run without its checkpoint
                if at_end or stop or time.perf_counter() - saved > settings.checkpoint_every:
                    save()
                if stop:
                    raise Interrupted
                if training.step == training.total:
                    break
        if not settings.test:
            checkpoint.drop_previous(folder)
            return training.results
        metrics, predictions = measured("test")
        crash_point("test.logged")
        np.savez(record.path / "predictions.npz", allow_pickle=False, **predictions)  # type: ignore[arg-type]
        crash_point("predictions.written")
        checkpoint.drop_previous(folder)
        return training.results | metrics
    finally:
        progress.close()


def logged_rate(record: Record) -> float | None:
    """The last training images/s on record, of whatever attempt; None where a run diverged before its first event."""
    rates = (e["perf/images_per_second"] for e in reversed(record.events()) if "perf/images_per_second" in e)
    return next(rates, None)
