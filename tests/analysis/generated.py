"""Records and frozen plans made without training: the files of a real run with numbers of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sepconv_lab.config import (
    GlyphsConfig,
    RunConfig,
    TrainConfig,
    XceptionBlockConfig,
    XceptionConfig,
    complete,
    plain,
)
from sepconv_lab.config.identity import hashed
from sepconv_lab.record import manifest
from sepconv_lab.record.plan import fingerprint
from sepconv_lab.record.record import Record

FIGURE10 = "figure10_mid_activation"
C4 = {
    "id": "C4", "statement": "none above elu above relu", "smallest_effect": 0.02, "interval": "paired",
    "contrasts": ["none better than elu", "elu better than relu"],
}  # fmt: skip


def config(seed: int = 0, runs_dir: str = "runs", **own: Any) -> dict[str, Any]:
    """A plain configuration as in config.yaml; `own` by dotted names with a double underscore: block__mid_act="relu"."""
    base = RunConfig(
        XceptionBlockConfig(), XceptionConfig(), GlyphsConfig(), TrainConfig(), seed=seed, runs_dir=runs_dir
    )
    values: dict[str, Any] = plain(complete(base))
    for name, value in own.items():
        group, _, key = name.partition("__")
        (values[group] if key else values)[key or group] = value
    return values


def summary(run_id: str, top1: float | None = 0.8, status: str = "finished", **more: Any) -> dict[str, Any]:
    """A summary as `run` writes it at a run's end."""
    metrics = {} if top1 is None else {"test_ema/top1": top1, "test_ema/loss": 2 * (1 - top1), "test/top1": top1 - 0.01}
    return {
        "status": status, "run_id": run_id, "recipe": 1, "metrics": metrics,
        "params": {"total": 1100, "body": 1000, "head": 100}, "macs": 25_000, "receptive_field": 75,
        "activation_bytes": 7_000, "after_depthwise": "none", "after_pointwise": "norm+relu", "match": None,
        "num_classes": 300, "images": {"train": 24_000, "val": 3_000, "test": 3_000}, "data_digest": "d" * 16,
        "data_content": "c" * 16, "weights_digest": None, "git": {"commit": "a" * 40, "dirty": False},
        "versions": {"python": "3.11.7", "torch": "2.13.0", "sepconv_lab": "0.1.0"}, "hardware_class": "a CPU, AVX2",
        "device": "cpu", "threads": 2, "precision": "fp32", "command": "python -m sepconv_lab.run model=xception",
        "attempts": 1, "error": None, "steps": 2250, "epochs": 3.0, "wall_time": 200.5, "peak_memory": 400_000_000,
        "images_per_second": 130.25 if status == "finished" else None,
    } | more  # fmt: skip


def events(count: int = 4, top1: float = 0.8) -> list[dict[str, Any]]:
    """A validation event after every other training event, and the test at the end."""
    found: list[dict[str, Any]] = []
    for i in range(1, count + 1):
        stamp = {"step": 20 * i, "epoch": i / count, "time": 1.5 * i}
        if i % 2:
            found.append(stamp | {"train/loss": 1 / i, "train/lr": 0.1, "perf/images_per_second": 130.0})
        else:
            found.append(stamp | {"val_ema/top1": top1 * i / count, "val/top1": None})
    return [*found, found[-1] | {"test_ema/top1": top1}]


def write_record(
    runs_dir: Path,
    run_id: str,
    values: Mapping[str, Any],
    told: Mapping[str, Any] | None = None,
    logged: Sequence[Mapping[str, Any]] | None = None,
) -> Record:
    """A record as a run leaves it; without a summary one that was killed."""
    record = Record(runs_dir, run_id)
    record.begin(dict(values), IDENTITIES.get(run_id))
    top1 = ((told or {}).get("metrics") or {}).get("test_ema/top1", 0.8)
    for event in events(top1=top1) if logged is None else logged:
        record.log(dict(event))
    record.close()
    if told is not None:
        predict(record.path, told.get("metrics") or {}, told["images"]["test"])
        record.finish(dict(told))
    return record


def predict(folder: Path, metrics: Mapping[str, Any], images: int) -> None:
    """Predictions that give the accuracies of a run, as its end writes them."""
    found = {"label": np.zeros(images, np.int32)}
    for metric, name in (("test/top1", "predicted"), ("test_ema/top1", "predicted_ema")):
        if metric in metrics:
            found[name] = (np.arange(images) >= round(metrics[metric] * images)).astype(np.int32)
    np.savez(folder / "predictions.npz", allow_pickle=False, **found)  # type: ignore[arg-type]


def reseal(folder: Path) -> None:
    """Let the manifest vouch for the record as it is now: tests of what else a reader notices."""
    summary = folder / "summary.json"
    if summary.exists() and (folder / manifest.NAME).exists():
        manifest.seal(folder, IDENTITIES.get(folder.name), summary.read_bytes())


def write_plan(
    runs_dir: Path,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    study: str = FIGURE10,
    seeds: Sequence[int] = (0, 1, 2),
    claim: Mapping[str, Any] | None = C4,
    **more: Any,
) -> list[dict[str, Any]]:
    """plan.json of a study; variants: name -> plain configuration. Returns the planned runs."""
    runs = [{"variant": v, "seed": s, "run_id": run_id(study, v, s)} for s in seeds for v in variants]
    left_out = ("seed", "runs_dir", "force")
    plan = {
        "schema": 1, "study": study, "label": "lab", "scale": "lab", "stage": "fixed",
        "overrides": [], "question": "Does it help?", "baseline": next(iter(variants)), "claim": claim,
        "seeds": list(seeds), "factors": {},
        "variants": {
            name: {
                "overrides": ["model=xception"], "own": [], "params": 1100, "body_params": 1000, "macs": 25_000,
                "config": {k: v for k, v in values.items() if k not in left_out}, "steps": 2250,
            }
            for name, values in variants.items()
        },
        "runs": runs, "frozen": "2026-11-23T14:00:00Z", "git": {"commit": "a" * 40, "dirty": False}, "replaces": [],
    } | more  # fmt: skip
    plan["plan_id"] = fingerprint(plan)
    folder = runs_dir / "studies" / study / plan["plan_id"]
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan, indent=1))
    return runs


def plan_file(runs_dir: Path, study: str = FIGURE10, label: str = "lab") -> Path:
    """plan.json of the only plan of a study with that label."""
    (found,) = (
        p for p in (runs_dir / "studies" / study).glob("*/plan.json") if json.loads(p.read_text())["label"] == label
    )
    return found


def unseal(folder: Path) -> None:
    """The record as a version without manifests left it."""
    summary = json.loads((folder / "summary.json").read_bytes())
    del summary[manifest.MARK]
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / manifest.NAME).unlink(missing_ok=True)


IDENTITIES: dict[str, dict[str, Any]] = {}
"""Run id -> what it hashes, of the runs that `run_id` has named."""


def run_id(study: str, variant: str, seed: int) -> str:
    """The id of a planned run: of its seed, and of data that stand for all else."""
    identity = {"recipe": 1, "data": f"{study}/{variant}", "seed": seed}
    found = hashed(identity)
    IDENTITIES[found] = identity
    return found


ERRORS = {"none": 0.20, "elu": 0.22, "relu": 0.26}


def figure10(
    runs_dir: Path, *, seeds: Sequence[int] = (0, 1, 2), but: Mapping[tuple[str, int], str] | None = None, **more: Any
) -> Path:
    """A planned study with its records; `but`: (variant, seed) -> a status instead of finished, missing and killed too."""
    variants = {name: config(block__mid_act=name) for name in ERRORS}
    for run in write_plan(runs_dir, variants, seeds=seeds, **more):
        status = (but or {}).get((run["variant"], run["seed"]), "finished")
        if status == "missing":
            continue
        top1 = 1 - ERRORS[run["variant"]] * (1 + 0.01 * run["seed"]) if status == "finished" else None
        values = config(run["seed"], str(runs_dir), block__mid_act=run["variant"])
        error = None if top1 else f"{status} for a reason\nand more"
        told = summary(run["run_id"], top1, status, error=error, after_depthwise=run["variant"])
        write_record(runs_dir, run["run_id"], values, None if status == "killed" else told, events(8, top1 or 0.5))
    return runs_dir
