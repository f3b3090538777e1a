"""A frozen plan, `<runs_dir>/studies/<study>/<plan id>/plan.json`: what is asked, how it is judged, and every run with its id.

`sepconv_lab.study` writes them before the first run starts, analysis and reports read them; neither torch nor Hydra is needed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..config import BadInput, RunConfig, bounded, plain
from ..config.names import path_part, run_name

SCHEMA = 2
"""What is written. Schema 1, of before there were looks, is read: one look at all seeds, with a fingerprint of its own."""
DECIDING = ("looks", "strata", "stop_when_supported", "beside")
"""What schema 2 adds, all of which decides a verdict."""
NEEDED = ("study", "plan_id", "label", "scale", "stage", "question", "baseline", "claim", "seeds", "variants", "runs")


def fingerprint(raw: Mapping[str, Any]) -> str:
    """The id of a plan: 12 hexadecimal digits of what is asked and of what will be computed, from the content of plan.json."""
    asked = [raw[k] for k in ("study", "scale", "stage", "question", "baseline", "claim", "seeds")]
    own = {name: variant["own"] for name, variant in raw["variants"].items()}
    runs = [[run[k] for k in ("variant", "seed", "run_id")] for run in raw["runs"]]
    everything: list[Any] = [asked, own, runs]
    if raw.get("schema") != 1:
        blocks = {run["seed"]: run.get("block", {}) for run in raw["runs"]}  # the strata's labels
        everything += [[raw[k] for k in DECIDING], sorted(blocks.items())]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:12]


def staged(scale: str, stage: str) -> str:
    """The scale as frames name it: lab, or lab_tuned where rates were tuned."""
    return scale if stage in ("", "fixed") else f"{scale}_{stage}"


@dataclass(frozen=True)
class Variant:
    """One variant of a plan: its overrides and what they come to. Counts are for one image; `steps` is None without data."""

    overrides: tuple[str, ...]
    own: tuple[str, ...]
    config: dict[str, Any]
    params: int
    body_params: int
    macs: int
    steps: int | None = None
    origin: str = ""
    """Of the tuning stage: the study's variant of which it tries a learning rate."""


@dataclass(frozen=True)
class PlannedRun:
    variant: str
    seed: int
    run_id: str | None
    """None where the data is not here."""
    block: dict[str, Any] = field(default_factory=dict)
    """What else its seed sets, for all variants alike: plain values by dotted name."""

    @property
    def name(self) -> str:
        return f"{self.variant}/{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A study at one scale. `runs` are block-major: all variants of a seed before the next seed."""

    study: str
    scale: str
    stage: str
    """fixed, tune (learning rates on validation; nothing to judge), or tuned."""
    label: str
    """The name of its results, e.g. "lab_cifar10"."""
    overrides: tuple[str, ...]
    question: str
    baseline: str
    claim: dict[str, Any] | None
    """id, statement, contrasts, smallest_effect, interval; None where the study claims nothing."""
    seeds: tuple[int, ...]
    """All up to the last look."""
    factors: dict[str, tuple[str, ...]]
    variants: dict[str, Variant]
    runs: tuple[PlannedRun, ...]
    looks: tuple[int, ...] = ()
    """Numbers of seeds after which the contrasts are judged; by default once, after all."""
    strata: str | None = None
    """The key of the runs' blocks that is a fixed stratum."""
    stop_when_supported: bool = True
    """Whether "supported, not materially" ends a contrast before the last look."""
    beside: dict[str, Any] | None = None
    """metric and smallest_effect of a second outcome, shown beside the verdict."""
    schema: int = SCHEMA
    frozen: str = ""
    git: dict[str, Any] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()
    path: Path | None = field(default=None, compare=False)
    """Where it was read; no part of it."""

    def __post_init__(self) -> None:
        if not self.looks:
            object.__setattr__(self, "looks", (len(self.seeds),))

    @cached_property
    def plan_id(self) -> str:
        """12 hexadecimal digits of what is asked and of what will be computed."""
        return fingerprint(json.loads(json.dumps(dataclasses.asdict(self) | {"path": None})))

    @property
    def name(self) -> str:
        """E.g. "figure10_mid_activation (lab, plan 0123456789ab)"."""
        return f"{self.study} ({self.label}, plan {self.plan_id})"

    @property
    def staged_scale(self) -> str:
        """The scale as frames and verdicts name it: with the stage, where it is not `fixed`."""
        return staged(self.scale, self.stage)

    def seeds_of_look(self, look: int) -> tuple[int, ...]:
        """The seeds that the look of this number, from 0, adds to those of the looks before it."""
        return self.seeds[self.looks[look - 1] if look else 0 : self.looks[look]]

    @property
    def stratum(self) -> dict[int, Any]:
        """Seed -> its stratum; empty without strata."""
        return {r.seed: r.block[self.strata] for r in self.runs} if self.strata else {}

    @property
    def selection(self) -> tuple[str, str, tuple[str, ...]]:
        """What the command line chose; a study has one current plan for each."""
        return self.scale, self.stage, self.overrides

    @property
    def imports(self) -> tuple[str, ...]:
        """The modules that its configurations name. Whoever carries out a plan imports them, whoever reads one does not."""
        named = (variant.config.get("imports") or [] for variant in self.variants.values())
        return tuple(dict.fromkeys(str(module) for modules in named for module in modules))

    def folder(self, runs_dir: str | Path) -> Path:
        return Path(runs_dir) / "studies" / self.study / self.plan_id

    def config(self, run: PlannedRun, runs_dir: str, execution: Mapping[str, Any] | None = None) -> RunConfig:
        """The configuration of one run, from the frozen values alone. Raises BadInput.

        execution: dotted settings of where and how, such as {"train.threads": 1}. Paths among them may refer to the environment;
        what the plan itself says does not.
        """
        from ..config.structured import REFERENCES, from_record, reference

        values = json.loads(json.dumps(self.variants[run.variant].config)) | {"seed": run.seed, "runs_dir": runs_dir}
        for key, value in {**run.block, **(execution or {})}.items():
            group, _, name = key.rpartition(".")
            (values[group] if group else values)[name] = plain(value)
        values["wandb"] = values["wandb"] | {"group": values["wandb"]["group"] or self.study, "name": run.name}
        config = from_record(values | {"force": False})
        for group, name in REFERENCES:
            text = (execution or {}).get(f"{group}.{name}") if group else runs_dir
            if isinstance(text, str) and "${" in text:
                setattr(getattr(config, group) if group else config, name, reference(text))
        return config

    def values(self) -> dict[str, Any]:
        """The content of plan.json."""
        values = {"schema": self.schema, "plan_id": self.plan_id, **dataclasses.asdict(self)}
        for variant in values["variants"].values():
            if not variant["origin"]:
                del variant["origin"]
        left_out = ("path", *(DECIDING if self.schema == 1 else ()))
        return {k: v for k, v in values.items() if k not in left_out}

    def to_json(self) -> bytes:
        return sealed(self.values())


CHECKSUM = "sha256"


def sealed(values: Mapping[str, Any]) -> bytes:
    """plan.json with a checksum of all of it, since the id is of what is asked and computed alone. Schema 1 had none."""
    rest = {k: v for k, v in values.items() if k != CHECKSUM}
    if rest.get("schema") != 1:
        rest[CHECKSUM] = _checksum(rest)
    return json.dumps(rest, indent=1).encode() + b"\n"


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def from_json(data: bytes | str, where: object = "plan") -> Plan:
    """The plan in the bytes of a plan.json. Raises BadInput for what is no plan, one of another schema, or a changed one."""
    try:
        raw = bounded.parse_json(data)
    except bounded.Malformed as error:
        raise BadInput(f"{where}: not a plan ({error})") from error
    checksum = raw.pop(CHECKSUM, None) if isinstance(raw, dict) else None
    plan = from_values(raw, where)
    if plan.plan_id != raw["plan_id"] or (checksum is not None and checksum != _checksum(raw)):
        raise BadInput(
            f"{where}: changed since plan {raw['plan_id']} was frozen: what is judged has to be what was asked before the first "
            "run; restore the file"
        )
    return plan


def from_values(raw: Any, where: object = "plan") -> Plan:
    """The plan in the content of a plan.json, whatever id it gives itself. Raises BadInput."""
    schema = raw.get("schema") if isinstance(raw, Mapping) else None
    if schema not in (1, SCHEMA):
        raise BadInput(f"{where}: schema {schema}; this version reads plans of schemas 1 and {SCHEMA}")
    absent = [k for k in (*NEEDED, *(DECIDING if schema != 1 else ())) if k not in raw]
    if absent:
        raise BadInput(f"{where}: not a whole plan, without {', '.join(absent)}")
    if schema == 1 and (later := [k for k in DECIDING if k in raw]):
        raise BadInput(f"{where}: a plan of schema 1 has no {', '.join(later)}; restore the file")
    for key in ("study", "label", "plan_id"):
        path_part(raw[key], f"{where}: {key}")
    try:
        for run in raw["runs"]:
            if run["run_id"] is not None:
                run_name(run["run_id"], f"{where}: run")
        values = {"overrides": (), "factors": {}, **{k: v for k, v in raw.items() if k != "plan_id"}}
        values["variants"] = {
            name: Variant(**v | {"overrides": tuple(v["overrides"]), "own": tuple(v["own"])})
            for name, v in values["variants"].items()
        }
        values["runs"] = tuple(PlannedRun(**r) for r in values["runs"])
        values["factors"] = {k: tuple(v) for k, v in values["factors"].items()}
        values |= {k: tuple(values[k]) for k in ("overrides", "seeds", "looks", "replaces") if k in values}
        plan = Plan(**values)
        if plan.looks[-1] != len(plan.seeds) or list(plan.looks) != sorted(set(plan.looks)) or plan.looks[0] < 1:
            raise ValueError(f"looks {list(plan.looks)} at {len(plan.seeds)} seeds")
        return plan
    except BadInput:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadInput(f"{where}: not a plan ({type(error).__name__}: {error})") from error


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises BadInput as `from_json`."""
    try:
        return dataclasses.replace(from_json(bounded.read_bytes(path, bounded.LARGE), path), path=path)
    except OSError as error:
        raise BadInput(f"{path}: not a plan ({error.strerror})") from error
    except bounded.Malformed as error:
        raise BadInput(f"{path}: not a plan ({error})") from error


def current(plans: Iterable[Plan]) -> list[Plan]:
    """Without those that another of them replaces."""
    every = list(plans)
    replaced = {(p.study, plan_id) for p in every for plan_id in p.replaces}
    return [p for p in every if (p.study, p.plan_id) not in replaced]
