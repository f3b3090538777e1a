"""The state of a plan's runs, from the records alone: from another terminal, or another machine that sees the files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis.read import committed, export
from ..analysis.read.sources import Committed, Records, Source
from ..config import BadInput, bounded
from ..config.messages import first_line
from ..console.progress import duration
from ..console.tables import print_table
from ..disk import cache_dir
from ..record.index import Index
from ..record.plan import Plan, PlannedRun
from ..record.record import Record
from .job import Note

MARKS = {"finished": "+", "running": ">", "failed": "x", "diverged": "d", "interrupted": "!", "waiting": "."}
DONE = ("finished",)
STUCK = ("failed", "diverged")
"""Ended badly: they stay as they are until `study retry`."""


@dataclass(frozen=True)
class State:
    """One run as its record shows it. `error`: the first line of what went wrong."""

    run: PlannedRun
    status: str
    record: Path
    error: str = ""
    summary: dict[str, Any] | None = None


def sources_of(runs_dir: str | Path) -> list[Source]:
    """Where runs of any plan may lie: the records, and what any study has committed."""
    return [Records(runs_dir, damaged_fail=True), Committed(committed.folders(export.EXPERIMENTS))]


def states(plan: Plan, runs_dir: str | Path) -> list[State]:
    """The state of every run of a plan, in its order; `waiting`: never attempted. Committed results count as finished."""
    root, folder, sources = Path(runs_dir), plan.folder(runs_dir), sources_of(runs_dir)
    index = Index(root, cache_dir())
    there = {entry.name for entry in os.scandir(root)} if root.is_dir() else set()
    noted = {p.stem for p in (folder / "notes").glob("*.txt")}
    found = [_state(run, index, folder, str(run.run_id) in there, str(run.run_id) in noted) for run in plan.runs]
    index.save()
    return [s if s.status in (*DONE, "diverged", "running") else _elsewhere(s, sources) for s in found]


def begun(plan: Plan, found: Sequence[State]) -> list[State]:
    """The states up to the last look of which a run has begun: the first one at least."""
    seeds = {s.run.seed for s in found if s.status != "waiting"}
    last = max((k for k in range(len(plan.looks)) if seeds & set(plan.seeds_of_look(k))), default=0)
    shown = set(plan.seeds[: plan.looks[last]])
    return [s for s in found if s.run.seed in shown]


def _elsewhere(state: State, sources: Sequence[Source]) -> State:
    """A run that has no result in its record: as it stands beside it, or is committed."""
    for c in (c for source in sources for c in source.candidates(str(state.run.run_id)) if c.usable):
        metrics = {k: v for k, v in c.row.items() if "/" in k}
        summary = {"status": c.row["status"], "metrics": metrics, "wall_time": c.row.get("wall_time") or 0.0}
        return State(state.run, c.row["status"], c.where or state.record, "", summary)
    return state


def _state(run: PlannedRun, index: Index, folder: Path, there: bool, noted: bool) -> State:
    record = Record(index.runs_dir, str(run.run_id))
    if there:
        try:
            known = index.read(record)
            summary = record.summary() if known is None else known.summary
        except BadInput as error:
            return State(run, "failed", record.path, first_line(error))
        status = str(summary["status"]) if summary else ("running" if record.is_locked() else "interrupted")
        if summary or status == "running" or not noted:
            error = str((summary or {}).get("error") or "") if status != "finished" else ""
            if not summary and status == "interrupted":
                error = "killed: its process died without a word"
            return State(run, status, record.path, first_line(error), summary)
    if noted:
        return State(run, "failed", Note(folder, run).path, first_line(Note(folder, run).read()))
    return State(run, "waiting", record.path)


def print_status(plan: Plan, runs_dir: str | Path, *, found: Sequence[State] | None = None) -> list[State]:
    """Print done, running, failed and waiting by variant and seed, and what went wrong; returns the states shown.

    found: by default those up to the look under way.
    """
    found = begun(plan, states(plan, runs_dir)) if found is None else list(found)
    print(f"{plan.study}, {plan.label}, plan {plan.plan_id} frozen {plan.frozen}: {_counts(found)}")
    by_variant: dict[str, list[State]] = {name: [] for name in plan.variants}
    for state in found:
        by_variant[state.run.variant].append(state)
    rows = [
        [name, "".join(MARKS[s.status] for s in mine), *(str(sum(s.status == k for s in mine) or "-") for k in MARKS)]
        for name, mine in by_variant.items()
    ]
    shown = list(dict.fromkeys(s.run.seed for s in found))
    seeds = ",".join(map(str, shown)) if len(shown) <= 8 else f"{shown[0]}..{shown[-1]}"
    print_table(["variant", f"seeds {seeds}", *(f"{k} {m}" for k, m in MARKS.items())], rows)
    for state in found:
        if state.status == "running":
            print(f"  {state.run.name}: {_progress(state, plan)}")
    print_failures(found)
    return found


def _counts(found: Sequence[State]) -> str:
    counted = [(k, sum(s.status == k for s in found)) for k in MARKS]
    return f"{len(found)} runs: " + ", ".join(f"{n} {k}" for k, n in counted if n)


def print_failures(found: Sequence[State]) -> None:
    """One line each for what did not finish: the run, how it ended, the first line of the error, where its record is."""
    bad = [s for s in found if s.status in (*STUCK, "interrupted")]
    if bad:
        print()
        print_table(
            ["run", "status", "error", "record"], [[s.run.name, s.status, s.error[:110], str(s.record)] for s in bad]
        )


def _progress(state: State, plan: Plan) -> str:
    total = plan.variants[state.run.variant].steps or 0
    last = _last_event(state.record / "metrics.jsonl")
    step, seconds = int(last.get("step", 0)), float(last.get("time", 0.0))
    if not step or not total:
        return "starting"
    left = f", about {duration(seconds / step * (total - step))} left" if step < total else ", in its last evaluation"
    return f"step {step:,} of {total:,}{left}"


def _last_event(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().split(b"\n")
        return dict(bounded.parse_json(lines[-2])) if len(lines) > 1 else {}
    except (OSError, ValueError, TypeError):
        return {}
