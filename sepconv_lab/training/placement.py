"""A run's place on the GPUs that it shares with others (`launch/devices.py`): what it is expected to take, and what it takes."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator

import torch

from ..config import RunConfig, plain
from ..launch.devices import GPU, Placement, book_of_this_machine
from ..models.complexity import Complexity

CONTEXT = 700 * 2**20
"""Bytes that a process takes of a GPU beside its tensors: driver, kernels, libraries' workspaces."""
COPIES = 3
"""Forward activations, their gradients, and what the allocator keeps between them."""
STEPS = 5
"""Steps after which memory is measured: the optimiser has its state, and a graph is recorded."""


def gpus() -> tuple[GPU, ...]:
    """This machine's, as far as this process may see them."""
    return tuple(
        GPU(i, torch.cuda.get_device_properties(i).total_memory) for i in range(torch.cuda.device_count())
    )  # fmt: skip


def taken() -> int:
    """Bytes that this process has taken of its GPU so far, at most."""
    return int(torch.cuda.max_memory_reserved()) + CONTEXT


@contextlib.contextmanager
def placed(
    config: RunConfig, counts: Complexity, device: torch.device, should_stop: Callable[[], bool]
) -> Iterator[Callable[[], bool]]:
    """Wait for a GPU with room and make it this process's own; on the CPU nothing. What it gives takes the place of `should_stop`.

    Raises KeyboardInterrupt when told to stop while waiting.
    """
    if device.type != "cuda":
        yield should_stop
        return
    settings = config.train
    # What memory depends on; seeds and rates are not among it.
    parts = plain((config.block, config.model, config.data.image_size, settings.batch_size, settings.accumulate,
                   settings.optimizer, settings.precision, settings.graph))  # fmt: skip
    kind = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    expected = (
        COPIES * counts.activation_bytes * settings.batch_size // settings.accumulate + 16 * counts.params + CONTEXT
    )
    placement, owner, asked = Placement(book_of_this_machine(), gpus()), os.getpid(), 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        if asked == STEPS:
            placement.measured(owner, kind, taken())
        return should_stop()

    with placement.placed(owner, kind, expected, should_stop) as index:
        torch.cuda.set_device(index)
        yield stop
