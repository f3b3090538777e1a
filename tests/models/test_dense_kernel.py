"""What a separable layer can represent: its dense kernel, and the ranks of the slices of that kernel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from torch import Tensor

from sepconv_lab.config import Activation, BadInput, Order
from sepconv_lab.lineage.equivalences import dense_kernel
from sepconv_lab.models.layers import SeparableConv2d


def layer(in_channels: int, out_channels: int, order: Order, **axes: object) -> SeparableConv2d:
    """Generic weights: a layer with nothing between its operations, in float64."""
    torch.manual_seed(0)
    return SeparableConv2d(in_channels, out_channels, order=order, out_norm=False, **axes).double()  # type: ignore[arg-type]


def rank(matrix: Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix))


@settings(max_examples=60, deadline=None)
@given(
    order=st.sampled_from(Order),
    groups=st.sampled_from([1, 2, 4, "channels"]),
    multiplier=st.integers(1, 3),
    channels=st.tuples(st.sampled_from([4, 8, 12]), st.sampled_from([4, 8, 12])),
    kernel_size=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
)
def test_the_dense_kernel_computes_the_same(
    order: Order, groups: int | str, multiplier: int, channels: tuple[int, int], kernel_size: int, stride: int
) -> None:
    """One regular convolution with the dense kernel gives the layer's output, for any order, multiplier and segments."""
    made = layer(*channels, order, segments=groups, depth_multiplier=multiplier, kernel_size=kernel_size, stride=stride)
    kernel = dense_kernel(made)
    assert kernel.shape == (channels[1], channels[0], kernel_size, kernel_size)
    x = torch.randn(2, channels[0], 9, 9, dtype=torch.float64)
    torch.testing.assert_close(F.conv2d(x, kernel, stride=stride, padding=kernel_size // 2), made(x))


@pytest.mark.parametrize("multiplier", [1, 2, 3, 12])
def test_depthwise_first_bounds_the_rank_of_input_slices(multiplier: int) -> None:
    """Every slice W[:, c] (outputs x positions) has rank m, while m is under both dimensions."""
    kernel = dense_kernel(layer(6, 8, Order.depthwise_first, depth_multiplier=multiplier))
    ranks = {rank(kernel[:, c].flatten(1)) for c in range(6)}
    assert ranks == {min(multiplier, 8, 9)}


@pytest.mark.parametrize("multiplier", [1, 2, 3, 12])
def test_pointwise_first_bounds_the_rank_of_output_slices(multiplier: int) -> None:
    """Every slice W[n] (inputs x positions) has rank t, the number of filtered channels summed per output."""
    kernel = dense_kernel(layer(8, 6, Order.pointwise_first, depth_multiplier=multiplier))
    ranks = {rank(kernel[n].flatten(1)) for n in range(6)}
    assert ranks == {min(multiplier, 8, 9)}


@pytest.mark.parametrize("segments", [1, 2, 4])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_first_segments_bound_the_rank_of_stacked_slices(segments: int, multiplier: int) -> None:
    """With G segments of s mid channels each, the stacked N x (M/G P) matrix of each segment's inputs has rank s."""
    in_channels, out_channels = 8, 12
    kernel = dense_kernel(
        layer(in_channels, out_channels, Order.depthwise_first, segments=segments, depth_multiplier=multiplier)
    )
    s = multiplier * in_channels // segments
    for segment in kernel.chunk(segments, dim=1):
        assert rank(segment.flatten(1)) == min(s, out_channels, in_channels // segments * 9)


@pytest.mark.parametrize("segments", [1, 2, 4])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_pointwise_first_segments_bound_the_rank_of_stacked_slices(segments: int, multiplier: int) -> None:
    """With G segments of s mid channels each, the stacked M x (N/G P) matrix of each segment's outputs has rank s."""
    in_channels, out_channels = 12, 8
    kernel = dense_kernel(
        layer(in_channels, out_channels, Order.pointwise_first, segments=segments, depth_multiplier=multiplier)
    )
    s = multiplier * out_channels // segments
    for segment in kernel.chunk(segments, dim=0):
        assert rank(segment.transpose(0, 1).flatten(1)) == min(s, in_channels, out_channels // segments * 9)


def test_nine_filters_a_channel_represent_every_convolution() -> None:
    """Any 3x3 convolution is a separable one with depth_multiplier=9: slice by slice, its singular vectors."""
    wanted = torch.randn(5, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    made = layer(4, 5, Order.depthwise_first, depth_multiplier=9)
    spatial, mixing = torch.zeros(4, 9, 9, dtype=torch.float64), torch.zeros(5, 4, 9, dtype=torch.float64)
    for c in range(4):
        u, s, v = torch.linalg.svd(wanted[:, c].flatten(1), full_matrices=False)
        spatial[c, : len(s)], mixing[:, c, : len(s)] = v, u * s
    with torch.no_grad():
        made.get_submodule("depthwise").weight.copy_(spatial.reshape(36, 1, 3, 3))  # type: ignore[union-attr, operator]
        made.get_submodule("pointwise").weight.copy_(mixing.reshape(5, 36, 1, 1))  # type: ignore[union-attr, operator]
    torch.testing.assert_close(dense_kernel(made), wanted)


@pytest.mark.parametrize("axes", [{"mid_norm": True}, {"mid_act": Activation.elu}])
def test_a_layer_with_something_between_is_no_convolution(axes: dict[str, object]) -> None:
    """A norm or an activation between the operations is refused."""
    with pytest.raises(BadInput, match="between the operations"):
        dense_kernel(layer(4, 4, Order.depthwise_first, **axes))
