"""A study's looks, strata and blocks: what is frozen before the first run, and what is refused before it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sepconv_lab.config import BadInput
from sepconv_lab.record.plan import Plan, from_json, read_plan
from sepconv_lab.study import load, make_plan

from .conftest import PLAIN, Writer

LOOKS = PLAIN.replace("seeds: 2", "seeds: {looks: [2, 4], first: 10}")
STRATA = PLAIN.replace(
    "seeds: 2",
    "seeds: {looks: [4, 6]}\nstrata: data.fold\nblocks: {tiny: {data.seed: [0, 1, 2, 3], data.fold: [serif, sans]}}",
).replace("claim: {id: own,", "claim: {id: own, beside: {metric: test_ema/loss, smallest_effect: 0.03},")
RESULTS = Path(__file__).parents[2] / "experiments"


def test_a_plan_freezes_its_looks_and_all_that_decides_a_verdict(write: Writer) -> None:
    """Seeds up to the last look; each part is in the plan's id, and comes back from the file."""
    plan, _ = make_plan(load(write(LOOKS)), "tiny")
    assert (plan.seeds, plan.looks, plan.strata, plan.stop_when_supported) == ((10, 11, 12, 13), (2, 4), None, True)
    assert [plan.seeds_of_look(k) for k in (0, 1)] == [(10, 11), (12, 13)]
    assert from_json(plan.to_json()) == plan
    others = [
        dataclasses.replace(plan, **change)  # type: ignore[arg-type]
        for change in (
            {"looks": (3, 4)}, {"strata": "data.fold"}, {"stop_when_supported": False},
            {"beside": {"metric": "test_ema/loss", "smallest_effect": 0.02}},
            {"runs": tuple(dataclasses.replace(r, block={"data.seed": 1}) for r in plan.runs)},
        )
    ]  # fmt: skip
    assert len({p.plan_id for p in (plan, *others)}) == 6
    raw = json.loads(plan.to_json())
    for key in ("looks", "stop_when_supported"):
        with pytest.raises(BadInput, match="not a whole plan"):
            from_json(json.dumps({k: v for k, v in raw.items() if k != key}))
    with pytest.raises(BadInput, match=r"changed since plan \w+ was frozen"):
        from_json(json.dumps(raw | {"stop_when_supported": False}))
    with pytest.raises(BadInput, match=r"looks \[4, 2\] at 4 seeds"):
        from_json(json.dumps(raw | {"looks": [4, 2]}))


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/results/*/plan.json")), ids=lambda p: "/".join(p.parts[-4:-1]))
def test_committed_plans_keep_their_ids(path: Path) -> None:
    """A plan of before there were looks: one look at all its seeds, the fingerprint of its own schema, the same bytes."""
    raw = json.loads(path.read_bytes())
    plan = read_plan(path)
    assert plan.plan_id == raw["plan_id"]
    if plan.schema == 1:
        assert (plan.looks, plan.strata, plan.beside) == ((len(plan.seeds),), None, None)
        assert plan.values().keys() == raw.keys()
        with pytest.raises(BadInput, match="a plan of schema 1 has no looks"):
            from_json(json.dumps(raw | {"looks": [3, 6]}))


def test_a_plan_freezes_strata_and_the_second_outcome(write: Writer) -> None:
    """At the scales whose blocks have the stratum's key; a few seeds of the command line are judged without, and say so."""
    study = load(write(STRATA))
    plan, notes = make_plan(study, "tiny")
    assert (plan.strata, plan.looks, notes) == ("data.fold", (4, 6), [])
    assert plan.beside == {"metric": "test_ema/loss", "smallest_effect": 0.03}
    assert list(plan.stratum.values()) == ["serif", "sans"] * 3
    assert "beside" not in (plan.claim or {})
    assert make_plan(study, "lab")[0].strata is None
    pilot, notes = make_plan(study, "tiny", seeds=(0,))
    assert (pilot.strata, pilot.looks) == (None, (1,))
    assert "these 1 are judged without strata" in notes[0]
    assert make_plan(study, "tiny", seeds=(0, 1, 2, 3))[0].strata == "data.fold"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "strata:",
            "stop_when_supported: perhaps\nstrata:",
            "stop_when_supported=perhaps is not allowed: true or false",
        ),
        ("test_ema/loss", "test_ema/los", "claim: beside: metric: test_ema/los: unknown.*Did you mean test_ema/loss"),
        ("smallest_effect: 0.03", "smallest_effect: 0", "claim: beside: smallest_effect=0 is not allowed"),
        ("beside: {", "beside: {d: 1, ", "claim: beside: d: unknown"),
    ],
)
def test_what_cannot_be_judged_is_refused_when_it_is_read(write: Writer, old: str, new: str, message: str) -> None:
    """Each one message, before anything runs."""
    assert old in STRATA
    with pytest.raises(BadInput, match=message) as caught:
        load(write(STRATA.replace(old, new)))
    assert len(str(caught.value).splitlines()) == 1


def test_what_cannot_be_judged_is_refused_when_it_is_planned(write: Writer) -> None:
    """One seed at the first look, an outcome that no run records."""
    with pytest.raises(BadInput, match=r"the first look takes 2 seeds or more"):
        make_plan(load(write(LOOKS.replace("[2, 4]", "[1, 4]"))), "tiny")
    with pytest.raises(BadInput, match=r"train.average=false: without averaged weights no run records test_ema/top1"):
        make_plan(load(write(LOOKS)), "tiny", overrides=["train.average=false"])


def test_seeds_of_the_command_line_are_one_look(write: Writer) -> None:
    plan: Plan = make_plan(load(write(LOOKS)), "tiny", seeds=(10, 11, 12))[0]
    assert plan.looks == (3,)
