"""From records, or from committed results, to the two frames that everything else takes.

`frames` documents every column and its type. Nothing here trains, guesses or repairs: what cannot be read is refused.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...config import BadInput, bounded
from ...config.fields import as_typed
from ...config.messages import did_you_mean
from ...record.plan import Plan, current, read_plan
from ..stats import checks
from . import committed, frames
from .records import ALTERED, Reader, name_by_what_varies
from .sources import Records, Source, rows, taken

Where = Mapping[str, object]
"""Column -> the value it must have, or a list of values; compared as typed on the command line ("true", "4", "relu")."""
Events = Mapping[str, Any]
Place = str | Path | Sequence[str | Path]
"""A source of runs, or several: a plan that is in several has the runs of all of them."""


@dataclass(frozen=True)
class Results:
    """One plan's runs, or those of no plan, as found in one place; nothing is read before it is asked for."""

    plan: Plan | None
    rows: Callable[[], list[dict[str, Any]]]
    events: Callable[[str], tuple[Events, bool]]
    """Of a run id: its events by column, and whether a last line was cut short."""
    sources: tuple[Source, ...] = ()
    """Where the plan's runs lie."""


def load_runs(
    source: Place = "runs",
    *,
    study: str | None = None,
    label: str | None = None,
    plan: str | None = None,
    where: Where | None = None,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """One row a run, in the order of the plan: the runs frame of `frames`, typed the same whatever the runs are.

    source: a runs_dir (every run of every frozen plan, missing ones too; superseded plans and the tuning stage only
    where `plan` or `label` names them), a folder of committed results, a folder above several of them such as
    `experiments`, or a runs_dir without studies: its records are then runs of study "", each variant named by what
    varies. study="" asks for those where there are studies too.
    label: the results of that name, such as "lab" or "lab_cifar10". plan: a plan id or its beginning.
    Raises BadInput for a source without runs, names and columns that there are not, records that cannot be read, and,
    unless `allow_partial`, for runs that are missing, failed, altered, diverged, interrupted or still running, by name.
    """
    found = results(source, study=study, label=label, plan=plan)
    return chosen(frames.runs_frame([row for r in found for row in r.rows()]), where, allow_partial)


def load_history(
    source: Place = "runs",
    *,
    study: str | None = None,
    label: str | None = None,
    plan: str | None = None,
    where: Where | None = None,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """One row a run and event, runs and events in order: the history frame of `frames`. Arguments as for `load_runs`.

    A run that two studies share has its events in both. A last line that a kill has cut short is left out and counted:
    `attrs["truncated"]` names those runs. From committed results: the events that an export keeps.
    Raises BadInput as `load_runs`, and for an event that cannot be read.
    """
    found = results(source, study=study, label=label, plan=plan)
    return history(found, where, allow_partial)


def load_plans(
    source: Place = "runs", *, study: str | None = None, label: str | None = None, plan: str | None = None
) -> list[Plan]:
    """The frozen plans behind the runs that `load_runs` gives for the same arguments; none for runs without a study."""
    return [r.plan for r in results(source, study=study, label=label, plan=plan) if r.plan is not None]


# --- finding ----------------------------------------------------------------------------------------------------------


def results(
    source: Place, *, study: str | None = None, label: str | None = None, plan: str | None = None
) -> list[Results]:
    """What a source holds of the study, label and plan named, by study, label and time. Raises BadInput for nothing."""
    places = [source] if isinstance(source, (str, Path)) else list(source)
    found: dict[str, Results] = {}
    for place in places:
        for r in _in_place(Path(place), study):
            if r.plan is None:
                if label or plan or study:
                    raise BadInput(
                        f"{place} has no study, so no {label or plan or study!r}; its records belong to study ''"
                    )
                return [r]
            before = found.get(r.plan.plan_id)
            found[r.plan.plan_id] = r if before is None else pooled(r.plan, (*before.sources, *r.sources))
    return named(list(found.values()), ", ".join(map(str, places)), study, label, plan)


def _in_place(root: Path, study: str | None) -> list[Results]:
    """The plans of a place with their runs; one without a plan where it has no studies, or those of none are asked for."""
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder of runs or results")
    plans, exports = sorted(root.glob("studies/*/*/plan.json")), committed.folders(root)
    plans = [p for p in plans if p.parent.parent.name == study] or plans  # what is wrong with others is not asked
    if study != "" and plans:
        return [_of_plan(root, p) for p in map(read_plan, plans)]
    if study != "" and exports:
        return [_of_export(folder) for folder in exports]
    return [_of_no_study(root, planned=plans)]


def named(
    found: Sequence[Results], source: object, study: str | None, label: str | None, plan: str | None
) -> list[Results]:
    """Those with a plan of that study, label and id, in order; superseded plans and tuning only where they are named."""
    with_plan = [(r, r.plan) for r in found if r.plan is not None]
    if plan is None:
        live = {id(p) for p in current(p for _, p in with_plan)}
        with_plan = [(r, p) for r, p in with_plan if id(p) in live and (p.stage != "tune" or label == p.label)]
    chosen = with_plan
    for what, attribute, wanted in (("study", "study", study), ("label", "label", label), ("plan", "plan_id", plan)):
        if wanted is None:
            continue
        known = sorted({str(getattr(p, attribute)) for _, p in chosen})
        full = [k for k in known if k == wanted or (what == "plan" and k.startswith(wanted))]
        if not full:
            raise BadInput(
                f"{source}: no {what} {wanted!r}; there are: {', '.join(known) or 'none'}.{did_you_mean(wanted, known)}"
            )
        chosen = [(r, p) for r, p in chosen if getattr(p, attribute) in full]
    if not chosen:
        aside = ", ".join(r.plan.name for r in found if r.plan is not None)
        raise BadInput(f"{source}: only plans that are read where they are named (label=, plan=): {aside}")
    chosen.sort(key=lambda pair: (pair[1].study, pair[1].label, pair[1].frozen, pair[1].plan_id))
    return [r for r, _ in chosen]


def _of_plan(root: Path, plan: Plan) -> Results:
    notes = plan.folder(root) / "notes"
    return pooled(plan, [Records(root)], lambda run_id: _text(notes / f"{run_id}.txt"))


def _text(path: Path) -> str:
    try:
        return bounded.read_text(path)
    except (OSError, bounded.Malformed):
        return ""


def _of_export(folder: Path) -> Results:
    export = committed.read(folder)
    return dataclasses.replace(pooled(export.plan, [export.source]), rows=lambda: export.rows)


def pooled(plan: Plan, sources: Sequence[Source], note: Callable[[str], str] = lambda run_id: "") -> Results:
    """A plan's runs from several places: of a run that is in several, what the plan takes (`kinds`).

    note: run id -> what kept a run from starting.
    """
    found = functools.cache(lambda: taken(plan, sources))

    def events(run_id: str) -> tuple[Events, bool]:
        return found()[run_id].events() if run_id in found() else ({}, False)

    return Results(plan, lambda: rows(plan, found(), note), events, tuple(sources))


def _of_no_study(root: Path, planned: Sequence[Path]) -> Results:
    from ...record.record import records

    of_plans = {run.run_id for path in planned for run in read_plan(path).runs}
    ids = [record.run_id for record in records(root) if record.run_id not in of_plans]
    if not ids:
        looked = "studies/<study>/<plan id>/plan.json, records of runs, results/<label>/export.json"
        raise BadInput(f"{root}: neither a runs_dir nor a folder of results; looked for {looked}")
    reader = Reader(root)

    def rows() -> list[dict[str, Any]]:
        found = [reader.row(run_id) for run_id in ids]
        if altered := [row for row in found if row["status"] == ALTERED]:  # no plan says what they were to be
            raise BadInput("\n".join(row["error"] for row in altered))
        name_by_what_varies(found)
        return sorted(found, key=lambda row: (row["variant"], row["seed"], row["run_id"]))

    return Results(None, rows, _events(reader))


def _events(reader: Reader) -> Callable[[str], tuple[Events, bool]]:
    def read(run_id: str) -> tuple[Events, bool]:
        events, cut = reader.events(run_id)
        return frames.events_of(run_id, events), cut

    return read


# --- choosing ---------------------------------------------------------------------------------------------------------


def history(found: Sequence[Results], where: Where | None, allow_partial: bool) -> pd.DataFrame:
    """The history frame of the runs of `found` that `chosen` gives."""
    rows = [(r, row) for r in found for row in r.rows()]
    runs = chosen(frames.runs_frame([row for _, row in rows]), where, allow_partial, renumber=False)
    read: list[tuple[Mapping[str, Any], Events]] = []
    truncated = []
    for i in runs.index:
        result, row = rows[i]
        if row["run_id"] is not None:
            events, cut = result.events(row["run_id"])
            read.append((row, events))
            truncated += [row["run_id"]] if cut else []
    frame = frames.history_frame(read)
    frame.attrs["truncated"] = list(dict.fromkeys(truncated))
    return frame


def chosen(runs: pd.DataFrame, where: Where | None, allow_partial: bool, *, renumber: bool = True) -> pd.DataFrame:
    """The runs that `where` selects. Raises BadInput for columns and values that no run has, and for unfinished runs."""
    for column, wanted in (where or {}).items():
        checks.columns(runs, (column,))
        values = {as_typed(v) for v in (wanted if isinstance(wanted, (list, tuple, set)) else [wanted])}
        have = runs[column].map(as_typed, na_action="ignore")
        known = sorted(have.dropna().unique())
        for word in sorted(values - set(known)):
            raise BadInput(
                f"no run has {column}={word}; there are: {', '.join(known[:12])}.{did_you_mean(word, known)}"
            )
        runs = runs[have.isin(values)]
    bad = runs[runs["status"] != "finished"]
    if len(bad) and not allow_partial:
        named = [f"{n} ({s})" for n, s in zip(checks.run_names(bad), bad["status"], strict=True)]
        more = f" and {len(named) - 12} more" if len(named) > 12 else ""
        raise BadInput(f"{len(bad)} of {len(runs)} runs have not finished: {', '.join(named[:12])}{more}. Complete them "
                       "(`study run`, `study retry`), or pass allow_partial=True, which keeps them, with their status")  # fmt: skip
    return runs.reset_index(drop=True) if renumber else runs
