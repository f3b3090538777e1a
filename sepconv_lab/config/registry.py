"""Config class -> what it configures. The class decides its group (block, model, data); its `name` is the choice there."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any, TypeVar

from .fields import BadInput, default_of, settings
from .run import BUILTIN, GROUPS

T = TypeVar("T")

CONFIGS: dict[str, dict[str, type]] = {"block": {}, "model": {}, "data": {}}
"""group -> name -> config class, built-in and user-registered."""
_BUILDERS: dict[type, Callable[..., Any]] = {}


def declare(config_class: type) -> None:
    """Make a config class selectable as `group=name`."""
    group = next((g for g in CONFIGS if issubclass(config_class, GROUPS[g])), None)
    if group is None:
        raise TypeError(f"{config_class.__name__} derives from none of BlockConfig, ModelConfig, DataConfig")
    undeclared = {f.name for f in dataclasses.fields(config_class)} - {f.name for f, _ in settings(config_class)}
    if undeclared:
        raise TypeError(f"{config_class.__name__}: declare {', '.join(sorted(undeclared))} with setting(...)")
    name = next(default_of(f) for f, _ in settings(config_class) if f.name == "name")
    known = CONFIGS[group].setdefault(name, config_class)
    if known.__qualname__ != config_class.__qualname__ or not name:
        raise TypeError(f"{config_class.__name__}: the name {name!r} in group {group!r} is taken or empty")
    CONFIGS[group][name] = config_class


def register(config_class: type) -> Callable[[T], T]:
    """Class decorator: what `config_class` configures.

    A block is built as `Block(config, in_channels, out_channels, conventions)` and maps (N, in, H, W) to (N, out, H, W);
    a model as `Model(config, block_config, num_classes)`, or `Model(config, num_classes)` where its config says that it has no
    block, and maps (N, 3, S, S) to logits (N, num_classes); its classifier is the submodule `head`.
    """
    declare(config_class)

    def keep(builder: T) -> T:
        _BUILDERS[config_class] = builder  # type: ignore[assignment]
        return builder

    return keep


def builder(config: Any) -> Callable[..., Any]:
    """What builds the thing that `config` configures.

    Registered for its class, or for one that it derives from without a setting more: a preset such as CIFAR-10 of the hub.
    """
    for cls in type(config).__mro__:
        if cls in _BUILDERS and len(dataclasses.fields(cls)) == len(dataclasses.fields(config)):
            return _BUILDERS[cls]
    raise BadInput(f"nothing is registered for {type(config).__name__} ({config.name})")


def import_user_modules(modules: Iterable[str]) -> None:
    """Import modules by dotted name (from the working directory too) or files by path, here and in processes started from here.

    Raises BadInput when one cannot be imported.
    """
    for module in modules:
        if not isinstance(module, str) or not module:
            raise BadInput(f"imports: {module!r} is not the name of a module or the path of a file")
        folder, name = os.getcwd(), module
        if module.endswith(".py"):
            path = Path(module).expanduser().resolve()
            folder, name = str(path.parent), path.stem
        added = folder not in sys.path
        if added:
            sys.path.append(folder)
        try:
            where = getattr(importlib.import_module(name), "__file__", None)
            if module.endswith(".py") and (where is None or Path(where).resolve() != path):
                raise ImportError(
                    f"a module {name!r} is there already ({where or 'built in'}); give the file another name"
                )
        except (Exception, SystemExit) as error:
            if added:  # or its files would stand in the way of others
                sys.path.remove(folder)
            raise BadInput(f"imports: {module!r} cannot be imported: {type(error).__name__}: {error}") from error
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if folder not in inherited:
            os.environ["PYTHONPATH"] = os.pathsep.join([p for p in inherited if p] + [folder])


def user_sources(modules: Iterable[str]) -> list[Path]:
    """The source files of imported user modules: all of their package; a file, and what it imports from beside it."""
    sources: dict[Path, None] = {}
    for module in modules:
        spec = importlib.util.find_spec(Path(module).stem if module.endswith(".py") else module.partition(".")[0])
        if spec is None or not spec.origin:
            continue
        origin = Path(spec.origin).resolve()
        inside = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin, *_beside(origin)]
        sources |= dict.fromkeys(inside)
    return list(sources)


def _beside(file: Path) -> list[Path]:
    """The modules in a file's folder that it imports, by whatever way, from its text alone."""
    finder = ModuleFinder(path=[str(file.parent)], excludes=[__name__.partition(".")[0]])
    finder.run_script(str(file))
    files = {Path(where).resolve() for m in finder.modules.values() if (where := getattr(m, "__file__", None))}
    return sorted(files - {file})


for _config_class in BUILTIN:
    declare(_config_class)
