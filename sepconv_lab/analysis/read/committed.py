"""Committed results: the folder that `export` writes, as text that diffs, and what reads it back to the same frames.

`<experiments>/<study>/results/<label>/`: `plan.json`, `runs.csv` (one row a run, the columns that vary),
`history.csv` (one row a run and kept event), `export.json` (every column's type, the columns that do not vary, counts,
and the digests of the other files, written last). An empty cell is a missing value.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...config import BadInput
from ...record.plan import Plan, read_plan

SCHEMA = 1
DIGITS = 6
"""Significant digits of an event's numbers: more than a figure shows."""


def folders(root: Path) -> list[Path]:
    """The folders of results at or below a folder: itself, `<label>`, `results/<label>`, or `<study>/results/<label>`."""
    patterns = ("export.json", "*/export.json", "results/*/export.json", "*/results/*/export.json")
    return sorted(path.parent for pattern in patterns for path in root.glob(pattern))


@dataclass
class Export:
    """Committed results of one plan."""

    plan: Plan
    about: Mapping[str, Any]
    """export.json."""
    rows: list[dict[str, Any]]
    """One a run: column -> value, as `frames.runs_frame` takes them."""
    _history: bytes = field(repr=False)
    _events: dict[str, dict[str, np.ndarray]] | None = field(default=None, repr=False)

    def events(self, run_id: str) -> dict[str, np.ndarray]:
        """The kept events of a run by column; none for a run without any."""
        if self._events is None:
            self._events = decode_history(self._history)
        return self._events.get(run_id, {})


def read(folder: Path) -> Export:
    """The results in a folder. Raises BadInput for another schema, and for files that are not as they were exported."""
    path = folder / "export.json"
    try:
        about = json.loads(path.read_bytes())
        files = {name: (folder / name).read_bytes() for name in about["files"]} if about["schema"] == SCHEMA else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: not what `export` writes ({type(error).__name__}: {error})") from error
    if about["schema"] != SCHEMA:
        raise BadInput(f"{path}: results of schema {about['schema']}; this version reads schema {SCHEMA}. Export anew")
    changed = [name for name, data in files.items() if digest(data) != about["files"][name]]
    if changed:
        raise BadInput(f"{folder}: {', '.join(changed)} changed since the export; restore the files, or export anew")
    rows = decode_runs(files["runs.csv"], about["columns"], about["constant"])
    return Export(read_plan(folder / "plan.json"), about, rows, files["history.csv"])


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- runs -------------------------------------------------------------------------------------------------------------


def encode_runs(runs: pd.DataFrame, kinds: Mapping[str, str]) -> tuple[bytes, dict[str, Any]]:
    """A runs frame as CSV of the columns that vary, and column -> value of those that do not."""
    values = {name: [None if pd.isna(v) else _plain(kind, v) for v in runs[name]] for name, kind in kinds.items()}
    constant = {k: v[0] for k, v in values.items() if all(x == v[0] for x in v) and k not in ("variant", "seed")}
    varying = [k for k in values if k not in constant]
    cells = zip(*([_cell(v) for v in values[k]] for k in varying), strict=True)
    return _csv(varying, cells), constant


def decode_runs(data: bytes, kinds: Mapping[str, str], constant: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that `encode_runs` was given, every column in each."""
    header, *lines = csv.reader(io.StringIO(data.decode(), newline=""))
    unvaried = {k: None for k in kinds} | dict(constant)
    return [unvaried | {k: _value(kinds[k], c) for k, c in zip(header, line, strict=True)} for line in lines]


def _plain(kind: str, value: Any) -> Any:
    return {"text": str, "bool": bool, "float": float}.get(kind, int)(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else str(value)


def _value(kind: str, cell: str) -> Any:
    if cell == "":
        return None
    if kind == "bool":
        return cell == "true"
    return {"text": str, "float": float}.get(kind, int)(cell)


def _csv(header: Sequence[str], rows: Any) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


# --- history ----------------------------------------------------------------------------------------------------------


def encode_history(history: pd.DataFrame) -> bytes:
    """A history frame as CSV: the run, the step, and every number to `DIGITS` significant digits."""
    names = [c for c in history.columns if c in ("run_id", "step", "epoch", "time") or "/" in c]
    text = history[names].to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
    return str(text).encode()


def decode_history(data: bytes) -> dict[str, dict[str, np.ndarray]]:
    """Run id -> its events by column."""
    frame = pd.read_csv(io.BytesIO(data), dtype={"run_id": "str"})
    numbers = frame.columns.drop("run_id")
    return {str(run_id): {c: events[c].to_numpy(float) for c in numbers} for run_id, events in frame.groupby("run_id")}
