"""Kinds of machine: what may differ between the seeds of a study, never within one.

A run done again on another kind stands beside the first. A study takes, for each seed, the first kind on which all its
variants ended; until there is one, the runs as they are, and `checks` names the mixture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...record.plan import Plan, PlannedRun
from ..stats.checks import NOT_COMPUTING, USABLE, WITHIN_SEED

Kind = tuple[tuple[str, Any], ...]
"""Columns of the runs frame that say on what machine and with which libraries a run was made, and their values. Precision is
equal throughout a study; a run in another one stands beside it too."""
Events = Mapping[str, np.ndarray]


def kind_of(row: Mapping[str, Any]) -> Kind:
    """The kind of machine that a run was carried out on, from its row of the runs frame."""
    libraries = sorted(k for k in row if k.startswith("versions.") and k.partition(".")[2] not in NOT_COMPUTING)
    columns = (*WITHIN_SEED, "precision", *libraries)
    return tuple((c, row[c]) for c in columns if row.get(c) is not None)


def tag(kind: Kind) -> str:
    """8 hexadecimal digits of a kind, for file names."""
    return hashlib.sha256(json.dumps(kind).encode()).hexdigest()[:8]


def words(kind: Kind) -> str:
    """E.g. "AMD EPYC, AVX2, fp32, 1 thread, torch 2.13.0"."""
    values = dict(kind)
    threads, torch = values.get("threads"), values.get("versions.torch")
    count = f"{threads} thread{'s' * (threads != 1)}" if threads else ""
    said = (values.get("hardware_class"), values.get("precision"), count, f"torch {torch}" if torch else "")
    return ", ".join(str(w) for w in said if w)


@dataclass(frozen=True)
class Candidate:
    """One run as it was carried out on one kind of machine; its events and predictions are read when they are asked for."""

    row: dict[str, Any]
    """Column -> value, as far as the run itself knows them: not its study, variant and plan."""
    ended: float = 0.0
    """Seconds since 1970; 0 where the run has not ended or does not say."""
    events: Callable[[], tuple[Events, bool]] = field(default=lambda: ({}, False), repr=False)
    """By column, and whether a last line was cut short."""
    where: Path | None = None
    """The record, or the committed file."""
    predictions: Callable[[], dict[str, np.ndarray]] = field(default=dict, repr=False)
    """`label`, `predicted`, `predicted_ema` or `correct`, `correct_ema` of every test example; empty where there are none."""

    @property
    def usable(self) -> bool:
        """Whether it finished or diverged."""
        return self.row["status"] in USABLE

    @property
    def kind(self) -> Kind:
        return kind_of(self.row)


def complete(runs: Sequence[PlannedRun], candidates: Mapping[str, Sequence[Candidate]]) -> Kind | None:
    """The first kind on which all these runs, one seed's, have ended; None for none."""
    ends: dict[Kind, list[float]] = {}
    for run in runs:
        for c in candidates.get(str(run.run_id), ()):
            if c.usable:
                ends.setdefault(c.kind, []).append(c.ended)
    whole = [(max(times), tag(kind), kind) for kind, times in ends.items() if len(times) == len(runs)]
    return min(whole)[2] if whole else None


def chosen(plan: Plan, candidates: Mapping[str, Sequence[Candidate]]) -> dict[str, Candidate]:
    """Run id -> the candidate that the study takes; runs without any are not in it.

    Of a seed without a complete kind each run counts on the kind that most of the seed's runs have ended on, as far as
    it has; then an ended one, then an unfinished one.
    """
    out: dict[str, Candidate] = {}
    for seed in plan.seeds:
        runs = [r for r in plan.runs if r.seed == seed and candidates.get(str(r.run_id))]
        mine = [r for r in plan.runs if r.seed == seed]
        first = complete(mine, candidates) if len(runs) == len(mine) else None
        every = [c for r in runs for c in candidates[str(r.run_id)] if c.usable]
        count = {k: sum(c.kind == k for c in every) for k in dict.fromkeys(c.kind for c in every)}
        for run in runs:
            out[str(run.run_id)] = min(
                candidates[str(run.run_id)],
                key=lambda c: (c.kind != first, not c.usable, -count.get(c.kind, 0), c.ended, tag(c.kind)),
            )
    return out
