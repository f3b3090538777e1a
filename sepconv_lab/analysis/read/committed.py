"""Committed results: the folder that `export` writes, as text that diffs, and what reads it back to the same frames.

`<experiments>/<study>/results/<label>/`: `plan.json`, `export.json` (which plan, its digest), and `runs/`, each ended run
in files of its own (`singles`). Results of schema 1, which this version reads but does not write, hold all runs in `runs.csv`
(the columns that vary) and `history.csv`, with every column's type and the digests of both in export.json.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...config import BadInput, bounded
from ...config.names import path_part
from ...record.plan import Plan, read_plan
from .kinds import Candidate, Events
from .singles import digest
from .sources import Committed, Source, rows, taken

SCHEMA = 2
TABLES = 1
"""The schema whose runs and events stand in two tables."""


def folders(root: Path) -> list[Path]:
    """The folders of results at or below a folder: itself, `<label>`, `results/<label>`, or `<study>/results/<label>`."""
    patterns = ("export.json", "*/export.json", "results/*/export.json", "*/results/*/export.json")
    return sorted(path.parent for pattern in patterns for path in root.glob(pattern))


@dataclass
class Export:
    """Committed results of one plan."""

    plan: Plan
    source: Source
    _rows: Callable[[], list[dict[str, Any]]] = field(repr=False)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One a run: column -> value, as `frames.runs_frame` takes them. Raises BadInput for runs that were changed."""
        return self._rows()


def read(folder: Path) -> Export:
    """The results in a folder. Raises BadInput for another schema, and for files that are not as they were exported."""
    known = about(folder)
    try:
        files = {name: bounded.read_bytes(folder / path_part(name, "file"), bounded.LARGE) for name in known["files"]}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _not_an_export(folder, error) from error
    changed = [name for name, data in files.items() if digest(data) != known["files"][name]]
    if changed:
        raise BadInput(f"{folder}: {', '.join(changed)} changed since the export; restore the files, or export anew")
    plan = read_plan(folder / "plan.json")
    if known["schema"] == SCHEMA:
        source = Committed([folder])
        return Export(plan, source, lambda: rows(plan, taken(plan, [source])))
    decoded = decode_runs(files["runs.csv"], known["columns"], known["constant"])
    return Export(plan, Tables(decoded, files["history.csv"]), lambda: decoded)


def about(folder: Path) -> dict[str, Any]:
    """What export.json says: `schema`, `plan_id`, `files` and more. Raises BadInput as `read`."""
    try:
        content = bounded.parse_json(bounded.read_bytes(folder / "export.json", bounded.LARGE))
        schema, _, _ = content["schema"], content["files"], content["plan_id"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _not_an_export(folder, error) from error
    if schema not in (TABLES, SCHEMA):
        raise BadInput(
            f"{folder / 'export.json'}: results of schema {schema}; this version reads schemas {TABLES} and {SCHEMA}. "
            "Export anew"
        )
    return dict(content)


def _not_an_export(folder: Path, error: Exception) -> BadInput:
    return BadInput(f"{folder / 'export.json'}: not what `export` writes ({type(error).__name__}: {error})")


# --- schema 1: two tables ---------------------------------------------------------------------------------------------


class Tables:
    """The runs of results of schema 1."""

    def __init__(self, rows: Sequence[dict[str, Any]], history: bytes):
        self._rows = {str(row["run_id"]): row for row in rows if row["status"] != "missing"}
        self._history = history

    @cached_property
    def _events(self) -> dict[str, dict[str, np.ndarray]]:
        return decode_history(self._history)

    def candidates(self, run_id: str, *, verify: bool = False) -> list[Candidate]:
        row = self._rows.get(run_id)
        return [] if row is None else [Candidate(row, events=lambda: self._of(run_id))]

    def _of(self, run_id: str) -> tuple[Events, bool]:
        return self._events.get(run_id, {}), False


def decode_runs(data: bytes, kinds: Mapping[str, str], constant: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of runs.csv, every column in each; `constant` ones do not vary. An empty cell is a missing value."""
    header, *lines = csv.reader(io.StringIO(data.decode(), newline=""))
    unvaried = {k: None for k in kinds} | dict(constant)
    return [unvaried | {k: _value(kinds[k], c) for k, c in zip(header, line, strict=True)} for line in lines]


def _value(kind: str, cell: str) -> Any:
    if cell == "":
        return None
    if kind == "bool":
        return cell == "true"
    return {"text": str, "float": float}.get(kind, int)(cell)


def decode_history(data: bytes) -> dict[str, dict[str, np.ndarray]]:
    """Run id -> its events by column."""
    frame = pd.read_csv(io.BytesIO(data), dtype={"run_id": "str"})
    numbers = frame.columns.drop("run_id")
    return {str(run_id): {c: events[c].to_numpy(float) for c in numbers} for run_id, events in frame.groupby("run_id")}
