"""A network's metrics and predictions on a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.batches import eval_batches
from .scores import Scores

Metrics = dict[str, float]


@torch.no_grad()
def evaluate(
    network: nn.Module,
    split: Any,
    device: torch.device,
    *,
    batch_size: int = 128,
    workers: int = 0,
    limit: int = 0,
    autocast: Any = None,
) -> tuple[Metrics, np.ndarray, np.ndarray]:
    """(metrics of `Scores`, predicted classes (N,), labels (N,)) of a network on a split, without augmentation.

    The device waits for nothing until the last batch.
    """
    network.eval()
    scores = Scores(device)
    predicted, truth = [], []
    for images, labels in eval_batches(split, batch_size=batch_size, device=device, workers=workers, limit=limit):
        with autocast or torch.autocast(device.type, enabled=False):
            logits = network(images).float()
        predicted.append(scores.add(logits, labels))
        truth.append(labels)
    classes, labels = torch.cat(predicted).cpu(), torch.cat(truth).cpu()
    return scores.metrics(), classes.numpy().astype(np.int32), labels.numpy().astype(np.int32)
