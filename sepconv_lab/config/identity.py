"""The run id: a hash of what decides a run's result, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from . import registry
from .fields import active, plain, settings
from .run import GROUPS, RECIPE, RunConfig, complete
from .train import DecayUnit, Schedule, TrainConfig


def identity(config: RunConfig, data_digest: str, weights_digest: str | None = None) -> dict[str, Any]:
    """Everything that the run id hashes, by dotted name.

    A field without effect on this run (its `needs` does not hold) is left out, and so is a later-added field at its neutral
    value: neither can distinguish two runs.
    """
    values: dict[str, Any] = {"recipe": RECIPE, "data": data_digest}
    if weights_digest:
        values["weights"] = weights_digest
    sources = [hashlib.sha256(p.read_bytes()).hexdigest() for p in registry.user_sources(config.imports)]
    if sources:
        values["imports"] = sorted(sources)
    if config.block is not None and config.block.initialisation != 1:
        values["block.initialisation"] = config.block.initialisation
    for prefix, node in [("", config), *((g + ".", getattr(config, g)) for g in GROUPS)]:
        for f, _ in settings(type(node)) if dataclasses.is_dataclass(node) else ():
            value = getattr(node, f.name)
            if f.metadata["identity"] and active(node, f) and value != f.metadata["neutral"]:
                values[prefix + f.name] = value + 0.0 if isinstance(value, float) else plain(value)  # -0.0 is 0.0
    if config.train.schedule is Schedule.exponential and not _binary_staircase(config.train):
        values["train.staircase"] = "exact"  # rounding put these a step late before
    return values


def _binary_staircase(train: TrainConfig) -> bool:
    """Whether the length of a stair has no rounding, so that the schedule was exact from the beginning."""
    whole = train.decay_unit is not DecayUnit.samples or train.batch_size & (train.batch_size - 1) == 0
    return whole and Fraction(repr(train.decay_every)) == Fraction(train.decay_every)


def run_id(config: RunConfig, data_digest: str, weights_digest: str | None = None) -> str:
    """16 hexadecimal digits; equal for equal identities, however they were spelled."""
    return hashed(identity(config, data_digest, weights_digest))


def run_ids(
    config: RunConfig, seeds: Iterable[int], data_digest: str, weights_digest: str | None = None
) -> dict[int, str]:
    """seed -> run id of the same configuration at that seed: what `run_id` gives, for many seeds at once."""
    values = identity(config, data_digest, weights_digest)
    return {seed: hashed(values | {"seed": seed}) for seed in seeds}


def hashed(values: Mapping[str, Any]) -> str:
    """The run id of an identity."""
    text = json.dumps(dict(values), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


WHERE = ("runs_dir", "force")
"""Where a record goes: no part of a run's command, nor a difference between two runs."""
PER_RUN = ("seed", *WHERE)
"""Each run's own, by its plan or its launch: no part of a variant."""
SOLVED = ("model.match", "model.match_to")
"""Not in the id, because the width that they ask for is."""
CONTENT = ("model.weights", "imports")
"""Not in the id, because the contents of the files that they name are."""


def is_execution(override: str) -> bool:
    """Whether a setting, or an override of it, says where or how runs are carried out, on which no result depends."""
    key = override.split("=")[0].lstrip("+~")
    group, _, name = key.rpartition(".")
    if key in (*SOLVED, *CONTENT, *GROUPS):
        return False
    classes = list(registry.CONFIGS[group].values()) if group in registry.CONFIGS else [GROUPS.get(group, RunConfig)]
    in_id = [f.metadata["identity"] for c in classes for f, _ in settings(c) if f.name == name]
    return bool(in_id) and not any(in_id)


def command(config: RunConfig) -> list[str]:
    """Overrides that compose to the same run: what differs from the defaults, whatever presets it came from.

    Not among them: where records and W&B runs go.
    """
    nodes = {g: type(getattr(config, g))() for g in ("model", "data", "train")}
    nodes["model"].__dict__.update({k: v for k, v in vars(config.model).items() if k == "size"})
    block = type(config.block)() if config.block is not None else None
    default = complete(RunConfig(block=block, **nodes))  # type: ignore[arg-type]
    overrides = [f"{g}={getattr(config, g).name}" for g in registry.CONFIGS if getattr(config, g) is not None]
    for group in ("block", "model", "data", "train", ""):
        node, base = (getattr(config, group), getattr(default, group)) if group else (config, default)
        for f, _ in settings(type(node)) if node is not None else ():
            key, value = f"{group}.{f.name}" if group else f.name, getattr(node, f.name)
            skipped = key in (*SOLVED, *WHERE) or (group == "block" and f.name in config.model.absent_axes)
            if value != getattr(base, f.name) and active(node, f) and not skipped:
                overrides.append(f"{key}={quoted(plain(value))}")
    if getattr(config.model, "size", None) is not None:
        overrides.append(f"model.size={config.model.size.name}")  # type: ignore[attr-defined]
    return overrides


WORDS = ("true", "false", "null", "none", "nan", "inf")
"""What Hydra would not read as text."""


def quoted(value: Any) -> str:
    """A value as an override spells it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", value, re.ASCII) and value.lower() not in WORDS:
            return value
        # In Hydra's grammar backslashes escape only before a quote, or before the end.
        return "'" + re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value) + "'"
    if isinstance(value, list):
        return "[" + ",".join(quoted(v) for v in value) + "]"
    return "null" if value is None else repr(value) if isinstance(value, float) else str(value)
