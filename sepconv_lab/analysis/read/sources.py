"""Where runs lie: records of a runs_dir, and committed results. A plan's runs are looked up in several places at once.

A fresh clone goes on from what is committed: what one place lacks another has, and the same run on another kind of machine
stands beside the first (`kinds`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...config import BadInput
from ...record.plan import Plan
from . import frames, singles
from .kinds import Candidate, chosen
from .records import ALTERED, Reader, planned_rows

KINDS = "kinds"
"""`<runs_dir>/kinds/<kind>/<run id>`: records that made way for the same run on another kind of machine."""
PLANNED = ("study", "variant", "seed", "scale", "stage", "plan_id")
"""What the plan says, whatever the record does."""


class Source(Protocol):
    def candidates(self, run_id: str, *, verify: bool = False) -> list[Candidate]:
        """A run as this place has it, on each kind of machine. Raises BadInput for a damaged one.

        verify: compare every file of a record with its manifest, and the accuracies with the predictions.
        """


class Records:
    """The records of a runs_dir. damaged_fail: a damaged one counts as failed, as for a study, whose other runs go on."""

    def __init__(self, runs_dir: str | Path, *, damaged_fail: bool = False):
        self.runs_dir, self.damaged_fail = Path(runs_dir), damaged_fail
        self.reader = Reader(self.runs_dir)

    @cached_property
    def beside(self) -> list[Reader]:
        return [Reader(p) for p in sorted((self.runs_dir / KINDS).glob("*")) if p.is_dir()]

    def candidates(self, run_id: str, *, verify: bool = False) -> list[Candidate]:
        every = (self._recorded(reader, run_id, verify) for reader in (self.reader, *self.beside))
        return [c for c in every if c is not None]

    def _recorded(self, reader: Reader, run_id: str, verify: bool) -> Candidate | None:
        try:
            return _recorded(reader, run_id, verify)
        except BadInput as error:
            if not self.damaged_fail:
                raise
            row = {"run_id": run_id, "status": "failed", "error": frames.first_line(error)}
            return Candidate(row, where=reader.runs_dir / run_id)


def _recorded(reader: Reader, run_id: str, verify: bool) -> Candidate | None:
    row, ended = reader.read(run_id, verify=verify)
    if row["status"] == "missing":
        return None
    if row["status"] == ALTERED:  # nothing that it says is believed
        return Candidate(row, where=reader.runs_dir / run_id)

    def events() -> tuple[Mapping[str, np.ndarray], bool]:
        logged, cut = reader.events(run_id)
        return frames.events_of(run_id, logged), cut

    return Candidate(row, ended, events, reader.runs_dir / run_id, lambda: reader.predictions(run_id))


class Committed:
    """Single runs in folders of committed results, of any study: a run that two studies share is one run."""

    def __init__(self, folders: Iterable[Path]):
        self.folders = list(folders)

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """Run id -> its files, a kind of machine once."""
        out: dict[str, dict[str, Path]] = {}
        for folder in self.folders:
            for path in singles.in_folder(folder):
                out.setdefault(path.stem.partition("-")[0], {}).setdefault(path.stem, path)
        return {run_id: list(kinds.values()) for run_id, kinds in out.items()}

    def candidates(self, run_id: str, *, verify: bool = False) -> list[Candidate]:
        return [singles.read(path) for path in self.files.get(run_id, ())]


def candidates(
    run_ids: Iterable[str | None], sources: Sequence[Source], *, verify: bool = False
) -> dict[str, list[Candidate]]:
    """Run id -> every candidate of the sources; of one kind in several of them, an ended one, else the first."""
    out: dict[str, list[Candidate]] = {}
    for run_id in dict.fromkeys(r for r in run_ids if r is not None):
        kinds: dict[Any, Candidate] = {}
        for c in (c for source in sources for c in source.candidates(run_id, verify=verify)):
            if c.kind not in kinds or (c.usable and not kinds[c.kind].usable):
                kinds[c.kind] = c
        if kinds:
            out[run_id] = list(kinds.values())
    return out


def taken(plan: Plan, sources: Sequence[Source]) -> dict[str, Candidate]:
    """Run id -> the run that the plan takes from these sources."""
    return chosen(plan, candidates((r.run_id for r in plan.runs), sources))


def rows(
    plan: Plan, found: Mapping[str, Candidate], note: Callable[[str], str] = lambda run_id: ""
) -> list[dict[str, Any]]:
    """One row a planned run, in the plan's order, as `frames.runs_frame` takes them; `missing` where none was carried out.

    Beyond the first look, which all variants are trained to, a variant has rows where the look has begun for it.
    note: run id -> what kept a run from starting, which then has failed. Raises BadInput for another run in its place.
    """
    out = []
    begun = {(r.variant, r.seed) for r in plan.runs if r.run_id in found}
    later = {
        (variant, seed)
        for look in range(1, len(plan.looks))
        for variant in plan.variants
        for seed in plan.seeds_of_look(look)
        if not any((variant, s) in begun for s in plan.seeds_of_look(look))
    }
    for planned in planned_rows(plan):
        if (planned["variant"], planned["seed"]) in later:
            continue
        run_id = planned["run_id"]
        row = dict(found[run_id].row) if run_id in found else {"status": "missing"}
        if row.get("seed", planned["seed"]) != planned["seed"]:
            raise BadInput(
                f"{plan.name}: {run_id} is planned with seed {planned['seed']}, its record has {row['seed']}"
            )
        if row["status"] in ("missing", "interrupted") and "steps" not in row and run_id and (words := note(run_id)):
            row |= {"status": "failed", "error": frames.first_line(words)}
        out.append({**planned, **row, **{k: planned[k] for k in PLANNED}})
    return out
