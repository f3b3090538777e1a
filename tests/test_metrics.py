"""The table of metrics describes what is measured, and what is measured is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sepconv_lab.analysis.stats import outcomes
from sepconv_lab.config import BadInput
from sepconv_lab.record import metrics
from sepconv_lab.training.scores import BINS, Scores

from .analysis.conftest import build_runs


def drawn(count: int = 300, classes: int = 12) -> tuple[Tensor, Tensor]:
    """Logits (count, classes) of a somewhat able network, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (count,), generator=generator)
    logits = torch.randn(count, classes, generator=generator) * 2
    logits[torch.arange(count), labels] += 1.5
    return logits, labels


def scored(logits: Tensor, labels: Tensor, batch: int = 10**9) -> dict[str, float]:
    scores = Scores(torch.device("cpu"))
    for part, target in zip(logits.split(batch), labels.split(batch), strict=True):
        scores.add(part, target)
    return scores.metrics()


def test_calibration_error_is_that_of_its_definition() -> None:
    """Sum over 15 equal bins of confidence of their share times |accuracy - mean confidence| (Guo et al. 2017, eq. 3)."""
    logits, labels = drawn()
    chances = np.exp(logits.double().numpy())
    chances /= chances.sum(1, keepdims=True)
    confidence, right = chances.max(1), chances.argmax(1) == labels.numpy()
    expected = 0.0
    for low in range(BINS):
        inside = (confidence > low / BINS) & (confidence <= (low + 1) / BINS)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert BINS == 15
    assert expected > 0.05
    assert scored(logits, labels)["ece"] == pytest.approx(expected, rel=1e-9)


def test_calibration_error_at_its_ends() -> None:
    """Sure and wrong: 1. Sure and right, or a guess among equals: 0. Not a number where the logits are not."""
    sure = torch.eye(4) * 1e3
    assert scored(sure, torch.tensor([1, 2, 3, 0]))["ece"] == pytest.approx(1)
    assert scored(sure, torch.arange(4))["ece"] == pytest.approx(0)
    assert scored(torch.zeros(4, 4), torch.arange(4))["ece"] == pytest.approx(0)
    assert math.isnan(scored(torch.full((4, 4), math.nan), torch.arange(4))["ece"])


def test_metrics_do_not_depend_on_the_batches() -> None:
    """Batches of whatever size add up to the metrics of all images, a last smaller one included."""
    logits, labels = drawn()
    assert scored(logits, labels, 7) == pytest.approx(scored(logits, labels), rel=1e-6)


def test_every_metric_is_described() -> None:
    """What `Scores` gives has a row each, and no name stands twice."""
    assert set(scored(*drawn())) <= set(metrics.ORDER)
    assert len(set(metrics.ORDER)) == len(metrics.TABLE)
    assert metrics.label("val_ema/ece") == "expected calibration error"
    assert metrics.split_of("val_ema/ece") == ("validation", True)


def test_a_guess_scores_chance_level() -> None:
    """The table's chance levels are what equal logits score, on average over the classes."""
    classes = 10
    got = scored(torch.zeros(classes, classes), torch.arange(classes))
    for row in metrics.TABLE:
        if row.chance is not None:
            assert got[row.name] == pytest.approx(row.chance(classes)), row.name
    assert metrics.BY_NAME["top5"].chance(3) == 1  # type: ignore[misc]


def test_cross_entropy_is_an_outcome_and_calibration_is_none() -> None:
    """ln of the loss, at chance ln(ln classes); variants are not compared by a metric that a guess wins."""
    runs = build_runs("study", {"a": -1.5}, 2).assign(**{"test_ema/loss": 1.0, "test_ema/ece": 0.1})
    runs.loc[1, "status"] = "diverged"
    assert outcomes.unit("test_ema/loss") == "ln test cross-entropy (averaged weights)"
    values = outcomes.outcome(runs, "test_ema/loss")
    assert values.tolist() == pytest.approx([math.log(1.0), math.log(math.log(10))])
    with pytest.raises(BadInput, match=r"no outcome is defined for 'test_ema/ece': take <split>/top1.*<split>/loss"):
        outcomes.outcome(runs, "test_ema/ece")
