"""Which runs a study needs next: those up to a look, and beyond it only where a contrast is still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..analysis.claims import board
from ..analysis.claims.board import Judged
from ..analysis.read import frames
from ..analysis.read.sources import Source, rows, taken
from ..analysis.stats.checks import USABLE
from ..record.plan import Plan


@dataclass(frozen=True)
class Need:
    """The look under way, or the last one where nothing is needed any more."""

    plan: Plan
    trained: tuple[tuple[str, ...], ...]
    """The variants that each look so far takes on the seeds that it adds, the look under way last."""
    over: bool = False
    """Nothing more is needed: the last look is complete, no contrast is open, or the runs cannot be compared."""
    judged: Judged | None = None
    """What the complete looks have decided; None before the first one, and for a study that claims nothing."""
    open: tuple[str, ...] = ()
    """The contrasts that they left open, by name."""

    @property
    def look(self) -> int:
        """The number of the look, from 0."""
        return len(self.trained) - 1

    @property
    def variants(self) -> tuple[str, ...]:
        """Those that the look under way takes."""
        return self.trained[-1]

    @property
    def refused(self) -> str:
        """Why the runs of a complete look cannot be compared; nothing more is trained then."""
        return self.judged.verdict.reason if self.judged and self.judged.verdict.outcome == "refused" else ""

    @property
    def so_far(self) -> list[int]:
        """Indices of the plan's runs that this look and those before it take, in the plan's order."""
        takes = {s: set(names) for k, names in enumerate(self.trained) for s in self.plan.seeds_of_look(k)}
        return [i for i, r in enumerate(self.plan.runs) if r.variant in takes.get(r.seed, ())]


def frame_of(plan: Plan, sources: Sequence[Source]) -> pd.DataFrame:
    """The runs frame of a plan, wherever its runs lie."""
    return frames.runs_frame(rows(plan, taken(plan, sources)))


def needed(plan: Plan, runs: pd.DataFrame) -> Need:
    """What a plan needs after the runs that have ended; runs: its runs frame.

    All variants are trained to the first look; to a later one those of the contrasts that are open. A study that claims nothing
    has nothing to decide, and is trained to its last look.
    """
    ended = runs[runs["status"].isin(USABLE)]
    have = set(zip(ended["variant"], ended["seed"], strict=True))
    trained: tuple[tuple[str, ...], ...] = ()
    variants, judged, still = tuple(plan.variants), None, ()
    for look in range(len(plan.looks)):
        trained = (*trained, variants)
        if any((v, s) not in have for v in variants for s in plan.seeds_of_look(look)):
            return Need(plan, trained, False, judged, still)
        if plan.claim is None or plan.stage == "tune":
            continue
        judged = board.judge_plan(plan, runs[runs["seed"].isin(plan.seeds[: plan.looks[look]])])
        if judged.verdict.outcome == "refused":
            return Need(plan, trained, True, judged)
        contrasts = board.open_contrasts(judged)
        still = tuple(c.name for c in contrasts)
        used = {v for c in contrasts for v in c.variants}
        variants = tuple(v for v in plan.variants if v in used)
        if not variants:
            break
    return Need(plan, trained, True, judged, still)
