"""A study file says what is meant, or is refused with every problem at once."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

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


FILE = """
question: Does it?
base: [data.num_classes=5, data.images_per_class=4, data.eval_images_per_class=1, model.width=0.25]
baseline: 1
variants:
  1: &one [train.weight_decay=1e-3]
  on: [train.weight_decay=2e-3]
  more: {<<: &shared {scales: [tiny]}, overrides: [train.weight_decay=3e-3]}
  most: {<<: *shared, overrides: [train.weight_decay=4e-3]}
claim: {id: own, contrasts: [on better than 1], smallest_effect: 2e-2}
seeds: 2
scales: {tiny: [train=smoke]}
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_yaml_is_read_as_a_person_means_it(tmp_path: Path, encoding: str) -> None:
    """`on` and 1 are names as they stand there, 2e-2 is a number, `<<` merges; with a byte-order mark of either kind too."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.yaml").write_bytes(FILE.encode(encoding))
    study = load(tmp_path / "mine")
    assert list(study.variants) == ["1", "on", "more", "most"]
    assert study.baseline == "1"
    assert study.claim is not None
    assert study.claim.smallest_effect == 0.02
    assert study.claim.contrasts == ("on better than 1",)
    assert {name: study.only[name] for name in ("more", "most")} == {"more": ("tiny",), "most": ("tiny",)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seeds: 2", "seeds: [010, 011]"), "seeds"),  # eight and nine in YAML 1.1
        (("seeds: 2", "seeds: 1_0"), "seeds"),
        (("  on: ", "  1: "), "'1' is given twice"),
        (("<<: *shared", "<<: *nothing"), "nothing"),
        (("question: Does it?", "question: 2026-11-27"), "own"),
    ],
)
def test_yaml_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    """No octal numbers, no digits with underscores, no name twice; a date is a text."""
    (tmp_path / "study.yaml").write_text(FILE.replace(*change))
    if words == "own":
        assert load(tmp_path).question == "2026-11-27"
        return
    with pytest.raises(BadInput, match=words):
        load(tmp_path)


def test_a_file_in_latin_1_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(FILE.replace("Does it?", "Läuft es?").encode("latin-1"))
    with pytest.raises(BadInput, match="not text in UTF-8"):
        load(tmp_path)


def test_a_study_may_be_called_like_an_override_and_lie_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`study plan lr=0.1` where a folder of that name holds a study, and one outside `experiments/` by its path."""
    from sepconv_lab.study.__main__ import main

    for folder in ("experiments/lr=0.1", "elsewhere/lr=0.2"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "study.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    for name in ("lr=0.1", "elsewhere/lr=0.2", str(tmp_path / "elsewhere" / "lr=0.2")):
        assert main(["plan", name, "scale=tiny", "train.threads=1"]) == 0
        assert "nothing was started" in capsys.readouterr().out
    assert main(["plan", "lr=0.3", "scale=tiny"]) == 2


VALUES = ("", "null", "[]", "{}", "-1", "1e999", "010", "on", "*none", "&x [*x]", "!!python/object:os.system x", "'", "[[[[",
          "日本", "\x00", "a=b", "[block.mid_act=relu]", "{a: {b: c}}", "9" * 400, "2026-13-45", "<<", "../..",
          "${oc.env:HOME}", "true")  # fmt: skip


def test_study_files_of_any_kind_are_studies_or_one_message(tmp_path: Path) -> None:
    """Shipped files with lines dropped, doubled and moved, values replaced, characters changed: a study, or BadInput."""
    shipped = sorted((Path(__file__).parents[2] / "experiments").glob("*/study.yaml"))
    draw, loaded = random.Random(0), 0
    for number in range(400):
        lines = draw.choice(shipped).read_text().splitlines()
        for _ in range(draw.randint(1, 3)):
            at, kind = draw.randrange(len(lines)), draw.randrange(5)
            key, sign, _ = lines[at].partition(": ")
            if kind == 0 and len(lines) > 1:
                del lines[at]
            elif kind == 1:
                lines.insert(draw.randrange(len(lines)), lines[at])
            elif kind == 2:
                lines[at] = f"{key}{sign}{draw.choice(VALUES)}"
            elif kind == 3:
                lines[at] = lines[at].replace(draw.choice(lines[at] or " "), draw.choice("{}[]:,'\"&*#\t "), 1)
            else:
                lines[at] = " " * draw.randint(0, 6) + lines[at].lstrip()
        path = tmp_path / f"s{number}"
        path.mkdir()
        (path / "study.yaml").write_text("\n".join(lines))
        with contextlib.suppress(BadInput):
            loaded += bool(load(path).question)
    assert 20 < loaded < 380
