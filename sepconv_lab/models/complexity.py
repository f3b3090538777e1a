"""What a network costs, counted on meta tensors: parameters, multiply-accumulates, receptive field, activation memory."""

from __future__ import annotations

from collections.abc import Callable
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
    """One layer with weights, or one pool. `field` and `jump` are pixels of the input: receptive field, stride so far."""

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


class _Tracer(TorchFunctionMode):
    """Follows the receptive field (field, jump) from tensor to tensor through whatever the network computes."""

    _WINDOWS = ("conv2d", "max_pool2d", "avg_pool2d")

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[int, tuple[int, int]] = {}
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
        field, jump = max(k[0] for k in known), max(k[1] for k in known)
        name = (resolve_name(func) or "").rsplit(".", 1)[-1]
        if name in self._WINDOWS:
            kernel, stride = self._window(name, args, kwargs)
            field, jump = field + (kernel - 1) * jump, jump * stride
        self.fields[id(out)] = (field, jump)
        self.keep.append(out)
        return out

    @staticmethod
    def _window(name: str, args: Any, kwargs: Any) -> tuple[int, int]:
        def largest(v: Any) -> int:
            return max(v) if isinstance(v, (tuple, list)) else int(v)

        if name == "conv2d":
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            stride = args[3] if len(args) > 3 else kwargs.get("stride", 1)
            return max(weight.shape[2:]), largest(stride)
        kernel = args[1] if len(args) > 1 else kwargs["kernel_size"]
        stride = args[2] if len(args) > 2 else kwargs.get("stride")
        return largest(kernel), largest(kernel if stride is None or stride == [] else stride)


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
            field, jump = tracer.fields.get(id(out), (0, 0))
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
    tracer.fields[id(image)] = (1, 1)
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
