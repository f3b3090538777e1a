"""Shipped studies with planted results: the frames that analysis loads and the content of plan.json, without training."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from sepconv_lab.analysis.read.records import placed
from sepconv_lab.config import BUILTIN, BlockConfig, plain
from sepconv_lab.record.plan import fingerprint
from sepconv_lab.study import load

from .analysis.conftest import build_history, build_runs

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
BLOCKS = {c().name: plain(c()) for c in BUILTIN if issubclass(c, BlockConfig)}
Frames = tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]


def planned(name: str, seeds: int = 6, *, better: float = 0.05, scale: str = "lab", **changes: Any) -> Frames:
    """Runs, history and plan of a shipped study.

    The later a variant stands in the study file, the more it errs, by `better` in ln error. changes: keys of the plan.
    """
    study = load(EXPERIMENTS / name / "study.yaml")
    own = study.at(scale)
    configs = {v: _config((*study.base, *study.scales[scale], *words)) for v, words in own.items()}
    columns = {
        v: {f"{group}.{key}": value for group, part in c.items() for key, value in part.items()}
        | placed(c["block"])
        | {"data_digest": hashlib.sha256(str(c["data"]).encode()).hexdigest(), "macs": 20e6 + 3e6 * i, "data.name": "glyphs"}
        | {"data.num_classes": c["data"].get("num_classes", 300)}
        for i, (v, c) in enumerate(configs.items())
    }  # fmt: skip
    runs = build_runs(
        name, {v: -1.6 + better * i for i, v in enumerate(own)}, seeds, config=columns, scale=scale, stage="fixed",
        threads=2, attempts=1, device="cpu", test_examples=3000, error=None,
    )  # fmt: skip
    runs["run_id"] = [f"{i:016x}" for i in range(len(runs))]
    typed = {v: " ".join(["python -m sepconv_lab.run", *own[v]]) for v in own}
    runs["command"] = [f"{typed[v]} seed={s}" for v, s in zip(runs["variant"], runs["seed"], strict=True)]
    runs["test/top1"] = runs["test_ema/top1"] - 0.01
    runs["versions.torch"], runs["git.commit"], runs["git.dirty"] = "2.13.0", "a" * 40, False
    plan = {
        "schema": 1, "study": name, "scale": scale, "stage": "fixed", "label": scale,
        "overrides": [], "question": study.question, "baseline": study.baseline,
        "claim": study.claim.plain() if study.claim else None, "seeds": list(range(seeds)),
        "factors": {k: list(v) for k, v in study.factors.items()},
        "variants": {
            v: {"overrides": [*study.base, *own[v]], "own": list(own[v]), "config": c, "params": 190_000,
                "body_params": 180_000, "macs": int(columns[v]["macs"]), "steps": 4000}
            for v, c in configs.items()
        },
        "runs": [
            {"variant": v, "seed": s, "run_id": runs.loc[(runs["variant"] == v) & (runs["seed"] == s), "run_id"].iloc[0]}
            for s in range(seeds) for v in own
        ],
        "frozen": "2026-11-23T14:00:00Z", "git": {"commit": "a" * 40, "dirty": False}, "replaces": [],
    } | changes  # fmt: skip
    plan["plan_id"] = runs["plan_id"] = fingerprint(plan)
    return runs, build_history(runs), plan


def _config(words: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The block and data settings of overrides, as in a configuration."""
    given = dict(word.split("=", 1) for word in words)
    found = {
        "block": dict(BLOCKS[given.get("block", "xception")]),
        "data": {"name": "glyphs", "image_size": 32, "seed": 0},
        "train": {"decay_depthwise": True},
    }
    for key, value in given.items():
        group, _, name = key.partition(".")
        if group in found and name:
            found[group][name] = yaml.safe_load(value)
    return found


def end(runs: pd.DataFrame, variant: str, seed: int, status: str, error: str = "") -> None:
    """Let a run end otherwise: `diverged`, `failed`, `interrupted`, `running` or `missing`."""
    at = (runs["variant"] == variant) & (runs["seed"] == seed)
    measured = [c for c in runs.columns if c.startswith("test")] + ["images_per_second"]
    runs[measured] = runs[measured].astype(float)
    runs.loc[at, measured] = np.nan
    runs.loc[at, "status"] = status
    runs.loc[at, "error"] = error or None
