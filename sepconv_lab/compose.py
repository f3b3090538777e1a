"""Overrides -> one checked `RunConfig`. The only front door: the command line, sweeps, studies and notebooks all pass here.

Whatever would be ignored is refused: unknown keys and values, axes that the chosen block or model does not have, and
settings whose condition does not hold. Nothing here imports torch unless a width has to be solved.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .config import (
    GROUPS,
    BadInput,
    Match,
    RunConfig,
    SkeletonConfig,
    active,
    allowed,
    complete,
    plain,
    registry,
    settings,
    value_problems,
)

_HERE = Path(__file__).parent
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"
"""The folder of presets: inside the package in a wheel, beside it in a checkout."""


def compose(overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration of one run from command-line overrides, e.g. `["block.mid_act=relu", "train=smoke"]`; later ones win.

    Raises BadInput with every problem found, one per line.
    """
    parsed = _parse(overrides)
    _import_from(parsed)
    sweeps = [_line(o) for o in parsed if o.is_sweep_override()]
    if sweeps:
        raise BadInput(f"{', '.join(sweeps)}: several values in one run; use -m for a sweep")
    with_hydra = [_line(o) for o in parsed if _is_hydra(o)]
    if with_hydra:
        raise BadInput(f"{', '.join(with_hydra)}: Hydra's own settings have an effect only in a sweep (-m)")
    problems = _override_problems(parsed)
    if problems:
        raise BadInput("\n".join(problems))
    choices = tuple(_line(o) for o in parsed if o.key_or_group in CHOICES)
    cfg = copy.deepcopy(_compose_choices(choices, tuple(registry.CONFIGS["block"]) + tuple(registry.CONFIGS["model"])))
    for override in parsed:
        if override.key_or_group not in CHOICES:
            try:
                OmegaConf.update(cfg, override.key_or_group, override.value())
            except OmegaConfBaseException as error:
                raise BadInput(f"{_line(override)}: {_one_line(error)}") from error
    return resolve(cfg, overrides)


CHOICES = (*registry.CONFIGS, "train")
"""The groups of which a run chooses one member."""


@functools.lru_cache(maxsize=256)
def _compose_choices(choices: tuple[str, ...], registered: tuple[str, ...]) -> DictConfig:
    """What Hydra composes from group choices alone; it takes a third of a second, values are set on a copy of it.

    registered: the known blocks and models, which make an older answer stale.
    """
    try:
        with initialised():
            return hydra.compose("config", list(choices))
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInput(_one_line(error)) from error


@contextlib.contextmanager
def initialised() -> Iterator[ConfigLoader]:
    """Hydra on our folder of presets, whatever else may be initialised; its state is put back after."""
    register_schema()
    Plugins.instance()  # launchers enter their settings into Hydra's store as they load, once: before it is copied
    state = Singleton.get_state()
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            yield GlobalHydra.instance().config_loader()
    finally:
        Singleton.set_state(state)


@functools.cache
def _presets(group: str) -> list[str]:
    with initialised() as loader:
        return loader.get_group_options(group)


@functools.cache
def _schema(config_class: type) -> DictConfig:
    schema = cast(DictConfig, OmegaConf.structured(config_class))
    OmegaConf.set_readonly(schema, True)
    return schema


@functools.cache
def _scratch(config_class: type) -> DictConfig:
    return cast(DictConfig, OmegaConf.structured(config_class))


def compose_sweep(overrides: Sequence[str]) -> list[tuple[list[str], RunConfig]]:
    """Every job of a multirun with its overrides, all checked before any starts.

    Raises BadInput with the problems of all jobs, each problem once.
    """
    parsed = _parse(overrides)
    _import_from(parsed)
    jobs: list[list[str]] = [[]]
    for override in parsed:
        if _is_hydra(override):
            continue
        if override.is_sweep_override():
            try:
                values = [f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()]
            except HydraException as error:
                raise BadInput(
                    f"{_line(override)}: list the values that a sweep is to try ({_one_line(error)})"
                ) from error
        else:
            values = [_line(override)]
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


def check_given_once(overrides: Sequence[str]) -> None:
    """Refuse a key that a person typed twice: Hydra would drop all but the last unseen. Raises BadInput.

    Lists that are layered on purpose, a base and what a variant changes, go to `compose` directly, where the later one counts.
    """
    lines: dict[str, list[str]] = {}
    for override in _parse(overrides):
        lines.setdefault(override.key_or_group, []).append(_line(override))
    repeated = [f"{key} is given twice: {', '.join(given)}" for key, given in lines.items() if len(given) > 1]
    if repeated:
        raise BadInput("\n".join(repeated))


def values(overrides: Sequence[str]) -> dict[str, Any]:
    """Key -> value, as Hydra reads it, of overrides such as `train.threads=1`. Raises BadInput."""
    return {o.key_or_group: o.value() for o in _parse(overrides)}


def resolve(cfg: DictConfig, overrides: Sequence[str] = ()) -> RunConfig:
    """Plain, complete and checked dataclasses from a composed Hydra configuration.

    `overrides` are those that the person gave: what they set must have an effect. Raises BadInput.
    """
    config = _to_dataclasses(cfg)
    problems = value_problems(config)
    config = complete(config)
    for override in _parse(overrides):
        if not _is_hydra(override):
            problems += _effect_problems(override.key_or_group, config, override.value())
    model = config.model
    if config.block is None and model.has_block:
        problems.append(f"model={model.name} needs a block: {', '.join(registry.CONFIGS['block'])}")
    matched = isinstance(model, SkeletonConfig) and model.match is not Match.none
    if isinstance(model, SkeletonConfig) and matched:
        if model.match_to is None:
            problems.append("model.match needs model.match_to: a count, or a reference variant such as 'block=conv'")
        if any(o.key_or_group == "model.width" for o in _parse(overrides)):
            problems.append(f"model.width is what model.match={model.match.name} solves for; set one of the two")
    if problems:
        raise BadInput("\n".join(dict.fromkeys(problems)))
    if matched:
        from .models.matching import solve_width

        config = solve_width(config)
    return config


def from_record(values: dict[str, Any]) -> RunConfig:
    """The configuration from a record's `config.yaml`: already complete, nothing is solved again. Raises BadInput."""
    registry.import_user_modules(values.get("imports") or [])
    config = _to_dataclasses(OmegaConf.create(values))
    problems = value_problems(config)
    if problems:
        raise BadInput("\n".join(problems))
    return config


def register_schema() -> None:
    """Put every config class into Hydra's store, as `group/name`."""
    store = ConfigStore.instance()
    known = store.repo
    if "schema.yaml" not in known:
        store.store(name="schema", node=RunConfig)
    for group, classes in registry.CONFIGS.items():
        for name, config_class in classes.items():
            if f"{name}.yaml" not in known.get(group, {}):
                store.store(group=group, name=name, node=config_class)


def _to_dataclasses(cfg: DictConfig) -> RunConfig:
    """Merge into the structured schema once more: `+key=value` passes Hydra and stops here."""
    merged: dict[str, Any] = {}
    try:
        values = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(values, dict)
        for group, base in GROUPS.items():
            node = values.pop(group, None)
            if node is None:
                merged[group] = None
                continue
            kind = registry.CONFIGS[group].get(node.get("name")) if group in registry.CONFIGS else base
            if kind is None:
                raise BadInput(unknown(f"{group}={node.get('name')}", node.get("name"), registry.CONFIGS[group]))
            merged[group] = OmegaConf.to_object(_merge(kind, node))
        values.pop("hydra", None)
        top = OmegaConf.to_container(_merge(RunConfig, values))
    except OmegaConfBaseException as error:
        raise BadInput(_one_line(error)) from error
    assert isinstance(top, dict)
    return RunConfig(**{f.name: top[f.name] for f, _ in settings(RunConfig)}, **merged)  # type: ignore[arg-type]


def _merge(config_class: type, values: Any) -> DictConfig:
    merged = copy.deepcopy(_schema(config_class))
    OmegaConf.set_readonly(merged, False)
    merged.merge_with(values)
    return merged


# --- words for what is wrong ------------------------------------------------------------------------------------------


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """'what: unknown. Allowed: ... Did you mean ...?'; a long list is left to the command that prints it."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    listed = (
        f"Allowed: {', '.join(known)}." if len(known) <= 30 else "`python -m sepconv_lab.models` lists every setting."
    )
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{what}: unknown. {listed}{hint}"


def _parse(overrides: Sequence[str]) -> list[Override]:
    return [override for line in overrides for override in _parse_line(line)]


@functools.lru_cache(maxsize=4096)  # the grammar takes milliseconds, and the jobs of a sweep share most of their lines
def _parse_line(line: str) -> tuple[Override, ...]:
    try:
        return tuple(OverridesParser.create().parse_overrides([line]))
    except HydraException as error:
        key, _, value = line.partition("=")
        how = f"write key=value or group=choice ({_one_line(error)})"
        if "=" in value:
            how = f"quote what holds a '=': \"{key}='{value}'\""
        raise BadInput(f"{line}: not an override; {how}") from error


def _import_from(parsed: list[Override]) -> None:
    for override in parsed:
        if override.key_or_group != "imports" or override.is_sweep_override():  # of a sweep, each job imports its own
            continue
        value: Any = override.value()
        registry.import_user_modules(value if isinstance(value, list) else [] if value is None else [value])


def _line(override: Override) -> str:
    return override.input_line or ""


def _is_hydra(override: Override) -> bool:
    return override.key_or_group.split(".")[0].split("/")[0] == "hydra"


def _override_problems(parsed: list[Override]) -> list[str]:
    """What is wrong with overrides taken one by one: keys, choices, values."""
    choices = {o.key_or_group: str(o.value()) for o in parsed if o.key_or_group in CHOICES}
    classes: dict[str, type | None] = {"": RunConfig, **GROUPS}
    defaults = {"block": "xception", "model": "xception", "data": "glyphs"}
    for group in registry.CONFIGS:
        classes[group] = registry.CONFIGS[group].get(choices.get(group, defaults[group]))
    problems = []
    for override in parsed:
        key, line = override.key_or_group, _line(override)
        if override.is_delete():
            problems.append(f"{line}: nothing of the configuration can be deleted")
        elif key in CHOICES and not override.is_add():
            options = sorted({*registry.CONFIGS.get(key, ()), *_presets(key)})
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
            return [f"{_line(override)}: choose with {group}=..., not by {key}"]
        if owners:
            chosen = next(n for n, c in registry.CONFIGS[group].items() if c is config_class)
            return [f"{_line(override)}: {group}={chosen} has no {name!r}; {group}={'|'.join(owners)} has it"]
        if not group:
            return [unknown(_line(override), key, [*registry.CONFIGS, "train", *_all_keys(classes)])]
        return [unknown(_line(override), key, [f"{group}.{n}" for n in fields])]
    f, kind = fields[name]
    value = override.value()
    if _holds_missing(value):  # OmegaConf's mark of a value that is to come: merging keeps the default instead
        return [f"{_line(override)}: not allowed. Allowed: {allowed(f, kind)}"]
    if isinstance(kind, type) and issubclass(kind, Enum) and value is not None and str(value) not in kind.__members__:
        return [unknown(_line(override), str(value), kind.__members__)]
    try:
        _scratch(config_class)[name] = value  # only to see whether it can be set
    except (OmegaConfBaseException, ValueError) as error:
        words = _one_line(error)
        if allowed(f, kind):
            words = f"not allowed. Allowed: {allowed(f, kind)}"
        return [f"{_line(override)}: {words}"]
    return []


def _holds_missing(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value == "???" or any(map(_holds_missing, inside))


def _effect_problems(key: str, config: RunConfig, value: Any) -> list[str]:
    """Whether what was set has an effect on this run."""
    group, _, name = key.rpartition(".")
    if key == "block" or group == "block":
        if not config.model.has_block:
            return [
                f"{key}={_text(value)}: model={config.model.name} is a literal network without blocks and refuses every block axis"
            ]
        if name in config.model.absent_axes:
            return [f"{key}={_text(value)}: model={config.model.name} has no use for block.{name}"]
    node = getattr(config, group, None) if group else config
    if node is None or not name:
        return []
    for f, _ in settings(type(node)):
        if f.name == name and not active(node, f):
            needed = " and ".join(f"{group}.{_condition(c)}" for c in f.metadata["needs"].split(","))
            return [f"{key}={_text(value)}: has no effect here; it needs {needed}"]
    return []


def _condition(needs: str) -> str:
    return needs.replace("=!", " other than ").replace("=none", " empty").replace("|", " or ")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(plain(value))


def _one_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
