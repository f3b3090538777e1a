"""The literal Inception V3 (Szegedy et al. 2016) in the three forms that published parameter counts go back to.

One table of branches for all forms: the network, the order of Keras's layers and the names of PyTorch's are read off it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import InceptionV3Config, InceptionV3Form
from ..config.registry import register
from .layers import AvgPool2d, Conv2d, Conventions, MaxPool2d, ShiftNorm2d
from .skeleton import Head, conventions_of


@dataclass(frozen=True)
class Unit:
    """One convolution with its normalisation and ReLU: output channels, kernel (rows, columns), stride."""

    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    valid: bool = False


@dataclass(frozen=True)
class BranchPlan:
    """[pool ->] units one after another [-> two units side by side, concatenated]. `name` as torchvision has it."""

    name: str
    units: tuple[Unit, ...] = ()
    fan: tuple[Unit, ...] = ()
    pool: str = ""


def _square(width: int, side: int, stride: int = 1) -> Unit:
    return Unit(width, (side, side), stride, valid=stride > 1)


STEM: tuple[Unit, ...] = (
    Unit(32, (3, 3), 2, valid=True),
    Unit(32, (3, 3), valid=True),
    Unit(64, (3, 3)),
    Unit(80, valid=True),
    Unit(192, (3, 3), valid=True),
)
STEM_POOLS = (3, 5)
"""A 3x3 max-pool with stride 2 stands after these stem convolutions, counted from one."""


def plan(form: InceptionV3Form) -> list[list[BranchPlan]]:
    """The branches of mixed0 ... mixed10, in the order of concatenation.

    The `paper` form is the first Keras port's: pool branches of 32 channels throughout, a narrower first 1x1 in mixed7's
    long tower, an average pool in mixed8.
    """
    first_port = form is InceptionV3Form.paper
    fan = (Unit(384, (1, 3)), Unit(384, (3, 1)))

    def at_35(pooled: int) -> list[BranchPlan]:
        return [
            BranchPlan("branch1x1", (Unit(64),)),
            BranchPlan("branch5x5", (Unit(48), _square(64, 5))),
            BranchPlan("branch3x3dbl", (Unit(64), _square(96, 3), _square(96, 3))),
            BranchPlan("branch_pool", (Unit(pooled),), pool="avg"),
        ]

    def at_17(width: int, long_first: int | None = None) -> list[BranchPlan]:
        row, column = Unit(width, (1, 7)), Unit(width, (7, 1))
        return [
            BranchPlan("branch1x1", (Unit(192),)),
            BranchPlan("branch7x7", (Unit(width), row, Unit(192, (7, 1)))),
            BranchPlan("branch7x7dbl", (Unit(long_first or width), column, row, column, Unit(192, (1, 7)))),
            BranchPlan("branch_pool", (Unit(192),), pool="avg"),
        ]

    to_17 = [
        BranchPlan("branch3x3", (_square(384, 3, 2),)),
        BranchPlan("branch3x3dbl", (Unit(64), _square(96, 3), _square(96, 3, 2))),
        BranchPlan("branch_pool", pool="max"),
    ]
    to_8 = [
        BranchPlan("branch3x3", (Unit(192), _square(320, 3, 2))),
        BranchPlan("branch7x7x3", (Unit(192), Unit(192, (1, 7)), Unit(192, (7, 1)), _square(192, 3, 2))),
        BranchPlan("branch_pool", pool="avg_valid" if first_port else "max"),
    ]
    at_8 = [
        BranchPlan("branch1x1", (Unit(320),)),
        BranchPlan("branch3x3", (Unit(384),), fan),
        BranchPlan("branch3x3dbl", (Unit(448), _square(384, 3)), fan),
        BranchPlan("branch_pool", (Unit(192),), pool="avg"),
    ]
    pooled = (32, 32, 32) if first_port else (32, 64, 64)
    modules = [*map(at_35, pooled), to_17, at_17(128), at_17(160), at_17(160), at_17(192, 160 if first_port else None)]
    return [*modules, to_8, at_8, at_8]


class ConvUnit(nn.Sequential):
    """Convolution -> norm -> ReLU. In the `paper` form, as in the first Keras port: with bias, and ReLU before the norm."""

    def __init__(self, in_channels: int, unit: Unit, form: InceptionV3Form, conventions: Conventions):
        super().__init__()
        first_port = form is InceptionV3Form.paper
        self.conv = Conv2d(
            in_channels,
            unit.width,
            unit.kernel,
            unit.stride,
            bias=first_port,
            valid=unit.valid,
            conventions=conventions,
        )
        norm: nn.Module = conventions.norm(unit.width)
        if form is InceptionV3Form.keras:
            norm = ShiftNorm2d(unit.width, eps=conventions.norm_eps, momentum=conventions.norm_momentum)
        for name, layer in (("act", nn.ReLU()), ("norm", norm)) if first_port else (("norm", norm), ("act", nn.ReLU())):
            self.add_module(name, layer)


class Parallel(nn.Module):
    """Parts side by side on the same input, concatenated along the channels."""

    def __init__(self, parts: dict[str, nn.Module]):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.children()], 1)


def _branch(
    in_channels: int, branch: BranchPlan, form: InceptionV3Form, conventions: Conventions
) -> tuple[nn.Sequential, int]:
    """The branch and its output channels."""
    made, channels = nn.Sequential(), in_channels
    if branch.pool == "max":
        made.add_module("pool", MaxPool2d(3, 2, valid=True))
    elif branch.pool:
        valid = branch.pool == "avg_valid"
        made.add_module("pool", AvgPool2d(3, 2 if valid else 1, valid=valid, conventions=conventions))
    for i, unit in enumerate(branch.units, 1):
        made.add_module(f"unit{i}", ConvUnit(channels, unit, form, conventions))
        channels = unit.width
    if branch.fan:
        fan: dict[str, nn.Module] = {
            letter: ConvUnit(channels, unit, form, conventions) for letter, unit in zip("ab", branch.fan, strict=True)
        }
        made.add_module(f"unit{len(branch.units) + 1}", Parallel(fan))
        channels = sum(unit.width for unit in branch.fan)
    return made, channels


@register(InceptionV3Config)
class InceptionV3(nn.Module):
    """stem -> mixed0 ... mixed10 -> head. Maps (N, 3, S, S) images, S >= 75, to logits (N, num_classes).

    Without the auxiliary tower, as in the paper (section 4.3). Trainable parameters at 1000 classes: form `paper` 23,626,728
    (Table 3), `keras` 23,817,352 (normalisation without scale), `torch` 23,834,568.
    """

    def __init__(self, config: InceptionV3Config, num_classes: int):
        super().__init__()
        conventions, form = conventions_of(config), config.form
        assert config.dropout is not None
        channels = 3
        self.stem = nn.Sequential()
        for i, unit in enumerate(STEM, 1):
            self.stem.add_module(f"unit{i}", ConvUnit(channels, unit, form, conventions))
            channels = unit.width
            if i in STEM_POOLS:
                self.stem.add_module(f"pool{i}", MaxPool2d(3, 2, valid=True))
        self.mixed = nn.Sequential()
        for number, branches in enumerate(plan(form)):
            made = {branch.name: _branch(channels, branch, form, conventions) for branch in branches}
            self.mixed.add_module(str(number), Parallel({name: branch for name, (branch, _) in made.items()}))
            channels = sum(width for _, width in made.values())
        self.head = Head(
            channels, num_classes, fc_layers=config.fc_layers, fc_width=config.fc_width, dropout=config.dropout
        )

    def features(self, x: Tensor) -> Tensor:
        """The feature map before pooling, (N, 2048, H, W)."""
        return self.mixed(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))
