"""A study file says what is meant, or is refused with every problem at once."""

from __future__ import annotations

import pytest

from sepconv_lab.config import BadInput
from sepconv_lab.config.identity import is_execution
from sepconv_lab.study import load
from sepconv_lab.study.reader import seed_list

from .conftest import PLAIN, Writer


def test_a_study_is_found_by_name_folder_and_file(write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write()
    monkeypatch.chdir(path.parent.parent.parent)
    found = [load(name) for name in ("mine", path.parent, path)]
    assert {s.name for s in found} == {"mine"}
    assert found[0].claim.contrasts == ("relu better than none",)
    assert found[0].seeds == (0, 1)
    with pytest.raises(BadInput, match=r"study mime: unknown.*Did you mean mine"):
        load("mime")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seeds: 2", "seeds: [0, 1, 1]"), "seeds: 1 repeated"),
        (("seeds: 2", "seeds: []"), "how many"),
        (("seeds: 2", "seeds: [-1]"), "whole numbers >= 0"),
        (("baseline: none", "baseline: nome"), "Did you mean none"),
        (("question: Does it?", "question:"), "say in a sentence"),
        (("seeds: 2", "seeds: 2\nscals: {}"), "scals: unknown.*Did you mean scales"),
        (("  relu: [block.mid_act=relu]", "  relu: [block.mid_act=relu]\n  relu: []"), "'relu' is given twice"),
        (("{id: own, contrasts: [relu better than none]}", "C10"), "claim: C10: unknown.*Did you mean C1"),
        (("{id: own, contrasts: [relu better than none]}", "{id: C4}"), "claim: C4 needs the variant elu"),
        (("relu better than none", "relu beats none"), "'A better than B'"),
        (("relu better than none", "rely better than none"), "Did you mean relu"),
        (("[relu better than none]", "[relu better than none, none same as relu]"), "a direction and an equivalence"),
        (("[relu better than none]", "[relu better than none], smallest_effect: 0"), "smallest_effect=0 is not allowed"),
        (("[relu better than none]", "[relu better than none], interval: boot"), "interval: boot: unknown"),
        (("base: [model=xception]", "base: [model=xception, train.epochs=9]"), "train.epochs=9.*preset"),
        (("base: [model=xception]", "base: [seed=3]"), "seeds are the study's own"),
        (("base: [model=xception]", "base: {model: xception}"), "base: a list of overrides"),
        (("[block.mid_act=relu]", "[block.mid_act=relu, block.mid_act=elu]"), "given twice"),
        (("[block.mid_act=relu]", "[wandb.project=other]"), "wandb.project=other: where and how"),
        (("[block.mid_act=relu]", "[runs_dir=there]"), "runs_dir=there: where and how"),
        (("[block.mid_act=relu]", "[train.threads=4]"), "train.threads=4: where and how"),
        (("[block.mid_act=relu]", "[data.path=there]"), "data.path=there: where and how"),
        (("[block.mid_act=relu]", "{overrides: [], scales: [labs]}"), "variants: relu: labs: unknown.*Did you mean lab"),
        (("seeds: 2", "seeds: 2\nmatch: {count: param, to: none}"), "match: count: param: unknown"),
        (("seeds: 2", "seeds: 2\nmatch: {count: params, to: nome}"), "match: nome: unknown"),
        (("seeds: 2", "seeds: 2\ntune: {lr_points: 4, seeds: [9]}"), "lr_points=4 is not allowed: an odd number"),
        (("seeds: 2", "seeds: 2\ntune: {seeds: [1, 9]}"), r"seeds \[1\] are evaluation seeds"),
        (("seeds: 2", "seeds: 2\ntune: {seeds: [9], metric: test/top1}"), "chosen on validation"),
        (("seeds: 2", "seeds: 2\nexclude: [{block.order: x}]"), "no level of the factors"),
        (("seeds: 2", "seeds: 2\nblocks: {labs: {data.seed: [1]}}"), "blocks: labs: unknown.*Did you mean lab"),
        (("seeds: 2", "seeds: 2\nblocks: {lab: {train.lr: [1]}}"), "train.lr: a seed sets what the data is"),
        (("seeds: 2", "seeds: 2\nblocks: {lab: {data.path: [a, b]}}"), "data.path: a seed sets what the data is"),
        (("seeds: 2", "seeds: 2\nblocks: {lab: {data.seed: 3}}"), "data.seed: a list of values"),
        (("seeds: 2", "seeds: 2\nblocks: {tiny: {data.num_classes: [3]}}"), "data.num_classes is set by scale tiny too"),
        (("scales: {lab: []", "scales: {lab: [= =]"), "not an override|list of overrides"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(write: Writer, change: tuple[str, str], words: str) -> None:
    """Each with what is allowed, and what was probably meant."""
    assert change[0] in PLAIN
    with pytest.raises(BadInput, match=words):
        load(write(PLAIN.replace(*change)))


def test_all_problems_come_at_once(write: Writer) -> None:
    text = (
        PLAIN.replace("seeds: 2", "seeds: [1, 1]")
        .replace("baseline: none", "baseline: nome")
        .replace("relu better", "rel better")
    )
    with pytest.raises(BadInput) as caught:
        load(write(text))
    assert len(str(caught.value).splitlines()) == 3


def test_factors_are_crossed_and_components_left_out(write: Writer) -> None:
    study = load(write("""
        question: Which?
        baseline: full
        factors: {block.order: [depthwise_first, pointwise_first], block.mid_norm: [false, true]}
        exclude: [{block.order: pointwise_first, block.mid_norm: true}]
        leave_one_out: {residual: block.residual=false, average: [train.average=false]}
        seeds: 1
        scales: {lab: []}
    """))  # fmt: skip
    assert dict(study.variants) == {
        "full": (),
        "order=depthwise_first mid_norm=false": ("block.order=depthwise_first", "block.mid_norm=false"),
        "order=depthwise_first mid_norm=true": ("block.order=depthwise_first", "block.mid_norm=true"),
        "order=pointwise_first mid_norm=false": ("block.order=pointwise_first", "block.mid_norm=false"),
        "without_residual": ("block.residual=false",),
        "without_average": ("train.average=false",),
    }


def test_a_variant_may_exist_at_one_scale_and_differ_at_another(write: Writer) -> None:
    more = """  relu: {overrides: [block.mid_act=relu], at: {tiny: [model.width=0.5]}}
  other: {overrides: [block=conv], scales: [lab]}"""
    study = load(write(PLAIN.replace("  relu: [block.mid_act=relu]", more)))
    assert study.at("lab") == {"none": (), "relu": ("block.mid_act=relu",), "other": ("block=conv",)}
    assert study.at("tiny") == {"none": (), "relu": ("block.mid_act=relu", "model.width=0.5")}
    with pytest.raises(BadInput, match=r"scale=lap: unknown.*Did you mean lab"):
        study.at("lap")


def test_seeds_are_a_number_or_a_list() -> None:
    assert seed_list(3) == seed_list("3") == seed_list("0,1,2") == seed_list("[0,1,2]") == (0, 1, 2)


def test_settings_that_no_result_depends_on_are_known() -> None:
    execution = ["wandb.mode=offline", "runs_dir=x", "train.threads=1", "train.device=cpu", "data.path=x"]
    identity = [
        "block.mid_act=relu",
        "block=conv",
        "train=smoke",
        "model.match=params",
        "model.weights=w",
        "data.seed=1",
    ]
    assert all(map(is_execution, execution))
    assert not any(map(is_execution, identity))
