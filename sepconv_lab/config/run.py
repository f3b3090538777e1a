"""One run, whole: its groups, its mirror in W&B, and what is checked and completed across groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional

from .block import BlockConfig, placements
from .data import DataConfig
from .fields import LARGEST_SEED, allowed, default_of, dotted, plain, setting, settings
from .model import ModelConfig, Size
from .train import TrainConfig

RECIPE = 1
"""Raised by hand when the same configuration comes to compute something else. Part of every run id."""


class WandbMode(Enum):
    offline = "offline"
    online = "online"
    disabled = "disabled"


@dataclass
class WandbConfig:
    """The mirror of the record in Weights & Biases."""

    mode: Optional[WandbMode] = setting(
        None, "`offline`, which needs no account and no network, unless `WANDB_MODE` says otherwise", identity=False
    )
    project: Optional[str] = setting(None, "project (empty: `WANDB_PROJECT`, or sepconv_lab)", identity=False)
    entity: Optional[str] = setting(None, "account or team (empty: `WANDB_ENTITY`)", identity=False)
    group: Optional[str] = setting(None, "group, such as a study (empty: `WANDB_RUN_GROUP`)", identity=False)
    name: Optional[str] = setting(None, "display name (empty: the overrides)", identity=False)
    tags: list[str] = setting([], "tags", identity=False)
    notes: Optional[str] = setting(None, "notes", identity=False)
    log_checkpoint: bool = setting(False, "upload the final checkpoint as an artifact", identity=False)


@dataclass
class RunConfig:
    """One run, whole."""

    block: Optional[BlockConfig] = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    seed: int = setting(
        0, "initialisation, order of examples, augmentation, dropout: separate streams", low=0, high=LARGEST_SEED
    )
    runs_dir: str = setting("runs", "folder of the records", identity=False)
    force: bool = setting(False, "run again although a finished record exists; the old one is archived", identity=False)
    imports: list[str] = setting(
        [],
        "Python modules or files with your own blocks and skeletons; their source is part of the identity",
        identity=False,
    )


GROUPS: dict[str, type] = {
    "block": BlockConfig,
    "model": ModelConfig,
    "data": DataConfig,
    "train": TrainConfig,
    "wandb": WandbConfig,
}


def _named(base: type[Any]) -> Iterator[type]:
    """The config classes below a group's, in the order of their declaration: those with a name to choose them by."""
    for cls in base.__subclasses__():
        if any(f.name == "name" and f.default for f, _ in settings(cls)):
            yield cls
        yield from _named(cls)


BUILTIN: tuple[type, ...] = tuple(cls for group in ("block", "model", "data") for cls in _named(GROUPS[group]))
"""Blocks, models and data sets of this package."""


def flat(config: RunConfig) -> dict[str, Any]:
    """The configuration as one level of dotted names: the columns of data frames and of W&B."""
    return dotted(plain(config)) | placements(config.block)


def value_problems(config: RunConfig) -> list[str]:
    """What is wrong with single values: out of bounds, even kernels, unknown words."""
    problems = []
    for prefix, node in [("", config)] + [(g + ".", getattr(config, g)) for g in GROUPS]:
        if node is None:
            continue
        for f, kind in settings(type(node)):
            value = getattr(node, f.name)
            bounds = f.metadata["bounds"]
            bad = False
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                bad = value != value or value in (float("inf"), float("-inf"))
                bad |= bounds["low"] is not None and value < bounds["low"]
                bad |= bounds["high"] is not None and value > bounds["high"]
                bad |= bounds["above"] is not None and value <= bounds["above"]
                bad |= bounds["odd"] and value % 2 == 0
            elif f.metadata["words"]:
                bad = value is not None and value not in f.metadata["words"]
            elif kind is str and value == "" and default_of(f) != "":  # an unset variable of the shell, say
                instead = "null leaves it out" if default_of(f) is None else "give a text"
                problems.append(f"{prefix}{f.name}= is empty; {instead}")
            if bad:
                problems.append(f"{prefix}{f.name}={value} is not allowed: {allowed(f, kind)}")
    return problems


def complete(config: RunConfig) -> RunConfig:
    """Settle what depends on something else: `model.size`, the fields that a size fills, a block that a model has no slot for."""
    model = dataclasses.replace(config.model)
    size = getattr(model, "size", next(iter(model.SIZES), None))
    if size is Size.auto:
        size = Size.paper if config.data.image_size >= 71 else Size.lab
        model.size = size  # type: ignore[attr-defined]
    for key, value in model.SIZES.get(size, {}).items():  # type: ignore[arg-type]
        if getattr(model, key) is None:
            setattr(model, key, value)
    block = config.block if model.has_block else None
    if block is not None and "residual" in model.absent_axes:
        block = dataclasses.replace(block, residual=False)
    return dataclasses.replace(config, model=model, block=block)
