"""Splits whose images lie on the device: within an epoch nothing crosses to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .splits import ImageData, MemorySplit, Split

LARGEST = 4 * 2**30
"""Splits with more bytes of images than this stay in the computer's memory."""


class ResidentSplit(Split):
    """A split in memory, copied to a device. `images`: (N, 3, R, R) uint8, `classes`: its labels, both there."""

    def __init__(self, split: MemorySplit, device: torch.device) -> None:
        self.labels, self.image_size = split.labels, split.image_size
        self.images, self.classes = split.images.to(device), split.labels.to(device)

    def read(self, batches: Sequence[Tensor], workers: int = 0) -> Iterator[Tensor]:
        for batch in batches:
            yield self.images.index_select(0, batch.to(self.images.device))


def resident(data: ImageData, device: torch.device) -> ImageData:
    """The data set with each split that is held in memory, and is not too large, on the device."""
    splits = {
        name: ResidentSplit(split, device)
        for name in ("train", "val", "test")
        if isinstance(split := getattr(data, name), MemorySplit) and split.images.nbytes <= LARGEST
    }
    return dataclasses.replace(data, **splits)
