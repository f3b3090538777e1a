"""Checkpoints: the last and the one before, each whole at every moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..config.messages import first_line
from ..disk import replacing


def save(folder: Path, state: dict[str, Any]) -> None:
    """Keep the last as the one before, and put the new one in its place, whole."""
    folder.mkdir(exist_ok=True)
    with replacing(folder / "last.pt", "checkpoint", previous=folder / "previous.pt") as file:
        torch.save(state, file)


PARTS = ("step", "seconds", "results", "sums", "network", "optimizer", "average", "metrics_bytes")


def load(folder: Path, run_id: str, metrics_bytes: int | None = None) -> dict[str, Any] | None:
    """The newest whole checkpoint of this run, on the CPU; None where there is none."""
    return next(candidates(folder, run_id, metrics_bytes), None)


def candidates(folder: Path, run_id: str, metrics_bytes: int | None = None) -> Iterator[dict[str, Any]]:
    """The whole checkpoints of this run, the newest first, on the CPU.

    Left aside are truncated files, and those that know of more than `metrics_bytes` of events. Nothing is unpickled beyond
    tensors and plain values.
    """
    for name in ("last.pt", "previous.pt"):
        try:
            state = torch.load(folder / name, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            continue
        except Exception as error:  # torch raises many kinds for a damaged or foreign file
            print(f"checkpoint {folder / name} is unreadable and left aside: {first_line(error)}")
            continue
        if not isinstance(state, dict) or state.get("run_id") != run_id:
            print(f"checkpoint {folder / name} belongs to another run and is left aside")
        elif any(part not in state for part in PARTS) or type(state["step"]) is not int:
            print(f"checkpoint {folder / name} is not whole and left aside")
        elif metrics_bytes is not None and state["metrics_bytes"] > metrics_bytes:
            print(f"checkpoint {folder / name} is ahead of metrics.jsonl, which was shortened, and left aside")
        else:
            yield state


def drop_previous(folder: Path) -> None:
    (folder / "previous.pt").unlink(missing_ok=True)
