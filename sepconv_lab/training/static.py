"""The training step over buffers that never move, so that a GPU can replay it as one CUDA graph.

A step of a small network is hundreds of short kernels, and starting each from Python takes longer than running it. Everything that
changes from step to step (the batch, its augmentation, the learning rate, the step's number) is read from buffers: what the
graph recorded once computes every step, bit for bit what the eager step computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ..data.augment import COLUMNS
from ..data.batches import draw, epoch_order, epoch_uniforms
from ..data.resident import ResidentSplit

if TYPE_CHECKING:
    from .loop import Training

WARM_UP = 3
"""Eager steps before the recording: libraries choose their kernels, the optimiser makes its state."""


class StaticStep:
    """Draws the next batch on the device, trains on it, and counts on. `capture=False`: eagerly, on any device.

    The training split has to be resident on the device.
    """

    def __init__(self, training: Training, *, capture: bool = True):
        config, device = training.config, training.device
        assert isinstance(training.data.train, ResidentSplit)
        self.training, self.split, self.capture = training, training.data.train, capture
        shape = (training.epoch_steps, config.train.batch_size)
        self.order = torch.zeros(shape, dtype=torch.int64, device=device)
        self.uniforms = torch.zeros((*shape, COLUMNS), device=device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream(device) if capture else None
        self.warmed = 0

    def begin(self, epoch: int, start: int) -> None:
        """Put an epoch's draws into the buffers; the next step is its batch number `start`."""
        config = self.training.config
        order = epoch_order(len(self.split), epoch=epoch, batch_size=config.train.batch_size, seed=config.seed)
        self.order.copy_(order)
        self.uniforms.copy_(epoch_uniforms(order, epoch=epoch, seed=config.seed))
        self.place.fill_(start)

    def step(self) -> None:
        """One training step."""
        training = self.training
        training.before_step()
        if self.graph is not None:
            self.graph.replay()
        elif self.stream is None:
            self._compute()
        elif self.warmed < WARM_UP or training.step == 0:
            self._beside(self._compute)
            self.warmed += 1
        else:
            self.graph = self._recorded()
            self.graph.replay()
        training.step += 1

    def _compute(self) -> None:
        examples = self.order.index_select(0, self.place)[0]
        uniforms = self.uniforms.index_select(0, self.place)[0]
        self.training.compute(*draw(self.split, examples, uniforms, self.training.config.data))
        self.place += 1

    def _beside(self, work: Callable[[], None]) -> None:
        """On the stream on which the graph is recorded, as PyTorch asks of the steps before."""
        assert self.stream is not None
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            work()
        torch.cuda.current_stream().wait_stream(self.stream)

    def _recorded(self) -> torch.cuda.CUDAGraph:
        """The step as a graph. Recording executes nothing."""
        graph = torch.cuda.CUDAGraph()
        for group in self.training.optimizer.param_groups:
            if "capturable" in group:  # AdamW asks for it while it is recorded; fused it always is
                group["capturable"] = True
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            self._compute()
        for group in self.training.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = False
        return graph
