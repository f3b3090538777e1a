"""The table of metrics: one row for each number that a run measures. What prints, draws or compares metrics reads it here.

A metric of a split is named `<split>/<name>`, e.g. `val_ema/top1`; `_ema` stands for the averaged weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

Place = Literal["evaluation", "curves", "diff", "variants", "runs"]
"""The line printed after an evaluation; `runs plot`; `runs diff`; the report's tables of variants and of runs."""
Number = TypeVar("Number")

PRIMARY = "test_ema/top1"
"""What studies compare unless they name another metric: the averaged weights at the last epoch."""
PRIMARY_RAW = "test/top1"
"""The same for the last weights, without averaging."""
SELECTION = "val_ema/top1"
"""What learning rates are chosen by, and the curve that is drawn: the test split is read once, at the end."""
SELECTION_RAW = "val/top1"
"""The same for the last weights."""
SPLITS = ("test_ema", "test", "val_ema", "val", "train", "perf")
"""In the order of columns."""


@dataclass(frozen=True)
class Metric:
    """One row. chance: number of classes -> the value of a guess; None where a guess has none.

    outcome: what the logarithm is taken of when variants are compared, in words; empty where they are not compared by it.
    """

    name: str
    label: str
    short: str
    unit: Literal["fraction", "nats", "images/s", ""]
    better: Literal["higher", "lower"] | None
    chance: Callable[[float], float] | None = None
    outcome: str = ""
    shown: tuple[Place, ...] = ()

    @property
    def is_accuracy(self) -> bool:
        """A fraction of right answers: has a height at chance, and its complement is an error."""
        return self.unit == "fraction" and self.better == "higher" and self.chance is not None

    def loss_of(self, value: Number) -> Number:
        """What is lost at a value or a Series of values, smaller is better: 1 - accuracy, otherwise the value itself."""
        return 1 - value if self.is_accuracy else value  # type: ignore[operator, return-value]


TABLE = (
    Metric(
        "top1", "top-1 accuracy", "top-1", "fraction", "higher", chance=lambda classes: 1 / classes,
        outcome="error", shown=("evaluation", "curves", "diff", "variants", "runs"),
    ),
    Metric(
        "top5", "top-5 accuracy", "top-5", "fraction", "higher", chance=lambda classes: min(1.0, 5 / classes),
        outcome="top-5 error", shown=("variants",),
    ),
    Metric(
        "loss", "cross-entropy", "loss", "nats", "lower", chance=math.log,
        outcome="cross-entropy", shown=("evaluation", "curves", "diff", "runs"),
    ),
    # A guess is perfectly calibrated, so a diverged run has no chance level here, and variants are not compared by it.
    Metric("ece", "expected calibration error", "ECE", "fraction", "lower", shown=("variants",)),
    Metric("lr", "learning rate", "rate", "", None),
    Metric("images_per_second", "training throughput", "images/s", "images/s", "higher"),
)  # fmt: skip
ORDER = tuple(m.name for m in TABLE)
BY_NAME = {m.name: m for m in TABLE}


def of(key: str) -> Metric | None:
    """The row of `<split>/<name>`, of whatever split; None for what the table does not know."""
    return BY_NAME.get(key.rpartition("/")[2])


def label(key: str) -> str:
    """What a figure calls a metric; its key where the table does not know it."""
    row = of(key)
    return row.label if row else key


def shown(place: Place) -> tuple[Metric, ...]:
    """The metrics of one place, in the table's order."""
    return tuple(m for m in TABLE if place in m.shown)


def with_outcome() -> tuple[Metric, ...]:
    """The metrics by which variants can be compared."""
    return tuple(m for m in TABLE if m.outcome)


def split_of(key: str) -> tuple[str, bool]:
    """("validation", True) for val_ema/...: the split in words, and whether the weights are averaged."""
    split = key.partition("/")[0]
    plain = split.removesuffix("_ema")
    return {"val": "validation", "train": "training"}.get(plain, plain), plain != split
