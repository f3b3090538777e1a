"""What a run predicted on the test split, read without trust, and the accuracies that follow from it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config import BadInput

NAME = "predictions.npz"
LARGEST = 256 * 2**20
"""Bytes of all arrays: ten million test images, where ImageNet has fifty thousand."""


def read(path: Path) -> dict[str, np.ndarray]:
    """The whole-number arrays (N,) of a predictions.npz: `label`, `predicted`, `predicted_ema`. Raises BadInput.

    Nothing is unpickled, and nothing larger than `LARGEST` is unpacked, whatever the file says of itself.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST:
            raise BadInput(f"{path}: {size:,} bytes of predictions; at most {LARGEST:,}")
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except BadInput:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for a damaged or foreign file
        raise BadInput(f"{path} is damaged ({type(error).__name__}: {error})") from error
    shapes = {array.shape for array in found.values()}
    if "label" not in found or len(shapes) != 1 or any(a.ndim != 1 or a.dtype.kind not in "iu" for a in found.values()):
        raise BadInput(f"{path} is not the predictions of a run: one class a test image, and its label")
    return found


def accuracies(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Metric -> top-1 accuracy, for raw and averaged weights as far as there are predictions."""
    names = {"test/top1": "predicted", "test_ema/top1": "predicted_ema"}
    return {metric: float(np.mean(found[n] == found["label"])) for metric, n in names.items() if n in found}


def disagreements(folder: Path, metrics: Mapping[str, Any]) -> list[str]:
    """The accuracies among a finished run's metrics that its predictions contradict, in words. Raises BadInput."""
    found = read(folder / NAME)
    half = 0.5 / max(1, len(found["label"]))  # of an image
    counted = accuracies(found)
    return [
        f"{name} is {value} in its summary, {counted.get(name, 'nothing')} by its predictions"
        for name in ("test/top1", "test_ema/top1")
        if (value := metrics.get(name, counted.get(name))) is not None
        and not (isinstance(value, (int, float)) and abs(value - counted.get(name, np.inf)) < half)
    ]


def contradicted(metrics: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[str]:
    """The test metrics that the last event of the test split has otherwise, in words."""
    logged = next((e for e in reversed(events) if any(k.startswith(("test/", "test_ema/")) for k in e)), {})
    return [
        f"{name} is {metrics.get(name)} in its summary, {value} in its last event"
        for name, value in logged.items()
        if name.startswith(("test/", "test_ema/")) and metrics.get(name) != value
    ]
