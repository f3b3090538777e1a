"""Splits -> batches of float images on the training device.

A training batch depends on the seed, the epoch and the examples in it, and on nothing else: not on workers, device, where
the epoch was resumed, or what was drawn before.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..config import BadInput, DataConfig
from . import streams
from .augment import COLUMNS, augment, centre, normalise
from .splits import Split, spread


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Whole batches in an epoch; the rest is dropped. Raises BadInput when there is none."""
    if examples < batch_size:
        raise BadInput(
            f"a batch of {batch_size} is larger than the training split of {examples} images; lower train.batch_size"
        )
    return examples // batch_size


def train_batches(
    split: Split,
    config: DataConfig,
    *,
    epoch: int,
    batch_size: int,
    seed: int,
    device: torch.device | str,
    workers: int = 0,
    start: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch's batches from number `start` on: float32 images (B, 3, S, S) in [-1, 1], channels_last, and int64 labels (B,).

    The order is a permutation from (seed, "order", epoch); the augmentation of example i is row i of the table
    (seed, "augment", epoch). Batches before `start` are not decoded. Raises BadInput when there are fewer examples than
    `batch_size`, or for an image that cannot be decoded.
    """
    steps = steps_per_epoch(len(split), batch_size)
    order = streams.permutation(len(split), seed, "order", epoch)
    batches = torch.from_numpy(order[: steps * batch_size]).view(steps, batch_size)[start:].unbind()
    for examples, images in zip(batches, split.read(batches, workers), strict=True):
        uniforms = torch.from_numpy(streams.uniforms(examples.numpy(), COLUMNS, seed, "augment", epoch)).float()
        yield augment(_on(images, device), _on(uniforms, device), config), _on(split.labels[examples], device)


def eval_batches(
    split: Split, *, batch_size: int, device: torch.device | str, workers: int = 0, limit: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every example once, in order, centre cropped, without augmentation; the last batch may be smaller.

    limit: at most this many examples, always the same ones, spread over the classes; 0: all.
    """
    examples = torch.arange(len(split))
    if 0 < limit < len(split):
        examples = torch.from_numpy(spread(split.labels.numpy(), limit))
    batches = [examples[first : first + batch_size] for first in range(0, len(examples), batch_size)]
    for batch, images in zip(batches, split.read(batches, workers), strict=True):
        yield normalise(centre(_on(images, device), split.image_size)), _on(split.labels[batch], device)


def _on(tensor: Tensor, device: torch.device | str) -> Tensor:
    return tensor.to(device, non_blocking=True)
