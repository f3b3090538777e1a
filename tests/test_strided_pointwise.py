"""Strided 1x1 convolutions with few channels: oneDNN's backward pass of these is wrong, ours is not."""

from __future__ import annotations

import pytest
import torch

from sepconv_lab.models.layers import Conv2d


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7, 8, 12, 15, 16, 17])
def test_gradients_of_a_strided_pointwise_convolution(channels: int) -> None:
    """They are those of the formula, at every number of channels below and around a vector register (oneDNN issue 6035)."""
    generator = torch.Generator().manual_seed(channels)
    conv = Conv2d(channels, 2 * channels, 1, 2).to(memory_format=torch.channels_last)
    x = torch.randn(8, channels, 32, 32, generator=generator).to(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn(8, 2 * channels, 16, 16, generator=generator)
    out = conv(x)
    out.backward(gradient)
    seen, weight = x.detach()[:, :, ::2, ::2].double(), conv.weight.detach()[:, :, 0, 0].double()
    assert x.grad is not None
    assert conv.weight.grad is not None
    torch.testing.assert_close(out.double(), torch.einsum("nchw,oc->nohw", seen, weight), rtol=1e-4, atol=1e-4)
    expected = torch.einsum("nohw,nchw->oc", gradient.double(), seen)
    torch.testing.assert_close(conv.weight.grad[:, :, 0, 0].double(), expected, rtol=1e-4, atol=1e-3)
    spread = torch.zeros_like(x, dtype=torch.float64)
    spread[:, :, ::2, ::2] = torch.einsum("nohw,oc->nchw", gradient.double(), weight)
    torch.testing.assert_close(x.grad.double(), spread, rtol=1e-4, atol=1e-4)
