"""Checkpoints: the last and the one before, each whole at every moment, and each with a checksum of what it holds."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ..config.messages import first_line
from ..disk import replacing

__all__ = ["candidates", "digest", "drop_previous", "first_line", "load", "save"]

DIGEST = "sha256"
"""The key of a checkpoint's own checksum."""


def save(folder: Path, state: dict[str, Any]) -> None:
    """Keep the last as the one before, and put the new one in its place, whole, with its checksum."""
    folder.mkdir(exist_ok=True)
    with replacing(folder / "last.pt", "checkpoint", previous=folder / "previous.pt") as file:
        torch.save(state | {DIGEST: digest(state)}, file)


def digest(state: Mapping[str, Any]) -> str:
    """sha256 over every name, number, shape and tensor of a state, its own checksum aside."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.update(f"{value.dtype}{tuple(value.shape)}".encode())
            found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, Mapping):
            found.update(b"{%d" % len(value))
            for key, inner in value.items():
                add(key)
                add(inner)
        elif isinstance(value, (list, tuple)):
            found.update(b"[%d" % len(value))
            for inner in value:
                add(inner)
        else:
            text = f"{type(value).__name__}:{value!r}".encode()
            found.update(b"%d:" % len(text) + text)

    add({k: v for k, v in state.items() if k != DIGEST})
    return found.hexdigest()


PARTS = ("step", "seconds", "results", "sums", "network", "optimizer", "average", "metrics_bytes")


def load(folder: Path, run_id: str, metrics_bytes: int | None = None) -> dict[str, Any] | None:
    """The newest whole checkpoint of this run, on the CPU; None where there is none."""
    return next(candidates(folder, run_id, metrics_bytes), None)


def candidates(folder: Path, run_id: str, metrics_bytes: int | None = None) -> Iterator[dict[str, Any]]:
    """The whole checkpoints of this run, the newest first, on the CPU.

    Left aside, and named, are damaged and truncated files, those of other runs, and those that know of more than
    `metrics_bytes` of events. Nothing is unpickled beyond tensors and plain values.
    """
    left_aside, whole = 0, 0
    for name in ("last.pt", "previous.pt"):
        try:
            state = _read(folder / name)
        except FileNotFoundError:
            continue
        except Exception as error:  # torch raises many kinds for a damaged or foreign file
            why = f"is unreadable ({first_line(error)})"
        else:
            why = _unfit(state, run_id, metrics_bytes)
        if why:
            print(f"checkpoint {folder / name} {why} and is left aside")
            left_aside += 1
        else:
            whole += 1
            yield state
    if left_aside and not whole:
        print(f"no whole checkpoint of run {run_id} is left: it starts again")


def _read(path: Path) -> Any:
    """What torch loads; first the checksums of its zip archive, which torch does not look at."""
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} is damaged")
    return torch.load(path, map_location="cpu", weights_only=True)


def _unfit(state: Any, run_id: str, metrics_bytes: int | None) -> str:
    """Why a state cannot be taken up; empty where it can."""
    if not isinstance(state, dict) or state.get("run_id") != run_id:
        return "belongs to another run"
    if DIGEST in state and state[DIGEST] != digest(state):
        return "does not have its checksum"
    if any(part not in state for part in PARTS) or type(state["step"]) is not int:
        return "is not whole"
    if metrics_bytes is not None and not (
        type(state["metrics_bytes"]) is int and 0 <= state["metrics_bytes"] <= metrics_bytes
    ):
        return "is ahead of metrics.jsonl, which was shortened,"
    return ""


def drop_previous(folder: Path) -> None:
    (folder / "previous.pt").unlink(missing_ok=True)
