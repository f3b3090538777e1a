"""The paper's Figures 1-4 are one family: conversions carry weights along them and change nothing."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sepconv_lab.compose import compose
from sepconv_lab.config import (
    Activation,
    BadInput,
    Form,
    InceptionBlockConfig,
    Order,
    Padding,
    XceptionBlockConfig,
    flat,
)
from sepconv_lab.config.registry import builder
from sepconv_lab.lineage.__main__ import factor_walk, in_axes, main
from sepconv_lab.lineage.equivalences import (
    figure2_to_figure3,
    figure3_to_figure4,
    rebracket,
    to_xception,
    towers_to_segments,
)
from sepconv_lab.models.blocks import InceptionTowers, XceptionBlock
from sepconv_lab.models.layers import ACTIVATIONS, Conventions, MaxPool2d, SeparableConv2d
from sepconv_lab.models.skeleton import Module, Slots

DOCS = Path(__file__).parents[2] / "docs"
IN, OUT = 6, 12


def block(config: InceptionBlockConfig | XceptionBlockConfig, in_channels: int = IN, out_channels: int = OUT) -> Any:
    """The block in float64, every weight, norm and statistic random."""
    made = builder(config)(config, in_channels, out_channels, Conventions(norm_eps=1e-3, norm_momentum=0.2)).double()
    randomise(made)
    return made


def randomise(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.copy_(drawn + 0.5 if name.endswith("var") else drawn * 2 - 1)


def images(channels: int = IN, size: int = 9) -> Tensor:
    return torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def assert_equal_functions(a: nn.Module, b: nn.Module, training: bool, carry: Any = dict) -> None:
    """Equal outputs, input gradients, parameter gradients and BatchNorm state after the pass; `carry` renames a's tensors."""
    results = []
    for module in (a, b):
        module.train(training)
        module.zero_grad()
        x = images().requires_grad_()
        out = module(x)
        weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        (out * weights).sum().backward()
        results.append((out.detach(), x.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    gradients = [{n: p.grad for n, p in m.named_parameters()} for m in (a, b)]
    for (left, right), what in (
        ((gradients[0], gradients[1]), "gradient"),
        ((a.state_dict(), b.state_dict()), "state"),
    ):
        left = carry(left)
        assert left.keys() == right.keys()
        for name, tensor in left.items():
            torch.testing.assert_close(tensor, right[name], rtol=1e-9, atol=1e-9, msg=f"{what} of {name}")


MIDDLES = list(itertools.product([False, True], [Activation.none, Activation.relu], [False, True]))
"""(mid_norm, mid_act, out_norm)"""


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("mid_norm", "mid_act", "out_norm"), MIDDLES)
@pytest.mark.parametrize(("towers", "reduce"), [(1, 1.0), (3, 1.0), (4, 0.5), (3, 2.0)])
def test_figure_2_equals_figure_3(
    towers: int, reduce: float, mid_norm: bool, mid_act: Activation, out_norm: bool, training: bool
) -> None:
    """Parallel towers equal one wide 1x1 with a convolution on each segment: norm and activation act per channel."""
    config = InceptionBlockConfig(towers=towers, reduce=reduce, mid_norm=mid_norm, mid_act=mid_act, out_norm=out_norm)
    figure2 = block(config)
    assert isinstance(figure2, InceptionTowers)
    made, figure3 = figure2_to_figure3(config, figure2)
    assert made.form is Form.segments
    assert isinstance(figure3, SeparableConv2d)
    assert_equal_functions(figure2, figure3, training, towers_to_segments)


@pytest.mark.parametrize("training", [True, False])
def test_figure_3_with_a_segment_a_channel_equals_figure_4(training: bool) -> None:
    """The extreme module is the limit of the segments."""
    config = InceptionBlockConfig(form=Form.segments, towers=OUT)
    figure3 = block(config)
    made, figure4 = figure3_to_figure4(config, figure3)
    assert made.form is Form.extreme
    assert_equal_functions(figure3, figure4, training)


def test_figure_3_with_wider_segments_is_not_figure_4() -> None:
    """Three segments of four channels are refused, and so is a conversion that starts from another figure."""
    config = InceptionBlockConfig(form=Form.segments, towers=3)
    with pytest.raises(BadInput, match="one segment for each channel"):
        figure3_to_figure4(config, block(config))
    with pytest.raises(BadInput, match=r"starts from block\.form=simplified"):
        figure2_to_figure3(config, block(config))


@pytest.mark.parametrize("training", [True, False])
def test_figure_4_equals_the_xception_block(training: bool) -> None:
    """Figure 4 is `xception` with order=pointwise_first mid_norm=true mid_act=relu."""
    config = InceptionBlockConfig(form=Form.extreme)
    figure4 = block(config)
    made, layer = to_xception(config, figure4)
    assert isinstance(layer, XceptionBlock)
    assert (made.order, made.mid_norm, made.mid_act, made.segments) == (
        Order.pointwise_first,
        True,
        Activation.relu,
        "channels",
    )
    assert_equal_functions(figure4, layer, training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("towers", [1, 2, 4, OUT])
def test_inception_equals_its_spelling_in_the_axes(towers: int, training: bool) -> None:
    """inception(towers=G, reduce=1) is xception(order=pointwise_first, segments=G, mid_norm=true, mid_act=relu)."""
    config = InceptionBlockConfig(towers=towers)
    figure2 = block(config)
    made, layer = to_xception(config, figure2)
    assert made == XceptionBlockConfig(
        order=Order.pointwise_first, segments=towers, mid_norm=True, mid_act=Activation.relu
    )
    assert_equal_functions(figure2, layer, training, towers_to_segments)


def test_what_has_no_spelling_in_the_axes_is_refused() -> None:
    """Figure 1's towers differ; a half channel is no depth multiplier; two channels a tower are."""
    for config, words in (
        (InceptionBlockConfig(form=Form.canonical), "canonical"),
        (InceptionBlockConfig(reduce=0.5), "whole number"),
    ):
        with pytest.raises(BadInput, match=words):
            in_axes(config)
    config = InceptionBlockConfig(reduce=2.0, towers=3)
    made, layer = to_xception(config, figure2 := block(config))
    assert made.depth_multiplier == 2
    assert_equal_functions(figure2, layer, True, towers_to_segments)


def test_figure_1_has_the_papers_towers() -> None:
    """1x1; 1x1, 3x3; average pool, 3x3; 1x1, 3x3, 3x3; the pool leaves the padding out of its averages."""
    module = block(InceptionBlockConfig(form=Form.canonical, mid_norm=False, mid_act=Activation.none, out_norm=False))
    kernels = [[m.kernel_size[0] for m in tower if isinstance(m, nn.Conv2d)] for tower in module.towers]
    assert kernels == [[1], [1, 3], [3], [1, 3, 3]]
    ones = torch.ones(1, IN, 9, 9, dtype=torch.float64)
    expected = module.towers[2](ones)
    torch.testing.assert_close(module(ones)[:, 2 * OUT // 4 : 3 * OUT // 4], expected)


# --- the factor walk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [True, False])
def test_neighbours_of_the_factor_walk_differ_in_one_axis(residual: bool) -> None:
    """Inception-style to Xception, one axis at a time, each step named after its axis, with shortcuts and without."""
    walk = factor_walk(residual)
    configs = [(name, flat(compose(overrides))) for name, overrides in walk]
    derived = {"after_depthwise", "after_pointwise"}
    for (_, before), (name, after) in itertools.pairwise(configs):
        assert [k for k in after if after[k] != before[k] and k not in derived] == [f"block.{name}"]
    assert all(values["block.residual"] is residual for _, values in configs)
    assert configs[-1][1] == flat(compose([f"block.residual={str(residual).lower()}"])), "ends at the published block"


def test_the_factor_walk_starts_at_the_inception_block() -> None:
    """Its first step is the spelling in the axes of `block=inception`."""
    inception = compose(["block=inception"]).block
    assert isinstance(inception, InceptionBlockConfig)
    assert in_axes(inception) == compose(factor_walk()[0][1]).block


# --- the order of the two operations ----------------------------------------------------------------------------------

ACT = Activation.relu
BLOCK = XceptionBlockConfig(act=ACT)
WIDTHS = (8, 5, 11, 7)


def stack() -> Slots:
    """Four depthwise-first layers of unequal widths, as a skeleton stacks them."""
    made = Slots(BLOCK, IN, WIDTHS, Conventions(), leading_act=False).double()
    randomise(made)
    return made


@pytest.mark.parametrize("training", [True, False])
def test_a_stack_in_either_order_is_the_same_chain(training: bool) -> None:
    """(D P s)^L = D (P s D)^(L-1) P s: depthwise-first layers and, between two boundary operations, pointwise-first ones
    with norm and activation in the middle are the same function, through BatchNorm and at unequal widths (claim C5)."""
    slots = stack()
    depthwise_first = nn.Sequential(slots, ACTIVATIONS[ACT]())
    pointwise_first = rebracket([m for name, m in slots.named_children() if name.startswith("layer")], ACT)  # type: ignore[misc]
    inner = [m for m in pointwise_first if isinstance(m, SeparableConv2d)]
    assert [[n for n, _ in m.named_children()] for m in inner] == [
        ["pointwise", "mid_norm", "mid_act", "depthwise"]
    ] * 3
    outputs, gradients, variances = [], [], []
    for network in (depthwise_first, pointwise_first):
        network.train(training)
        x = images().requires_grad_()
        out = network(x)
        out.square().sum().backward()
        outputs.append(out.detach())
        gradients.append(x.grad)
        variances.append(torch.cat([b for n, b in network.named_buffers() if n.endswith("running_var")]))
    for a, b in (outputs, gradients, variances):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_identity_in_the_words_of_the_axes() -> None:
    """The inner layers are `order=pointwise_first mid_norm=true mid_act=s out_norm=false act=none`, and the derived columns
    after_depthwise and after_pointwise of the two spellings agree."""
    first = compose([])
    second = compose(
        [
            "block.order=pointwise_first",
            "block.mid_norm=true",
            "block.mid_act=relu",
            "block.out_norm=false",
            "block.act=none",
        ]
    )
    columns = [{k: flat(c)[k] for k in ("after_depthwise", "after_pointwise")} for c in (first, second)]
    assert columns[0] == columns[1] == {"after_depthwise": "none", "after_pointwise": "norm+relu"}
    inner = rebracket([m for n, m in stack().named_children() if n.startswith("layer")], ACT)[1]  # type: ignore[misc]
    built = block(second.block, 8, 5)  # type: ignore[arg-type]
    assert [n for n, _ in built.named_children()] == [n for n, _ in inner.named_children()]


@pytest.mark.parametrize("padding", list(Padding))
@pytest.mark.parametrize("strides", list(itertools.product((1, 2), repeat=3)))
@pytest.mark.parametrize("size", [13, 16])
def test_strides_and_padding_stay_with_their_operation(
    strides: tuple[int, int, int], padding: Padding, size: int
) -> None:
    """Each depthwise convolution keeps its stride and its convention of padding in either bracketing, at even and odd sizes."""
    conventions = Conventions(padding=padding)
    layers = [
        SeparableConv2d(i, o, k, s, conventions=conventions)
        for (i, o), k, s in zip(itertools.pairwise((3, 6, 4, 5)), (3, 5, 3), strides, strict=True)
    ]
    chain = nn.Sequential(*(nn.Sequential(layer, ACTIVATIONS[ACT]()) for layer in layers)).double()
    randomise(chain)
    x = torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(chain(x), rebracket(layers, ACT)(x), rtol=1e-10, atol=1e-10)


def test_rebracket_refuses_what_is_no_such_stack() -> None:
    """Something between the operations, or the other order, is refused."""
    for axes, words in (
        ({"mid_norm": True}, "mid_norm between"),
        ({"order": Order.pointwise_first}, "pointwise first already"),
    ):
        with pytest.raises(BadInput, match=words):
            rebracket([SeparableConv2d(4, 4, **axes)] * 2, ACT)


def _pieces() -> tuple[list[nn.Module], nn.Sequential]:
    """Two layers (each with its s) as depthwise-first pieces, and the same chain re-bracketed: first, layer, last."""
    layers = [m for n, m in stack().named_children() if n.startswith("layer")][:2]
    return [nn.Sequential(layer, ACTIVATIONS[ACT]()) for layer in layers], rebracket(layers, ACT)  # type: ignore[arg-type]


def _differ(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).norm() > 0.01 * a.norm())


def test_pools_distinguish_the_orders() -> None:
    """A skeleton pools after a layer. After the first depthwise-first layer that is after s; after the first pointwise-first
    layer of the same chain it is after the following D: another function, though operations and weights are the same."""
    (one, two), (first, inner, last) = (p := _pieces())[0], p[1]
    pool, x = MaxPool2d(3, 2), images()
    depthwise_first = two(pool(one(x)))
    pointwise, norm, act, depthwise = inner
    same_place = last(depthwise(pool(act(norm(pointwise(first(x)))))))
    own_place = last(pool(inner(first(x))))
    torch.testing.assert_close(depthwise_first, same_place, rtol=1e-10, atol=1e-10)
    assert depthwise_first.shape == own_place.shape
    assert _differ(depthwise_first, own_place)


def test_skip_taps_distinguish_the_orders() -> None:
    """A shortcut taps the chain between layers. Around a depthwise-first layer it skips D P s, around a pointwise-first one
    P s D: with the same operations and weights, another function."""
    config = XceptionBlockConfig(act=ACT)
    slots = Slots(config, IN, (IN, IN), Conventions(), leading_act=False).double()
    randomise(slots)
    layers = [m for n, m in slots.named_children() if n.startswith("layer")]
    first, inner, last = rebracket(layers, ACT)  # type: ignore[arg-type]
    act, x = ACTIVATIONS[ACT](), images()
    one, two = (nn.Sequential(layer, act) for layer in layers)
    torch.testing.assert_close(two(one(x)), last(inner(first(x))), rtol=1e-10, atol=1e-10)
    y = first(x)
    assert _differ(two(x + one(x)), last(y + inner(y)))


def test_the_skeletons_tap_between_layers() -> None:
    """The two facts above in a skeleton's module: with a shortcut or a pool, orders with equal after_depthwise and
    after_pointwise still differ, which is what a study of the order compares."""
    other = XceptionBlockConfig(
        order=Order.pointwise_first, mid_norm=True, mid_act=ACT, out_norm=False, act=Activation.none
    )
    x = images(8, 8)
    for residual, pool in ((True, False), (False, True)):
        outputs = []
        for config in (BLOCK, other):
            config.residual = residual
            module = Module(config, 8, (8, 8), Conventions(), pool=pool, leading_act=False).double()
            state = {k.replace("mid_norm", "out_norm"): v for k, v in module.state_dict().items()}
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for _, tensor in sorted(state.items()):
                    if tensor.is_floating_point():
                        drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
                        tensor.copy_(drawn * 0.5 + 0.5)
            outputs.append(module(x))
        BLOCK.residual = True
        assert _differ(*outputs)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_shows_the_figures_that_the_command_draws(tmp_path: Path) -> None:
    """docs/lineage holds what `python -m sepconv_lab.lineage.__main__` draws, and the page shows each."""
    assert main(["--out", str(tmp_path)]) == 0
    drawn = {p.name for p in tmp_path.iterdir()}
    assert len(drawn) == 6
    assert drawn == {p.name for p in (DOCS / "lineage").iterdir()}
    page = (DOCS / "lineage.md").read_text()
    assert all(f"lineage/{name}" in page for name in drawn)
    assert all("<svg" in p.read_text() for p in tmp_path.iterdir())


def test_the_page_names_tests_that_exist() -> None:
    """Each equivalence on the page names the test that holds it."""
    import re

    named = set(re.findall(r"`tests/models/(test_\w+)\.py::(test_\w+)`", (DOCS / "lineage.md").read_text()))
    assert len(named) >= 8
    for file, test in named:
        assert f"def {test}(" in (Path(__file__).parent / f"{file}.py").read_text(), test


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the way: one message, exit code 2."""
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == 2
    assert "--out" in capsys.readouterr().err
