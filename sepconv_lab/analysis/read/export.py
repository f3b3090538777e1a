"""Results small enough to commit: the plan, and each ended run in files of its own, as many as there are by now.

An export grows run by run: what is there stays as it is, what is new is added, each file whole or not at all. So results
can be committed while a study is under way, and it goes on from them on another machine.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...config import BadInput
from ...record.plan import Plan, read_plan, sealed
from ..stats import checks
from . import committed, frames, load, preregistration, singles
from .kinds import Candidate, chosen
from .records import ALTERED
from .sources import Committed, Records, Source, candidates, rows

EXPERIMENTS = Path("experiments")
KEPT = (*checks.USABLE, "failed", ALTERED)
"""Statuses of runs that are exported: the results, and until they are run again others that ended, with what is wrong."""


def export(
    study: str,
    source: str | Path = "runs",
    *,
    label: str | None = None,
    plan: str | None = None,
    to: str | Path | None = None,
    allow_partial: bool = False,
) -> Path:
    """Add what has ended of one plan to its folder of results (default: `home`); returns the folder.

    Every file of a record that is added is compared with its manifest, and the accuracies with the predictions.
    The same records give the same bytes. A diverged run is a result; missing, failed, altered, interrupted and running ones
    are refused unless `allow_partial`. Raises BadInput, before it writes.
    """
    plans = load.load_plans(source, study=study, label=label, plan=plan)
    if len(plans) != 1:
        there = ", ".join(p.name for p in plans) or "none"
        raise BadInput(f"one plan at a time is exported, here are: {there}. Choose with --label or --plan")
    return export_plan(plans[0], [Records(source)], to, allow_partial=allow_partial)


def export_plan(
    plan: Plan, sources: Sequence[Source], to: str | Path | None = None, *, allow_partial: bool = False
) -> Path:
    """As `export`, of a plan whose runs lie in these places. Runs that other studies committed are added too."""
    folder = Path(to) if to is not None else home(plan)
    everywhere = [Committed([folder]), *sources, Committed(committed.folders(EXPERIMENTS))]
    found = candidates((r.run_id for r in plan.runs), everywhere)
    new = {run_id for run_id, several in found.items() if any(not _is_there(folder, c) for c in several)}
    found |= candidates(new, everywhere, verify=True)
    if not allow_partial:
        _complete(plan, chosen(plan, found))
    begin(plan, folder)
    for candidate in (c for run_id in sorted(new) for c in found[run_id] if c.row["status"] in KEPT):
        _add(folder, candidate)
    return folder


def add_run(folder: Path, runs_dir: str | Path, run_id: str) -> None:
    """Add one run to results that have begun, if it has ended. Raises BadInput."""
    for candidate in Records(runs_dir).candidates(run_id, verify=True):
        if candidate.row["status"] in KEPT:
            _add(folder, candidate)


def home(plan: Plan, root: Path = EXPERIMENTS) -> Path:
    """Where a plan's results go: the folder that has them, else results/<label>, else, where another plan has that name,
    results/<label>-<plan id>."""
    results = root / plan.study / "results"
    held = {folder: committed.about(folder)["plan_id"] for folder in committed.folders(results)}
    there = [folder for folder, plan_id in held.items() if plan_id == plan.plan_id]
    first = results / plan.label
    return there[0] if there else first if first not in held else results / f"{plan.label}-{plan.plan_id}"


def published(plan: Plan, folder: Path | None = None) -> Plan:
    """The plan with the time and the commit at which it was first frozen, where its results are committed."""
    try:
        first = read_plan((folder or home(plan)) / "plan.json")
    except BadInput:  # none, or changed: it is written anew
        return plan
    return dataclasses.replace(plan, frozen=first.frozen, git=first.git) if first.plan_id == plan.plan_id else plan


def _complete(plan: Plan, found: Mapping[str, Candidate]) -> None:
    """Raises BadInput where a run of the look under way has not ended."""
    runs = frames.runs_frame(rows(plan, found))
    bad = runs[~runs["status"].isin(checks.USABLE)]
    why = [e if s == ALTERED else s for s, e in zip(bad["status"], bad["error"], strict=True)]
    names = [f"{n} ({s})" for n, s in zip(checks.run_names(bad), why, strict=True)]
    if names:
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        raise BadInput(f"{plan.name} is incomplete: {', '.join(names[:12])}{more}. Complete it (`study run`, "
                       "`study retry`), or pass --allow-partial: the results then grow run by run")  # fmt: skip


def begin(plan: Plan, folder: Path | None = None) -> Path:
    """Write the plan, and export.json that vouches for it, into its folder (default: `home`); returns the folder.

    Raises BadInput where it holds another plan, or cannot be written.
    """
    folder = folder or home(plan)
    plan = published(plan, folder)
    content = sealed(portable(plan))
    about = {"schema": committed.SCHEMA, "study": plan.study, "label": plan.label, "plan_id": plan.plan_id,
             "files": {"plan.json": singles.digest(content)}}  # fmt: skip
    if (folder / "export.json").exists():
        held = committed.about(folder)
        if held["plan_id"] != plan.plan_id or held["schema"] != committed.SCHEMA:
            tables = ", in tables that older versions wrote" * (held["schema"] != committed.SCHEMA)
            raise BadInput(f"{folder} holds plan {held['plan_id']}{tables}; give another folder with --to")
    _write(folder / "preregistration.md", preregistration.page(plan).encode())
    _write(folder / "plan.json", content)
    _write(folder / "export.json", _json(about))
    return folder


def write_page(plan: Plan, path: Path) -> None:
    """The plan as a page to publish before the first run. Raises BadInput where it cannot be written."""
    _write(path, preregistration.page(plan).encode())


def _is_there(folder: Path, candidate: Candidate) -> bool:
    """Whether a run's files are in the folder: of this attempt, not of one that ended at another time."""
    path = folder / "runs" / f"{singles.name(candidate)}.json"
    return path.exists() and singles.read(path).ended == candidate.ended


def _add(folder: Path, candidate: Candidate) -> None:
    """One run's files; where it is a result, an attempt that was none makes way."""
    if _is_there(folder, candidate):
        return
    for name, data in singles.encode(candidate).items():
        _write(folder / "runs" / name, data)
    if candidate.usable:
        for path in singles.in_folder(folder, str(candidate.row["run_id"])):
            if singles.read(path).row["status"] not in checks.USABLE:
                path.unlink()


def portable(plan: Plan) -> dict[str, Any]:
    """The content of plan.json without the folders of absolute paths in what was typed and configured."""

    def short(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: short(v) for k, v in value.items()}
        return [short(v) for v in value] if isinstance(value, list) else frames.portable(value)

    raw = json.loads(plan.to_json())
    variants = {
        name: {k: short(v) if k in ("config", "overrides", "own") else v for k, v in variant.items()}
        for name, variant in raw["variants"].items()
    }
    return dict(raw) | {"overrides": short(raw["overrides"]), "variants": variants}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=True).encode() + b"\n"


def _write(path: Path, data: bytes) -> None:
    from ...disk import write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != data:
            write_atomically(path, data)
    except OSError as error:
        raise BadInput(f"{path.parent} cannot be written: {error.strerror}") from error
