"""A learning rate for each variant: one grid for all, half a decade apart, judged on validation, on seeds of its own.

One rate for all variants favours the variant that it was found for. The grid is extended for all when any variant's best
rate is at its edge, so every variant has had the same choice. Results at fixed and at tuned rates are both kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..compose import compose
from ..config import BadInput
from ..record import metrics
from .definition import Study
from .status import State

HALF_DECADE = 10**0.5
UNTESTED = ("train.test=false",)
"""Rates are chosen on validation, and the test split stays out of sight."""
EXTENSIONS = 3
"""Half-decades by which the grid may grow to either side."""


def base_rates(study: Study, scale: str, overrides: Sequence[str]) -> dict[str, float]:
    """variant -> the learning rate that it has without tuning. Raises BadInput for a study that does not tune."""
    if study.tune is None:
        raise BadInput(f"{study.name} has no `tune` part: lr_points and seeds for tuning")
    for name, own in study.at(scale).items():
        if any(word.startswith("train.lr=") for word in own):
            raise BadInput(f"{study.name}: variant {name} sets train.lr itself, so there is nothing to tune")
    shared = (*study.base, *study.scales[scale], *overrides)
    return {name: compose([*shared, *own]).train.lr for name, own in study.at(scale).items()}


def grid(study: Study, below: int = 0, above: int = 0) -> list[int]:
    """The exponents, in half-decades around the base rate: 3 points extended once upwards are -1, 0, 1, 2."""
    assert study.tune is not None
    half = study.tune.lr_points // 2
    return list(range(-half - below, half + above + 1))


@dataclass(frozen=True)
class Candidate:
    """A variant of the study, its `origin`, at one learning rate of the grid."""

    origin: str
    exponent: int
    overrides: tuple[str, ...]


def candidates(study: Study, scale: str, rates: Mapping[str, float], exponents: Sequence[int]) -> dict[str, Candidate]:
    """The variants of the tuning stage, such as "relu lr=0.6325"."""
    found = {}
    for name, own in study.at(scale).items():
        for k in exponents:
            rate = f"{rates[name] * HALF_DECADE**k:.4g}"
            found[f"{name} lr={rate}"] = Candidate(name, k, (*own, f"train.lr={rate}", *UNTESTED))
    return found


def choose(study: Study, candidates: Mapping[str, Candidate], found: Sequence[State]) -> dict[str, int]:
    """variant -> the exponent with the best mean over the tuning seeds; a diverged run counts as the worst there is.

    Raises BadInput when a tuning run has not ended.
    """
    assert study.tune is not None
    metric = study.tune.metric
    row = metrics.of(metric)
    sign = -1.0 if row is not None and row.better == "lower" else 1.0
    open_ = [s.run.name for s in found if s.status not in ("finished", "diverged")]
    if open_:
        raise BadInput(f"{study.name}: tuning is not complete: {', '.join(open_[:6])}")
    scores: dict[str, list[float]] = {}
    for state in found:
        measured = (state.summary or {}).get("metrics", {})
        if state.status == "finished" and metric not in measured:
            raise BadInput(f"{study.name}: tune: metric={metric}: no run has it; there are: {', '.join(measured)}")
        scores.setdefault(state.run.variant, []).append(
            sign * float(measured[metric]) if state.status == "finished" else -math.inf
        )
    means: dict[str, dict[int, float]] = {}
    for name, candidate in candidates.items():
        means.setdefault(candidate.origin, {})[candidate.exponent] = sum(scores[name]) / len(scores[name])
    return {origin: max(of, key=lambda k: (of[k], -abs(k))) for origin, of in means.items()}


def extension(exponents: Sequence[int], best: Mapping[str, int]) -> tuple[int, int]:
    """By how many points to extend the grid below and above: one where some variant's best is at that edge."""
    chosen = set(best.values())
    return int(exponents[0] in chosen), int(exponents[-1] in chosen)


def tuned(study: Study, scale: str, rates: Mapping[str, float], best: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """The variants of the tuned stage: each with its own rate."""
    return {
        name: (*own, f"train.lr={rates[name] * HALF_DECADE ** best[name]:.4g}") for name, own in study.at(scale).items()
    }
