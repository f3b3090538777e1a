"""What a design can find: the chance of each verdict at a true effect, and the seeds that it is expected to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...config import BadInput
from .decisions import OUTCOMES, decide, stops
from .intervals import t_quantile
from .looks import check, nominal, statistics

DRAWS = 20_000
TIMES = (0.0, 1.0, 2.0, 5.0)
"""The true effects at which a design is shown, in smallest effects."""


@dataclass(frozen=True)
class Chances:
    """How a single contrast ends at one true effect: chances of verdicts, and seeds."""

    effect: float
    supported: float
    """Materially or not."""
    materially: float
    """Of these, materially."""
    contradicted: float
    negligible: float
    inconclusive: float
    """After the last look."""
    expected_seeds: float
    stopped: tuple[float, ...]
    """The chance of ending at each look."""

    @property
    def text(self) -> str:
        """E.g. "+0.04: supported 81 %, contradicted 0 %, negligible 0 %, inconclusive 19 %; 12.3 seeds"."""
        words = (f"{w} {100 * getattr(self, w):.0f} %" for w in OUTCOMES[:4])
        return f"{self.effect:+g}: {', '.join(words)}; {self.expected_seeds:.1f} seeds"


def chances(
    sd: float | Sequence[float],
    looks: Sequence[int],
    *,
    smallest: float,
    strata: int = 1,
    asks: str = "superior",
    error: float = 0.05,
    parts: int = 1,
    stop_when_supported: bool = True,
    times: Sequence[float] = TIMES,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Chances]:
    """The chances of a design, one entry for each true effect, `times` the smallest effect that matters.

    sd: of the difference between the two variants over seeds, within a stratum; a value for each stratum, or one for all.
    parts: of a claim that needs them all, this contrast being one: they share the error of a contradiction.
    stop_when_supported: whether "supported, not materially" ends the contrast before the last look.
    Raises BadInput for looks that do not fit the strata, and for spreads that are not positive.
    """
    design = check(looks, strata)
    sds = tuple(map(float, sd)) if isinstance(sd, Sequence) else (float(sd),) * strata
    if len(sds) != strata or not all(0 < s < np.inf for s in sds):
        raise BadInput(f"a positive SD is needed, one or one for each of {strata} strata, not {sd}")
    if not smallest > 0:
        raise BadInput(f"the smallest effect is positive, not {smallest}")
    levels = [1 - nominal(design, error=e, strata=strata) for e in (error, error / parts)]
    found = []
    for times_d in times:
        effect = times_d * smallest
        mean, se, df = statistics(np.random.default_rng(seed), design, sds=sds, effect=effect, draws=draws)
        half, far = (t_quantile(df, level) * se for level in levels)
        decided = decide(mean - half, mean + half, smallest, asks, against=(mean - far, mean + far))
        ends = stops(decided, stop_when_supported=stop_when_supported or asks == "equivalent")
        ends[-1] = True
        at = ends.argmax(0)
        last, large = (np.take_along_axis(a, at[None], 0)[0] for a in decided)
        share = {word: float(np.mean(last == i)) for i, word in enumerate(OUTCOMES)}
        found.append(
            Chances(
                effect, share["supported"], float(np.mean(large & (last == 0))), share["contradicted"],
                share["negligible"], share["inconclusive"], float(np.mean(np.array(design)[at])),
                tuple(float(np.mean(at == k)) for k in range(len(design))),
            )
        )  # fmt: skip
    return found
