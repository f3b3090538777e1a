"""The blocks that fill a skeleton's layer slots: each maps (N, in, H, W) to (N, out, H, W).

The Inception family walks the paper's section 1: Figure 1 (canonical), Figure 2 (simplified), Figure 3 (segments of one wide
1x1), Figure 4 (extreme). From Figure 3 on it *is* a pointwise-first separable convolution.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Activation, BadInput, ConvBlockConfig, Form, InceptionBlockConfig, Order, XceptionBlockConfig
from ..config.registry import register
from .layers import ACTIVATIONS, Conv2d, Conventions, SeparableConv2d


@register(XceptionBlockConfig)
class XceptionBlock(SeparableConv2d):
    """A separable convolution with every axis of its config."""

    def __init__(self, config: XceptionBlockConfig, in_channels: int, out_channels: int, conventions: Conventions):
        super().__init__(
            in_channels,
            out_channels,
            config.kernel_size,
            order=config.order,
            mid_norm=config.mid_norm,
            mid_act=config.mid_act,
            out_norm=config.out_norm,
            segments=config.segments,
            depth_multiplier=config.depth_multiplier,
            conventions=conventions,
        )


@register(ConvBlockConfig)
class ConvBlock(nn.Sequential):
    """A regular convolution: the control."""

    def __init__(self, config: ConvBlockConfig, in_channels: int, out_channels: int, conventions: Conventions):
        super().__init__()
        self.conv = Conv2d(in_channels, out_channels, config.kernel_size)
        if config.out_norm:
            self.out_norm = conventions.norm(out_channels)


class Tower(nn.Sequential):
    """Convolutions of the given kernel sizes and widths; between them [mid_norm] -> [mid_act]."""

    def __init__(
        self, config: InceptionBlockConfig, in_channels: int, plan: list[tuple[int, int]], conventions: Conventions
    ):
        super().__init__()
        for i, (kernel_size, channels) in enumerate(plan):
            if i and config.mid_norm:
                self.add_module(f"mid_norm{i}", conventions.norm(in_channels))
            if i and config.mid_act is not Activation.none:
                self.add_module(f"mid_act{i}", ACTIVATIONS[config.mid_act]())
            self.add_module(f"conv{i + 1}", Conv2d(in_channels, channels, kernel_size))
            in_channels = channels


class InceptionTowers(nn.Module):
    """Figures 1 and 2: parallel towers on the same input, concatenated -> [out_norm].

    Figure 1 (canonical): 1x1; 1x1, kxk; average pool, kxk; 1x1, kxk, kxk. Figure 2 (simplified): G towers of 1x1, kxk.
    Towers share the output evenly; a 1x1 before a kxk has `reduce` times its tower's width.
    """

    def __init__(self, config: InceptionBlockConfig, in_channels: int, out_channels: int, conventions: Conventions):
        super().__init__()
        canonical, k = config.form is Form.canonical, config.kernel_size
        towers = 4 if canonical else config.towers
        if out_channels % towers:
            raise BadInput(f"{towers} towers do not divide {out_channels} output channels")
        share, reduced = out_channels // towers, _reduced(config, out_channels // towers)
        plans = [[(1, reduced), (k, share)]] * towers
        if canonical:
            plans = [[(1, share)], plans[0], [(k, share)], [(1, reduced), (k, share), (k, share)]]
        self.towers = nn.ModuleList(Tower(config, in_channels, plan, conventions) for plan in plans)
        self.pooled = 2 if canonical else None
        self.out_norm = conventions.norm(out_channels) if config.out_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for i, tower in enumerate(self.towers):
            # TensorFlow and the paper leave the padding out of the average; at stride 1 this is the only convention.
            source = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if i == self.pooled else x
            parts.append(tower(source))
        return self.out_norm(torch.cat(parts, 1))


def _reduced(config: InceptionBlockConfig, tower_width: int) -> int:
    """Channels of the 1x1 before a tower's kxk."""
    return max(1, round(config.reduce * tower_width))


@register(InceptionBlockConfig)
def inception_block(
    config: InceptionBlockConfig, in_channels: int, out_channels: int, conventions: Conventions
) -> nn.Module:
    """The module of the figure that `config.form` names. Figures 3 and 4 are pointwise-first separable convolutions."""
    if config.form in (Form.canonical, Form.simplified):
        return InceptionTowers(config, in_channels, out_channels, conventions)
    extreme = config.form is Form.extreme
    share = out_channels // config.towers  # towers that do not divide are refused by SeparableConv2d
    axes: dict[str, Any] = dict(order=Order.pointwise_first, mid_norm=config.mid_norm, mid_act=config.mid_act)
    return SeparableConv2d(
        in_channels,
        out_channels,
        config.kernel_size,
        **axes,
        out_norm=config.out_norm,
        segments="channels" if extreme else config.towers,
        depth_multiplier=1 if extreme else _reduced(config, share) / max(1, share),
        conventions=conventions,
    )
