"""Where the variance of a study's effects comes from, from its runs and what each predicted; and the cheapest way to less of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...config import BadInput
from ...record.plan import Plan
from ..read.kinds import Candidate
from ..stats import checks, outcomes, variance
from ..stats.variance import Lever, Parts
from .board import frozen_claim
from .contrasts import Contrast

TESTING = 2 / 3
"""What a test image costs, in training images: forward alone, a third of a step, with raw and with averaged weights."""


@dataclass(frozen=True)
class Spread:
    """One contrast's variance by where it comes from, and the ways to d, the cheapest first."""

    contrast: Contrast
    parts: Parts
    ways: list[Lever]
    smallest: float

    @property
    def text(self) -> str:
        lines = [
            f"{self.contrast.name}: {self.parts.text}",
            f"  to an interval of ±{self.smallest:g}, the cheapest first:",
        ]
        for way in self.ways:
            name = way.name + (f" x{way.factor:g}" if way.factor != 1 else "")
            need = (
                "more than 1000 seeds"
                if way.seeds is None
                else f"{way.seeds} seeds, {way.cost / 3600:,.1f} hours of runs"
            )
            lines.append(f"    {name}: SD {way.sd:.3f}, {need}")
        return "\n".join(lines)


def spreads(plan: Plan, runs: pd.DataFrame, found: Mapping[str, Candidate]) -> list[Spread]:
    """Of every contrast that decides the plan's claim.

    runs: the plan's; found: run id -> the run with its predictions. Raises BadInput for a plan without a claim, runs without
    predictions, and fewer than two seeds.
    """
    claim = frozen_claim(plan)
    if claim is None:
        raise BadInput(f"{plan.name}: states no claim, so there is no effect whose variance could be told apart")
    return [_spread(plan, c, claim.smallest_effect, runs, found) for c in claim.contrasts]


def _spread(plan: Plan, c: Contrast, smallest: float, runs: pd.DataFrame, found: Mapping[str, Candidate]) -> Spread:
    wide, _ = outcomes.table(
        runs[runs["study"] == plan.study], c.variants, c.metric, allow_partial=True, arms=c.arms or None
    )
    wide = wide.dropna()
    ids = {(r.variant, r.seed): str(r.run_id) for r in plan.runs}
    weights = np.array([c.weights[v] for v in wide.columns])
    seeds, images = [], []
    for seed in wide.index:
        wrong = {v: _wrong(found[ids[v, seed]], ids[v, seed]) for v in c.variants}
        labels = found[ids[c.variants[0], seed]].predictions()["label"]
        images.append(variance.seed_images(wrong, c.weights, labels))
        seeds.append(seed)
    labels_of = [str(plan.stratum[s]) for s in seeds] if plan.strata else None
    ended = runs[runs["status"].isin(checks.USABLE) & runs["variant"].isin(c.variants)]
    parts = variance.parts(wide.to_numpy() @ weights, images, labels_of, shared=ended["data_digest"].nunique() == 1)
    trained = (ended["steps"] * ended["train.batch_size"]).astype(float)
    tested = TESTING * ended["test_examples"].astype(float)
    share = float((tested / (trained + tested)).mean())
    seconds = float(ended["wall_time"].mean()) * len(c.variants)
    if not math.isfinite(seconds * share):
        raise BadInput(f"{plan.name}: its runs do not say how long they took and on how many images")
    ways = variance.levers(parts, smallest, training=seconds * (1 - share), testing=seconds * share)
    return Spread(c, parts, ways, smallest)


def _wrong(run: Candidate, run_id: str) -> np.ndarray:
    """(images,): where the averaged weights erred. Raises BadInput for a run without predictions."""
    arrays = run.predictions()
    if "correct_ema" in arrays:
        return ~arrays["correct_ema"].astype(bool)
    if "predicted_ema" in arrays:
        return np.asarray(arrays["predicted_ema"] != arrays["label"])
    raise BadInput(f"{run_id} has no predictions of the averaged weights: it ended before they were exported")
