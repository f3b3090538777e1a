"""Synthetic frames with planted effects. Every draw comes from an explicit generator."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

Builder = Callable[..., pd.DataFrame]


def build_runs(
    study: str,
    ln_error: Mapping[str, float],
    seeds: int = 6,
    *,
    spread: float = 0.03,
    block: float = 0.05,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    rng: int = 0,
    **columns: Any,
) -> pd.DataFrame:
    """Runs of one study: ln error = variant's own + seed block + noise; `config` and `columns` fill further columns."""
    draw = np.random.default_rng(rng)
    at_seed = draw.normal(0, block, seeds)
    rows = []
    for variant, mean in ln_error.items():
        for seed in range(seeds):
            error = float(np.exp(mean + at_seed[seed] + draw.normal(0, spread)))
            rows.append({
                "run_id": f"{study}-{variant}-{seed}", "study": study, "variant": variant, "seed": seed, "scale": "lab",
                "status": "finished", "test_ema/top1": 1 - error, "test_ema/top5": 1 - error / 4,
                "test_ema/loss": 2 * error,
                "data.name": "cifar10", "data.num_classes": 10, "data.image_size": 32, "data.seed": 0,
                "train.batch_size": 64, "train.epochs": 8.0, "block.name": "xception", "params_total": 190_000,
                "params_body": 180_000, "params_head": 10_000, "macs": 25e6,
                "images_per_second": 800.0 + 4 * draw.normal(),
                "wall_time": 300.0, "peak_memory": 2.0**30, "precision": "bf16", "hardware_class": "cpu-avx512bf16",
                "data_digest": "d1", "recipe": 1, "steps": 4000,
            } | columns | dict((config or {}).get(variant, {})))  # fmt: skip
    return pd.DataFrame(rows)


def build_history(runs: pd.DataFrame, events: int = 8) -> pd.DataFrame:
    """Curves that rise to each run's test accuracy; a diverged run ends half way."""
    rows = []
    for run in runs.itertuples():
        end = runs.loc[run.Index, "test_ema/top1"]
        last = events // 2 if run.status == "diverged" else events
        rows += [
            {
                "run_id": run.run_id, "study": run.study, "variant": run.variant, "seed": run.seed,
                "step": run.steps * k // events, "epoch": k, "time": float(k),
                "val_ema/top1": max(end, 0.1) * (1 - np.exp(-4 * k / events)), "train/loss": 1.0 / k,
            }
            for k in range(1, last + 1)
        ]  # fmt: skip
    return pd.DataFrame(rows)


FIGURE10 = "figure10_mid_activation"


@pytest.fixture(scope="session")
def make_runs() -> Builder:
    return build_runs


@pytest.fixture(scope="session")
def make_history() -> Builder:
    return build_history


@pytest.fixture
def figure10_runs() -> pd.DataFrame:
    return build_runs(FIGURE10, {"none": -1.5, "elu": -1.4, "relu": -1.25})
