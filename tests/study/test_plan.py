"""A plan is what will run, frozen: ids, sizes, order. What cannot run is refused before anything starts."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from sepconv_lab.compose import compose
from sepconv_lab.config import BadInput
from sepconv_lab.record.plan import from_json
from sepconv_lab.study import load, make_plan
from sepconv_lab.study.frozen import changes, freeze, frozen_plans
from sepconv_lab.training.job import record_of

from .conftest import PLAIN, Writer


def test_a_plan_holds_every_run_block_by_block_with_the_id_of_the_same_command(write: Writer, tmp_path: Path) -> None:
    """All variants of a seed before the next seed; each id is that of `python -m sepconv_lab.run <overrides> seed=k`."""
    plan, notes = make_plan(load(write()), "tiny")
    assert [(r.variant, r.seed) for r in plan.runs] == [("none", 0), ("relu", 0), ("none", 1), ("relu", 1)]
    assert notes == []
    for run in plan.runs:
        config = compose([*plan.variants[run.variant].overrides, f"seed={run.seed}"])
        assert record_of(config)[0].run_id == run.run_id
        frozen = from_json(plan.to_json()).config(run, str(tmp_path), {"train.threads": 2})
        assert record_of(frozen)[0].run_id == run.run_id
        assert (frozen.train.threads, frozen.runs_dir, frozen.wandb.group) == (2, str(tmp_path), "mine")
    assert all(v.steps == 7 and v.params > 1000 and v.macs > 1000 for v in plan.variants.values())


BLOCKS = PLAIN.replace("seeds: 2", "seeds: 3\nblocks: {tiny: {data.seed: [5, 6], data.fold: [serif, sans, mono]}}")


def test_each_seed_may_have_data_of_its_own_the_same_for_all_variants(write: Writer, tmp_path: Path) -> None:
    """A seed is a block: on glyphs other characters in other faces too. The plan is frozen with them."""
    plan, notes = make_plan(load(write(BLOCKS)), "tiny")
    assert notes == []
    assert [r.block for r in plan.runs if r.variant == "relu"] == [
        {"data.seed": 5, "data.fold": "serif"}, {"data.seed": 6, "data.fold": "sans"}, {"data.seed": 5, "data.fold": "mono"},
    ]  # fmt: skip
    for run in plan.runs:
        words = [f"{k}={v}" for k, v in run.block.items()]
        config = compose([*plan.variants[run.variant].overrides, *words, f"seed={run.seed}"])
        assert record_of(config)[0].run_id == run.run_id
        assert record_of(from_json(plan.to_json()).config(run, str(tmp_path)))[0].run_id == run.run_id
    other, _ = make_plan(load(write(BLOCKS.replace("[5, 6]", "[5, 7]"))), "tiny")
    assert other.plan_id != plan.plan_id
    assert "blocks: the seeds set other data than before" in changes(plan, other)


def test_blocks_are_of_the_study_s_own_data(write: Writer) -> None:
    """Other data keeps those that it has, and says which it has not; one that is set for all seeds is refused."""
    study = load(write(BLOCKS))
    tiny = [w for w in study.scales["tiny"] if not w.startswith("data.")]
    plain = dataclasses.replace(study, scales=study.scales | {"tiny": tuple(tiny)})
    with pytest.raises(BadInput, match=r"2 of data\.seed make 2 combinations, 3 seeds"):
        make_plan(plain, "tiny", overrides=["data=cifar10"])
    plan, notes = make_plan(dataclasses.replace(plain, seeds=(0, 1)), "tiny", overrides=["data=cifar10"])
    assert plan.runs[0].block == {"data.seed": 5}
    assert "data.fold: the same for all seeds, since this data has no such setting" in notes
    with pytest.raises(BadInput, match=r"data.fold=sans: data.fold is what the study's seeds set \(blocks\)"):
        make_plan(study, "tiny", overrides=["data.fold=sans"])
    with pytest.raises(BadInput, match=r"data.fold=serifs: unknown.*Did you mean serif"):
        make_plan(load(write(BLOCKS.replace("[serif,", "[serifs,"))), "tiny")


def test_where_and_how_is_no_part_of_a_plan(write: Writer) -> None:
    study = load(write())
    plain, _ = make_plan(study, "tiny")
    here, _ = make_plan(study, "tiny", overrides=["train.threads=2", "wandb.project=p", "train.workers=0"])
    other, _ = make_plan(study, "tiny", overrides=["model.dropout=0.1"])
    assert here.plan_id == plain.plan_id != other.plan_id
    assert here.selection == plain.selection != other.selection


@pytest.mark.parametrize(
    "change",
    [("Does it?", "Does it really?"), ("seeds: 2", "seeds: 3"), ("baseline: none", "baseline: relu"),
     ("[block.mid_act=relu]", "[block.mid_act=elu]"), ("contrasts:", "smallest_effect: 0.05, contrasts:")],
)  # fmt: skip
def test_what_is_asked_is_in_the_plan_id(write: Writer, change: tuple[str, str], tmp_path: Path) -> None:
    """Question, seeds, baseline, variants and the smallest effect are fixed before the first run: a change is named."""
    before, _ = make_plan(load(write()), "tiny")
    freeze(before, tmp_path / "runs")
    after, _ = make_plan(load(write(PLAIN.replace(*change))), "tiny")
    assert after.plan_id != before.plan_id
    with pytest.raises(BadInput, match=r"mine has changed since plan [0-9a-f]{12} was frozen[\s\S]*--replan"):
        freeze(after, tmp_path / "runs")
    assert [p.plan_id for p in frozen_plans(tmp_path / "runs", "mine")] == [before.plan_id]
    freeze(after, tmp_path / "runs", replan=True)
    assert [p.plan_id for p in frozen_plans(tmp_path / "runs", "mine")] == [after.plan_id]


def test_changes_are_named_setting_by_setting(write: Writer) -> None:
    a, _ = make_plan(load(write()), "tiny")
    b, _ = make_plan(load(write(PLAIN.replace("mid_act=relu", "mid_act=elu").replace("seeds: 2", "seeds: 3"))), "tiny")
    assert changes(a, b) == ["seeds: [0, 1] -> [0, 1, 2]", "variant relu: block.mid_act: relu -> elu"]


def test_a_study_changed_back_has_its_first_plan_again(write: Writer, tmp_path: Path) -> None:
    a, _ = make_plan(load(write()), "tiny")
    b, _ = make_plan(load(write(PLAIN.replace("seeds: 2", "seeds: 3"))), "tiny")
    for plan in (a, b, a):
        freeze(plan, tmp_path, replan=True)
        assert [p.plan_id for p in frozen_plans(tmp_path, "mine")] == [plan.plan_id]


def test_scales_have_plans_of_their_own(write: Writer, tmp_path: Path) -> None:
    study = load(write())
    for scale in ("tiny", "lab"):
        freeze(make_plan(study, scale)[0], tmp_path)
    assert sorted(p.label for p in frozen_plans(tmp_path, "mine")) == ["lab", "tiny"]


def test_a_frozen_plan_does_not_see_the_study_file_any_more(write: Writer, tmp_path: Path) -> None:
    path = write()
    plan = freeze(make_plan(load(path), "tiny")[0], tmp_path)
    path.write_text("nonsense")
    again = frozen_plans(tmp_path, "mine")[0]
    assert again == plan
    assert again.config(again.runs[1], "runs").block.mid_act.name == "relu"


def test_a_plan_changed_by_hand_is_refused(write: Writer, tmp_path: Path) -> None:
    plan = freeze(make_plan(load(write()), "tiny")[0], tmp_path)
    path = plan.folder(tmp_path) / "plan.json"
    values = json.loads(path.read_text())
    values["seeds"] = [0, 7]
    path.write_text(json.dumps(values))
    with pytest.raises(BadInput, match="changed since plan"):
        frozen_plans(tmp_path, "mine")
    path.write_text("{")
    with pytest.raises(BadInput, match="not a plan"):
        frozen_plans(tmp_path, "mine")


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ("none: []\n  relu: [block.mid_act=relu]\n  again: ['block.mid_act= relu']", "again: the same run as relu"),
        ("none: []\n  relu: [block.mid_act=none]", "relu: the same run as the baseline none"),
        ("none: []\n  relu: [block.mid_acts=relu]", "relu: block.mid_acts=relu: unknown.*Did you mean"),
        ("none: []\n  relu: [block.mid_act=rellu]", "relu: block.mid_act=rellu: unknown.*Did you mean relu"),
        ("none: []\n  relu: [block=conv, block.segments=2]", "relu: block.segments=2: block=conv has no 'segments'"),
        ("none: []\n  relu: [block.segments=7]", "relu: .*segments"),
        ("none: []\n  relu: [model=inception_v3]", "relu: images of 32 pixels are too small"),
        ("none: []\n  relu: [block.kernel_size=4]", "relu: block.kernel_size=4 is not allowed: odd"),
        ("none: []\n  relu: [train.batch_size=100000]", "relu: train.batch_size=100000: the training split has"),
        ("none: []\n  relu: [model.match=params, model.match_to=10]", "relu: model.match=params: no width"),
    ],
)
def test_variants_that_cannot_be_what_they_say_are_refused(write: Writer, variants: str, words: str) -> None:
    """Two names for one experiment, axes that nothing uses, impossible combinations, sizes that no width meets."""
    study = load(write(PLAIN.replace("none: []\n  relu: [block.mid_act=relu]", variants)))
    with pytest.raises(BadInput, match=words):
        make_plan(study, "lab")


@pytest.mark.parametrize(
    ("override", "words"),
    [("block.mid_act=elu", "is what the study varies"), ("seed=1", "give seeds=6"), ("force=true", "study retry")],
)
def test_overrides_that_would_undo_the_study_are_refused(write: Writer, override: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        make_plan(load(write()), "tiny", overrides=[override])


def test_sizes_are_matched_on_each_variants_own_data(write: Writer) -> None:
    """To a variant, by a count of the variant's own choice, or to another variant that is matched itself."""
    study = load(write("""
        question: Equal?
        baseline: sep
        variants:
          sep: []
          conv: [block=conv]
          many: [block=conv, data.num_classes=50]
          macs: [block=inception, model.match=macs]
          like_conv: [block.segments=1, model.match_to=conv]
        match: {count: body_params, to: sep}
        seeds: 1
        scales: {lab: []}
    """))  # fmt: skip
    plan, _ = make_plan(study, "lab")
    v = plan.variants
    assert v["conv"].body_params == pytest.approx(v["sep"].body_params, rel=0.01)
    assert v["many"].body_params == pytest.approx(v["sep"].body_params, rel=0.01)
    assert v["macs"].macs == pytest.approx(v["sep"].macs, rel=0.01)
    assert v["like_conv"].body_params == pytest.approx(v["conv"].body_params, rel=0.01)
    assert v["sep"].config["model"]["width"] == 1.0


def test_a_factor_may_be_the_learning_rate_of_a_matched_study(write: Writer) -> None:
    """A variant is what it is, whatever its name looks like: "act=relu lr=0.1" is no rate that the tuning stage tries."""
    study = load(write("""
        question: Which rate?
        baseline: act=relu lr=0.1
        factors: {block.act: [relu, elu], train.lr: [0.1, 0.2]}
        match: {count: params, to: act=relu lr=0.1}
        seeds: 1
        scales: {lab: []}
    """))  # fmt: skip
    plan, _ = make_plan(study, "lab")
    assert set(plan.variants) == {f"act={act} lr={lr}" for act in ("relu", "elu") for lr in (0.1, 0.2)}
    assert len({v.params for v in plan.variants.values()}) == 1


@pytest.mark.parametrize(("first", "second"), [("second", "first"), ("first", "none"), ("second", "second")])
def test_variants_that_are_matched_to_each_other_are_refused(write: Writer, first: str, second: str) -> None:
    """Neither size is known before the other."""
    text = PLAIN.replace("relu: [block.mid_act=relu]", f"first: [block=conv, model.match_to={first}]\n  "
                         f"second: [block.segments=1, model.match_to={second}]\nmatch: {{count: params, to: none}}")  # fmt: skip
    text = text.replace("relu better than none", "first better than none")
    with pytest.raises(BadInput, match=r"matched in size to itself: (first|second)"):
        make_plan(load(write(text)), "lab")


def test_data_that_is_not_here_leaves_ids_open_and_is_not_fetched(write: Writer, tmp_path: Path) -> None:
    plan, notes = make_plan(load(write()), "lab", overrides=["data=imagenet", "train=paper_imagenet"])
    assert {r.run_id for r in plan.runs} == {None}
    assert plan.variants["none"].params == 22_855_952
    assert "not here" in notes[0]
    with pytest.raises(BadInput, match=r"give data\.path=DIR"):
        freeze(plan, tmp_path)


def test_unequal_classifiers_are_named_at_planning(write: Writer) -> None:
    """A study whose widths differ is warned with the head's parameters of each variant; with `features` there is nothing to say."""
    conv = PLAIN.replace("[block.mid_act=relu]", "[block=conv]")
    matched = conv.replace("seeds: 2", "seeds: 2\nmatch: {count: body_params, to: none}")
    _, notes = make_plan(load(write(matched)), "tiny")
    (warning,) = [n for n in notes if "classifiers differ" in n]
    assert re.search(r"none [\d,]+, relu [\d,]+ parameters of the head; model.features=published", warning)
    plan, notes = make_plan(load(write(matched.replace("to: none}", "to: none, features: published}"))), "tiny")
    assert not [n for n in notes if "classifiers differ" in n]
    assert len({v.params - v.body_params for v in plan.variants.values()}) == 1
    assert plan.variants["relu"].body_params == pytest.approx(plan.variants["none"].body_params, rel=0.01)
    with pytest.raises(BadInput, match=r"match: features: publshed: unknown.*Did you mean published"):
        load(write(matched.replace("to: none}", "to: none, features: publshed}")))
