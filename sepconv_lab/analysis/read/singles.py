"""One ended run as two small files to commit: `runs/<run id>-<kind>.json` and, beside it, `.npz` with its predictions.

The JSON holds the run's columns, the events that a figure can show, the digest of the predictions, and a digest of itself: a
run's files are whole, or are noticed. It is written last. The same record gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...config import BadInput, bounded
from .kinds import Candidate, Events, tag

SCHEMA = 2
DIGITS = 6
"""Significant digits of an event's numbers: more than a figure shows."""
TRAINING, EVALUATIONS = 100, 200
"""Training and evaluation events kept of a run."""


def name(candidate: Candidate) -> str:
    """The stem of a run's files."""
    return f"{candidate.row['run_id']}-{tag(candidate.kind)}"


def encode(candidate: Candidate) -> dict[str, bytes]:
    """File name -> bytes of one ended run, the one that vouches for the others last. Raises BadInput as reading it does."""
    stem, files = name(candidate), dict[str, bytes]()
    found = compact(candidate.predictions())
    if found:
        files[f"{stem}.npz"] = _npz(found)
    events, _ = candidate.events()
    content = {
        "schema": SCHEMA,
        "run_id": candidate.row["run_id"],
        "ended": candidate.ended,
        "events_logged": len(events.get("step", ())),
        "predictions": digest(files[f"{stem}.npz"]) if found else None,
        "columns": candidate.row,
        "events": {k: _numbers(v) for k, v in thinned(events).items()},
    }
    files[f"{stem}.json"] = _lines({"sha256": _of(content)} | content)
    return files


def read(path: Path) -> Candidate:
    """The run in a file. Raises BadInput for another schema, and where it, or its predictions, are not as exported."""
    try:
        content = bounded.parse_json(bounded.read_bytes(path, bounded.LARGE))
        schema, known = content["schema"], content.pop("sha256")
        row, events, predictions = content["columns"], content["events"], content["predictions"]
        ended = float(content["ended"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a run that `export` wrote ({type(error).__name__}: {error})") from error
    if schema != SCHEMA:
        raise BadInput(f"{path}: a run of schema {schema}; this version reads schema {SCHEMA}. Export anew")
    if _of(content) != known:
        raise BadInput(f"{path} changed since the export; restore the file, or export anew")

    def arrays() -> tuple[Events, bool]:
        return {k: np.array(v, dtype=float) for k, v in events.items()}, False

    return Candidate(row, ended, arrays, path, lambda: _predictions(path.with_suffix(".npz"), predictions))


def in_folder(folder: Path, run_id: str = "*") -> Iterator[Path]:
    """The files of a folder of results that hold a run each, of one run id or of all."""
    yield from sorted((folder / "runs").glob(f"{run_id}-*.json"))


# --- predictions ------------------------------------------------------------------------------------------------------


def compact(predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`label` (N,) as small integers and `correct`, `correct_ema` (N / 8,) as packed bits, from labels and predicted classes."""
    if "label" not in predictions:
        return {}
    label = predictions["label"]
    out = {"label": label.astype(np.min_scalar_type(int(label.max(initial=0))))}
    for column, values in predictions.items():
        if column.startswith("predicted"):
            out[column.replace("predicted", "correct")] = np.packbits(values == label)
        elif column.startswith("correct"):
            out[column] = np.packbits(values)
    return out


def _predictions(path: Path, known: str | None) -> dict[str, np.ndarray]:
    """`label` (N,) and `correct`, `correct_ema` (N,) bool; empty where the run left none. Raises BadInput."""
    if known is None:
        return {}
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}; restore the file, or export anew") from error
    if digest(data) != known:
        raise BadInput(f"{path} changed since the export; restore the file, or export anew")
    with np.load(io.BytesIO(data), allow_pickle=False) as kept:
        arrays = {k: kept[k] for k in kept.files}
    count = len(arrays["label"])
    return {k: v if k == "label" else np.unpackbits(v, count=count).astype(bool) for k, v in arrays.items()}


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)  # type: ignore[arg-type]  # not compressed: zlib's versions differ in bytes
    return out.getvalue()


# --- events -----------------------------------------------------------------------------------------------------------


def thinned(events: Events, training: int = TRAINING, evaluations: int = EVALUATIONS) -> dict[str, np.ndarray]:
    """At most so many events of training and of evaluation, evenly spread, ends included; columns that stay empty go."""
    count = len(events.get("step", ()))
    measured = [v for k, v in events.items() if "/" in k and k.partition("/")[0] not in ("train", "perf")]
    evaluated = np.any([np.isfinite(v) for v in measured], axis=0) if measured else np.zeros(count, dtype=bool)
    keep = np.zeros(count, dtype=bool)
    for most, places in ((training, np.flatnonzero(~evaluated)), (evaluations, np.flatnonzero(evaluated))):
        n = len(places)
        keep[places[np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))]] = True
    return {k: v[keep] for k, v in events.items() if count}


def _numbers(values: np.ndarray) -> list[float | int | None]:
    """As JSON: whole numbers as such, the others to `DIGITS` significant digits, NaN as null."""
    out: list[float | int | None] = []
    for v in values.tolist():
        number = None if v != v else float(f"{v:.{DIGITS}g}")
        out.append(int(v) if number is not None and abs(v) < 2**53 and v == int(v) else number)
    return out


# --- bytes ------------------------------------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _of(content: Mapping[str, Any]) -> str:
    """The digest of a file's content, however it is spaced."""
    return digest(json.dumps(content, sort_keys=True).encode())


def _lines(content: Mapping[str, Any]) -> bytes:
    """JSON in which each column, of the run and of its events, has a line."""
    out = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            out.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            out.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return ("{\n" + ",\n".join(out) + "\n}\n").encode()
