"""How Keras orders and lays out the weights of the published networks.

Its layer-per-group HDF5 files hold one group a layer, in the order of `model.layers`: by distance from the output. That order
is the same in all versions of Keras; the groups' names are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from ..config import BadInput
from ..models.inception_v3 import InceptionV3
from ..models.layers import SeparableConv2d
from ..models.skeleton import Module
from ..models.xception import Xception

Shape = tuple[int, ...]


@dataclass(frozen=True)
class KerasLayer:
    """A layer with weights: its kind, our names of its tensors in the layer's own order, their shapes as Keras has them."""

    kind: str
    tensors: tuple[str, ...]
    shapes: tuple[Shape, ...]


def keras_layers(network: nn.Module) -> list[KerasLayer]:
    """The network's layers in the order of Keras's file. Raises BadInput for a network that Keras has no file of."""
    if isinstance(network, Xception):
        names = list(_xception_order(network))
    elif isinstance(network, InceptionV3):
        names = list(_inception_order(network))
    else:
        raise BadInput("Keras publishes weights of model=xception and model=inception_v3 only")
    names += [f"head.{name}" for name in _weighted(network.get_submodule("head"))]
    return [_layer(name, network.get_submodule(name)) for name in names]


def kind_of(shapes: tuple[Shape, ...]) -> str:
    """What a layer with weights of these shapes is: conv, separable, norm or dense; empty if none of them."""
    ranks = tuple(len(s) for s in shapes)
    known = {
        (4,): "conv",
        (4, 1): "conv",
        (4, 4): "separable",
        (2, 1): "dense",
        (1, 1, 1): "norm",
        (1, 1, 1, 1): "norm",
    }
    return known.get(ranks, "")


def from_keras(tensor: Tensor, shape: Shape) -> Tensor:
    """A weight of Keras in our layout; `shape` is ours.

    Kernels are (rows, columns, in, out) there, depthwise ones (rows, columns, channels, multiplier), and (out, in, rows, columns)
    here.
    """
    if tensor.ndim == 4:
        depthwise = shape[1] == 1 and tensor.shape[2] * tensor.shape[3] == shape[0]
        tensor = tensor.permute((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    elif tensor.ndim == 2:
        tensor = tensor.T
    return tensor.reshape(shape).contiguous()


def _weighted(module: nn.Module) -> list[str]:
    """The children that have weights."""
    return [name for name, child in module.named_children() if any(True for _ in child.parameters())]


# --- order ------------------------------------------------------------------------------------------------------------


def _xception_order(network: Xception) -> Iterator[str]:
    yield from (f"stem.{name}" for name in _weighted(network.stem))
    for flow in ("entry", "middle", "exit"):
        for number, module in enumerate(network.get_submodule(flow).children()):
            assert isinstance(module, Module)
            yield from _slots_order(f"{flow}.{number}.slots", module.slots)
            if module.shortcut is not None:  # nearer to the sum than the main path, before which stands a pool
                yield from (f"{flow}.{number}.shortcut.{name}" for name in _weighted(module.shortcut))
    yield from _slots_order("top", network.top)


def _slots_order(prefix: str, slots: nn.Module) -> Iterator[str]:
    for name in _weighted(slots):
        yield f"{prefix}.{name}"
        if hasattr(slots.get_submodule(name), "out_norm"):
            yield f"{prefix}.{name}.out_norm"


def _inception_order(network: InceptionV3) -> Iterator[str]:
    for name in _weighted(network.stem):
        yield from (f"stem.{name}.{layer}" for layer in _weighted(network.stem.get_submodule(name)))
    for number, module in enumerate(network.mixed.children()):
        placed: list[tuple[int, int, str]] = []
        for branch_name, branch in module.named_children():
            distance = 0  # Keras layers between here and the module's concatenation
            for name in reversed(_weighted(branch)):
                prefix, unit = f"mixed.{number}.{branch_name}.{name}", branch.get_submodule(name)
                fan = [part for part, _ in unit.named_children() if part in ("a", "b")]
                distance += bool(fan)  # concatenated among themselves first
                one = unit.get_submodule(fan[0]) if fan else unit
                layers = [layer for layer, _ in one.named_children()]
                if layers == ["conv", "act", "norm"]:
                    layers.remove("act")  # the first port's convolutions contain their ReLU
                for part in fan or [""]:
                    for offset, layer in enumerate(reversed(layers), 1):
                        if layer != "act":
                            path = ".".join(filter(None, (prefix, part, layer)))
                            placed.append((-(distance + offset), len(placed), path))
                distance += len(layers)
        yield from (path for _, _, path in sorted(placed))


# --- layout -----------------------------------------------------------------------------------------------------------


def _layer(name: str, module: nn.Module) -> KerasLayer:
    if isinstance(module, SeparableConv2d):
        fields = ["depthwise.weight", "pointwise.weight"]
        if [n for n, _ in module.named_children() if n != "out_norm"] != ["depthwise", "pointwise"]:
            raise BadInput(f"{name}: Keras's separable layers are depthwise first with nothing between the operations")
    elif isinstance(module, nn.BatchNorm2d):
        fields = [f for f in ("weight", "bias", "running_mean", "running_var") if getattr(module, f) is not None]
    elif isinstance(module, (nn.Conv2d, nn.Linear)):
        fields = [f for f, _ in module.named_parameters()]
    else:
        raise BadInput(
            f"{name}: Keras's networks have separable convolutions where this one has {type(module).__name__}"
        )
    state = module.state_dict()
    shapes = tuple(_keras_shape(state[f], depthwise=f == "depthwise.weight") for f in fields)
    return KerasLayer(kind_of(shapes), tuple(f"{name}.{f}" for f in fields), shapes)


def _keras_shape(tensor: Tensor, depthwise: bool) -> Shape:
    if tensor.ndim != 4:
        return tuple(reversed(tensor.shape))
    out, per_segment, rows, columns = tensor.shape
    return (rows, columns, out, per_segment) if depthwise else (rows, columns, per_segment, out)
