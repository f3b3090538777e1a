"""Loaded records: a run with its configuration, summary, history and network; choosing and comparing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import BadInput, RunConfig, flat, placements, registry, settings
from ..config.fields import as_typed, dotted
from ..config.identity import WHERE, run_id
from ..config.messages import unknown
from ..config.overrides import values
from ..config.structured import from_record
from ..console.say import say
from ..disk import cache_dir
from . import index
from .record import PARTS, SCHEMA, Record, records

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn


@dataclass(frozen=True)
class Run:
    """A loaded record."""

    record: Record
    recorded: dict[str, Any]
    """The content of config.yaml."""
    resolved: RunConfig | None
    """None where the record names code that is not imported here."""
    summary: dict[str, Any]

    @property
    def config(self) -> RunConfig:
        """The configuration. Raises BadInput where it takes code that only the record names."""
        if self.resolved is None:
            raise BadInput(
                f"{self.record.path} needs code that is not part of sepconv_lab: imports={self.recorded.get('imports')}. Reading a "
                "record runs none; if you know this code, allow it: load(..., allow_imports=True), or --allow-imports"
            )
        return self.resolved

    @property
    def columns(self) -> dict[str, Any]:
        """The configuration by dotted names."""
        return flat(self.resolved) if self.resolved is not None else dotted(self.recorded)

    def history(self) -> pd.DataFrame:
        """One row an event: step, epoch, time and the metrics."""
        import pandas as pd

        return pd.DataFrame(self.record.events())

    def network(self, averaged: bool = True) -> nn.Module:
        """The network with its final weights, in evaluation mode; averaged weights where the run kept them.

        Raises BadInput where there is no checkpoint, and for a record whose code has not been allowed; see `load`.
        """
        from .. import data
        from ..models import build_model
        from . import checkpoint

        config = self.config
        state = checkpoint.load(self.record.path / "checkpoints", self.record.run_id)
        if state is None:
            raise BadInput(f"{self.record.path} has no checkpoint")
        classes = self.summary.get("num_classes") or data.sizes(config.data)[3]
        network = build_model(config, classes)
        if averaged and state["average"] is not None:
            weights = {k.removeprefix("module."): v for k, v in state["average"].items() if k.startswith("module.")}
            network.load_state_dict(weights)
        else:
            network.load_state_dict(state["network"])
        return network.eval()


def find(run: str | Path, runs_dir: str | Path = "runs") -> Record:
    """A record, whatever is in it, by run id, by the beginning of one, or by its folder. Raises BadInput."""
    path = Path(run)
    if any((path / name).exists() for name in PARTS):
        path = path if path.name else path.resolve()
        return Record(path.parent, path.name)
    found = [r for r in records(runs_dir) if r.run_id.startswith(str(run))]
    if len(found) != 1:
        words = "no record" if not found else f"{len(found)} records"
        raise BadInput(f"{words} in {runs_dir} with an id that begins with {run!r}")
    return found[0]


def load(run: str | Path, runs_dir: str | Path = "runs", *, allow_imports: bool = False) -> Run:
    """A record by run id, by the beginning of one, or by its folder.

    allow_imports: import the modules that the record names in `imports`, which runs their code; otherwise nothing is, and such a
    record can be listed and compared, but its network cannot be built. Raises BadInput for a record that is damaged, altered, of
    another version, or not what its id says.
    """
    record = find(run, runs_dir)
    summary = record.summary()  # first: whether what the configuration says can be believed
    recorded = record.config()
    imports = recorded.get("imports") or []
    config: RunConfig | None = None
    try:
        if imports and allow_imports:
            say(f"{record.path}: importing {', '.join(map(str, imports))}, which the record names")
            registry.import_user_modules(imports)
        config = from_record(recorded)
    except BadInput as error:
        if not imports or allow_imports:
            raise BadInput(f"{record.path}: {error}" if str(record.path) not in str(error) else str(error)) from error
    if summary is not None:
        if summary.get("schema") != SCHEMA or summary["status"] not in STATUSES:
            raise BadInput(
                f"{record.path}: summary.json was written by another version (schema {summary.get('schema')})"
            )
        name = record.run_id.partition("-")[0]  # an archived record has a number behind its id
        planned = name  # the files that the record names are not even read
        if config is not None and not imports:
            planned = run_id(config, str(summary.get("data_digest")), summary.get("weights_digest"))
        if summary.get("run_id") != name or planned != name:
            raise BadInput(f"{record.path}: not the run of its id: the folder was renamed, or its config.yaml changed")
    return Run(record, recorded, config, summary or {"status": record.status(), "metrics": {}})


STATUSES = ("finished", "failed", "diverged", "interrupted")


def load_all(runs_dir: str | Path = "runs", where: Mapping[str, str] | None = None) -> list[Run]:
    """Every record whose configuration has the given values, e.g. {"block.mid_act": "relu"}. Raises BadInput."""
    found, problems = readable(runs_dir)
    if problems:
        raise BadInput("\n".join(problems))
    return chosen(found, where or {})


def readable(runs_dir: str | Path) -> tuple[list[Run], list[str]]:
    """The records that can be loaded, and why others cannot."""
    found, problems = [], []
    for record in records(runs_dir):
        try:
            found.append(load(record.path))
        except BadInput as error:
            problems.append(str(error))
    return found, problems


@dataclass(frozen=True)
class Listed:
    """An ended record as a list shows it: what `index.KEPT` keeps of its summary, and its configuration unread by OmegaConf."""

    record: Record
    entry: index.Entry

    @property
    def summary(self) -> dict[str, Any]:
        return self.entry.summary

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The configuration by dotted names, and what follows from its block."""
        return self.entry.columns | self._alike("block", repr(self.entry.config.get("block")))[1]

    @property
    def resolved(self) -> RunConfig | None:
        """A configuration with the same kinds of settings."""
        names = [(self.entry.config.get(g) or {}).get("name") for g in registry.CONFIGS]
        return self._alike("names", repr(names))[0]

    def _alike(self, what: str, key: str) -> tuple[RunConfig | None, dict[str, Any]]:
        if (what, key) not in _ALIKE:
            try:
                config = from_record(self.entry.config)
                _ALIKE[what, key] = config, placements(config.block)
            except BadInput:
                _ALIKE[what, key] = None, {}
        return _ALIKE[what, key]


_ALIKE: dict[tuple[str, str], tuple[RunConfig | None, dict[str, Any]]] = {}


def listed(runs_dir: str | Path) -> tuple[list[Run | Listed], list[str]]:
    """`readable`, but quickly: of ended runs with a manifest only what a list shows, from the user's cache where it is there."""
    found: list[Run | Listed] = []
    problems = []
    for record, entry in index.every(runs_dir, cache_dir()):
        try:
            if isinstance(entry, BadInput):
                raise entry
            found.append(load(record.path) if entry is None else Listed(record, entry))
        except BadInput as error:
            problems.append(str(error))
    return found, problems


def chosen(found: Sequence[Any], where: Mapping[str, str]) -> list[Any]:
    """The runs with these values, compared as what they are: 2e-1 is 0.2. Raises BadInput for what no setting allows."""
    left = list(found)
    for key, word in where.items():
        if found and not any(key in run.columns for run in found):
            raise BadInput(unknown(f"{key}={word}", key, found[0].columns))
        kinds = {k for run in found for k in [_kind(run.resolved, key)] if k}
        if kinds and all(issubclass(k, Enum) and word not in k.__members__ for k in kinds):
            raise BadInput(unknown(f"{key}={word}", word, {m: None for k in kinds for m in k.__members__}))
        wanted = values([f"{key}={word}"])[key]
        left = [run for run in left if _equal(run.columns.get(key), wanted)]
    return left


def _kind(config: RunConfig | None, key: str) -> type | None:
    group, _, name = key.rpartition(".")
    node = getattr(config, group, None) if group and config is not None else config
    kind = next((k for f, k in settings(type(node)) if f.name == name), None) if node is not None else None
    return kind if isinstance(kind, type) else None


def _equal(value: Any, wanted: Any) -> bool:
    numbers = [isinstance(v, (int, float)) and not isinstance(v, bool) for v in (value, wanted)]
    return value == wanted if all(numbers) else as_typed(value) == as_typed(wanted)


def differences(a: Run, b: Run) -> dict[str, dict[str, tuple[Any, Any]]]:
    """What differs between two runs: {"config" | "environment" | "result": {name: (in a, in b)}}."""
    environment = (
        "versions", "git", "hardware_class", "device", "threads", "precision", "data_digest", "weights_digest", "recipe",
    )  # fmt: skip
    result = ("status", "error", "params", "macs", "metrics", "steps", "images_per_second", "wall_time", "peak_memory")
    return {
        "config": _changed(a.columns, b.columns, {*WHERE, "wandb.name", "wandb.notes"}),
        "environment": _changed(*(dotted({k: r.summary.get(k) for k in environment}) for r in (a, b))),
        "result": _changed(*(dotted({k: r.summary.get(k) for k in result}) for r in (a, b))),
    }


def _changed(a: Mapping[str, Any], b: Mapping[str, Any], skip: set[str] = frozenset()) -> dict[str, tuple[Any, Any]]:  # type: ignore[assignment]
    keys = [k for k in {**a, **b} if k not in skip]
    return {k: (a.get(k), b.get(k)) for k in keys if a.get(k) != b.get(k)}
