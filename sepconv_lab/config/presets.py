"""The folder of presets, Hydra initialised on it, and the schema in Hydra's store."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import hydra
import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton

from . import registry
from .run import RunConfig

_PACKAGE = Path(__file__).parent.parent
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""The folder of presets: inside the package in a wheel, beside it in a checkout."""


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
def default_choices() -> dict[str, str]:
    """Group -> the member that a run has without being told: {"block": "xception", ...}, as conf/config.yaml says."""
    defaults = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    return {k: v for d in defaults if isinstance(d, dict) for k, v in d.items() if not k.startswith("override ")}


@functools.cache
def presets(group: str) -> list[str]:
    """The names that Hydra offers for a group."""
    with initialised() as loader:
        return loader.get_group_options(group)


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
