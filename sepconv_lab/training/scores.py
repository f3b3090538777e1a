"""What an evaluation measures, summed batch by batch on the device. The names are rows of `record/metrics.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 15
"""Equal-width bins of confidence behind the expected calibration error (Guo et al. 2017, section 2)."""


class Scores:
    """Sums over batches of logits and labels, and the metrics that they give. Nothing leaves the device before `metrics`."""

    def __init__(self, device: torch.device):
        self.count = 0
        self.sums: dict[str, Tensor] = {}
        """Of the metrics that are means over images."""
        self.gaps = torch.zeros(BINS, dtype=torch.float64, device=device)
        """Of each bin: right answers minus the sum of confidences."""

    def add(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Count a batch of logits (B, classes) with labels (B,); the predicted classes (B,)."""
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices
        right = ranked == labels[:, None]
        summed = {
            "loss": F.cross_entropy(logits, labels, reduction="sum"),
            "top1": right[:, 0].sum(),
            "top5": right.sum(),
        }
        self.sums = {name: value.double() + self.sums.get(name, 0) for name, value in summed.items()}
        self.gaps += calibration_gaps(logits, right[:, 0])
        self.count += len(labels)
        return ranked[:, 0]

    def metrics(self) -> dict[str, float]:
        """name -> value over everything counted."""
        means = {name: float(total) / self.count for name, total in self.sums.items()}
        return means | {"ece": float(self.gaps.abs().sum()) / self.count}


def calibration_gaps(logits: Tensor, right: Tensor) -> Tensor:
    """Right answers minus confidence, summed in each bin: (BINS,), for logits (B, classes) and right (B,) of bool.

    Bin m holds confidences in (m/BINS, (m+1)/BINS]. A sum over a mask, because scattered additions are not
    deterministic on a GPU.
    """
    confidence = logits.double().softmax(1).amax(1)
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    inside = bins[:, None] == torch.arange(BINS, device=bins.device)
    return (inside * (right.double() - confidence)[:, None]).sum(0)
