"""The two frames: every column, its type, and how rows become a frame. The same rows give the same frame, wherever read.

Types: text is pandas' string type (missing: NaN), int `Int64`, bool `boolean` (missing: NA), float `float64`; `seed`,
`step` are plain `int64`. Columns stand in the order of this module, metrics by split, further configuration by name.
A value that does not fit its column's type is refused.
"""

from __future__ import annotations

import functools
import re
import shlex
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Union

import numpy as np
import pandas as pd

from ...config import BUILTIN, GROUPS, BadInput, RunConfig, messages, settings
from ...config.fields import as_typed, dotted
from ...config.identity import PER_RUN
from ...record.metrics import ORDER, SPLITS

Row = Mapping[str, Any]

KEYS = {
    "run_id": ("text", "the record's name; missing where the plan could not know it"),
    "study": ("text", "empty for runs of no study"),
    "variant": ("text", "the study's name for it; without a study what varies, e.g. block.mid_act=relu"),
    "seed": ("key", "the run's seed: the block of paired comparisons"),
    "scale": ("text", "smoke, lab, paper; with the stage where rates were tuned: lab_tuned. Empty without a study"),
    "stage": ("text", "fixed, tune or tuned. Empty without a study"),
    "plan_id": ("text", "of the frozen plan. Empty without a study"),
    "status": ("text", "finished, diverged, failed, altered since it ended, interrupted, running or missing"),
}
PLACEMENTS = {
    "after_depthwise": ("text", "norm and activation after the depthwise operation, e.g. norm+relu"),
    "after_pointwise": ("text", "the same after the pointwise one; orders compare at equal values of the two (C5)"),
}
RESULT = {
    "error": ("text", "first line of what went wrong"),
    "diverged_step": ("int", "where the loss was no number any more"),
    "attempts": ("int", "how often the run was started or resumed"),
    "steps": ("int", "gradient steps done"),
    "epochs": ("float", "passes over the training split done"),
    "test_examples": ("int", "examples behind each test metric"),
    "params_total": ("int", "trainable parameters"),
    "params_body": ("int", "without the classifier"),
    "params_head": ("int", "of the classifier"),
    "macs": ("int", "multiply-accumulates of one image"),
    "activation_bytes": ("int", "activations of one image, bytes"),
    "receptive_field": ("int", "pixels"),
    "images_per_second": ("float", "training throughput"),
    "wall_time": ("float", "seconds, every attempt counted"),
    "peak_memory": ("int", "bytes, of the GPU's tensors or of the process"),
}
PROVENANCE = {
    "device": ("text", "cpu or cuda"),
    "hardware_class": ("text", "processor or GPU model and instruction set"),
    "precision": ("text", "as resolved: fp32 or bf16"),
    "threads": ("int", "CPU threads"),
    "recipe": ("int", "what the configuration computes, as a version"),
    "data_digest": ("text", "of the data set's description"),
    "data_content": ("text", "of the images and labels"),
    "weights_digest": ("text", "of the initial weights' file"),
    "git.commit": ("text", "of the code"),
    "git.dirty": ("bool", "whether it was changed since"),
    "command": ("text", "what to type for the same bits; absolute paths shortened to their last part"),
}
EVENT = {
    "step": ("key", "gradient steps done at the event"),
    "epoch": ("float", "the same in epochs"),
    "time": ("float", "seconds since the run's start, pauses between attempts left out"),
}
HISTORY_KEYS = tuple(k for k in KEYS if k != "status")

DTYPES: dict[str, Any] = {
    "text": pd.StringDtype(na_value=np.nan), "int": pd.Int64Dtype(), "float": np.dtype("float64"),
    "bool": pd.BooleanDtype(), "key": np.dtype("int64"),
}  # fmt: skip
PATH = re.compile(r"(?<![\w.:/~])(?:~|/|[A-Za-z]:\\)(?:[^\s'\",;:()\[\]]*[/\\])?(?=[^\s/\\])")
PATH_IN_QUOTES = re.compile(r"(?<![\w.:/~])(?:~|/|[A-Za-z]:\\)(?:[^'\",\[\]]*[/\\])?(?=[^/\\])")


@functools.cache
def config_kinds() -> dict[str, str]:
    """Dotted setting -> kind, for everything that `config` declares, in its order. A user's own settings are not there."""
    found: dict[str, str] = {}
    for group, base in (*GROUPS.items(), ("", RunConfig)):
        classes = [base, *(c for c in BUILTIN if issubclass(c, base))] if group else [base]
        for cls in classes:
            for f, kind in settings(cls):
                name = f"{group}.{f.name}" if group else f.name
                if shown(name):
                    found.setdefault(name, _kind(kind))
    return found


def _kind(declared: Any) -> str:
    if typing.get_origin(declared) is Union or (isinstance(declared, type) and issubclass(declared, Enum)):
        return "text"
    return {bool: "bool", int: "int", float: "float"}.get(declared, "text")


def shown(setting: str) -> bool:
    """Whether a setting is a column: not where records go, nor the seed, which is a key."""
    return setting not in PER_RUN and not setting.startswith("wandb.")


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """A record's plain configuration as the columns of the runs frame; absolute paths shortened to their last part."""
    return {k: portable(v) for k, v in dotted(config).items() if shown(k) and k not in GROUPS}


def portable(value: Any) -> Any:
    """A setting's value without the folders of an absolute path, which would name a machine."""
    if isinstance(value, list):
        return [portable(v) for v in value]
    return PATH_IN_QUOTES.sub("", value) if isinstance(value, str) else value


def portable_words(command: str) -> str:
    """A command line without the folders of absolute paths."""
    return shlex.join(map(portable, shlex.split(command))) if PATH_IN_QUOTES.search(command) else command


def first_line(error: Any) -> str | None:
    """An error's first line, absolute paths shortened; None for none."""
    return PATH.sub("", messages.first_line(error)) or None


def metric_order(name: str) -> tuple[Any, ...]:
    """Sorts metric columns: averaged test first, then raw, validation, training."""
    split, _, metric = name.partition("/")
    rank = (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)
    return (*rank, ORDER.index(metric) if metric in ORDER else len(ORDER), metric)


def runs_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows (column -> value, absent where not known) as the runs frame. Raises BadInput for a value of another type."""
    kinds = runs_columns(rows)
    return pd.DataFrame({name: _column(name, kind, rows) for name, kind in kinds.items()}, copy=False)


def runs_columns(rows: Iterable[Row]) -> dict[str, str]:
    """The columns of the rows' frame and their kinds, in order. Fixed ones are always there."""
    present = dict.fromkeys(name for row in rows for name in row)
    declared = {k: v for k, v in config_kinds().items() if k in present}
    fixed = {k: kind for part in (KEYS, PLACEMENTS, RESULT, PROVENANCE) for k, (kind, _) in part.items()}
    rest = [k for k in present if k not in declared and k not in fixed]
    own = sorted(k for k in rest if "/" not in k and not k.startswith("versions."))
    versions = sorted(k for k in rest if k.startswith("versions."))
    metrics = sorted((k for k in rest if "/" in k), key=metric_order)
    kinds = {k: fixed[k] for k in KEYS} | declared | {k: _inferred(k, rows) for k in own}
    kinds |= {k: fixed[k] for k in PLACEMENTS} | dict.fromkeys(metrics, "float")
    return kinds | {k: fixed[k] for k in (*RESULT, *PROVENANCE)} | dict.fromkeys(versions, "text")


def _inferred(name: str, rows: Iterable[Row]) -> str:
    """The kind of a setting that only its values describe: a user's own block, say. Numbers are float."""
    values = [row[name] for row in rows if row.get(name) is not None]
    if values and all(isinstance(v, bool) for v in values):
        return "bool"
    numbers = values and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return "float" if numbers else "text"


def _column(name: str, kind: str, rows: Sequence[Row]) -> Any:
    values = [row.get(name) for row in rows]
    if kind == "text":
        keep = name in KEYS  # elsewhere an empty text says no more than a missing one
        values = [None if v is None or (not keep and v in ("", [])) else as_typed(v) for v in values]
    elif kind == "float":
        values = [np.nan if v is None else v for v in values]
    wrong = next((i for i, v in enumerate(values) if not _fits(kind, v)), None)
    if wrong is not None:
        words = {"key": "a whole number", "int": "a whole number", "float": "a number", "bool": "true or false"}
        run = rows[wrong].get("run_id") or "a planned run"
        raise BadInput(f"{run}: {name} is {values[wrong]!r}, not {words[kind]}: the record was changed or damaged")
    return pd.array(values, dtype=DTYPES[kind])


def _fits(kind: str, value: Any) -> bool:
    if kind == "text" or value is None:
        return kind != "key" or value is not None
    if kind == "bool":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return kind == "float" or isinstance(value, int) or value.is_integer()


Events = Mapping[str, np.ndarray]
"""One run's events by column: `step`, `epoch`, `time` and metrics, each of as many values; NaN where an event has none."""


def events_of(run_id: str, events: Sequence[Row]) -> dict[str, np.ndarray]:
    """A run's logged events by column. Raises BadInput for what is no number."""
    names = dict.fromkeys(name for event in events for name in event)
    found = {}
    for name in names:
        try:
            found[name] = np.array([event.get(name) for event in events], dtype=float)
        except (TypeError, ValueError) as error:
            raise BadInput(f"{run_id}: {name} of an event is no number: the record was changed or damaged") from error
    if events and (bad := np.flatnonzero(np.isnan(found.get("step", np.full(len(events), np.nan))))).size:
        raise BadInput(f"{run_id}: event {bad[0] + 1} has no step: the record was changed or damaged")
    return found


def history_frame(runs: Iterable[tuple[Row, Events]]) -> pd.DataFrame:
    """The history frame of runs (their keys, their events): `HISTORY_KEYS`, `step`, `epoch`, `time`, then metrics."""
    found = [(row, events, len(events["step"])) for row, events in runs if len(events.get("step", ()))]
    sizes = [size for *_, size in found]
    metrics = sorted({m for _, events, _ in found for m in events if "/" in m}, key=metric_order)
    columns: dict[str, Any] = {}
    for name in HISTORY_KEYS:
        kind = DTYPES[KEYS[name][0]]
        columns[name] = pd.array([row.get(name) for row, *_ in found], dtype=kind).repeat(sizes)
    for name in (*EVENT, *metrics):
        parts = [events.get(name, np.full(size, np.nan)) for _, events, size in found]
        column = np.concatenate(parts) if parts else np.empty(0)
        columns[name] = column.astype(np.int64) if name == "step" else column
    return pd.DataFrame(columns, copy=False)
