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
from .resident import ResidentSplit
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
    order = epoch_order(len(split), epoch=epoch, batch_size=batch_size, seed=seed)[start:]
    if isinstance(split, ResidentSplit):  # all that crosses to the device in an epoch
        rows, uniforms = order.to(device), epoch_uniforms(order, epoch=epoch, seed=seed).to(device)
        for examples, row in zip(rows, uniforms, strict=True):
            yield draw(split, examples, row, config)
        return
    batches = order.unbind()
    for examples, images in zip(batches, split.read(batches, workers), strict=True):
        uniforms = epoch_uniforms(examples, epoch=epoch, seed=seed)
        yield augment(_on(images, device), _on(uniforms, device), config), _on(split.labels[examples], device)


def epoch_order(examples: int, *, epoch: int, batch_size: int, seed: int) -> Tensor:
    """The examples of each of an epoch's batches, (steps, B) int64."""
    steps = steps_per_epoch(examples, batch_size)
    order = streams.permutation(examples, seed, "order", epoch)
    return torch.from_numpy(order[: steps * batch_size]).view(steps, batch_size)


def epoch_uniforms(examples: Tensor, *, epoch: int, seed: int) -> Tensor:
    """What augments these examples in an epoch: their shape and one dimension more, (..., COLUMNS) float32."""
    drawn = streams.uniforms(examples.flatten().numpy(), COLUMNS, seed, "augment", epoch)
    return torch.from_numpy(drawn).float().view(*examples.shape, COLUMNS)


def draw(split: ResidentSplit, examples: Tensor, uniforms: Tensor, config: DataConfig) -> tuple[Tensor, Tensor]:
    """A training batch of these examples (B,), everything on the device: images and labels as `train_batches` gives them."""
    images = split.images.index_select(0, examples)
    return augment(images, uniforms, config), split.classes.index_select(0, examples)


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
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()  # a copy of pageable memory waits for all queued work of the device
    return tensor.to(device, non_blocking=True)
