"""Skeletons with slots for blocks, and literal networks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Optional, Union

from .fields import setting

PUBLISHED = "published"
"""`model.features` as the size has them at a width of 1."""


class Size(Enum):
    auto = "auto"
    paper = "paper"
    lab = "lab"


class Stem(Enum):
    conv = "conv"
    separable = "separable"


class Padding(Enum):
    tf = "tf"
    symmetric = "symmetric"


class Match(Enum):
    none = "none"
    params = "params"
    body_params = "body_params"
    macs = "macs"


class InceptionV3Form(Enum):
    paper = "paper"
    keras = "keras"
    torch = "torch"


PAPER_CONVENTIONS: dict[str, Any] = dict(dropout=0.5, padding=Padding.tf, norm_eps=1e-3, norm_momentum=0.01)
LAB_CONVENTIONS: dict[str, Any] = dict(dropout=0.0, padding=Padding.symmetric, norm_eps=1e-5, norm_momentum=0.1)


@dataclass
class ModelConfig:
    """A skeleton with slots for blocks, or a literal network. A user's own skeleton derives from this."""

    name: str = setting("", "the model's name in the registry")
    dropout: Optional[float] = setting(None, "dropout before the logits (empty: the size's own)", low=0, high=0.99)
    padding: Optional[Padding] = setting(
        None, "what `same` padding means where a stride is involved (empty: the size's own)"
    )
    norm_eps: Optional[float] = setting(None, "BatchNorm epsilon (empty: the size's own)", above=0, high=1.0)
    norm_momentum: Optional[float] = setting(
        None, "BatchNorm momentum as PyTorch counts it (empty: the size's own)", above=0, high=1
    )
    weights: Optional[str] = setting(
        None, "file of initial weights; its content is part of the identity", identity=False
    )

    has_block: ClassVar[bool] = True
    absent_axes: ClassVar[tuple[str, ...]] = ()
    """Axes of the block group that this skeleton has no use for; they are refused."""
    SIZES: ClassVar[dict[Size, dict[str, Any]]] = {}
    """What an empty (None) field becomes at each size."""


@dataclass
class SkeletonConfig(ModelConfig):
    """A skeleton whose width can be scaled and matched."""

    size: Size = setting(
        Size.auto, "`paper`: the published network; `lab`: for small images; `auto`: paper from 71 pixels up"
    )
    width: float = setting(
        1.0, "channels of every layer against the size's own; solved when `model.match` is set", above=0, high=100
    )
    features: Optional[Union[int, str]] = setting(
        None, "channels that feed the classifier whatever the width: `published`, the size's own, or a number (empty: what scaling "
        "gives)", low=1, high=65_536, words=(PUBLISHED,), neutral=None,
    )  # fmt: skip
    fc_layers: int = setting(0, "fully connected layers before the logits (the paper's FC head: 2)", low=0, high=20)
    fc_width: int = setting(4096, "units of each fully connected layer", low=1, high=1_000_000, needs="fc_layers=!0")
    match: Match = setting(Match.none, "solve the width so that this count meets `model.match_to`", identity=False)
    match_to: Optional[Union[int, str]] = setting(
        None, "the count to meet, or a reference variant as overrides, e.g. 'block=conv'", identity=False, low=1, high=10**15,
        needs="match=params|body_params|macs",
    )  # fmt: skip


@dataclass
class XceptionConfig(SkeletonConfig):
    """The Xception skeleton (paper, Figure 5): entry, middle and exit flow."""

    name: str = setting("xception", "the model's name in the registry")
    middle_repeats: Optional[int] = setting(None, "modules in the middle flow (empty: the size's own)", low=0, high=200)
    stem: Optional[Stem] = setting(None, "regular or separable stem convolutions (empty: the size's own)")

    SIZES: ClassVar[dict[Size, dict[str, Any]]] = {
        Size.paper: dict(PAPER_CONVENTIONS, middle_repeats=8, stem=Stem.conv),
        Size.lab: dict(LAB_CONVENTIONS, middle_repeats=2, stem=Stem.conv),
    }


@dataclass
class VggSepConfig(SkeletonConfig):
    """A VGG-style stack without shortcuts (paper, section 4.6; claim C7)."""

    name: str = setting("vgg_sep", "the model's name in the registry")

    absent_axes: ClassVar[tuple[str, ...]] = ("residual",)
    SIZES: ClassVar[dict[Size, dict[str, Any]]] = {Size.paper: PAPER_CONVENTIONS, Size.lab: LAB_CONVENTIONS}


@dataclass
class InceptionV3Config(ModelConfig):
    """The literal Inception V3. It has no block slot."""

    name: str = setting("inception_v3", "the model's name in the registry")
    form: InceptionV3Form = setting(
        InceptionV3Form.paper,
        "`paper`: the widths and biases that give Table 3's 23,626,728; `keras`: 23,817,352; `torch`: 23,834,568",
    )
    fc_layers: int = setting(0, "fully connected layers before the logits (the paper's FC head: 2)", low=0, high=20)
    fc_width: int = setting(4096, "units of each fully connected layer", low=1, high=1_000_000, needs="fc_layers=!0")

    has_block: ClassVar[bool] = False
    SIZES: ClassVar[dict[Size, dict[str, Any]]] = {Size.paper: PAPER_CONVENTIONS}
