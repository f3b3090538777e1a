"""What a network costs, counted on meta tensors: parameters, multiply-accumulates, receptive field, activation memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from ..config import BadInput, RunConfig
from . import build_model
from .layers import is_depthwise


@dataclass(frozen=True)
class Row:
    """One layer with weights, or one pool. `field` and `jump` are pixels of the input: receptive field, stride so far; of a
    field that is no square, the longer side."""

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int
    macs: int
    field: int
    jump: int


@dataclass(frozen=True)
class Complexity:
    """Counts for one image. MACs: multiply-accumulates of convolutions and linear layers, nothing else."""

    rows: tuple[Row, ...]
    params: int
    head_params: int
    macs: int
    field: int
    activation_bytes: int
    """What autograd keeps for the backward pass of one image in fp32, parameters not counted."""

    @property
    def body_params(self) -> int:
        return self.params - self.head_params


def kind_of(module: nn.Module) -> str:
    """depthwise, segmented, pointwise, conv, linear, norm, pool or other."""
    if isinstance(module, nn.Conv2d):
        if is_depthwise(module):
            return "depthwise"
        if module.groups > 1:
            return "segmented"
        return "pointwise" if module.kernel_size == (1, 1) else "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "norm"
    return "other"


def trainable(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


Pair = tuple[int, int]
"""Of height and width."""


class _Tracer(TorchFunctionMode):
    """Follows the receptive field from tensor to tensor through whatever the network computes.

    `fields`: id of a tensor -> (field, jump), each of height and width, since 1x7 after 7x1 widens each side once.
    """

    _WINDOWS = ("conv2d", "max_pool2d", "avg_pool2d")

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[int, tuple[Pair, Pair]] = {}
        self.keep: list[Tensor] = []  # ids stay unique while the tensors live
        self.macs = 0

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor):
            return out
        inputs: list[Tensor] = []
        for a in [*args, *kwargs.values()]:
            inputs += [t for t in (a if isinstance(a, (list, tuple)) else [a]) if isinstance(t, Tensor)]
        known = [self.fields[id(t)] for t in inputs if id(t) in self.fields]
        if not known:
            return out
        fields, jumps = zip(*known, strict=True)
        field, jump = _largest(fields), _largest(jumps)
        name = (resolve_name(func) or "").rsplit(".", 1)[-1]
        if name in self._WINDOWS:
            kernel, stride = self._window(name, args, kwargs)
            field = (field[0] + (kernel[0] - 1) * jump[0], field[1] + (kernel[1] - 1) * jump[1])
            jump = (jump[0] * stride[0], jump[1] * stride[1])
        self.fields[id(out)] = (field, jump)
        self.keep.append(out)
        return out

    @staticmethod
    def _window(name: str, args: Any, kwargs: Any) -> tuple[Pair, Pair]:
        """Kernel, with its dilation, and stride."""

        def argument(position: int, keyword: str, default: Any = None) -> Any:
            return args[position] if len(args) > position else kwargs.get(keyword, default)

        if name == "conv2d":
            kernel, stride = tuple(argument(1, "weight").shape[2:]), _pair(argument(3, "stride", 1))
            dilation = _pair(argument(5, "dilation", 1))
        else:
            kernel, stride = _pair(argument(1, "kernel_size")), argument(2, "stride")
            stride = kernel if stride is None or stride == [] else _pair(stride)
            dilation = _pair(argument(4, "dilation", 1)) if name == "max_pool2d" else (1, 1)
        return (1 + (kernel[0] - 1) * dilation[0], 1 + (kernel[1] - 1) * dilation[1]), stride


def _pair(value: Any) -> Pair:
    return (int(value[0]), int(value[-1])) if isinstance(value, (tuple, list)) else (int(value), int(value))


def _largest(pairs: Iterable[Pair]) -> Pair:
    heights, widths = zip(*pairs, strict=True)
    return max(heights), max(widths)


def measure(network: nn.Module, image_size: int) -> Complexity:
    """Count a network that lives on the meta device, for one image of image_size pixels."""
    rows: list[Row] = []
    tracer = _Tracer()

    def note(name: str, module: nn.Module) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            weight = getattr(module, "weight", None)
            macs = 0
            if isinstance(module, (nn.Conv2d, nn.Linear)) and weight is not None:
                positions = out[0, 0].numel() if isinstance(module, nn.Conv2d) else 1
                macs = positions * weight.numel()
            field, jump = map(max, tracer.fields.get(id(out), ((0, 0), (0, 0))))
            kind = kind_of(module) if kind_of(module) != "other" else "pool"
            rows.append(Row(name, kind, tuple(out.shape[1:]), trainable(module), macs, field, jump))

        return hook

    shown = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
    hooks = []
    for name, module in network.named_modules():
        pool = type(module).__name__ in ("MaxPool2d", "AvgPool2d")
        if isinstance(module, shown) or pool:
            hooks.append(module.register_forward_hook(note(name, module)))
    saved: dict[int, Tensor] = {}
    # By storage: a linear layer keeps a transposed view of its weight.
    weights = {t.untyped_storage()._cdata for t in [*network.parameters(), *network.buffers()]}

    def pack(t: Tensor) -> Tensor:
        if t.untyped_storage()._cdata not in weights:
            saved.setdefault(t.untyped_storage()._cdata, t)
        return t

    was_training = network.training
    network.train()
    image = torch.empty(2, 3, image_size, image_size, device="meta")  # BatchNorm wants more than one value a channel
    tracer.fields[id(image)] = (1, 1), (1, 1)
    try:
        with tracer, torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            network(image)
    except RuntimeError as error:
        raise BadInput(f"images of {image_size} pixels are too small for this network: {error}") from error
    finally:
        network.train(was_training)
        for h in hooks:
            h.remove()
    kept = sum(t.untyped_storage().nbytes() for t in saved.values() if t is not image)
    head = trainable(network.head) if isinstance(getattr(network, "head", None), nn.Module) else 0
    # The field of the whole is that of the last map with positions: the head averages over all of it.
    spatial = [r.field for r in rows if len(r.shape) == 3]
    return Complexity(
        rows=tuple(rows),
        params=trainable(network),
        head_params=head,
        macs=sum(r.macs for r in rows),
        field=max(spatial, default=0),
        activation_bytes=kept // 2,
    )


def complexity(config: RunConfig, num_classes: int | None = None) -> Complexity:
    """The counts of a configuration's network, without allocating it. Raises BadInput where it cannot be built."""
    classes = num_classes or config.data.num_classes
    return measure(build_model(config, classes, device="meta"), config.data.image_size)
