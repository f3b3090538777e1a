"""No two seeds of a study share their data, and strata are balanced at every look."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from sepconv_lab.config import BadInput
from sepconv_lab.study import load, make_plan
from sepconv_lab.study.blocks import check_balance, combinations, draw

from .conftest import PLAIN, Writer

FOLDS = ["serif", "sans", "mono"]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.data())
def test_every_combination_comes_once_and_strata_in_turn(lengths: list[int], data: st.DataObject) -> None:
    """Whatever the lengths: all combinations, none twice, and the stratum's values go round without a break."""
    values = {f"data.k{i}": [str(v) for v in range(n)] for i, n in enumerate(lengths)}
    stratum = data.draw(st.sampled_from(sorted(values)))
    found = combinations(values, stratum)
    assert len({tuple(c.items()) for c in found}) == len(found) == len(list(found))
    product = 1
    for n in lengths:
        product *= n
    assert len(found) == product
    levels = values[stratum]
    assert [c[stratum] for c in found] == [levels[i % len(levels)] for i in range(len(found))]


def test_the_lists_that_repeated_in_silence_no_longer_do() -> None:
    """Six, four and three values made twelve different blocks among 24 seeds; now there are 24."""
    values = {"data.seed": list("012345"), "data.first_class": ["0", "300", "600", "900"], "data.fold": FOLDS}
    block = draw(values, 1000, range(1000, 1024), (100, 101), "data.fold")
    assert len({tuple(b.items()) for b in block.values()}) == 24
    for look in (6, 12, 24):
        counts = Counter(b["data.fold"] for b in list(block.values())[:look])
        assert set(counts.values()) == {look // 3}
    check_balance(block, (6, 12, 24), "data.fold")


def test_tuning_seeds_have_data_of_their_own() -> None:
    """Whichever seeds are evaluated, tuning ones take other combinations; a seed has the same one in every plan."""
    values = {"data.seed": list("01234567"), "data.fold": FOLDS}
    evaluated, tuned = draw(values, 0, range(22), (100, 101)), draw(values, 0, (100, 101), (100, 101))
    assert not any(b in evaluated.values() for b in tuned.values())
    assert all(draw(values, 0, [s], (100, 101))[s] == evaluated[s] for s in range(22))


def test_too_few_values_are_refused() -> None:
    with pytest.raises(BadInput, match="6 combinations, 5 seeds and 2 tuning seeds"):
        draw({"data.seed": ["0", "1"], "data.fold": FOLDS}, 0, range(5), (100, 101))
    with pytest.raises(BadInput, match="2 combinations, 3 seeds and 0 tuning seeds"):
        draw({"data.seed": ["0", "1"]}, 0, range(3))


def test_unbalanced_strata_are_refused() -> None:
    block = draw({"data.seed": list("0123456"), "data.fold": FOLDS}, 0, range(7), (), "data.fold")
    for looks in ((5,), (3,), (6, 7)):
        with pytest.raises(BadInput, match="at every look"):
            check_balance(block, looks, "data.fold")


LOOKS = PLAIN.replace(
    "seeds: 2",
    "seeds: {looks: [2, 4], first: 1000, at: {tiny: [6, 12]}}\nstrata: data.fold\n"
    "blocks: {tiny: {data.seed: {first: 7, count: 12}, data.fold: [serif, sans, mono]}}",
)


def test_looks_and_strata_are_read(write: Writer) -> None:
    """Looks differ by scale; strata count where the scale's blocks have them."""
    study = load(write(LOOKS))
    assert (study.looks("tiny"), study.looks("lab")) == ((6, 12), (2, 4))
    assert (study.seeds_at("tiny"), study.seeds_at("lab")) == (tuple(range(1000, 1012)), tuple(range(1000, 1004)))
    assert (study.strata_at("tiny"), study.strata_at("lab")) == ("data.fold", None)
    plain = load(write(PLAIN))
    assert (plain.looks("lab"), plain.seeds_at("lab"), plain.strata_at("lab")) == ((2,), (0, 1), None)
    plan, _ = make_plan(study, "tiny")
    blocks = [r.block for r in plan.runs if r.variant == "relu"]
    assert [b["data.seed"] for b in blocks] == list(range(7, 19))
    assert [b["data.fold"] for b in blocks] == FOLDS * 4


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("looks: [2, 4]", "looks: [4, 2]", r"seeds: looks: \[4, 2\] is not allowed: numbers of seeds, increasing"),
        ("looks: [2, 4]", "looks: []", "increasing"),
        ("looks: [2, 4]", "looks: [0, 4]", "increasing"),
        ("looks: [2, 4]", "lokos: [2, 4]", "Did you mean looks"),
        ("first: 1000,", "first: -1,", "seeds: first=-1 is not allowed"),
        ("at: {tiny:", "at: {tinny:", "seeds: at: tinny: unknown.*Did you mean tiny"),
        ("strata: data.fold", "strata: data.folt", "strata: data.folt: unknown.*Did you mean data.fold"),
        ("count: 12", "cuont: 12", "Did you mean count"),
        ("{first: 7, count: 12}", "[1, 1]", "a value stands twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(write: Writer, old: str, new: str, words: str) -> None:
    assert old in LOOKS
    with pytest.raises(BadInput, match=words):
        load(write(LOOKS.replace(old, new)))


def test_a_plan_with_too_few_blocks_or_unbalanced_looks_is_refused(write: Writer) -> None:
    """Before anything runs, also where fewer seeds are asked for."""
    few = load(write(LOOKS.replace("count: 12", "count: 3")))
    for seeds in (None, (1000, 1001)):
        with pytest.raises(BadInput, match="9 combinations, 12 seeds" if seeds is None else "combinations"):
            make_plan(few, "tiny", seeds=seeds)
    with pytest.raises(BadInput, match="7 seeds are mono 2, sans 2, serif 3"):
        make_plan(load(write(LOOKS.replace("tiny: [6, 12]", "tiny: [6, 7]"))), "tiny")
    with pytest.raises(BadInput, match="3 seeds are mono 1, sans 1, serif 1"):
        make_plan(load(write(LOOKS.replace("tiny: [6, 12]", "tiny: [3, 6]"))), "tiny")
