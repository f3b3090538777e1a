"""Every combination of the block axes trains, and every axis changes what is computed. Both are derived from the schema."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
import torch
from torch import Tensor

from sepconv_lab.compose import compose
from sepconv_lab.config import (
    Activation,
    BadInput,
    BlockConfig,
    ConvBlockConfig,
    InceptionBlockConfig,
    XceptionBlockConfig,
    default_of,
    plain,
    settings,
)
from sepconv_lab.config.identity import identity
from sepconv_lab.models import build_model
from sepconv_lab.models.layers import Conventions
from sepconv_lab.models.skeleton import Module

BLOCKS: dict[str, type[BlockConfig]] = {
    "xception": XceptionBlockConfig,
    "inception": InceptionBlockConfig,
    "conv": ConvBlockConfig,
}
NUMBERS: dict[str, list[Any]] = {
    "segments": [1, 2, 4, "channels"],
    "kernel_size": [1, 5],
    "depth_multiplier": [2],
    "towers": [2, 8],
    "reduce": [0.5, 2.0],
}
"""Values of the axes whose type does not list them."""
GRID = ("order", "mid_norm", "mid_act", "out_norm", "act", "residual", "segments")


def values(block: str) -> dict[str, list[Any]]:
    """Every axis of a block with its values."""
    found = {}
    for f, kind in settings(BLOCKS[block]):
        if isinstance(kind, type) and issubclass(kind, Enum):
            found[f.name] = list(kind)
        elif f.name != "name":
            found[f.name] = [False, True] if kind is bool else NUMBERS[f.name]
    return found


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_every_combination_of_axes_trains(block: str) -> None:
    """Order, mid_norm, mid_act, out_norm, act, residual and segments in {1, 2, 4, channels}, all with all: a module of the
    skeleton (two layers, pool, shortcut) runs forward and backward, with a finite gradient for every parameter."""
    axes = {name: options for name, options in values(block).items() if name in GRID}
    assert set(axes) == {"xception": set(GRID), "inception": set(GRID) - {"order", "segments"}}.get(
        block, {"out_norm", "act", "residual"}
    )
    image = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    for combination in itertools.product(*axes.values()):
        config = BLOCKS[block](**dict(zip(axes, combination, strict=True)))
        module = Module(config, 4, (8, 8), Conventions(), pool=True)
        out = module(image)
        assert out.shape == (2, 8, 3, 3)
        out.square().mean().backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, (config, name)
            assert parameter.grad.isfinite().all(), (config, name)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["xception", "vgg_sep"])
def test_skeletons_train_with_every_block(model: str) -> None:
    """The same for whole skeletons from the command line's words; activations reduced to ReLU, in the middle also none."""
    image = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for block in BLOCKS:
        axes = {name: options for name, options in values(block).items() if name in (*GRID, "form")}
        axes["act"] = [Activation.relu]
        if "mid_act" in axes:
            axes["mid_act"] = [Activation.none, Activation.relu]
        if model == "vgg_sep":
            del axes["residual"]
        for combination in itertools.product(*axes.values()):
            words = [f"block.{k}={str(plain(v)).lower()}" for k, v in zip(axes, combination, strict=True)]
            network = build_model(compose([f"model={model}", f"block={block}", "model.width=0.125", *words]), 4)
            network(image).square().mean().backward()
            for parameter_name, parameter in network.named_parameters():
                assert parameter.grad is not None, (words, parameter_name)
                assert parameter.grad.isfinite().all(), (words, parameter_name)


def logits(overrides: list[str], image: Tensor) -> Tensor:
    with torch.no_grad():
        return build_model(compose([*overrides, "model.width=0.25"]), 10).train()(image)


def changes() -> Iterator[Any]:
    """(block, axis, value) for each value of each axis other than the default."""
    for block in BLOCKS:
        fields = {f.name: f for f, _ in settings(BLOCKS[block])}
        for axis, options in values(block).items():
            for value in options:
                if value != default_of(fields[axis]):
                    yield pytest.param(block, axis, str(plain(value)).lower(), id=f"{block}-{axis}-{plain(value)}")


NEAR_RELU = {"leaky_relu", "relu6"}
"""They differ from ReLU below zero by 1 %, and above 6: layers with a norm seldom let that through."""


@pytest.mark.parametrize(("block", "axis", "value"), changes())
def test_each_value_of_each_axis_changes_the_computation(block: str, axis: str, value: str) -> None:
    """In training mode, from the block's defaults and with every shared tensor equal, logits change by more than 1 %.

    Two activations that are almost ReLU need only be distinguishable from it.
    """
    near = value in NEAR_RELU and (axis, block) != ("mid_act", "xception")  # whose default is none
    image = torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * (100 if near else 1)
    base = [f"block={block}", *(["block.out_norm=false"] if near else [])]
    base += ["block.mid_norm=false"] if near and axis == "mid_act" else []
    expected, found = logits(base, image), logits([*base, f"block.{axis}={value}"], image)
    assert (found - expected).norm() > (0.001 if near else 0.01) * expected.norm()


def test_mid_norm_before_depthwise_kernels_shows_only_at_the_border() -> None:
    """Why an axis can vanish: between a 1x1 and a depthwise convolution with nothing else, a norm scales and shifts each
    channel, which the norm after the layer undoes, but for the padding that the shift makes visible."""
    from sepconv_lab.config import Order
    from sepconv_lab.models.layers import SeparableConv2d, initialise

    x = torch.randn(8, 6, 12, 12, generator=torch.Generator().manual_seed(0)) + 1
    outputs = []
    for mid_norm in (False, True):
        layer = SeparableConv2d(6, 6, order=Order.pointwise_first, mid_norm=mid_norm, out_norm=False)
        initialise(layer, 0)
        outputs.append(layer(x)[:, :, 1:-1, 1:-1])
    plain_out, normed = (torch.nn.functional.batch_norm(o, None, None, training=True) for o in outputs)
    assert torch.allclose(plain_out, normed, atol=1e-3)


def test_impossible_segments_are_refused_with_what_divides() -> None:
    """Segments that do not divide the channels: the message names the divisors."""
    with pytest.raises(BadInput, match="divisors of 32"):
        build_model(compose(["block.segments=7"]), 10, device="meta")


def test_variants_share_every_tensor_that_they_have_in_common() -> None:
    """Coupled initialisation: equal names and shapes are equal tensors; another seed is another draw."""
    a = build_model(compose(["model.width=0.5"]), 10).state_dict()
    variant = [
        "block.mid_act=relu",
        "block.mid_norm=true",
        "block.residual=false",
        "block.segments=4",
        "model.width=0.5",
    ]
    b = build_model(compose(variant), 10).state_dict()
    shared = [k for k in a if k in b and a[k].shape == b[k].shape]
    assert sum("pointwise" in k for k in shared) > 8
    assert all(torch.equal(a[k], b[k]) for k in shared)
    other = build_model(compose(["seed=1", "model.width=0.5"]), 10).state_dict()
    key = "entry.0.slots.layer1.pointwise.weight"
    assert not torch.equal(a[key], other[key])


def test_kernels_of_another_kind_are_drawn_apart() -> None:
    """Of equal name and shape, but one filter bank for a channel and one for a segment: neither is the other times a factor.
    Depthwise kernels of one filter, the only ones of their shape, are drawn as they always were."""
    base = ["block.order=pointwise_first", "model.width=0.5"]
    kinds = [["block.segments=16", "block.depth_multiplier=2"], ["block.depth_multiplier=4"], ["block.segments=1"]]
    states = [build_model(compose([*base, *kind]), 10).state_dict() for kind in kinds]
    key = "entry.0.slots.layer1.depthwise.weight"  # 16 -> 32 channels: in one a bank of four for two outputs, in the other for one
    segmented, depthwise = states[0][key], states[1][key]
    assert segmented.shape == depthwise.shape == (32, 4, 3, 3)
    assert abs(torch.corrcoef(torch.stack([segmented.flatten(), depthwise.flatten()]))[0, 1]) < 0.2
    generator = torch.Generator().manual_seed(
        int.from_bytes(hashlib.sha256(f"0/{key.removesuffix('.weight')}/{(32, 4, 3, 3)}".encode()).digest()[:7], "big")
    )
    assert torch.equal(segmented, torch.randn(32, 4, 3, 3, generator=generator) * (2 / 36) ** 0.5)
    ids = [identity(compose([*base, *kind]), "") for kind in [*kinds, []]]
    assert ["block.initialisation" in found for found in ids] == [True, True, False, False]


def test_initialisation_keeps_the_variance() -> None:
    """Variance 1 / fan-in for depthwise kernels, after which nothing need follow, 2 / fan-in for what precedes a rectifier."""
    state = build_model(compose(["model.width=4"]), 10).state_dict()
    for key, fan_in, gain in (("depthwise", 9, 1), ("pointwise", 512, 2)):
        weight = state[f"middle.0.slots.layer1.{key}.weight"]
        assert weight.var().item() == pytest.approx(gain / fan_in, rel=0.1)
