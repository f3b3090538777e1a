"""The convolutions of every network here, among them the only `SeparableConv2d`; normalisation, activation, initialisation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Activation, BadInput, Order, Padding

ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    Activation.none: nn.Identity,
    Activation.relu: nn.ReLU,
    Activation.relu6: nn.ReLU6,
    Activation.leaky_relu: nn.LeakyReLU,
    Activation.elu: nn.ELU,
    Activation.selu: nn.SELU,
    Activation.gelu: nn.GELU,
    Activation.silu: nn.SiLU,
    Activation.mish: nn.Mish,
    Activation.hardswish: nn.Hardswish,
    Activation.tanh: nn.Tanh,
    Activation.sigmoid: nn.Sigmoid,
}


@dataclass(frozen=True)
class Conventions:
    """What a framework leaves to its implementers; one object for a whole network."""

    padding: Padding = Padding.symmetric
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1

    def norm(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=self.norm_eps, momentum=self.norm_momentum)


def same_padding(size: int, kernel: int, stride: int) -> int:
    """Pixels by which TensorFlow's 'same' pads one dimension, both sides together."""
    return max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)


def pad_same(x: Tensor, kernel: tuple[int, int], stride: int) -> Tensor:
    """TensorFlow's 'same' padding: the output has ceil(size / stride) positions, an odd pixel goes to the right and bottom."""
    pads = []
    for size, k in ((x.shape[-1], kernel[1]), (x.shape[-2], kernel[0])):
        total = same_padding(size, k, stride)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads) if any(pads) else x


class Conv2d(nn.Conv2d):
    """A convolution without bias, padded to 'same' by the conventions, or not at all (`valid`)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        *,
        groups: int = 1,
        bias: bool = False,
        valid: bool = False,
        conventions: Conventions = Conventions(),
    ):
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        # With stride 1 and odd kernels both conventions are the same, and the convolution can pad by itself.
        self.pad_first = stride > 1 and not valid and conventions.padding is Padding.tf and max(kernel) > 1
        padding = (0, 0) if valid or self.pad_first else (kernel[0] // 2, kernel[1] // 2)
        super().__init__(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.pad_first:
            x = pad_same(x, (self.kernel_size[0], self.kernel_size[1]), self.stride[0])
        if x.device.type == "cpu" and self._needs_unit_stride:
            x = x[:, :, :: self.stride[0], :: self.stride[1]].contiguous(memory_format=torch.channels_last)
            return F.conv2d(x, self.weight, self.bias, groups=self.groups)
        return super().forward(x)

    @property
    def _needs_unit_stride(self) -> bool:
        """oneDNN's backward pass of a strided 1x1 convolution with fewer channels than a vector register holds writes past its
        buffer (uxlfoundation/oneDNN#6035): wrong gradients, a crash, or no end. 16 = floats in an AVX-512 register.
        """
        return self.kernel_size == (1, 1) and self.stride != (1, 1) and self.in_channels < 16


class MaxPool2d(nn.Module):
    """Max-pooling, padded to 'same' by the conventions, or not at all (`valid`)."""

    def __init__(
        self, kernel_size: int = 3, stride: int = 2, *, valid: bool = False, conventions: Conventions = Conventions()
    ):
        super().__init__()
        self.kernel_size, self.stride, self.valid, self.conventions = kernel_size, stride, valid, conventions

    def forward(self, x: Tensor) -> Tensor:
        if self.valid:
            return F.max_pool2d(x, self.kernel_size, self.stride)
        if self.conventions.padding is Padding.symmetric:
            return F.max_pool2d(x, self.kernel_size, self.stride, self.kernel_size // 2)
        before = [same_padding(size, self.kernel_size, self.stride) // 2 for size in x.shape[-2:]]
        # The odd pixel at the end is what ceil_mode adds: no padded copy of the map is made.
        return F.max_pool2d(x, self.kernel_size, self.stride, before, ceil_mode=True)


class AvgPool2d(nn.Module):
    """Average pooling with stride 1 padded to 'same', or unpadded (`valid`) with any stride.

    TensorFlow leaves the padding out of the average; PyTorch builds (the symmetric convention) count its zeros.
    """

    def __init__(
        self, kernel_size: int = 3, stride: int = 1, *, valid: bool = False, conventions: Conventions = Conventions()
    ):
        super().__init__()
        if stride > 1 and not valid:
            raise ValueError("a padded average pool has stride 1 here: no published network needs another")
        self.kernel_size, self.stride, self.valid, self.conventions = kernel_size, stride, valid, conventions

    def forward(self, x: Tensor) -> Tensor:
        padding = 0 if self.valid else self.kernel_size // 2
        counted = self.conventions.padding is Padding.symmetric
        return F.avg_pool2d(x, self.kernel_size, self.stride, padding, count_include_pad=counted)


class ShiftNorm2d(nn.BatchNorm2d):
    """BatchNorm with a learned shift and no learned scale (Keras's `scale=False`)."""

    def __init__(self, channels: int, *, eps: float, momentum: float):
        super().__init__(channels, eps=eps, momentum=momentum)
        self.register_parameter("weight", None)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class SeparableConv2d(nn.Sequential):
    """op1 -> [mid_norm] -> [mid_act] -> op2 -> [out_norm], where the two operations are a spatial and a 1x1 convolution.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). With M = in_channels,
    N = out_channels, m = depth_multiplier and G = segments, the weights are

    - depthwise first: `depthwise` (m M, M / G, k, k), `pointwise` (N, m M, 1, 1);
    - pointwise first: `pointwise` (m N, M, 1, 1), `depthwise` (N, m N / G, k, k).

    `segments="channels"` is the depthwise convolution: one segment for each channel that enters (depthwise first) or leaves
    (pointwise first) the spatial operation. No operation has a bias (Xception, section 3). Raises BadInput where segments
    do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        *,
        order: Order = Order.depthwise_first,
        mid_norm: bool = False,
        mid_act: Activation = Activation.none,
        out_norm: bool = True,
        segments: int | str = "channels",
        depth_multiplier: float = 1,
        conventions: Conventions = Conventions(),
    ):
        spatial_first = order is Order.depthwise_first
        mid = round(depth_multiplier * (in_channels if spatial_first else out_channels))
        spatial_in, spatial_out = (in_channels, mid) if spatial_first else (mid, out_channels)
        groups = (in_channels if spatial_first else out_channels) if segments == "channels" else int(segments)
        if spatial_in % groups or spatial_out % groups:
            raise BadInput(
                f"{segments} segments do not divide the spatial convolution's {spatial_in} -> {spatial_out} channels; "
                f"allowed here: the divisors of {math.gcd(spatial_in, spatial_out)}"
            )
        depthwise = Conv2d(spatial_in, spatial_out, kernel_size, stride, groups=groups, conventions=conventions)
        pointwise = Conv2d(mid if spatial_first else in_channels, out_channels if spatial_first else mid, 1)
        layers: dict[str, nn.Module] = {
            "depthwise" if spatial_first else "pointwise": depthwise if spatial_first else pointwise
        }
        if mid_norm:
            layers["mid_norm"] = conventions.norm(mid)
        if mid_act is not Activation.none:
            layers["mid_act"] = ACTIVATIONS[mid_act]()
        layers["pointwise" if spatial_first else "depthwise"] = pointwise if spatial_first else depthwise
        if out_norm:
            layers["out_norm"] = conventions.norm(out_channels)
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


def is_depthwise(module: nn.Module) -> bool:
    """Whether this is a convolution with one segment per channel."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups in (module.in_channels, module.out_channels)


def initialise(network: nn.Module, seed: int) -> None:
    """Draw every convolution and linear weight anew, in place, and reset normalisations.

    Coupled: each tensor draws from its own generator, keyed by (seed, its name in the network, its shape), so that variants
    share every tensor that they have in common; a depthwise kernel of several filters shares none with a segmented one of its
    name and shape. Regular and 1x1 convolutions: He et al. 2015, fan-in; depthwise kernels keep
    the variance (nothing need follow them); logits and FC layers: variance 1 / fan-in and 2 / fan-in.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            weight = module.weight
            fan_in = weight[0].numel()
            linear = name.endswith("logits") or is_depthwise(module)
            key = f"{seed}/{name}/{tuple(weight.shape)}"
            # Several filters a channel: a segmented kernel may have this shape, with another variance.
            if is_depthwise(module) and weight.shape[1] > 1:
                key += "/depthwise"
            generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big"))
            drawn = torch.randn(weight.shape, generator=generator) * math.sqrt((1 if linear else 2) / fan_in)
            with torch.no_grad():
                weight.copy_(drawn)
                if module.bias is not None:
                    module.bias.zero_()
