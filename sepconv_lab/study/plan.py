"""What a study comes to: every run with its id and its size. Frozen on disk before the first run starts.

`<runs_dir>/studies/<study>/<plan id>/plan.json`. The plan id hashes what was asked (question, claim, smallest effect,
baseline, seeds) and every run id, so a changed study has another plan, and jobs never read the study file.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import compose as composing
from ..analysis.read.plans import fingerprint
from ..config import BadInput, HubConfig, RunConfig, plain
from ..config.identity import identity, quoted, run_ids
from ..disk import write_atomically
from .definition import Study, is_execution

SCHEMA = 1
STAGES = ("fixed", "tune", "tuned")
TUNED_BY = " lr="
"""Between a variant's name and the learning rate at which the tuning stage tries it."""
PER_RUN = ("seed", "runs_dir", "force")
"""Settings that a frozen configuration leaves out: the plan's runs and the launch give them."""


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
    label: str
    overrides: tuple[str, ...]
    question: str
    baseline: str
    claim: dict[str, Any] | None
    seeds: tuple[int, ...]
    factors: dict[str, tuple[str, ...]]
    variants: dict[str, Variant]
    runs: tuple[PlannedRun, ...]
    frozen: str = ""
    git: dict[str, Any] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()

    @property
    def plan_id(self) -> str:
        """12 hexadecimal digits of what is asked and of what will be computed."""
        return fingerprint(dataclasses.asdict(self))

    @property
    def selection(self) -> tuple[str, str, tuple[str, ...]]:
        """What the command line chose; a study has one current plan for each."""
        return self.scale, self.stage, self.overrides

    def folder(self, runs_dir: str | Path) -> Path:
        return Path(runs_dir) / "studies" / self.study / self.plan_id

    def config(self, run: PlannedRun, runs_dir: str, execution: Mapping[str, Any] | None = None) -> RunConfig:
        """The configuration of one run, from the frozen values alone. Raises BadInput.

        execution: dotted settings of where and how, such as {"train.threads": 1}.
        """
        values = json.loads(json.dumps(self.variants[run.variant].config)) | {"seed": run.seed, "runs_dir": runs_dir}
        for key, value in {**run.block, **(execution or {})}.items():
            group, _, name = key.rpartition(".")
            (values[group] if group else values)[name] = plain(value)
        values["wandb"] = values["wandb"] | {"group": values["wandb"]["group"] or self.study, "name": run.name}
        return composing.from_record(values | {"force": False})

    def to_json(self) -> bytes:
        found = {"schema": SCHEMA, "plan_id": self.plan_id, **dataclasses.asdict(self)}
        return json.dumps(found, indent=1).encode() + b"\n"


def from_json(data: bytes | str, where: str = "plan") -> Plan:
    """The plan in the bytes of a plan.json. Raises BadInput for another schema or a changed one."""
    try:
        raw = json.loads(data)
        if raw.pop("schema") != SCHEMA:
            raise BadInput(f"{where}: written by another version; this one reads schema {SCHEMA}")
        plan_id = raw.pop("plan_id")
        raw["variants"] = {
            n: Variant(**v | {"overrides": tuple(v["overrides"]), "own": tuple(v["own"])})
            for n, v in raw["variants"].items()
        }
        raw["runs"] = tuple(PlannedRun(**r) for r in raw["runs"])
        raw["factors"] = {k: tuple(v) for k, v in raw["factors"].items()}
        plan = Plan(**raw | {k: tuple(raw[k]) for k in ("overrides", "seeds", "replaces")})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{where}: not a plan ({type(error).__name__}: {error})") from error
    if plan.plan_id != plan_id:
        raise BadInput(f"{where}: changed by hand since it was frozen; `study run --replan` freezes a new one")
    return plan


# --- making -----------------------------------------------------------------------------------------------------------


def make_plan(
    study: Study,
    scale: str = "lab",
    *,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    stage: str = "fixed",
    variants: Mapping[str, Sequence[str]] | None = None,
    fetch: bool = False,
) -> tuple[Plan, list[str]]:
    """The plan of a study at a scale, and notes on what could not be known. Trains and writes nothing.

    overrides: the command line's, for all runs. seeds: instead of the study's. variants: instead of the study's at this scale.
    fetch: whether data that has only a hub id may be fetched; otherwise its run ids stay unknown.
    Raises BadInput with every problem of every variant, one per line.
    """
    chosen = {n: tuple(v) for n, v in (variants or study.at(scale)).items()}
    composing.check_given_once(overrides)
    blocks = study.blocks.get(scale, {})
    problems = dict.fromkeys(_conflicts(study, chosen, blocks, overrides))
    configs: dict[str, tuple[tuple[str, ...], RunConfig]] = {}
    shared = (*study.base, *study.scales[scale], *overrides)
    for name, own in chosen.items():
        words = layered((*shared, *own, *_match(study, scale, name, own)))
        try:
            configs[name] = words, composing.compose(words)
        except BadInput as error:
            problems |= dict.fromkeys(f"{name}: {line}" for line in str(error).splitlines())
    if problems:
        raise BadInput("\n".join(f"{study.name} at scale={scale}: {p}" for p in problems))
    notes: dict[str, None] = {}
    counted: dict[str, Variant] = {}
    ids: dict[str, dict[int, str | None]] = {}
    wanted = tuple(study.seeds if seeds is None else seeds)
    kept, absent = _of_data(blocks, next(iter(configs.values()))[1])
    if absent:
        notes[f"{', '.join(absent)}: the same for all seeds, since this data has no such setting"] = None
    block = {s: {k: values[s % len(values)] for k, values in kept.items()} for s in wanted}
    facts = _Facts(fetch)
    for name, (words, config) in configs.items():
        try:
            counted[name], ids[name] = facts.variant(words, chosen[name], config, block, notes)
        except BadInput as error:
            problems |= dict.fromkeys(f"{name}: {line}" for line in str(error).splitlines())
    problems |= dict.fromkeys(_twins(study, {n: c for n, (_, c) in configs.items()}))
    if problems:
        raise BadInput("\n".join(f"{study.name} at scale={scale}: {p}" for p in problems))
    plain_block = {s: composing.values([f"{k}={v}" for k, v in b.items()]) for s, b in block.items()}
    runs = tuple(PlannedRun(name, s, ids[name][s], plain_block[s]) for s in wanted for name in counted)
    selected = tuple(sorted(o for o in overrides if not is_execution(o)))
    data = next((o.removeprefix("data=") for o in selected if o.startswith("data=")), "")
    label = "_".join(w for w in (scale, data, "" if stage == "fixed" else stage) if w)
    claim = study.claim.plain() if study.claim else None
    plan = Plan(
        study.name, scale, stage, label, selected, study.question, study.baseline, claim, wanted, dict(study.factors),
        counted, runs,
    )  # fmt: skip
    return plan, list(notes)


def layered(overrides: Iterable[str]) -> tuple[str, ...]:
    """Overrides with each key once, the last one's value where the first one stood: what a person would type."""
    return tuple({word.split("=")[0]: word for word in overrides}.values())


def _of_data(blocks: Mapping[str, tuple[str, ...]], config: RunConfig) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The settings that seeds set and this data has, and the others: a study's blocks are those of its own data."""
    kept = {k: v for k, v in blocks.items() if hasattr(config.data, k.partition(".")[2])}
    return kept, [k for k in blocks if k not in kept]


def _conflicts(
    study: Study,
    variants: Mapping[str, tuple[str, ...]],
    blocks: Mapping[str, tuple[str, ...]],
    overrides: Sequence[str],
) -> Iterable[str]:
    varied = {word.split("=")[0]: name for name, own in variants.items() for word in own}
    for word in overrides:
        key = word.split("=")[0]
        if key in varied:
            yield f"{word}: {key} is what the study varies (variant {varied[key]})"
        if key in blocks:
            yield f"{word}: {key} is what the study's seeds set (blocks)"
        if key == "seed":
            yield f"{word}: give seeds=6 or seeds=[0,1], the seeds of every variant"
        if key == "force":
            yield f"{word}: `study retry` runs failed runs again; `python -m sepconv_lab.runs archive` puts records aside"
        if "data" in varied and key == "data":
            yield f"{word}: the study varies the data"


def _match(study: Study, scale: str, name: str, own: tuple[str, ...]) -> tuple[str, ...]:
    """The overrides that make a variant as large as the reference, on its own data.

    A variant may choose its own count (`model.match=macs`) and its own reference (`model.match_to=<variant>`).
    """
    match, origin = study.match, name.partition(TUNED_BY)[0]
    if match is None or origin in (match.to, *match.but):
        return ()
    given = {w.split("=")[0]: w.split("=", 1)[1] for w in own}
    to, variants = given.get("model.match_to", match.to), study.at(scale)
    if to not in variants:
        return ()  # a count, or overrides
    words = layered((*study.base, *study.scales[scale], *variants[to], *_match(study, scale, to, variants[to])))
    reference = [w for w in words if w.split("=")[0].split(".")[0] in ("block", "model")]
    return f"model.match={given.get('model.match', match.count)}", f"model.match_to={quoted(shlex.join(reference))}"


def _twins(study: Study, configs: Mapping[str, RunConfig]) -> Iterable[str]:
    """Variants that are one and the same experiment, however they were written."""
    first: dict[str, str] = {}
    order = sorted(configs, key=lambda n: n != study.baseline)
    for name in order:
        config = configs[name]
        key = json.dumps(
            [identity(config, ""), config.model.weights, getattr(config.data, "path", None)], sort_keys=True
        )
        other = first.setdefault(key, name)
        if other == study.baseline != name:
            yield f"{name}: the same run as the baseline {other}; it would train the baseline under another name"
        elif other != name:
            yield f"{name}: the same run as {other}"


class _Facts:
    """What has to be looked up for a variant, each thing once."""

    def __init__(self, fetch: bool):
        self.fetch = fetch
        self.digests: dict[str, str] = {}

    def variant(
        self,
        words: tuple[str, ...],
        own: tuple[str, ...],
        config: RunConfig,
        block: Mapping[int, Mapping[str, str]],
        notes: dict[str, None],
    ) -> tuple[Variant, dict[int, str | None]]:
        """Its counts and run ids. Raises BadInput for what cannot run; data that is not here is a note.

        block: seed -> what else it sets.
        """
        from .. import data
        from ..models.complexity import complexity
        from ..run import check
        from ..training.loop import total_steps

        ids: dict[int, str | None] = dict.fromkeys(block)
        steps = None
        absent = self._absent(config)
        if absent:
            notes[absent] = None
            if not config.data.num_classes:
                raise BadInput(f"{absent} Set data.num_classes to plan without it")
            classes = config.data.num_classes
        else:
            weights = None
            if config.model.weights:
                from ..weights import digest

                weights = digest(config.model.weights)
            alike: dict[tuple[str, ...], list[int]] = {}
            for seed, settings in block.items():
                alike.setdefault(tuple(f"{k}={v}" for k, v in settings.items()), []).append(seed)
            for settings, seeds in alike.items():
                own_data = composing.compose([*words, *settings]) if settings else config
                key = repr(own_data.data)
                if key not in self.digests:
                    self.digests[key] = data.fingerprint(own_data.data)
                ids |= run_ids(own_data, seeds, self.digests[key], weights)
                classes = check(own_data, network=False)
            steps = total_steps(config, data.sizes(config.data)[0])
        counts = complexity(config, classes)
        values = {k: v for k, v in plain(config).items() if k not in PER_RUN}
        return Variant(words, own, values, counts.params, counts.body_params, counts.macs, steps), ids

    def _absent(self, config: RunConfig) -> str:
        if isinstance(config.data, HubConfig) and not config.data.path and not self.fetch:
            return (f"data={config.data.name} is not here: run ids, steps and time are known once data.path=DIR names its "
                    "folder; `study run` would fetch it.")  # fmt: skip
        return ""


# --- freezing ---------------------------------------------------------------------------------------------------------


def freeze(plan: Plan, runs_dir: str | Path, *, replan: bool = False) -> Plan:
    """Write the plan down, or find it frozen already; returns it as it stands on disk.

    Raises BadInput when the study has changed since it was frozen, with what has changed, unless `replan`.
    """
    from ..training import environment

    if any(run.run_id is None for run in plan.runs):
        raise BadInput(f"{plan.study}: the data of scale={plan.scale} is not here; give data.path=DIR")
    siblings = [p for p in frozen_plans(runs_dir, plan.study, superseded=True) if p.selection == plan.selection]
    others = [p for p in siblings if p.plan_id != plan.plan_id]
    now = next((p for p in siblings if p.plan_id == plan.plan_id), None)
    current = [p for p in others if not any(p.plan_id in q.replaces for q in siblings)]
    if now is not None and not current:
        return now
    if current and not replan:
        lines = "\n".join(f"  {line}" for p in current for line in changes(p, plan))
        raise BadInput(
            f"{plan.study} has changed since plan {current[0].plan_id} was frozen ({current[0].frozen}):\n{lines}\n"
            "--replan freezes it as it is now; records of runs that both have are kept and used"
        )
    for other in others:  # going back to an earlier plan: it is no longer the replaced one
        if plan.plan_id in other.replaces:
            kept = tuple(r for r in other.replaces if r != plan.plan_id)
            _write(dataclasses.replace(other, replaces=kept), runs_dir)
    made = dataclasses.replace(
        now or plan,
        frozen=(now or plan).frozen or datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        git=(now or plan).git or environment.git_state(),
        replaces=tuple(sorted(p.plan_id for p in others)),
    )
    _write(made, runs_dir)
    return made


def _write(plan: Plan, runs_dir: str | Path) -> None:
    folder = plan.folder(runs_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "plan.json", plan.to_json())
    except PermissionError as error:
        raise BadInput(f"runs_dir={runs_dir} is not writable: {error.strerror}") from error


def frozen_plans(runs_dir: str | Path, study: str, *, superseded: bool = False) -> list[Plan]:
    """The plans of a study, oldest first; without those that a later one replaces. Raises BadInput for an unreadable one."""
    paths = sorted((Path(runs_dir) / "studies" / study).glob("*/plan.json"))
    plans = sorted((from_json(p.read_bytes(), str(p)) for p in paths), key=lambda p: (p.frozen, p.plan_id))
    gone = {r for p in plans for r in p.replaces}
    return [p for p in plans if superseded or p.plan_id not in gone]


def changes(old: Plan, new: Plan) -> list[str]:
    """What differs between two plans of one study, in lines a person can read."""
    lines = []
    for name in ("question", "baseline", "claim", "seeds"):
        a, b = getattr(old, name), getattr(new, name)
        if a != b:
            lines.append(f"{name}: {_short(a)} -> {_short(b)}")
    a, b = ({r.seed: r.block for r in p.runs} for p in (old, new))
    if any(a[s] != b[s] for s in a if s in b):
        lines.append("blocks: the seeds set other data than before")
    lines += [f"variant {name}: gone" for name in old.variants if name not in new.variants]
    for name, variant in new.variants.items():
        before = old.variants.get(name)
        if before is None:
            lines.append(f"variant {name}: new ({' '.join(variant.own)})")
        elif before.config != variant.config:
            a, b = _flat(before.config), _flat(variant.config)
            lines += [
                f"variant {name}: {k}: {_short(a.get(k))} -> {_short(b.get(k))}"
                for k in {**a, **b}
                if a.get(k) != b.get(k) and not is_execution(k)
            ]
        elif before.own != variant.own:
            lines.append(f"variant {name}: written {' '.join(before.own)} -> {' '.join(variant.own)}")
    return lines or ["the data, the initial weights or the code that computes (RECIPE, imports): run ids differ"]


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return out


def _short(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, (dict, tuple, list)) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
