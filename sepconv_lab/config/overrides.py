"""Overrides as typed, `key=value`: parsed, and checked one by one."""

from __future__ import annotations

import functools
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from . import registry
from .fields import BadInput, allowed, settings
from .identity import quoted
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
    repeated = [f"{key} is given twice: {', '.join(same)}" for key, same in lines.items() if len(same) > 1]
    if repeated:
        raise BadInput("\n".join(repeated))


def values(overrides: Sequence[str]) -> dict[str, Any]:
    """Key -> value, as Hydra reads it, of overrides such as `train.threads=1`. Raises BadInput."""
    return {o.key_or_group: o.value() for o in parse(overrides)}


def parse(overrides: Sequence[str]) -> list[Override]:
    """Raises BadInput for what is no override, with the way to write it."""
    return [override for line in overrides for override in _parse_line(line, _spelled(line))]


def _spelled(line: str) -> str:
    """The line with the value of a text setting in quotes: Hydra's grammar would read numbers and lists into it.

    `runs_dir=2026_11_27` is no number, and `data.path=photos (1)` no call. Left alone is what is written in that grammar:
    quotes, escapes, lists, interpolations, sweeps by a function; commas separate the texts of a sweep.
    """
    key, _, value = line.partition("=")
    grammar = value[:1] in ("'", '"', "[", "{") or "${" in value or "\\" in value
    if grammar or not _is_text(key.lstrip("+")) or value in ("", "null", "???") or _FUNCTION.fullmatch(value):
        return line
    return f"{key}=" + ",".join(quoted(text) for text in value.split(","))


_FUNCTION = re.compile(r"(choice|range|glob|sort|shuffle|interval|tag|extend_list|str)\(.*\)")
"""A call in Hydra's grammar."""


def _is_text(key: str) -> bool:
    """Whether some member of the key's group has this setting as a text."""
    group, _, name = key.rpartition(".")
    members: Iterable[type] = registry.CONFIGS[group].values() if group in registry.CONFIGS else ()
    if group in ("", *GROUPS) and not members:
        members = (GROUPS[group] if group else RunConfig,)
    return any(f.name == name and kind is str for member in members for f, kind in settings(member))


def sweep_values(override: Override) -> list[str]:
    """The values that a sweep tries, as texts. A range counts in decimal: 0.1, 0.2, 0.3 and not 0.30000000000000004.

    Raises BadInput where a function lists none.
    """
    value = override.value()
    if isinstance(value, RangeSweep) and not value.shuffle and isinstance(value.step, float | int):
        start, stop, step = (Decimal(repr(v)) for v in (value.start, value.stop, value.step))
        count = max(0, math.ceil((stop - start) / step)) if step else 0
        numbers = [start + i * step for i in range(count)]
        whole = all(isinstance(v, int) for v in (value.start, value.stop, value.step))
        return [str(int(n)) if whole else repr(float(n)) for n in numbers]
    try:
        return list(override.sweep_string_iterator())
    except HydraException as error:
        raise BadInput(f"{typed(override)}: list the values that a sweep is to try ({first_line(error)})") from error


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
def _parse_line(line: str, spelled: str) -> tuple[Override, ...]:
    """line: as typed, which messages show; spelled: as Hydra's grammar is to read it."""
    try:
        parsed = OverridesParser.create().parse_overrides([spelled])
    except (HydraException, ValueError, RecursionError) as error:
        key, sign, value = line.partition("=")
        how = f"write key=value or group=choice ({first_line(error)})"
        if sign and key:
            how = f"a value that holds spaces, brackets, '=' and the like stands in quotes: {shlex.quote(f'{key}={quoted(value)}')}"
        raise BadInput(f"{line[:200]}: not an override; {how[:400]}") from error
    for override in parsed:
        override.input_line = line
    return tuple(parsed)


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
            if group == "" and name == "wandb":
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
    not_allowed = [f"{typed(override)}: not allowed. Allowed: {allowed(f, kind)}"]
    if _holds_missing(value):  # OmegaConf's mark of a value that is to come: merging keeps the default instead
        return not_allowed
    if isinstance(kind, type) and issubclass(kind, Enum) and value is not None and str(value) not in kind.__members__:
        return [unknown(typed(override), str(value), kind.__members__)]
    try:
        _scratch(config_class)[name] = value  # only to see whether it can be set
    except (OmegaConfBaseException, ValueError, OverflowError):
        return not_allowed
    return []


def _holds_missing(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value == "???" or any(map(_holds_missing, inside))


@functools.cache
def _scratch(config_class: type) -> DictConfig:
    return cast(DictConfig, OmegaConf.structured(config_class))
