"""The same two frames from offline W&B files, `.../wandb/offline-run-*/run-*.wandb`, where the records are not at hand.

Each attempt of a run is a file that begins with the events of the attempts before it, so the last attempt is the run.
W&B's own program reads the files (`wandb leet inspect`). What a file cannot know is not in the frames: runs that were
never started, studies other than the one that started a run, and whether a run without an end is still running (it is
`interrupted` here).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from ...config import BadInput
from ...record.plan import staged
from . import frames
from .load import Events, Where, chosen
from .records import name_by_what_varies, of_config, of_summary

CONTEXT = ("study", "variant", "scale", "stage", "plan")
PATTERNS = ("*run-*/run-*.wandb", "wandb/*run-*/run-*.wandb", "*/wandb/*run-*/run-*.wandb")


def load_runs(
    source: str | Path = "runs",
    *,
    study: str | None = None,
    plan: str | None = None,
    where: Where | None = None,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """The runs frame from the W&B files of a runs_dir, of one record, or of a folder of `offline-run-*` folders.

    Arguments and errors as for `load.load_runs`. Rows are in the order of study, scale, plan, seed, variant.
    """
    rows = [row for row, _ in _read(Path(source), study, plan)]
    return chosen(frames.runs_frame(rows), where, allow_partial)


def load_history(
    source: str | Path = "runs",
    *,
    study: str | None = None,
    plan: str | None = None,
    where: Where | None = None,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """The history frame from the same files, runs in the order of `load_runs`."""
    read = _read(Path(source), study, plan)
    runs = chosen(frames.runs_frame([row for row, _ in read]), where, allow_partial, renumber=False)
    frame = frames.history_frame(read[i] for i in runs.index)
    frame.attrs["truncated"] = []
    return frame


def files(root: Path) -> list[Path]:
    """The `.wandb` files of every attempt at or below a folder. Raises BadInput for none."""
    found = sorted({path for pattern in PATTERNS for path in root.glob(pattern) if not path.parent.is_symlink()})
    if not found:
        raise BadInput(f"{root}: no W&B files here; looked for {', '.join(PATTERNS)}")
    return found


def _read(root: Path, study: str | None, plan: str | None) -> list[tuple[dict[str, Any], Events]]:
    last: dict[tuple[str, str], tuple[int, dict[str, Any], Events]] = {}
    for config, summary, events in _contents(files(root)):
        study_and_run, attempt = (str(config.get("study", "")), str(config["run_id"])), int(config["attempt"])
        if study_and_run not in last or attempt >= last[study_and_run][0]:
            last[study_and_run] = attempt, _row(config, summary), frames.events_of(study_and_run[1], events)
    found = [(row, events) for _, row, events in last.values()]
    name_by_what_varies(row for row, _ in found if not row["study"])
    named = [
        (row, events) for row, events in found
        if study in (None, row["study"]) and (plan is None or row["plan_id"].startswith(plan))
    ]  # fmt: skip
    if not named:
        known = sorted({f"{row['study']} (plan {row['plan_id']})" if row["study"] else "no study" for row, _ in found})
        raise BadInput(f"{root}: no W&B file of study {study!r}, plan {plan!r}; there are: {', '.join(known)}")
    return sorted(named, key=lambda pair: _order(pair[0]))


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    if not row["study"]:
        return "", "", "", row["variant"], row["seed"], row["run_id"]
    return row["study"], row["scale"], row["plan_id"], row["seed"], row["variant"], row["run_id"]


def _row(config: dict[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the mirror logged as a row of the runs frame: dotted names become groups again."""
    nested: dict[str, Any] = {}
    for name, value in config.items():
        group, _, key = name.rpartition(".")
        if group:
            nested.setdefault(group, {})[key] = value
    nested |= {k: config[k] for k in ("seed", "imports") if k in config}
    keys = {k: str(config.get(k, "")) for k in CONTEXT}
    keys |= {"plan_id": keys.pop("plan"), "scale": staged(keys["scale"], keys["stage"])}
    status = str(summary.get("status", "interrupted"))
    row = of_config(nested)
    row |= of_summary(summary, row) if summary else {}
    return row | keys | {"run_id": config["run_id"], "seed": config["seed"], "status": status}


Contents = tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]
"""Configuration, summary as the run gave it at its end (empty before), and events of one file."""


def _contents(paths: Sequence[Path]) -> Iterator[Contents]:
    """What the files hold, in order; a file in which a killed attempt left nothing is passed over. Raises BadInput."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # a second each, most of it W&B's start
        found = [c for c in pool.map(_file, paths) if c is not None]
    if not found:
        raise BadInput(f"{', '.join(map(str, paths[:3]))}: no run in any of {len(paths)} W&B files")
    return iter(found)


def _file(path: Path) -> Contents | None:
    config: dict[str, Any] | None = None
    summary: dict[str, Any] = {}
    events = []
    for line in _inspected(path).splitlines():
        entry = json.loads(line)
        kind = entry.get("type")
        if kind == "run":
            config = entry["run"]["config"]["update"]
        elif kind == "summary" and "status" in entry["summary"].get("update", {}):
            summary = entry["summary"]["update"]  # events go into W&B's summary too, but only a run's end has a status
        elif kind == "history":
            item = entry["history"]["item"]
            events.append({k: v for k, v in item.items() if not k.startswith("_")})
    if config is not None and not {"run_id", "attempt", "seed"} <= config.keys():
        raise BadInput(f"{path}: not a run of sepconv_lab: its configuration has no run_id, attempt and seed")
    return None if config is None else (config, summary, events)


def _inspected(path: Path) -> str:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    quiet = os.environ | {"WANDB_ERROR_REPORTING": "false", "WANDB_MODE": "offline"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        why = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise BadInput(f"{path}: W&B cannot read it ({why}); reading takes wandb 0.31 or newer")
    return done.stdout
