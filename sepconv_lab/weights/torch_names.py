"""The names of our tensors in the well-known PyTorch ports: Cadene's and timm's Xception, torchvision's Inception V3."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from ..models.inception_v3 import InceptionV3
from ..models.skeleton import Module, Slots
from ..models.xception import Xception

DROPPED = ("AuxLogits.",)
"""Tensors that no network here has: the auxiliary tower, which the paper does without (section 4.3)."""
ALIASES = {"last_linear.": "fc."}
"""Cadene's models rename their classifier."""

_STEM = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")
_MIXED = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")


def torch_names(network: nn.Module) -> dict[str, str]:
    """Our name -> the port's, for each tensor of the state dict; empty for a network without a well-known port."""
    if isinstance(network, Xception):
        modules = _xception_modules(network)
    elif isinstance(network, InceptionV3):
        modules = _inception_modules(network)
    else:
        return {}
    pairs = [*modules, ("head.logits", "fc")]
    return {
        f"{ours}.{field}": f"{theirs}.{field}"
        for ours, theirs in pairs
        for field in network.get_submodule(ours).state_dict()
    }


def _xception_modules(network: Xception) -> Iterator[tuple[str, str]]:
    for name, _ in network.stem.named_children():
        if not name.startswith("act"):
            yield f"stem.{name}", name.replace("norm", "bn")
    flows = ("entry", "middle", "exit")
    blocks = [(f"{flow}.{i}", m) for flow in flows for i, m in enumerate(network.get_submodule(flow).children())]
    for number, (prefix, module) in enumerate(blocks, 1):
        assert isinstance(module, Module)
        for place, (ours, kind) in enumerate(_layers(module.slots)):
            place += hasattr(module.slots, "act1") + place // 2  # after a layer and its norm comes a ReLU
            yield from _separable(f"{prefix}.slots.{ours}", f"block{number}.rep.{place}", kind)
        if module.shortcut is not None and len(list(module.shortcut.children())):
            yield f"{prefix}.shortcut.conv", f"block{number}.skip"
            yield f"{prefix}.shortcut.norm", f"block{number}.skipbn"
    for place, (ours, kind) in enumerate(_layers(network.top)):
        yield from _separable(f"top.{ours}", f"{'bn' if kind == 'norm' else 'conv'}{place // 2 + 3}", kind)


def _layers(slots: Slots) -> Iterator[tuple[str, str]]:
    """Each layer and then its norm, as (name in the slots, kind)."""
    for name, _ in slots.named_children():
        if name.startswith("layer"):
            yield name, "separable"
            yield f"{name}.out_norm", "norm"


def _separable(ours: str, theirs: str, kind: str) -> Iterator[tuple[str, str]]:
    if kind == "norm":
        yield ours, theirs
    else:
        yield f"{ours}.depthwise", f"{theirs}.conv1"
        yield f"{ours}.pointwise", f"{theirs}.pointwise"


def _inception_modules(network: InceptionV3) -> Iterator[tuple[str, str]]:
    units = [(f"stem.unit{i}", f"Conv2d_{name}") for i, name in enumerate(_STEM, 1)]
    for number, (module, theirs) in enumerate(zip(network.mixed.children(), _MIXED, strict=True)):
        for branch_name, branch in module.named_children():
            names = [name for name, _ in branch.named_children() if name.startswith("unit")]
            for name in names:
                prefix = f"mixed.{number}.{branch_name}.{name}"
                place = f"Mixed_{theirs}.{branch_name}" + (f"_{name[4:]}" if len(names) > 1 else "")
                fan = [part for part, _ in branch.get_submodule(name).named_children() if part in ("a", "b")]
                units += [(f"{prefix}.{part}", place + part) for part in fan] or [(prefix, place)]
    for ours, theirs in units:
        yield f"{ours}.conv", f"{theirs}.conv"
        yield f"{ours}.norm", f"{theirs}.bn"
