"""Variants of equal size: the width is solved before any training, to within one per cent."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from sepconv_lab.compose import class_count, compose, match_record
from sepconv_lab.config import BadInput, RunConfig
from sepconv_lab.config.overrides import variant_overrides
from sepconv_lab.models import build_model
from sepconv_lab.models.complexity import complexity, kind_of
from sepconv_lab.models.matching import TOLERANCE, solve_width
from sepconv_lab.models.skeleton import scale_widths

from ..helpers import SMALL, cli

V3 = "model.match_to='model=inception_v3'"
CASES = [
    ["block=conv", "model.match=params", "model.match_to=600000"],
    ["block=inception", "model.match=params", "model.match_to=600000"],
    ["block=xception", "model.match=params", "model.match_to=600000"],
    ["block=inception", "block.form=canonical", "model.match=macs", "model.match_to=20000000"],
    ["block.segments=4", "model.match=body_params", "model.match_to=400000"],
    ["block.segments=2", "block.depth_multiplier=2", "model.match=params", "model.match_to='block=conv'"],
    ["model.match=macs", "model.match_to='block=conv model.width=0.5'"],
    ["model.match=body_params", "model.match_to='block=conv'", "data.num_classes=2000"],
    ["model=vgg_sep", "model.match=params", "model.match_to=xception"],
    ["model.fc_layers=1", "model.fc_width=256", "model.match=params", "model.match_to=500000"],
    ["model.stem=separable", "model.middle_repeats=5", "model.match=macs", "model.match_to=30000000"],
    ["data=imagenet", "model.match=params", V3],
    ["data=imagenet", "model.match=macs", V3],
    ["data=imagenet", "block=inception", "model.match=params", V3],
    ["data=imagenet", "block.segments=4", "model.match=body_params", "model.match_to='inception_v3 model.form=keras'"],
]


def error_of(config: RunConfig) -> float:
    """Signed relative error, counted independently of the search."""
    kept = match_record(config, class_count(config))
    assert kept is not None
    counts = complexity(config)
    found = {"params": counts.params, "body_params": counts.body_params, "macs": counts.macs}[kept["what"]]
    assert found == kept["count"]
    assert kept["error"] == pytest.approx(found / kept["target"] - 1)
    return kept["error"]


@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_the_width_is_solved_to_within_one_per_cent(overrides: list[str]) -> None:
    """Parameters, body parameters or MACs, against a number or another variant; twice the same width."""
    config = compose(overrides)
    assert abs(error_of(config)) <= TOLERANCE
    assert compose(overrides).model.width == config.model.width  # type: ignore[attr-defined]


def test_the_published_xception_is_matched_within_two_seconds() -> None:
    """On meta tensors, with torch imported: nothing of the network is allocated or computed."""
    config = compose(["data=imagenet"])
    complexity(compose([]))  # the first use of meta tensors imports what they need
    for what in ("params", "body_params", "macs"):
        config = compose(["data=imagenet", f"model.match={what}", "model.match_to=12345678" if what != "macs" else V3])
        target = match_record(config, 1000)["target"]  # type: ignore[index]
        start = time.process_time()
        solve_width(config, 1000, target)
        assert time.process_time() - start < 2, what


def test_what_divides_is_respected() -> None:
    """Solved widths stay multiples of the block's segments."""
    config = compose(["block.segments=8", "model.match=params", "model.match_to=500000"])
    at_one = ["block.segments=64", "model.match=params", "model.match_to=273000"]
    assert compose(at_one).model.width != 1, "where the stem's own 32 channels do not hold 64 segments"  # type: ignore[attr-defined]
    network = build_model(config, 300, device="meta")
    depthwise = [m for m in network.modules() if kind_of(m) == "segmented"]
    assert len(depthwise) == 10
    assert all(m.in_channels % 8 == 0 and m.out_channels % 8 == 0 for m in depthwise)


def test_a_reference_is_counted_on_this_runs_data() -> None:
    """Image size and classes are the run's own; a reference with data of its own is refused."""
    config = compose(["data=cifar100", "model.match=params", "model.match_to='block=conv'"])
    kept = match_record(config, 100)
    assert kept is not None
    assert kept["target"] == complexity(compose(["data=cifar100", "block=conv"])).params
    with pytest.raises(BadInput, match="counted on this run's own data"):
        compose(["model.match=params", "model.match_to='block=conv data=cifar10'"])


def test_a_mistake_in_the_reference_is_explained() -> None:
    """Unknown words, and images too small for the reference, name match_to."""
    for reference, words in (("block=cnv", "Did you mean conv"), ("model=inception_v3", "too small")):
        with pytest.raises(BadInput, match=words) as caught:
            compose(["model.match=macs", f"model.match_to='{reference}'"])
        assert str(caught.value).startswith("model.match_to=")


def test_an_unreachable_size_names_the_nearest_two() -> None:
    """Widths that are multiples of 64 cannot meet every count; the nearest below and above are named with their counts."""
    with pytest.raises(BadInput) as caught:
        compose(["block.segments=64", "model.match=body_params", "model.match_to=200000"])
    nearest = str(caught.value).split("the nearest: ")[1].split(" and ")
    found = {}
    for words in nearest:
        width, count = words.removeprefix("model.width=").split(" -> ")
        found[float(width)] = int(count.replace(",", ""))
        assert complexity(compose(["block.segments=64", f"model.width={width}"])).body_params == found[float(width)]
    assert min(found.values()) < 200_000 < max(found.values())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.width=2", "model.match=params", "model.match_to=600000"], "set one of the two"),
        (["model.match=params"], "needs model.match_to"),
        (["model.match_to=600000"], "has no effect here"),
        (["model.match=params", "model.match_to=60"], "no width of model=xception"),
        (["model.match=params", "model.match_to=-5"], "model.match_to=-5 is not allowed"),
        (["model.match=params", "model.match_to=infinity"], "model=infinity: unknown"),
        (["model.match=params", "model.match_to=99999999999999"], "no width of model=xception"),
        (["data=imagenet", "model=inception_v3", "model.match=params", "model.match_to=600000"], "model=xception|vgg_sep has it"),
    ],
)  # fmt: skip
def test_impossible_matches_are_refused(overrides: list[str], words: str) -> None:
    """Each with what is wrong, before anything is trained."""
    with pytest.raises(BadInput) as caught:
        compose(overrides)
    assert words in str(caught.value)


def test_vgg_sep_meets_inception_v3() -> None:
    """Claim C7's preset: a stack without shortcuts, as large as Inception V3; near it in MACs too."""
    vgg, v3 = (complexity(compose(["data=imagenet", f"model={m}"])) for m in ("vgg_sep_paper", "inception_v3"))
    assert abs(vgg.params / v3.params - 1) <= TOLERANCE
    assert abs(vgg.macs / v3.macs - 1) <= 0.05
    network = build_model(compose(["data=imagenet", "model=vgg_sep_paper"]), 1000, device="meta")
    assert not any("shortcut" in name for name, _ in network.named_modules())
    assert compose(["train=paper_imagenet_inception"]).train.weight_decay == 4e-5
    assert compose(["train=paper_imagenet"]).train.weight_decay == 1e-5


def test_variant_texts() -> None:
    """A model's name alone, overrides, and quotes."""
    assert variant_overrides("inception_v3 model.form=keras") == ["model=inception_v3", "model.form=keras"]
    assert variant_overrides("block=conv 'model.match_to=a b'") == ["block=conv", "model.match_to=a b"]
    with pytest.raises(BadInput):
        variant_overrides("block='conv")


@given(
    widths=st.lists(st.integers(1, 2048), min_size=1, max_size=8),
    factors=st.tuples(st.floats(0.01, 20), st.floats(0.01, 20)),
    divisor=st.integers(1, 64),
)
@settings(deadline=None)
def test_scaled_widths(widths: list[int], factors: tuple[float, float], divisor: int) -> None:
    """Multiples of the divisor, at least one, within one multiple of the exact width, never falling as the factor grows."""
    low, high = (scale_widths(widths, f, divisor, 3) for f in sorted(factors))
    for factor, scaled in zip(sorted(factors), (low, high), strict=True):
        if factor != 1:
            assert all(s % divisor == 0 and s >= divisor for s in scaled)
            assert all(abs(s - w * factor) <= divisor for s, w in zip(scaled, widths, strict=True))
    if 1 not in factors:
        assert all(a <= b for a, b in zip(low, high, strict=True))
    assert scale_widths(widths, 1, divisor) == tuple(widths)
    assert scale_widths([128, 728], 0.5, 1) == (64, 364), "what scales exactly is not moved"


@pytest.mark.slow
def test_a_matched_sweep_leaves_records_of_equal_size(tmp_path: Path) -> None:
    """Three blocks, one size: the records hold solved width, target, count and error, within one per cent."""
    small = [o for o in SMALL if not o.startswith("model.width")]
    sweep = ["-m", "model=xception", "block=conv,inception,xception", "model.match=params", "model.match_to=600000"]
    out = cli(*sweep, "train=smoke", "wandb.mode=disabled", *small, cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    summaries = [json.loads(p.read_text()) for p in (tmp_path / "runs").glob("*/summary.json")]
    assert len(summaries) == 3
    for summary in summaries:
        match = summary["match"]
        assert (match["what"], match["target"]) == ("params", 600_000)
        assert match["count"] == summary["params"]["total"]
        assert abs(match["error"]) <= 0.01
        assert match["width"] > 0
