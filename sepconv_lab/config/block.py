"""The axes of a layer: the block that fills each layer slot of a skeleton."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

from .fields import setting


class Order(Enum):
    depthwise_first = "depthwise_first"
    pointwise_first = "pointwise_first"


class Activation(Enum):
    none = "none"
    relu = "relu"
    relu6 = "relu6"
    leaky_relu = "leaky_relu"
    elu = "elu"
    selu = "selu"
    gelu = "gelu"
    silu = "silu"
    mish = "mish"
    hardswish = "hardswish"
    tanh = "tanh"
    sigmoid = "sigmoid"


class Form(Enum):
    canonical = "canonical"
    simplified = "simplified"
    segments = "segments"
    extreme = "extreme"


@dataclass
class BlockConfig:
    """What fills each layer slot of a skeleton. A user's own block derives from this."""

    name: str = setting("", "the block's name in the registry")
    kernel_size: int = setting(3, "side of the spatial convolution", low=1, high=99, odd=True)
    out_norm: bool = setting(True, "normalisation after the layer's last operation")
    act: Activation = setting(Activation.relu, "activation around the layer: applied by the skeleton before it")
    residual: bool = setting(True, "every shortcut of the skeleton on or off")

    @property
    def width_divisor(self) -> int:
        """What every width of the skeleton has to be a multiple of."""
        return 1

    @property
    def initialisation(self) -> int:
        """Raised where a version of this code draws initial weights otherwise than the first: part of the run id unless 1."""
        return 1

    def ends_at(self, channels: int) -> bool:
        """Whether the network's last layer can end at so many channels while all others have the width that scaling gives.

        Not where channels do not divide, nor where the last operation sees many channels with a k x k kernel: the features would
        take most of a small body's parameters, and a match of parameters would take them from all other layers.
        """
        return channels % self.width_divisor == 0


@dataclass
class XceptionBlockConfig(BlockConfig):
    """A separable convolution: op1 -> [mid_norm] -> [mid_act] -> op2 -> [out_norm]."""

    name: str = setting("xception", "the block's name in the registry")
    order: Order = setting(Order.depthwise_first, "which operation comes first")
    mid_norm: bool = setting(False, "normalisation between the two operations")
    mid_act: Activation = setting(Activation.none, "non-linearity between the two operations")
    segments: Union[int, str] = setting(
        "channels", "channel segments of the spatial convolution: 1 is dense, `channels` is depthwise", low=1, high=65_536,
        words=("channels",),
    )  # fmt: skip
    depth_multiplier: int = setting(
        1,
        "depthwise first: filters per input channel; pointwise first: filtered channels summed per output",
        low=1,
        high=1024,
    )

    @property
    def width_divisor(self) -> int:
        return self.segments if isinstance(self.segments, int) else 1

    @property
    def initialisation(self) -> int:
        """2 where depthwise kernels of several filters are drawn apart from segmented ones of the same shape."""
        return 2 if self.order is Order.pointwise_first and self.depth_multiplier > 1 else 1

    def ends_at(self, channels: int) -> bool:
        return self.order is Order.depthwise_first or self.segments == "channels"


@dataclass
class InceptionBlockConfig(BlockConfig):
    """An Inception-style module on the paper's way from Figure 1 to Figure 4."""

    name: str = setting("inception", "the block's name in the registry")
    form: Form = setting(
        Form.simplified, "the paper's figure: canonical (1), simplified (2), segments (3), extreme (4)"
    )
    towers: int = setting(4, "parallel 1x1 -> kxk towers", low=1, high=1024, needs="form=simplified|segments")
    reduce: float = setting(
        1.0, "width of the 1x1 against the output", above=0, high=100, needs="form=canonical|simplified|segments"
    )
    mid_norm: bool = setting(True, "normalisation between the operations")
    mid_act: Activation = setting(Activation.relu, "non-linearity between the operations")

    @property
    def width_divisor(self) -> int:
        return {Form.canonical: 4, Form.extreme: 1}.get(self.form, self.towers)

    @property
    def initialisation(self) -> int:
        """2 where a tower can have a single output channel and several before it."""
        return 2 if self.form is Form.segments and self.reduce >= 1.5 else 1

    def ends_at(self, channels: int) -> bool:
        return self.form is Form.extreme


@dataclass
class ConvBlockConfig(BlockConfig):
    """A regular convolution: the control."""

    name: str = setting("conv", "the block's name in the registry")

    def ends_at(self, channels: int) -> bool:
        return False


def placements(block: BlockConfig | None) -> dict[str, str]:
    """What stands after each operation of a separable layer in a stack: {"after_depthwise": ..., "after_pointwise": ...}.

    Words such as "none", "norm", "norm+relu".
    `act` follows the previous layer's `out_norm`, so it belongs to the second operation. Orders can only be compared at equal
    values of these two (claim C5). Empty for blocks without the two operations.
    """
    if isinstance(block, InceptionBlockConfig) and block.form is not Form.canonical:
        first, second = "after_pointwise", "after_depthwise"
    elif isinstance(block, XceptionBlockConfig):
        first, second = "after_depthwise", "after_pointwise"
        if block.order is Order.pointwise_first:
            first, second = second, first
    else:
        return {}

    def after(norm: bool, act: Activation) -> str:
        return "+".join((["norm"] if norm else []) + ([act.name] if act is not Activation.none else [])) or "none"

    return {first: after(block.mid_norm, block.mid_act), second: after(block.out_norm, block.act)}
