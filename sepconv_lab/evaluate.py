"""Evaluate a finished run or imported weights: `python -m sepconv_lab.evaluate RUN_ID | model=... model.weights=... data=...`

Prints top-1 and top-5 on the test split (or `--split val`) with the preprocessing that the weights expect: pixels in [-1, 1],
the shorter side resized to `data.resize`, then a centre crop to `data.image_size` (a run: as it was trained).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from .compose import compose
from .config import BadInput, Precision, RunConfig
from .config.overrides import check_given_once, values
from .console.say import refuse
from .console.streams import exit_with
from .record.metrics import TABLE
from .runs import load


def evaluate_run(
    run: str, runs_dir: str, split: str, overrides: Sequence[str] = (), *, allow_imports: bool = False
) -> dict[str, Any]:
    """Metrics of a record's final weights, raw and averaged, on a split of its own data.

    allow_imports: run the modules that the record names.
    """
    loaded = load(run, runs_dir, allow_imports=allow_imports)
    config = loaded.config
    check_given_once(overrides)
    for word in overrides:
        key, _, value = word.partition("=")
        if key != "data.path" or not hasattr(config.data, "path") or not value:
            where = (
                "data.path=DIR" if hasattr(config.data, "path") else f"nothing, for data={config.data.name} has no path"
            )
            raise BadInput(f"{word}: a run is evaluated as it was trained; what can be given is {where}")
        config.data.path = str(values([word])[key])
    from . import data

    if data.fingerprint(config.data) != loaded.summary.get("data_digest"):
        raise BadInput(
            f"{loaded.record.path} was trained on other data than what is here now under data={config.data.name}"
        )
    by_weights: dict[str, Any] = {}
    kinds = {"raw": False} | ({"averaged": True} if config.train.average else {})
    for name, averaged in kinds.items():
        by_weights[name] = _measure(config, loaded.network(averaged), split)
    return by_weights


def evaluate_weights(overrides: Sequence[str], split: str) -> dict[str, Any]:
    """Metrics of `model.weights` on a split of `data`."""
    check_given_once(overrides)
    config = compose(overrides)
    if not config.model.weights:
        raise BadInput("name a run id, or give model.weights=FILE (see `python -m sepconv_lab.weights --help`)")
    from . import data, models
    from .weights import load_weights

    classes = data.sizes(config.data)[3]
    network = models.build_checked(config, classes)
    load_weights(network, config.model.weights)
    return {"weights": _measure(config, network, split)}


def _measure(config: RunConfig, network: Any, split: str) -> dict[str, float]:
    import torch

    from . import data
    from .training import environment
    from .training.loop import evaluate

    device = environment.resolve_device(config.train)
    bf16 = environment.resolve_precision(config.train, device) is Precision.bf16
    environment.set_threads(config.train)
    images = getattr(data.load(config.data), split)
    metrics, _, _ = evaluate(
        network.to(device), images, device, batch_size=64, workers=config.train.workers, limit=config.train.eval_images,
        autocast=torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    )  # fmt: skip
    return metrics | {"images": min(len(images), config.train.eval_images or len(images))}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sepconv_lab.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", help="a run id or record folder, or overrides with model.weights=FILE")
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument(
        "--allow-imports", action="store_true", help="run the modules that the record names in `imports`"
    )
    args = parser.parse_args(argv)
    first, *rest = args.what
    try:
        if "=" in first:
            by_weights = evaluate_weights(args.what, args.split)
        else:
            by_weights = evaluate_run(first, args.runs_dir, args.split, rest, allow_imports=args.allow_imports)
    except BadInput as error:
        return refuse(error)
    for name, measured in by_weights.items():
        shown = ", ".join(f"{m.short} {measured[m.name]:.4f}" for m in TABLE if m.name in measured)
        print(f"{name}: {args.split} {shown} on {measured['images']:,} images")
    return 0


if __name__ == "__main__":
    exit_with(main)
