"""Overrides as typed, `key=value`: parsed, and checked one by one."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from enum import Enum
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from . import registry
from .fields import BadInput, allowed, settings
from .messages import first_line, unknown
from .presets import default_choices, presets
from .run import GROUPS, RunConfig

CHOICES = (*registry.CONFIGS, "train")
"""The groups of which a run chooses one member."""


def check_given_once(overrides: Sequence[str]) -> None:
    """Refuse a key that a person typed twice: Hydra would drop all but the last unseen. Raises BadInput.

    Lists that are layered on purpose, a base and what a variant changes, go to `compose` directly, where the later one counts.
    """
    lines: dict[str, list[str]] = {}
    for override in parse(overrides):
        lines.setdefault(override.key_or_group, []).append(typed(override))
    repeated = [f"{key} is given twice: {', '.join(given)}" for key, given in lines.items() if len(given) > 1]
    if repeated:
        raise BadInput("\n".join(repeated))


def values(overrides: Sequence[str]) -> dict[str, Any]:
    """Key -> value, as Hydra reads it, of overrides such as `train.threads=1`. Raises BadInput."""
    return {o.key_or_group: o.value() for o in parse(overrides)}


def parse(overrides: Sequence[str]) -> list[Override]:
    """Raises BadInput for what is no override, with the way to write it."""
    return [override for line in overrides for override in _parse_line(line)]


def variant_overrides(text: str) -> list[str]:
    """The overrides that a variant's text stands for: split as a shell does; the first may be a model's name alone.

    "inception_v3 model.form=keras" -> ["model=inception_v3", "model.form=keras"]. Raises BadInput.
    """
    try:
        overrides = shlex.split(text)
    except ValueError as error:
        raise BadInput(f"{text}: {error}") from error
    if overrides and "=" not in overrides[0]:
        overrides[0] = f"model={overrides[0]}"
    return overrides


@functools.lru_cache(maxsize=4096)  # the grammar takes milliseconds, and the jobs of a sweep share most of their lines
def _parse_line(line: str) -> tuple[Override, ...]:
    try:
        return tuple(OverridesParser.create().parse_overrides([line]))
    except HydraException as error:
        key, _, value = line.partition("=")
        how = f"write key=value or group=choice ({first_line(error)})"
        if "=" in value:
            how = f"quote what holds a '=': \"{key}='{value}'\""
        raise BadInput(f"{line}: not an override; {how}") from error


def import_from(parsed: list[Override]) -> None:
    """Import the modules that `imports=` names. Raises BadInput."""
    for override in parsed:
        if override.key_or_group != "imports" or override.is_sweep_override():  # of a sweep, each job imports its own
            continue
        value: Any = override.value()
        registry.import_user_modules(value if isinstance(value, list) else [] if value is None else [value])


def typed(override: Override) -> str:
    """An override as it was typed."""
    return override.input_line or ""


def is_hydra(override: Override) -> bool:
    """Whether it sets something of Hydra's own."""
    return override.key_or_group.split(".")[0].split("/")[0] == "hydra"


def override_problems(parsed: list[Override]) -> list[str]:
    """What is wrong with overrides taken one by one: keys, choices, values."""
    choices = default_choices() | {o.key_or_group: str(o.value()) for o in parsed if o.key_or_group in CHOICES}
    classes: dict[str, type | None] = {"": RunConfig, **GROUPS}
    for group in registry.CONFIGS:
        classes[group] = registry.CONFIGS[group].get(choices[group])
    problems = []
    for override in parsed:
        key, line = override.key_or_group, typed(override)
        if override.is_delete():
            problems.append(f"{line}: nothing of the configuration can be deleted")
        elif key in CHOICES and not override.is_add():
            options = sorted({*registry.CONFIGS.get(key, ()), *presets(key)})
            if str(override.value()) not in options:
                problems.append(unknown(line, str(override.value()), options))
        else:
            group, _, name = key.rpartition(".")
            if group == "" and name in ("wandb",):
                problems.append(f"{line}: a group of settings; set one of them, e.g. wandb.mode=disabled")
            elif group not in classes:
                problems.append(unknown(line, key, _all_keys(classes)))
            elif classes[group] is not None:  # an unknown choice of the group is reported already
                problems += _value_problem(classes, group, name, override)
    return problems


def _all_keys(classes: dict[str, type | None]) -> list[str]:
    return [f"{g}.{f.name}" if g else f.name for g, c in classes.items() if c for f, _ in settings(c)]


def _value_problem(classes: dict[str, type | None], group: str, name: str, override: Override) -> list[str]:
    config_class, key = classes[group], override.key_or_group
    assert config_class is not None
    fields = {
        f.name: (f, kind) for f, kind in settings(config_class) if f.name != "name" or group not in registry.CONFIGS
    }
    if name not in fields:
        owners = [n for n, c in registry.CONFIGS.get(group, {}).items() if name in {f.name for f, _ in settings(c)}]
        if name == "name":
            return [f"{typed(override)}: choose with {group}=..., not by {key}"]
        if owners:
            chosen = next(n for n, c in registry.CONFIGS[group].items() if c is config_class)
            return [f"{typed(override)}: {group}={chosen} has no {name!r}; {group}={'|'.join(owners)} has it"]
        if not group:
            return [unknown(typed(override), key, [*registry.CONFIGS, "train", *_all_keys(classes)])]
        return [unknown(typed(override), key, [f"{group}.{n}" for n in fields])]
    f, kind = fields[name]
    value = override.value()
    if _holds_missing(value):  # OmegaConf's mark of a value that is to come: merging keeps the default instead
        return [f"{typed(override)}: not allowed. Allowed: {allowed(f, kind)}"]
    if isinstance(kind, type) and issubclass(kind, Enum) and value is not None and str(value) not in kind.__members__:
        return [unknown(typed(override), str(value), kind.__members__)]
    try:
        _scratch(config_class)[name] = value  # only to see whether it can be set
    except (OmegaConfBaseException, ValueError) as error:
        words = first_line(error)
        if allowed(f, kind):
            words = f"not allowed. Allowed: {allowed(f, kind)}"
        return [f"{typed(override)}: {words}"]
    return []


def _holds_missing(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value == "???" or any(map(_holds_missing, inside))


@functools.cache
def _scratch(config_class: type) -> DictConfig:
    return cast(DictConfig, OmegaConf.structured(config_class))
