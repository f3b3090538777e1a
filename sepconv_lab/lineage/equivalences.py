"""Modules that compute the same: conversions along the paper's Figures 2-4, and what a layer is as one convolution.

A conversion takes a block's config and module and gives those of the equivalent block; outputs, gradients and BatchNorm
state agree in training and evaluation mode. docs/lineage.md states each with the test that holds it.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..config import Activation, BadInput, Form, InceptionBlockConfig, Order, Padding, XceptionBlockConfig
from ..config.registry import builder
from ..models.blocks import InceptionTowers, XceptionBlock
from ..models.layers import ACTIVATIONS, Conventions, SeparableConv2d
from .__main__ import in_axes

# --- Figure 2 -> 3 -> 4 -> axes ---------------------------------------------------------------------------------------


def figure2_to_figure3(
    config: InceptionBlockConfig, module: InceptionTowers
) -> tuple[InceptionBlockConfig, SeparableConv2d]:
    """G towers of 1x1 -> kxk: one wide 1x1, then a convolution on G channel segments. Norm and activation act per channel."""
    _expect(config, Form.simplified)
    made = dataclasses.replace(config, form=Form.segments)
    in_channels = _convolution(module.towers[0], "conv1").in_channels
    out_channels = len(module.towers) * _convolution(module.towers[0], "conv2").out_channels
    return made, _like(module, made, in_channels, out_channels, towers_to_segments(module.state_dict()))


def towers_to_segments(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Figure 2's tensors (weights, BatchNorm state, or gradients by the same names) in Figure 3's shapes and names."""
    found: dict[str, list[Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("towers."):
            _, _, layer, field = name.split(".")
            name = {"conv1": "pointwise", "conv2": "depthwise", "mid_norm1": "mid_norm"}[layer] + "." + field
        found.setdefault(name, []).append(tensor)
    # Counters of batches are the same in all towers.
    return {name: torch.cat(parts) if parts[0].ndim else parts[0] for name, parts in found.items()}


def figure3_to_figure4(
    config: InceptionBlockConfig, module: SeparableConv2d
) -> tuple[InceptionBlockConfig, SeparableConv2d]:
    """With as many segments as channels, one kxk on each channel of the 1x1. Raises BadInput where segments hold more than one."""
    _expect(config, Form.segments)
    depthwise = _convolution(module, "depthwise")
    if not config.towers == depthwise.in_channels == depthwise.out_channels:
        raise BadInput(
            f"{config.towers} segments of {depthwise.in_channels} -> {depthwise.out_channels} channels are not Figure 4: "
            "it has one segment for each channel"
        )
    made = dataclasses.replace(config, form=Form.extreme)
    return made, _like(
        module, made, _convolution(module, "pointwise").in_channels, depthwise.out_channels, module.state_dict()
    )


def to_xception(config: InceptionBlockConfig, module: nn.Module) -> tuple[XceptionBlockConfig, XceptionBlock]:
    """The spelling in the axes of Figure 2, 3 or 4: `order=pointwise_first` with the block's segments, mid norm and activation.

    Raises BadInput where the axes have none (`lineage.in_axes`).
    """
    made = in_axes(config)
    if isinstance(module, InceptionTowers):
        config, module = figure2_to_figure3(config, module)
    assert isinstance(module, SeparableConv2d)
    channels = _convolution(module, "pointwise").in_channels, _convolution(module, "depthwise").out_channels
    block = _like(module, made, *channels, module.state_dict())
    assert isinstance(block, XceptionBlock)
    return made, block


# --- the order of the two operations ----------------------------------------------------------------------------------


def rebracket(layers: Sequence[SeparableConv2d], act: Activation) -> nn.Sequential:
    """A stack of depthwise-first layers, each followed by `act`, as pointwise-first layers between two boundary operations.

    With D and P the two operations and s = [out_norm] -> act: D P s  D P s ... D P s = D  (P s D) ... (P s D)  P s (claim C5).
    The inner layers are pointwise first with s between their operations and nothing after. Weights are copied, widths, strides and
    conventions of padding may differ. Raises BadInput unless every layer is depthwise first with nothing between its operations.
    """
    for layer in layers:
        if next(iter(layer)) is not layer.get_submodule("depthwise"):
            raise BadInput("rebracket: a layer is pointwise first already")
        _nothing_between(layer)
    stack = nn.Sequential()
    stack.add_module("first", copy.deepcopy(layers[0].get_submodule("depthwise")))
    for i, (layer, following) in enumerate(itertools.pairwise(layers), 1):
        depthwise, pointwise = _convolution(following, "depthwise"), _convolution(layer, "pointwise")
        made = SeparableConv2d(
            pointwise.in_channels,
            depthwise.out_channels,
            depthwise.kernel_size[0],
            depthwise.stride[0],
            order=Order.pointwise_first,
            mid_norm=hasattr(layer, "out_norm"),
            mid_act=act,
            out_norm=False,
            segments=depthwise.groups,
            depth_multiplier=depthwise.in_channels / depthwise.out_channels,
            conventions=dataclasses.replace(_conventions(layer), padding=_padding(depthwise)),
        )
        state = {f"pointwise.{k}": v for k, v in pointwise.state_dict().items()}
        state |= {f"depthwise.{k}": v for k, v in depthwise.state_dict().items()}
        if hasattr(layer, "out_norm"):
            state |= {f"mid_norm.{k}": v for k, v in layer.get_submodule("out_norm").state_dict().items()}
        stack.add_module(f"layer{i}", _loaded(made, layer, state))
    ending = [copy.deepcopy(m) for name, m in layers[-1].named_children() if name != "depthwise"]
    stack.add_module("last", nn.Sequential(*ending, ACTIVATIONS[act]()))
    return stack


# --- one layer as a dense convolution ---------------------------------------------------------------------------------


def dense_kernel(layer: SeparableConv2d) -> Tensor:
    """The kernel (N, M, k, k) of the regular convolution that equals a layer with nothing between its operations.

    For either order, any depth multiplier and number of segments; `out_norm` stays outside. Raises BadInput where a norm or an
    activation stands between the operations: such a layer is no convolution.
    """
    _nothing_between(layer)
    depthwise, pointwise = _convolution(layer, "depthwise"), _convolution(layer, "pointwise")
    spatial, mixing = _ungrouped(depthwise), pointwise.weight[:, :, 0, 0]
    if next(iter(layer)) is depthwise:
        return torch.einsum("nj,jmab->nmab", mixing, spatial)
    return torch.einsum("njab,jm->nmab", spatial, mixing)


def _ungrouped(conv: nn.Conv2d) -> Tensor:
    """A grouped convolution's kernel (O, I, k, k) with zeros where a segment sees nothing."""
    weight, groups = conv.weight, conv.groups
    blocks = weight.reshape(groups, -1, *weight.shape[1:])
    place = torch.eye(groups, dtype=weight.dtype, device=weight.device)
    return torch.einsum("goiab,gh->gohiab", blocks, place).reshape(
        conv.out_channels, conv.in_channels, *weight.shape[2:]
    )


# --- small things -----------------------------------------------------------------------------------------------------


def _expect(config: InceptionBlockConfig, form: Form) -> None:
    if config.form is not form:
        raise BadInput(f"this conversion starts from block.form={form.name}, not {config.form.name}")


def _nothing_between(layer: SeparableConv2d) -> None:
    between = [name for name, _ in layer.named_children() if name.startswith("mid_")]
    if between:
        raise BadInput(f"{' and '.join(between)} between the operations: the layer is not one convolution")


def _convolution(layer: nn.Module, name: str) -> nn.Conv2d:
    found = layer.get_submodule(name)
    assert isinstance(found, nn.Conv2d)
    return found


def _conventions(module: nn.Module) -> Conventions:
    norm = next((m for m in module.modules() if isinstance(m, nn.BatchNorm2d)), None)
    if norm is None or norm.momentum is None:
        return Conventions()
    return Conventions(norm_eps=norm.eps, norm_momentum=norm.momentum)


def _padding(conv: nn.Conv2d) -> Padding:
    """The convention by which a convolution pads; where its stride is 1 both are the same."""
    return Padding.tf if getattr(conv, "pad_first", False) else Padding.symmetric


def _like(
    source: nn.Module,
    config: InceptionBlockConfig | XceptionBlockConfig,
    in_channels: int,
    out_channels: int,
    state: Mapping[str, Tensor],
) -> SeparableConv2d:
    made = builder(config)(config, in_channels, out_channels, _conventions(source))
    assert isinstance(made, SeparableConv2d)
    return _loaded(made, source, state)


def _loaded(made: SeparableConv2d, source: nn.Module, state: Mapping[str, Tensor]) -> SeparableConv2d:
    """`made` with the given tensors, in the source's precision, place and mode."""
    made.to(next(source.parameters())).load_state_dict(state)
    return made.train(source.training)
