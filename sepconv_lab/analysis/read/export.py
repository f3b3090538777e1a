"""Results small enough to commit: all runs, the events that a figure can show, the plan and where it all comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...config import BadInput
from ...record.plan import Plan
from ..stats import checks
from . import committed, frames, load, records

LIMIT = 2 * 2**20
"""Bytes of one folder of results."""
THINNING = ((200, 1000), (100, 500), (50, 200), (20, 100), (5, 50))
"""Training and evaluation events kept of a run; the first pair that fits under the limit is taken."""


def export(
    study: str,
    source: str | Path = "runs",
    *,
    label: str | None = None,
    plan: str | None = None,
    to: str | Path | None = None,
    allow_partial: bool = False,
) -> Path:
    """Write the results of one plan into a folder (default: experiments/<study>/results/<label>); returns the folder.

    Every file of every record is compared with the record's manifest, and the accuracies with the predictions.
    The same records give the same bytes. A diverged run is a result; missing, failed, altered, interrupted and running ones
    are refused unless `allow_partial`, and the export then says which they are. Raises BadInput, before it writes.
    """
    found = load.results(source, study=study, label=label, plan=plan, verify=True)
    plans = [r.plan for r in found if r.plan is not None]
    if len(plans) != 1:
        there = ", ".join(p.name for p in plans) or "none"
        raise BadInput(f"one plan at a time is exported, here are: {there}. Choose with --label or --plan")
    rows = [row for r in found for row in r.rows()]
    runs = frames.runs_frame(rows)
    bad = runs[~runs["status"].isin(checks.USABLE)]
    why = [e if s == records.ALTERED else s for s, e in zip(bad["status"], bad["error"], strict=True)]
    partial = [f"{n} ({s})" for n, s in zip(checks.run_names(bad), why, strict=True)]
    if partial and not allow_partial:
        more = f" and {len(partial) - 12} more" if len(partial) > 12 else ""
        raise BadInput(f"{plans[0].name} is incomplete: {', '.join(partial[:12])}{more}. Complete it (`study run`, "
                       "`study retry`), or pass --allow-partial: the export is then labelled partial")  # fmt: skip
    history = load.history(found, None, True)
    files = contents(plans[0], runs, history, frames.runs_columns(rows), partial)
    folder = Path(to) if to is not None else Path("experiments") / study / "results" / plans[0].label
    _write(folder, files)
    return folder


def contents(
    plan: Plan, runs: pd.DataFrame, history: pd.DataFrame, kinds: Mapping[str, str], partial: list[str]
) -> dict[str, bytes]:
    """File name -> bytes of the results of a plan; export.json comes last. Raises BadInput where they cannot be small."""
    table, constant = committed.encode_runs(runs, kinds)
    files = {"plan.json": _json(_portable_plan(plan)), "runs.csv": table}
    about: dict[str, Any] = {
        "schema": committed.SCHEMA, "study": plan.study, "label": plan.label, "plan_id": plan.plan_id,
        "runs": len(runs), "status": {str(k): int(n) for k, n in runs["status"].value_counts().sort_index().items()},
        "partial": partial, "truncated": history.attrs["truncated"],
    }  # fmt: skip
    rest = {"columns": dict(kinds), "constant": constant}
    for training, evaluations in THINNING:
        kept = history[thin(history, training, evaluations)]
        files["history.csv"] = committed.encode_history(kept)
        about["history"] = {
            "events": len(history), "kept": len(kept), "most_training_events": training,
            "most_evaluations": evaluations, "significant_digits": committed.DIGITS,
        }  # fmt: skip
        digests = {name: committed.digest(data) for name, data in files.items()}
        whole = files | {"export.json": _json(about | {"files": digests} | rest)}
        size = sum(map(len, whole.values()))
        if size < LIMIT:
            return whole
    raise BadInput(f"{plan.name}: {len(runs)} runs take {size / 2**20:.1f} MiB, more than the {LIMIT / 2**20:.0f} MiB "
                   "that results to be committed may have. Keep the records instead")  # fmt: skip


def thin(history: pd.DataFrame, training: int, evaluations: int) -> np.ndarray:
    """Which events to keep: of each run at most that many of training and of evaluation, evenly spread, ends included."""
    measured = [c for c in history.columns if "/" in c and c.partition("/")[0] not in ("train", "perf")]
    evaluated = history[measured].notna().any(axis=1).to_numpy()
    keep = np.zeros(len(history), dtype=bool)
    for most, kind in ((training, ~evaluated), (evaluations, evaluated)):
        places = pd.Series(np.flatnonzero(kind))
        for _, mine in places.groupby(history["run_id"].to_numpy()[places], sort=False):
            n = len(mine)
            keep[mine.to_numpy()[np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))]] = True
    return keep


def _portable_plan(plan: Plan) -> dict[str, Any]:
    """A plan without the folders of absolute paths in what was typed and configured."""

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


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Each file whole or not at all; the last one vouches for the others, so that a mixture is noticed when read."""
    from ...disk import write_atomically

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_atomically(folder / name, data)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror}") from error
