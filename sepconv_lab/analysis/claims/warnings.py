"""What a reader has to know before the verdict: variants that learned next to nothing, and sizes that are not equal."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ..stats.outcomes import PRIMARY
from .contrasts import Claim, Contrast

NEAR_CHANCE = 0.05
"""Accuracy above chance, as a share of what is possible, below which a network has learned next to nothing."""
UNEQUAL = {"params_total": ("parameters", 0.01), "macs": ("MACs", 0.05)}
"""Column -> what it counts, and by which share the smaller of two variants may fall short."""


def warnings(claim: Claim, used: pd.DataFrame) -> tuple[str, ...]:
    """In sentences. used: the runs of the contrasts that decide."""
    done = used[used["status"] == "finished"]
    said = list(_near_chance(done))
    for c in claim.contrasts:
        for variants in c.arms or (c.variants,):
            said += _unequal(variants, done[done["study"] == c.study], c)
    return tuple(dict.fromkeys(said))


def _near_chance(done: pd.DataFrame) -> Iterator[str]:
    if PRIMARY not in done.columns or "data.num_classes" not in done.columns:
        return
    for variant, rows in done.groupby("variant", sort=False):
        chance = 1 / rows["data.num_classes"].astype(float)
        above = float(((rows[PRIMARY].astype(float) - chance) / (1 - chance)).mean())
        if above < NEAR_CHANCE:
            accuracy = 100 * float(rows[PRIMARY].mean())
            level = 100 * float(chance.mean())
            yield f"{variant} has learned next to nothing: {accuracy:.1f} % right, where chance is {level:.1f} %."


def _unequal(variants: tuple[str, ...], done: pd.DataFrame, c: Contrast) -> Iterator[str]:
    for column, (what, share) in UNEQUAL.items():
        if column not in done.columns:
            continue
        sizes = done[done["variant"].isin(variants)].groupby("variant")[column].max().astype(float)
        if len(sizes) < 2 or sizes.isna().any():
            continue
        (few, small), *_, (most, large) = sorted((float(size), str(variant)) for variant, size in sizes.items())
        less = 1 - few / most
        if less > share:
            yield (f"{small} has {100 * less:.1f} % fewer {what} than {large} ({few:,.0f} and {most:,.0f}): the effect is that "
                   "of size too.")  # fmt: skip
