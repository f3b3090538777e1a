"""What runs were trained on and where, in words that go with every verdict and figure."""

from __future__ import annotations

import pandas as pd

from ..stats.checks import USABLE


def where(runs: pd.DataFrame) -> tuple[str, str, str]:
    """Scale, data, hardware of runs in words: ("lab", "cifar10, 10 classes, 32 pixels (not ImageNet)", "cpu, bf16").

    Of the runs that ended, where the frame has a status. Several values of one column are joined by a slash.
    """
    ended = runs[runs["status"].isin(USABLE)] if "status" in runs.columns else runs
    name = _one(ended, "data.name")
    classes, pixels = _one(ended, "data.num_classes"), _one(ended, "data.image_size")
    words = [name or "data without a name"]
    words += [f"{classes} classes"] if classes not in ("", "0") else []
    words += [f"{pixels} pixels"] if pixels else []
    machine = ", ".join(w for w in (_one(ended, "hardware_class"), _one(ended, "precision")) if w)
    note = "" if name == "imagenet" else " (not ImageNet)"
    return _one(ended, "scale") or "unknown", ", ".join(words) + note, machine or "hardware not recorded"


def training(runs: pd.DataFrame) -> str:
    """How long and how large runs were, in words: "3 epochs, width 0.5, 50,314 parameters". Empty where nothing is known."""
    ended = runs[runs["status"].isin(USABLE)] if "status" in runs.columns else runs

    def span(column: str, form: str) -> str:
        values = ended[column].dropna().astype(float) if column in ended.columns else pd.Series(dtype=float)
        if values.empty:
            return ""
        low, high = format(values.min(), form), format(values.max(), form)
        return low if low == high else f"{low} to {high}"

    epochs, width, params = span("train.epochs", "g"), span("model.width", ".4g"), span("params_total", ",.0f")
    said = [f"{epochs} {'epoch' if epochs == '1' else 'epochs'}"] if epochs else []
    return ", ".join([*said, *([f"width {width}"] if width else []), *([f"{params} parameters"] if params else [])])


def _one(runs: pd.DataFrame, column: str) -> str:
    if column not in runs.columns:
        return ""
    return "/".join(f"{v:g}" if isinstance(v, float) else str(v) for v in runs[column].dropna().unique())
