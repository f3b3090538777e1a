"""Every allowed combination builds and computes; sizes are what they are said to be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sepconv_lab.axes import axis_table
from sepconv_lab.compose import compose
from sepconv_lab.config import BadInput, XceptionBlockConfig, settings
from sepconv_lab.models import build_model
from sepconv_lab.models.complexity import complexity
from sepconv_lab.registry import CONFIGS

AXES = {
    "order": ["block.order=pointwise_first"],
    "mid_norm": ["block.mid_norm=true"],
    "mid_act": ["block.mid_act=relu"],
    "out_norm": ["block.out_norm=false"],
    "act": ["block.act=elu"],
    "residual": ["block.residual=false"],
    "segments": ["block.segments=4"],
    "depth_multiplier": ["block.depth_multiplier=2"],
    "kernel_size": ["block.kernel_size=5"],
}


@pytest.mark.parametrize("axis", [f.name for f, _ in settings(XceptionBlockConfig) if f.name != "name"])
def test_each_axis_changes_the_computation(axis: str) -> None:
    """In training mode, with every shared tensor equal, the logits change by more than one per cent."""
    image = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    base = build_model(compose([]), 10).train()(image)
    changed = build_model(compose(AXES[axis]), 10).train()(image)
    assert (changed - base).norm() / base.norm() > 0.01


def test_variants_share_every_tensor_that_they_have_in_common() -> None:
    """Coupled initialisation: equal names and shapes are equal tensors; another seed is another draw."""
    a = build_model(compose([]), 10).state_dict()
    b = build_model(compose(["block.mid_act=relu", "block.mid_norm=true", "block.residual=false"]), 10).state_dict()
    shared = [k for k in a if k in b and a[k].shape == b[k].shape and "conv" not in k]
    assert len(shared) > 40
    assert all(torch.equal(a[k], b[k]) for k in shared)
    other = build_model(compose(["seed=1"]), 10).state_dict()
    assert not torch.equal(a["entry.0.slots.layer1.pointwise.weight"], other["entry.0.slots.layer1.pointwise.weight"])


def test_depthwise_kernels_keep_the_variance() -> None:
    """The initialisation's promise: variance 1 / k^2 for depthwise kernels, 2 / fan-in for what precedes a rectifier."""
    state = build_model(compose(["model.width=4"]), 10).state_dict()
    for key, fan_in, gain in (("depthwise", 9, 1), ("pointwise", 512, 2)):
        weight = state[f"middle.0.slots.layer1.{key}.weight"]
        assert weight.var().item() == pytest.approx(gain / fan_in, rel=0.1)


def test_the_published_network() -> None:
    """22,855,952 trainable parameters at 1000 classes, 36 convolution layers, 14 modules (paper, Table 3 and section 3)."""
    counts = complexity(compose(["data=imagenet"]))
    assert counts.params == 22_855_952
    assert counts.macs == pytest.approx(8.357e9, rel=1e-4)
    spatial = [r for r in counts.rows if r.kind in ("conv", "depthwise") and "shortcut" not in r.name]
    assert len(spatial) == 36
    network = build_model(compose(["data=imagenet"]), 1000, device="meta")
    stem_and_top = 2
    assert stem_and_top + len(network.entry) + len(network.middle) + len(network.exit) == 14  # type: ignore[arg-type]


def test_parameters_and_macs_of_every_model_and_block(golden: Callable[[str, Any], None]) -> None:
    """The golden file of sizes: a change of any of them is on purpose."""
    found = {}
    for model, block in itertools.product(CONFIGS["model"], ("xception", "inception", "conv")):
        for size in ("lab", "paper"):
            if model == "inception_v3" and (block != "xception" or size == "lab"):
                continue
            words = [f"model={model}", "data=imagenet" if size == "paper" else "data=cifar10"]
            words += [] if model == "inception_v3" else [f"block={block}", f"model.size={size}"]
            counts = complexity(compose(words))
            found[" ".join(words)] = {"params": counts.params, "head": counts.head_params, "macs": counts.macs}
    golden("complexity", found)


@pytest.mark.parametrize(
    ("overrides", "target", "count"),
    [
        (["block=conv", "model.match=params", "model.match_to=600000"], 600_000, "params"),
        (["block=inception", "model.match=params", "model.match_to=600000"], 600_000, "params"),
        (["block.segments=4", "model.match=body_params", "model.match_to=400000"], 400_000, "body_params"),
        (["model.match=macs", "model.match_to=40000000"], 40_000_000, "macs"),
        (["model=vgg_sep", "model.match=params", "model.match_to='block=conv'"], 1_510_604, "params"),
    ],
)
def test_the_width_is_solved_to_within_one_per_cent(overrides: list[str], target: int, count: str) -> None:
    """Before any training, twice the same."""
    config = compose(overrides)
    assert abs(getattr(complexity(config), count) / target - 1) <= 0.01
    assert compose(overrides).model.width == config.model.width  # type: ignore[attr-defined]


def test_an_unreachable_size_names_the_nearest_two() -> None:
    """Widths that are multiples of 64 cannot meet every count."""
    with pytest.raises(BadInput) as caught:
        compose(["block.segments=64", "model.match=params", "model.match_to=5000"])
    assert "nearest" in str(caught.value)
    with pytest.raises(BadInput, match=r"model\.width"):
        compose(["model.width=2", "model.match=params", "model.match_to=600000"])


def test_impossible_segments_are_refused_with_what_divides() -> None:
    """7 segments of 32 channels: the message names the divisors."""
    with pytest.raises(BadInput, match="divisors of"):
        build_model(compose(["block.segments=7"]), 10)


def test_the_readme_table_is_the_declarations() -> None:
    """The axis table comes from config.py."""
    from pathlib import Path

    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert axis_table() in readme
