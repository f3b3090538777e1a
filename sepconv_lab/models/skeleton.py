"""What skeletons share: a slot's activation and block, the modules between pools, the classifier head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from ..config import PUBLISHED, BlockConfig, ModelConfig, SkeletonConfig, Stem
from ..config.registry import builder
from .layers import ACTIVATIONS, Conv2d, Conventions, MaxPool2d, SeparableConv2d

GOLDEN = (5**0.5 - 1) / 2
"""The golden ratio's fraction: its multiples modulo 1 spread evenly over [0, 1)."""


def conventions_of(model: ModelConfig) -> Conventions:
    """The network's padding and normalisation conventions from a complete config."""
    assert model.padding is not None
    assert model.norm_eps is not None
    assert model.norm_momentum is not None
    return Conventions(model.padding, model.norm_eps, model.norm_momentum)


def features_of(model: SkeletonConfig, published: int) -> int | None:
    """The channels that `model.features` asks for; None: what scaling gives. published: the size's own, at a width of 1."""
    return published if model.features == PUBLISHED else cast(int | None, model.features)


class ConvStem(nn.Sequential):
    """(convolution -> norm -> ReLU) for each width, the first with the stride; regular, or separable with fixed axes."""

    def __init__(self, widths: Sequence[int], stride: int, kind: Stem, valid: bool, conventions: Conventions):
        super().__init__()
        channels = 3
        for i, width in enumerate(widths, 1):
            if kind is Stem.conv:
                conv: nn.Module = Conv2d(channels, width, 3, stride, valid=valid, conventions=conventions)
            else:
                conv = SeparableConv2d(channels, width, 3, stride, out_norm=False, conventions=conventions)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"norm{i}", conventions.norm(width))
            self.add_module(f"act{i}", nn.ReLU())
            channels, stride = width, 1


class Slots(nn.Sequential):
    """[act] -> block -> act -> block ... [-> 1x1 -> norm]: one block for each width; the leading activation can be left out.

    features: channels at which the last block is to end, instead of its width. Where it cannot (`BlockConfig.ends_at`) it keeps
    its width, and a 1x1 leads from there to the features. There is no activation between, so that the number of non-linear
    layers is the same for every block.
    """

    def __init__(
        self,
        block: BlockConfig,
        in_channels: int,
        widths: Sequence[int],
        conventions: Conventions,
        leading_act: bool = True,
        features: int | None = None,
    ):
        super().__init__()
        if features is not None and block.ends_at(features):
            widths, features = (*widths[:-1], features), None
        for i, width in enumerate(widths):
            if i or leading_act:
                self.add_module(f"act{i + 1}", ACTIVATIONS[block.act]())
            self.add_module(f"layer{i + 1}", builder(block)(block, in_channels, width, conventions))
            in_channels = width
        if features is not None:
            self.features = Conv2d(in_channels, features, 1)
            if block.out_norm:
                self.features_norm = conventions.norm(features)
        self.out_channels = in_channels if features is None else features


class Module(nn.Module):
    """Slots -> [max-pool, stride 2], plus a shortcut: identity, or a 1x1 convolution with BN where the shape changes (Figure 5)."""

    def __init__(
        self,
        block: BlockConfig,
        in_channels: int,
        widths: Sequence[int],
        conventions: Conventions,
        *,
        pool: bool,
        leading_act: bool = True,
    ):
        super().__init__()
        self.slots = Slots(block, in_channels, widths, conventions, leading_act)
        self.pool = MaxPool2d(3, 2, conventions=conventions) if pool else nn.Identity()
        self.shortcut: nn.Module | None = None
        if block.residual and (pool or in_channels != widths[-1]):
            conv = Conv2d(in_channels, widths[-1], 1, 2 if pool else 1)
            self.shortcut = nn.Sequential()
            self.shortcut.add_module("conv", conv)
            self.shortcut.add_module("norm", conventions.norm(widths[-1]))
        elif block.residual:
            self.shortcut = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.pool(self.slots(x))
        return out if self.shortcut is None else out + self.shortcut(x)


class Head(nn.Sequential):
    """Global average pooling -> [FC -> ReLU] x fc_layers -> [dropout] -> logits. Maps (N, C, H, W) to (N, classes)."""

    def __init__(self, in_channels: int, num_classes: int, *, fc_layers: int, fc_width: int, dropout: float):
        super().__init__()
        self.in_channels = in_channels
        self.pool = GlobalAveragePool()
        for i in range(fc_layers):
            self.add_module(f"fc{i + 1}", nn.Linear(in_channels, fc_width))
            self.add_module(f"fc{i + 1}_act", nn.ReLU())
            in_channels = fc_width
        if dropout:
            self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(in_channels, num_classes)


class GlobalAveragePool(nn.Module):
    """(N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def scale_widths(widths: Sequence[int], factor: float, divisor: int, first: int = 0) -> tuple[int, ...]:
    """Widths times factor, each rounded to a multiple of divisor, at least one. The factor 1 leaves them as they are.

    A width between two multiples goes up at a threshold of its own, spread by its place in the network (`first` is that of
    widths[0]). So counts grow in small steps as the factor grows, also where equal widths repeat, and a size can be matched.
    """
    if factor == 1:
        return tuple(widths)

    def scaled(place: int, width: int) -> int:
        threshold = (0.5 + place * GOLDEN) % 1
        return max(1, int(width * factor / divisor + threshold + 1e-9)) * divisor

    return tuple(scaled(first + i, width) for i, width in enumerate(widths))
