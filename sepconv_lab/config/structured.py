"""Plain values, composed or recorded -> the dataclasses of a run, through OmegaConf's structured schema."""

from __future__ import annotations

import copy
import functools
import os
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from . import registry
from .fields import BadInput, Reference, settings
from .messages import first_line, unknown
from .run import GROUPS, RunConfig, value_problems


def from_record(recorded: dict[str, Any]) -> RunConfig:
    """The configuration from a record's `config.yaml`: already complete, nothing is solved again. Raises BadInput.

    A record is data: no module that it names is imported, so that blocks of one's own must be registered already, and what
    looks like an interpolation stays the text it is.
    """
    _check_shape(recorded)
    resolved, texts = _without_interpolations(recorded)
    try:
        config = to_dataclasses(OmegaConf.create(resolved))
    except OmegaConfBaseException as error:
        raise BadInput(first_line(error)) from error
    for (group, name), text in texts.items():
        setattr(getattr(config, group) if group else config, name, text)
    problems = value_problems(config)
    if problems:
        raise BadInput("\n".join(problems))
    return config


def _check_shape(recorded: Any) -> None:
    """Raises BadInput for what is not groups of settings, each a plain value or a list of them."""
    if not isinstance(recorded, dict):
        raise BadInput("not the configuration of a run")
    for group, node in recorded.items():
        for name, value in node.items() if isinstance(node, dict) else [("", node)]:
            simple = all(
                isinstance(v, (str, int, float, type(None))) for v in (value if isinstance(value, list) else [value])
            )
            if not isinstance(group, str) or not isinstance(name, str) or not simple:
                raise BadInput(f"{group}{'.' if name else ''}{name}: not a setting of a run")
        if group in GROUPS and node is not None and not isinstance(node, dict):
            raise BadInput(f"{group}: not a group of settings")
        if group in registry.CONFIGS and node is not None and not isinstance(node.get("name"), str):
            raise BadInput(f"{group}: without a name")


def _without_interpolations(recorded: dict[str, Any]) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    """The values without those that OmegaConf would resolve, and these by group and name."""
    texts: dict[tuple[str, str], Any] = {}

    def without(group: str, node: dict[str, Any]) -> dict[str, Any]:
        rest = {}
        for name, value in node.items():
            if isinstance(value, dict):
                rest[name] = without(name, value)
            elif any(isinstance(v, str) and "${" in v for v in (value if isinstance(value, list) else [value])):
                texts[group, name] = value
            else:
                rest[name] = value
        return rest

    resolved = without("", recorded)
    for (group, name), text in texts.items():
        node = resolved.get(group) or {} if group else resolved
        choice = registry.CONFIGS.get(group, {}).get(str(node.get("name")))
        config_class = choice or GROUPS.get(group) if group else RunConfig
        kind = next((str(k) for f, k in settings(config_class) if f.name == name), "") if config_class else ""
        if "str" not in kind or ("list" in kind.lower()) != isinstance(text, list):
            raise BadInput(f"{group}{'.' if group else ''}{name}={text}: a record holds values, not references")
    return resolved, texts


REFERENCES = (("", "runs_dir"), ("data", "path"))
"""Settings, by group, whose text may refer to the environment: paths, of which the record keeps what was typed."""


def reference(text: str) -> Reference:
    """A path that refers to the environment, and where it leads. Raises BadInput."""
    try:
        return Reference(os.path.expanduser(str(OmegaConf.create({"path": text}).path)), text)
    except OmegaConfBaseException as error:
        raise BadInput(f"{text}: {first_line(error)}") from error


def _references(cfg: DictConfig) -> dict[tuple[str, str], str]:
    """The paths that refer to the environment, by group and name. Raises BadInput for any other text that refers to something.

    A text goes into the record and to W&B, and what an environment holds may be a secret. Numbers and choices may refer.
    """
    found: dict[tuple[str, str], str] = {}
    written: Any = OmegaConf.to_container(cfg, resolve=False)
    for group, node in (("", written), *((g, written.get(g)) for g in GROUPS)):
        choice = registry.CONFIGS.get(group, {}).get(str((node or {}).get("name"))) if group else RunConfig
        config_class = choice or GROUPS.get(group)
        kinds = {f.name: str(kind) for f, kind in settings(config_class)} if config_class else {}
        for name, value in (node or {}).items():
            if not any(isinstance(v, str) and "${" in v for v in (value if isinstance(value, list) else [value])):
                continue
            key = f"{group}.{name}" if group else str(name)
            if (group, name) in REFERENCES:
                found[group, str(name)] = str(value)
            elif key == "wandb.name" or (name != "name" and "str" in kinds.get(str(name), "")):
                raise BadInput(
                    f"{key}={value!s}: a text that is recorded refers to nothing, for the environment may hold secrets; write it "
                    "out. Only runs_dir and data.path may refer, and the record keeps what was typed"
                )
    return found


def to_dataclasses(cfg: DictConfig) -> RunConfig:
    """Merge into the structured schema once more: `+key=value` passes Hydra and stops here. Raises BadInput."""
    merged: dict[str, Any] = {}
    typed = _references(cfg)
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
        raise BadInput(first_line(error)) from error
    assert isinstance(top, dict)
    config = RunConfig(**{f.name: top[f.name] for f, _ in settings(RunConfig)}, **merged)  # type: ignore[arg-type]
    for (group, name), text in typed.items():
        node = getattr(config, group) if group else config
        setattr(node, name, Reference(os.path.expanduser(getattr(node, name)), text))
    return config


def _merge(config_class: type, node: Any) -> DictConfig:
    merged = copy.deepcopy(_schema(config_class))
    OmegaConf.set_readonly(merged, False)
    merged.merge_with(node)
    return merged


@functools.cache
def _schema(config_class: type) -> DictConfig:
    schema = cast(DictConfig, OmegaConf.structured(config_class))
    OmegaConf.set_readonly(schema, True)
    return schema
