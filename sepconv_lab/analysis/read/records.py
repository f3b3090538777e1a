"""One record, or one planned run without a record, as a row of the runs frame, and its events. Reads; computes little."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from ...config import BUILTIN, BadInput, BlockConfig, bounded, placements, settings
from ...config.fields import as_typed
from ...config.identity import SOLVED, is_execution
from ...record import predictions
from ...record.manifest import Altered
from ...record.plan import Plan, Variant
from ...record.record import SCHEMA, Record
from . import frames


class Reader:
    """Reads the records of one runs_dir, each configuration that several seeds share once."""

    def __init__(self, runs_dir: Path):
        self.runs_dir = runs_dir
        self._columns: dict[bytes, dict[str, Any]] = {}

    def row(self, run_id: str) -> dict[str, Any]:
        """Status, configuration, metrics, sizes, cost and provenance of a record, by column; `seed` among them.

        A record that is not there gives its status alone, and one that changed since its run ended `altered` and why: nothing
        that it says is believed. Raises BadInput for one of another schema, or damaged and without a manifest.
        """
        return self.read(run_id)[0]

    def read(self, run_id: str, *, verify: bool = False) -> tuple[dict[str, Any], float]:
        """The row of a record, and when its run ended, in seconds since 1970; 0 where it has not, or does not say.

        verify: compare every file of the record with its manifest, and the accuracies with the predictions.
        """
        record = Record(self.runs_dir, run_id)
        try:
            summary = record.summary(full=verify)
            if verify:
                record.check_results()
        except Altered as error:
            return {"run_id": run_id, "status": ALTERED, "error": frames.first_line(error)}, 0.0
        if summary is not None:
            _check(summary, record.path, run_id, SCHEMA)
        status = str(summary["status"]) if summary else record.status()
        config = self._config(record.path)
        if config is None:
            if summary is not None:
                raise BadInput(f"{record.path}: a summary without config.yaml: the record is damaged")
            return {"run_id": run_id, "status": status}, 0.0
        row = config | {"run_id": run_id, "status": status}
        if summary is None:
            return row, 0.0
        try:
            return row | of_summary(summary, config), float(summary.get("ended", 0.0))
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise BadInput(f"{record.path}: summary.json is damaged ({type(error).__name__}: {error})") from error

    def _config(self, folder: Path) -> dict[str, Any] | None:
        """The columns that the configuration gives, and the seed; None without one."""
        try:
            data = bounded.read_bytes(folder / "config.yaml")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, bounded.Malformed) as error:
            raise BadInput(f"{folder / 'config.yaml'} is damaged ({getattr(error, 'strerror', error)})") from error
        # Most records of a study differ in the seed alone, and YAML is what takes the time.
        lines = data.split(b"\n")
        seeds = [line for line in lines if line.startswith(b"seed: ")]
        if len(seeds) != 1 or not seeds[0][6:].strip().isdigit():
            config = _parsed(data, folder)
            return of_config(config) | {"seed": config.get("seed")}
        lines.remove(seeds[0])
        rest = b"\n".join(lines)
        if rest not in self._columns:
            self._columns[rest] = of_config(_parsed(rest, folder))
        return self._columns[rest] | {"seed": int(seeds[0][6:])}

    def events(self, run_id: str) -> tuple[list[dict[str, Any]], bool]:
        """A record's events, and whether a last line was left out that a kill had cut short. Raises BadInput."""
        path = self.runs_dir / run_id / "metrics.jsonl"
        try:
            *lines, rest = bounded.read_bytes(path, bounded.EVENTS).split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return [], False
        except (OSError, bounded.Malformed) as error:
            raise BadInput(f"{path} is damaged ({getattr(error, 'strerror', error)})") from error
        try:
            events = json.loads(b"[" + b",".join(lines) + b"]")
            whole = len(events) == len(lines)
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            events = [_event(line, path, number) for number, line in enumerate(lines, 1)]
        if not all(isinstance(e, dict) for e in events):
            number = next(i for i, e in enumerate(events, 1) if not isinstance(e, dict))
            raise BadInput(f"{path}: line {number} is no event: the record was changed or damaged")
        return events, bool(rest)

    def predictions(self, run_id: str) -> dict[str, np.ndarray]:
        """Label and predicted classes of each test example; empty for a run that left none. Raises BadInput."""
        path = self.runs_dir / run_id / predictions.NAME
        return predictions.read(path) if path.exists() else {}


def _parsed(data: bytes, folder: Path) -> dict[str, Any]:
    try:
        config: Any = bounded.parse_yaml(data)
    except bounded.Malformed as error:
        raise BadInput(f"{folder / 'config.yaml'} is damaged ({' '.join(str(error).split())})") from error
    if not isinstance(config, dict) or not {"model", "data", "train"} <= config.keys():
        raise BadInput(f"{folder / 'config.yaml'} is not the configuration of a run")
    return config


def _event(line: bytes, path: Path, number: int) -> Any:
    try:
        return bounded.parse_json(line)
    except bounded.Malformed as error:
        raise BadInput(f"{path}: line {number} is no event ({error}): the record was changed or damaged") from error


def _check(summary: Any, path: Path, run_id: str, schema: int) -> None:
    if not isinstance(summary, dict) or "status" not in summary:
        raise BadInput(f"{path}: summary.json is not the summary of a run")
    if summary.get("schema") != schema:
        raise BadInput(
            f"{path}: a record of schema {summary.get('schema')}; this version reads schema {schema}. Read it with the "
            f"version that wrote it, sepconv_lab {(summary.get('versions') or {}).get('sepconv_lab', 'unknown')}"
        )
    if summary.get("run_id") != run_id:
        raise BadInput(f"{path}: the record of run {summary.get('run_id')} in the folder of another; copy it back")


def of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a configuration gives, plain and nested as in config.yaml."""
    row = frames.flat(config)
    row["data.num_classes"] = row.get("data.num_classes") or None  # 0: as many as the data has, which only a run knows
    return row | placed(config.get("block"))


def of_summary(summary: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a run's summary gives; config: the columns of its configuration."""
    tested = summary["images"]["test"]
    row = dict(summary.get("metrics") or {})
    row |= {f"params_{k}": v for k, v in summary["params"].items()}
    row |= {f"git.{k}": v for k, v in summary["git"].items()}
    row |= {f"versions.{k}": v for k, v in summary["versions"].items()}
    row |= {k: summary[k] for k in FROM_SUMMARY if k in summary}
    return row | {
        "data.num_classes": summary.get("num_classes", config["data.num_classes"]),
        "test_examples": min(config.get("train.eval_images") or tested, tested),
        "error": frames.first_line(summary.get("error")),
        "command": frames.portable_words(str(summary["command"])),
    }


ALTERED = "altered"
FROM_SUMMARY = (*frames.PLACEMENTS, *frames.RESULT, *frames.PROVENANCE)


def planned_rows(plan: Plan) -> list[dict[str, Any]]:
    """What a plan alone knows of its runs: the keys, the configuration and the size. Their status is missing."""
    known = {name: _of_variant(variant) for name, variant in plan.variants.items()}
    keys = {
        "study": plan.study,
        "scale": plan.staged_scale,
        "stage": plan.stage,
        "plan_id": plan.plan_id,
        "status": "missing",
    }
    return [
        known[run.variant] | run.block | keys | {"variant": run.variant, "seed": run.seed, "run_id": run.run_id}
        for run in plan.runs
    ]


def _of_variant(variant: Variant) -> dict[str, Any]:
    params, body = variant.params, variant.body_params
    sizes = {"params_total": params, "params_body": body, "params_head": params - body, "macs": variant.macs}
    return of_config(variant.config) | sizes


def placed(block: Mapping[str, Any] | None) -> dict[str, str]:
    """`config.placements` of a block's plain values; nothing for a user's own block, which only its run could tell."""
    known = {c().name: c for c in BUILTIN if issubclass(c, BlockConfig)}
    cls = known.get((block or {}).get("name", ""))
    if cls is None or block is None:
        return {}
    kinds = {f.name: kind for f, kind in settings(cls)}
    values = {
        k: kinds[k][v] if isinstance(kinds[k], type) and issubclass(kinds[k], Enum) else v
        for k, v in block.items()
        if k in kinds
    }
    return placements(cls(**values))


def name_by_what_varies(rows: Iterable[dict[str, Any]]) -> None:
    """Give runs without a study their `variant`: the settings in which they differ, as one would type them."""
    every = list(rows)
    present = dict.fromkeys(k for row in every for k in row)
    known = frames.config_kinds()
    candidates = [k for k in present if k in known or k.startswith(("block.", "model.", "data."))]
    settings = [k for k in candidates if k not in SOLVED and not is_execution(k)]
    values = {k: {as_typed(row[k]) for row in every if row.get(k) is not None} for k in settings}
    varied = [k for k, found in values.items() if len(found) > 1]
    for row in every:
        words = [f"{k}={as_typed(row[k])}" for k in varied if row.get(k) is not None]
        row |= {"study": "", "variant": " ".join(words) or "all", "scale": "", "stage": "", "plan_id": ""}
