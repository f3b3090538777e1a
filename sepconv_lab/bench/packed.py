"""One of several runs that share a device: builds what it is told to and takes steps from a given moment on.

Lines of JSON on stdin, answered on stdout: {"width", "batch", "words", "device"} builds; {"graph", "start", "seconds"} steps.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .. import models
from ..compose import compose
from ..config.messages import first_line
from ..data.resident import ResidentSplit
from ..data.splits import ImageData
from ..training import environment
from ..training.loop import Training

IMAGES = 8192
CLASSES = 10
BETWEEN = 10
"""Steps between two looks at the clock, for each of which the program waits for the device: events come every 20."""


class Noise(ResidentSplit):
    """Random bytes on the device, labelled at random."""

    def __init__(self, device: torch.device, side: int = 32) -> None:
        generator = np.random.default_rng(0)
        self.labels = torch.from_numpy(generator.integers(0, CLASSES, IMAGES))
        self.image_size = side
        images = generator.integers(0, 256, (IMAGES, 3, side, side), dtype=np.uint8)
        self.images, self.classes = torch.from_numpy(images).to(device), self.labels.to(device)


def training(words: Sequence[str], device: torch.device) -> Training:
    """A run over noise, its learning rate small."""
    config = compose(["data=cifar10", "train.lr=1e-3", *words])
    environment.set_threads(config.train)
    environment.set_deterministic(device)
    noise = Noise(device)
    data = ImageData(noise, noise, noise, CLASSES, [], digest="", content="")
    precision = environment.resolve_precision(config.train, device)
    return Training(config, models.build_model(config, CLASSES), data, device, precision, on_device=True)


class Stepper:
    """A run that goes on for ever."""

    def __init__(self, run: Training):
        self.run, self.epoch = run, 0
        self.steps = run.steps(0, 0)
        self.take(5)

    def take(self, count: int) -> None:
        for _ in range(count):
            try:
                next(self.steps)
            except StopIteration:
                self.epoch += 1
                self.steps = self.run.steps(self.epoch, 0)
                next(self.steps)
        if self.run.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds_a_step(self, seconds: float) -> float:
        """Measured over at least so many seconds."""
        began, count = time.perf_counter(), 0
        while not count or time.perf_counter() - began < seconds:
            self.take(BETWEEN)
            count += BETWEEN
        return (time.perf_counter() - began) / count


def steppers(width: float, batch: int, words: Sequence[str], device: torch.device) -> tuple[dict[bool, Stepper], str]:
    """Whether it is a CUDA graph -> a run, warm; and why there is no graph where it could not be recorded."""
    common = [f"model.width={width}", f"train.batch_size={batch}", "train.threads=1", *words]
    built = {False: Stepper(training(common, device))}
    if device.type != "cuda":
        return built, ""
    try:
        built[True] = Stepper(training([*common, "train.graph=true"], device))
    except RuntimeError as error:
        return built, first_line(error)
    return built, ""


def serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    built: dict[bool, Stepper] = {}
    batch = 0
    for line in sys.stdin:
        told: dict[str, Any] = json.loads(line)
        answer: dict[str, Any] = {}
        if "width" in told:
            built.clear()
            batch = told["batch"]
            built, failed = steppers(told["width"], batch, told["words"], torch.device(told["device"]))
            answer = {"graph": True in built, "failed": failed}
        else:
            time.sleep(max(0.0, told["start"] - time.time()))
            answer = {"images_per_second": batch / built[told["graph"]].seconds_a_step(told["seconds"])}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
