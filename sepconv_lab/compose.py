"""Overrides -> one checked `RunConfig`. The only front door: the command line, sweeps, studies and notebooks all pass here.

Whatever would be ignored is refused: unknown keys and values, axes that the chosen block or model does not have, and
settings whose condition does not hold. Nothing here imports torch unless a width has to be solved.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import os
from collections.abc import Sequence
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .config import (
    BadInput,
    Match,
    RunConfig,
    SkeletonConfig,
    active,
    complete,
    registry,
    settings,
    value_problems,
)
from .config.fields import as_typed
from .config.messages import first_line
from .config.overrides import (
    CHOICES,
    import_from,
    is_hydra,
    override_problems,
    parse,
    sweep_values,
    typed,
    variant_overrides,
)
from .config.presets import initialised
from .config.structured import to_dataclasses


def compose(overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration of one run from command-line overrides, e.g. `["block.mid_act=relu", "train=smoke"]`; later ones win.

    Raises BadInput with every problem found, one per line.
    """
    parsed = parse(overrides)
    import_from(parsed)
    sweeps = [typed(o) for o in parsed if o.is_sweep_override()]
    if sweeps:
        raise BadInput(f"{', '.join(sweeps)}: several values in one run; use -m for a sweep")
    with_hydra = [typed(o) for o in parsed if is_hydra(o)]
    if with_hydra:
        raise BadInput(f"{', '.join(with_hydra)}: Hydra's own settings have an effect only in a sweep (-m)")
    problems = override_problems(parsed)
    if problems:
        raise BadInput("\n".join(problems))
    choices = tuple(typed(o) for o in parsed if o.key_or_group in CHOICES)
    cfg = copy.deepcopy(_compose_choices(choices, tuple(registry.CONFIGS["block"]) + tuple(registry.CONFIGS["model"])))
    for override in parsed:
        if override.key_or_group not in CHOICES:
            try:
                OmegaConf.update(cfg, override.key_or_group, override.value())
            except OmegaConfBaseException as error:
                raise BadInput(f"{typed(override)}: {first_line(error)}") from error
    return resolve(cfg, overrides)


@functools.lru_cache(maxsize=256)
def _compose_choices(choices: tuple[str, ...], registered: tuple[str, ...]) -> DictConfig:
    """What Hydra composes from group choices alone; it takes a third of a second, values are set on a copy of it.

    registered: the known blocks and models, which make an older answer stale.
    """
    try:
        with initialised():
            return hydra.compose("config", list(choices))
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInput(first_line(error)) from error


def compose_sweep(overrides: Sequence[str]) -> list[tuple[list[str], RunConfig]]:
    """Every job of a multirun with its overrides, all checked before any starts.

    Raises BadInput with the problems of all jobs, each problem once.
    """
    parsed = parse(overrides)
    import_from(parsed)
    jobs: list[list[str]] = [[]]
    for override in parsed:
        if is_hydra(override):
            continue
        if override.is_sweep_override():
            values = [f"{override.get_key_element()}={value}" for value in sweep_values(override)]
        else:
            values = [typed(override)]
        jobs = [[*job, value] for job, value in itertools.product(jobs, values)]
    if not jobs:
        raise BadInput("the sweep has no job: one of its lists or ranges is empty")
    configs: list[tuple[list[str], RunConfig]] = []
    problems: dict[str, None] = {}
    for job in jobs:
        try:
            configs.append((job, compose(job)))
        except BadInput as error:
            problems |= dict.fromkeys(str(error).splitlines())
    if problems:
        raise BadInput("\n".join(problems))
    return configs


def resolve(cfg: DictConfig, overrides: Sequence[str] = ()) -> RunConfig:
    """Plain, complete and checked dataclasses from a composed Hydra configuration.

    `overrides` are those that the person gave: what they set must have an effect. Raises BadInput.
    """
    config = _home_expanded(to_dataclasses(cfg))
    problems = value_problems(config)
    config = complete(config)
    for override in parse(overrides):
        if not is_hydra(override):
            problems += _effect_problems(override.key_or_group, config, override.value())
    model = config.model
    if config.block is None and model.has_block:
        problems.append(f"model={model.name} needs a block: {', '.join(registry.CONFIGS['block'])}")
    matched = isinstance(model, SkeletonConfig) and model.match is not Match.none
    if isinstance(model, SkeletonConfig) and matched:
        if model.match_to is None:
            problems.append("model.match needs model.match_to: a count, or a reference variant such as 'block=conv'")
        if any(o.key_or_group == "model.width" for o in parse(overrides)):
            problems.append(f"model.width is what model.match={model.match.name} solves for; set one of the two")
    if problems:
        raise BadInput("\n".join(dict.fromkeys(problems)))
    if matched:
        config = _solved(config)
    if isinstance(model, SkeletonConfig) and model.features is not None:
        from .models.features import settle_features

        config = settle_features(config)
    return config


def _solved(config: RunConfig) -> RunConfig:
    """The configuration with the width that `model.match` and `model.match_to` ask for; these two stay for the record."""
    from .models.matching import solve_width

    classes = class_count(config)
    width = solve_width(config, classes, _match_target(config, classes))
    return dataclasses.replace(config, model=dataclasses.replace(config.model, width=width))  # type: ignore[call-arg]


def match_record(config: RunConfig, num_classes: int) -> dict[str, Any] | None:
    """What a run's record says of its match; None where nothing was matched.

    E.g. {"what": "params", "to": "block=conv", "width": 1.638, "target": 600000, "count": 600764, "error": 0.0013}.
    """
    from .models.matching import count

    model = config.model
    if not isinstance(model, SkeletonConfig) or model.match is Match.none:
        return None
    target, counted = _match_target(config, num_classes), count(config, num_classes, model.match)
    about = dict(what=model.match.name, to=model.match_to, width=model.width)
    return about | dict(target=target, count=counted, error=counted / target - 1)


def _match_target(config: RunConfig, num_classes: int) -> int:
    """The count that `match_to` names: a number, or that of a reference variant on the same images and classes."""
    assert isinstance(config.model, SkeletonConfig)
    wanted = config.model.match_to
    assert wanted is not None
    try:
        target = wanted if isinstance(wanted, int) else int(float(wanted))
    except (ValueError, OverflowError):
        return _reference_count(config, str(wanted), num_classes)
    if target < 1:
        raise BadInput(f"model.match_to={wanted} is not allowed: a count >= 1")
    return target


def _reference_count(config: RunConfig, text: str, num_classes: int) -> int:
    from .models.matching import count

    assert isinstance(config.model, SkeletonConfig)
    overrides = variant_overrides(text)
    data = [o for o in overrides if o.lstrip("+").startswith(("data=", "data."))]
    if data:
        raise BadInput(f"model.match_to: {', '.join(data)}: the reference is counted on this run's own data")
    size = f"data.image_size={config.data.image_size}"
    try:
        reference = compose([f"data={config.data.name}", size, f"data.num_classes={num_classes}", *overrides])
        return count(reference, num_classes, config.model.match)
    except BadInput as error:
        raise BadInput(f"model.match_to={text!r}: {error}") from error


def class_count(config: RunConfig) -> int:
    """The classes of a configuration's data; read from the data where the configuration leaves them open."""
    if config.data.num_classes:
        return config.data.num_classes
    from .data import sizes

    return sizes(config.data)[3]


PATHS = (("", "runs_dir"), ("data", "path"), ("model", "weights"))
"""Settings that name a place on disk, by group."""


def _home_expanded(config: RunConfig) -> RunConfig:
    """`~` at the beginning of a path is the home folder, also where no shell has seen it."""
    for group, name in PATHS:
        node = getattr(config, group) if group else config
        value = getattr(node, name, None)
        if isinstance(value, str) and value.startswith("~"):
            setattr(node, name, os.path.expanduser(value))
    config.imports = [os.path.expanduser(module) if module.startswith("~") else module for module in config.imports]
    return config


def _effect_problems(key: str, config: RunConfig, value: Any) -> list[str]:
    """Whether what was set has an effect on this run."""
    group, _, name = key.rpartition(".")
    if key == "block" or group == "block":
        if not config.model.has_block:
            literal = f"model={config.model.name} is a literal network without blocks"
            return [f"{key}={as_typed(value)}: {literal} and refuses every block axis"]
        if name in config.model.absent_axes:
            return [f"{key}={as_typed(value)}: model={config.model.name} has no use for block.{name}"]
    node = getattr(config, group, None) if group else config
    if node is None or not name:
        return []
    for f, _ in settings(type(node)):
        if f.name == name and not active(node, f):
            needed = " and ".join(f"{group}.{condition}" for condition in f.metadata["needs"])
            return [f"{key}={as_typed(value)}: has no effect here; it needs {needed}"]
    return []
