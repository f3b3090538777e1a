"""What a study comes to at a scale: every run with its id and its size."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence

from ..analysis.stats.looks import check as check_looks
from ..compose import compose
from ..config import BadInput, HubConfig, RunConfig, plain
from ..config.identity import PER_RUN, identity, is_execution, quoted, run_ids
from ..config.overrides import check_given_once, values
from ..record.metrics import PRIMARY
from ..record.plan import Plan, PlannedRun, Variant
from .blocks import check_balance, draw
from .definition import Study

STAGES = ("fixed", "tune", "tuned")


def make_plan(
    study: Study,
    scale: str = "lab",
    *,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    stage: str = "fixed",
    variants: Mapping[str, Sequence[str]] | None = None,
    origins: Mapping[str, str] | None = None,
    fetch: bool = False,
) -> tuple[Plan, list[str]]:
    """The plan of a study at a scale, and notes on what could not be known. Trains and writes nothing.

    overrides: the command line's, for all runs. seeds: instead of the study's. variants: instead of the study's at this scale.
    origins: of the tuning stage, variant -> the study's variant that it tries a learning rate of.
    fetch: whether data that has only a hub id may be fetched; otherwise its run ids stay unknown.
    Raises BadInput with every problem of every variant, one per line.
    """
    chosen = {n: tuple(v) for n, v in (variants or study.at(scale)).items()}
    check_given_once(overrides)
    blocks = study.blocks.get(scale, {})
    problems = dict.fromkeys(_conflicts(study, chosen, blocks, overrides))
    configs: dict[str, tuple[tuple[str, ...], RunConfig]] = {}
    for name, own in chosen.items():
        try:
            origin = (origins or {}).get(name, name)
            shared = (*_shared(study, scale, origin, own), *overrides)
            words = layered((*shared, *own, *_match(study, scale, origin, own)))
            configs[name] = words, compose(words)
        except BadInput as error:
            problems |= dict.fromkeys(f"{name}: {line}" for line in str(error).splitlines())
    if problems:
        raise BadInput("\n".join(f"{study.name} at scale={scale}: {p}" for p in problems))
    notes: dict[str, None] = {}
    counted: dict[str, Variant] = {}
    ids: dict[str, dict[int, str | None]] = {}
    wanted = tuple(study.seeds_at(scale) if seeds is None else seeds)
    kept, absent = _of_data(blocks, next(iter(configs.values()))[1])
    if absent:
        notes[f"{', '.join(absent)}: the same for all seeds, since this data has no such setting"] = None
    block = _drawn(study, scale, kept, wanted)
    looks = study.looks(scale) if seeds is None else (len(wanted),)
    strata = study.strata_at(scale) if study.strata_at(scale) in kept and stage != "tune" else None
    if len(looks) > 1:
        check_looks(looks)
    if strata:
        try:
            check_balance(block, looks, strata)
        except BadInput as error:
            if seeds is None:
                raise
            notes[f"{error}; these {len(wanted)} are judged without strata"], strata = None, None
    problems |= dict.fromkeys(_unrecorded(study, {n: c for n, (_, c) in configs.items()}, stage))
    facts = _Facts(fetch)
    for name, (words, config) in configs.items():
        try:
            variant, ids[name] = facts.variant(words, chosen[name], config, block, notes)
            counted[name] = dataclasses.replace(variant, origin=(origins or {}).get(name, ""))
        except BadInput as error:
            problems |= dict.fromkeys(f"{name}: {line}" for line in str(error).splitlines())
    problems |= dict.fromkeys(_twins(study, {n: c for n, (_, c) in configs.items()}))
    if problems:
        raise BadInput("\n".join(f"{study.name} at scale={scale}: {p}" for p in problems))
    notes |= dict.fromkeys(_unequal_heads(counted))
    plain_block = {s: values([f"{k}={v}" for k, v in b.items()]) for s, b in block.items()}
    runs = tuple(PlannedRun(name, s, ids[name][s], plain_block[s]) for s in wanted for name in counted)
    selected = tuple(sorted(o for o in overrides if not is_execution(o)))
    data = next((o.removeprefix("data=") for o in selected if o.startswith("data=")), "")
    label = "_".join(w for w in (scale, data, "" if stage == "fixed" else stage) if w)
    claim, beside = (study.claim.plain(), study.claim.beside) if study.claim else (None, None)
    plan = Plan(
        study.name, scale, stage, label, selected, study.question, study.baseline, claim, wanted, dict(study.factors),
        counted, runs, looks, strata, study.stop_when_supported, dict(beside) if beside else None,
    )  # fmt: skip
    return plan, list(notes)


def _drawn(
    study: Study, scale: str, values: Mapping[str, tuple[str, ...]], seeds: Sequence[int]
) -> dict[int, dict[str, str]]:
    """seed -> what else it sets, apart from all other evaluation and tuning seeds of the study."""
    tuning = study.tune.seeds if study.tune else ()
    first = min(study.seeds, default=0)
    draw(values, first, study.seeds_at(scale), tuning, study.strata_at(scale))  # also where fewer are asked for
    return draw(values, first, seeds, tuning, study.strata_at(scale))


def _unequal_heads(variants: Mapping[str, Variant]) -> Iterable[str]:
    """Where variants of as many classes and FC layers do not have equal heads: what is compared is then the heads too."""
    alike: dict[str, dict[str, int]] = {}
    for name, variant in variants.items():
        model = {k: variant.config["model"].get(k) for k in ("fc_layers", "fc_width")}
        classes = variant.config["data"]["num_classes"]
        key = f"{classes} classes" + (f", {model['fc_layers']} FC layers" if model["fc_layers"] else "")
        if model["fc_layers"]:
            key += f" of {model['fc_width']}"
        alike.setdefault(key, {})[name] = variant.params - variant.body_params
    for key, heads in alike.items():
        if len(set(heads.values())) > 1:
            listed = ", ".join(f"{name} {count:,}" for name, count in heads.items())
            yield (
                f"the classifiers differ ({key}): {listed} parameters of the head; model.features=published gives all the same"
            )


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


def _shared(study: Study, scale: str, name: str, own: tuple[str, ...], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What a variant has from the study: its base, the features of a match, its scale; a matched one has a width of its own."""
    match = study.match
    features = match.features if match and name not in match.but else None
    words = (*study.base, *([f"model.features={features}"] if features else []), *study.scales[scale])
    matched = _match(study, scale, name, own, before) or [w for w in own if w.startswith("model.match=")]
    return tuple(w for w in words if not (matched and w.startswith("model.width=")))


def _match(study: Study, scale: str, name: str, own: tuple[str, ...], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The overrides that make a variant as large as the reference, on its own data.

    A variant may choose its own count (`model.match=macs`) and its own reference (`model.match_to=<variant>`).
    before: the variants whose sizes wait for this one's. Raises BadInput where it is one of them.
    """
    match = study.match
    if match is None or name in (match.to, *match.but):
        return ()
    if name in before:
        raise BadInput(f"matched in size to itself: {' -> '.join((*before[before.index(name) :], name))}")
    given = {w.split("=")[0]: w.split("=", 1)[1] for w in own}
    to, variants = given.get("model.match_to", match.to), study.at(scale)
    if to not in variants:
        return ()  # a count, or overrides
    after = (*before, name)
    words = layered(
        (*_shared(study, scale, to, variants[to], after), *variants[to], *_match(study, scale, to, variants[to], after))
    )
    reference = [w for w in words if w.split("=")[0].split(".")[0] in ("block", "model")]
    return f"model.match={given.get('model.match', match.count)}", f"model.match_to={quoted(shlex.join(reference))}"


def _unrecorded(study: Study, configs: Mapping[str, RunConfig], stage: str) -> Iterable[str]:
    """Outcomes that a run would not record: of averaged weights that it does not keep."""
    if study.claim is None or stage == "tune":
        return
    for metric in (PRIMARY, *([study.claim.beside["metric"]] if study.claim.beside else ())):
        for name, config in configs.items():
            if not config.train.test:
                yield f"{name}: train.test=false: without the test split no run records {metric}, which decides the claim"
            elif "_ema/" in metric and not config.train.average:
                yield f"{name}: train.average=false: without averaged weights no run records {metric}, which decides the claim"


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


def _with_data(config: RunConfig, words: Sequence[str], settings: Sequence[str]) -> RunConfig:
    """The configuration on a block's own data. Composed anew, its width solved again, only where the network depends on them."""
    if not settings:
        return config
    data = [w for w in words if w.split("=")[0].partition(".")[0] in ("data", "imports")]
    found = compose([*data, *settings]).data
    if (found.image_size, found.num_classes) != (config.data.image_size, config.data.num_classes):
        return compose([*words, *settings])
    return dataclasses.replace(config, data=found)


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
        from ..training.job import check
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
                own_data = _with_data(config, words, settings)
                key = repr(own_data.data)
                if key not in self.digests:
                    self.digests[key] = data.fingerprint(own_data.data)
                ids |= run_ids(own_data, seeds, self.digests[key], weights)
                classes = check(own_data).classes
            steps = total_steps(config, data.sizes(config.data)[0])
        counts = complexity(config, classes)
        values = {k: v for k, v in plain(config).items() if k not in PER_RUN}
        return Variant(words, own, values, counts.params, counts.body_params, counts.macs, steps), ids

    def _absent(self, config: RunConfig) -> str:
        if isinstance(config.data, HubConfig) and not config.data.path and not self.fetch:
            return (f"data={config.data.name} is not here: run ids, steps and time are known once data.path=DIR names its "
                    "folder; `study run` would fetch it.")  # fmt: skip
        return ""
