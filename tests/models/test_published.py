"""The reference networks are the published ones, to the last parameter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sepconv_lab.compose import compose
from sepconv_lab.models import build_model
from sepconv_lab.models.complexity import Complexity, complexity, kind_of
from sepconv_lab.models.inception_v3 import InceptionV3
from sepconv_lab.models.skeleton import Module

INCEPTION = {"paper": 23_626_728, "keras": 23_817_352, "torch": 23_834_568}


def paper(*overrides: str) -> Complexity:
    """Counts at 299 pixels and 1000 classes."""
    return complexity(compose(["data=imagenet", *overrides]))


def layers(counts: Complexity) -> list[Any]:
    """[name, kind, output shape, parameters, MACs] of each layer."""
    return [[r.name, r.kind, list(r.shape), r.params, r.macs] for r in counts.rows]


def test_xception_has_the_papers_parameters() -> None:
    """22,855,952 trainable parameters (Table 3), kind by kind as they are computed from the paper's Figure 5."""
    counts = paper("model=xception")
    assert counts.params == 22_855_952
    kinds: Counter[str] = Counter()
    for row in counts.rows:
        kinds["shortcut" if row.name.endswith("shortcut.conv") else row.kind] += row.params
    del kinds["pool"]
    assert kinds == {
        "conv": 19_296,
        "depthwise": 207_432,
        "pointwise": 19_552_896,
        "shortcut": 972_800,
        "norm": 54_528,
        "linear": 2_049_000,
    }
    assert round(counts.macs / 1e9, 3) == 8.357


def test_xception_has_the_papers_depth() -> None:
    """36 convolution layers (2 in the stem, 34 separable) in 14 modules, on maps of 147, 74, 37, 19 and 10 pixels."""
    network = build_model(compose(["data=imagenet"]), 1000, device="meta")
    spatial = [n for n, m in network.named_modules() if kind_of(m) in ("conv", "depthwise")]
    assert len(spatial) == 36
    modules = sum(isinstance(m, Module) for m in network.modules())
    assert modules + 2 == 14, "the stem and the top are the first and the last"
    sizes = {row.shape[-1]: None for row in paper("model=xception").rows if len(row.shape) == 3}
    assert list(sizes) == [149, 147, 74, 37, 19, 10]


def test_the_fc_head_is_two_layers_of_4096_units() -> None:
    """Two FC layers of 4096 units before the logits (section 4.3) add what they must, to Xception and Inception V3 alike."""
    extra = (2048 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000 - (2048 + 1) * 1000
    for model in ("xception", "inception_v3"):
        plain, with_fc = paper(f"model={model}"), paper(f"model={model}", "model.fc_layers=2")
        assert with_fc.params - plain.params == extra
        assert with_fc.body_params == plain.body_params


@pytest.mark.parametrize("form", INCEPTION)
def test_inception_v3_has_the_published_parameters(form: str, golden: Callable[[str, Any], None]) -> None:
    """The three published counts of Inception V3, and the parameters, shapes and MACs of each of their layers."""
    counts = paper("model=inception_v3", f"model.form={form}")
    assert counts.params == INCEPTION[form]
    golden(f"layers_inception_v3_{form}", layers(counts))


def test_xception_layer_by_layer(golden: Callable[[str, Any], None]) -> None:
    """Parameters, shapes and MACs of each layer of the published Xception."""
    golden("layers_xception", layers(paper("model=xception")))


def test_the_papers_inception_v3_is_the_first_keras_ports() -> None:
    """Its convolutions have a bias and ReLU before the norm; concatenations of 256, 256, 256, 736 channels; mixed8 averages.

    23,626,728 = 21,526,368 convolution weights + 3 x 17,120 (bias, gamma, beta) + 2,049,000 in the head.
    """
    network = build_model(compose(["data=imagenet", "model=inception_v3"]), 1000, device="meta")
    assert isinstance(network, InceptionV3)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sum(c.weight.numel() for c in convolutions) == 21_526_368
    assert sum(c.out_channels for c in convolutions) == 17_120
    unit = network.stem.get_submodule("unit1")
    assert [n for n, _ in unit.named_children()] == ["conv", "act", "norm"]
    x, channels = torch.empty(2, 3, 299, 299, device="meta"), []
    x = network.stem(x)
    for module in network.mixed:
        x = module(x)
        channels.append(x.shape[1])
    assert channels == [256, 256, 256, 736, 768, 768, 768, 768, 1280, 2048, 2048]
    assert type(network.mixed.get_submodule("8.branch_pool.pool")).__name__ == "AvgPool2d"


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_the_corrected_inception_v3(form: str) -> None:
    """The published widths: concatenations of 256, 288, 288, 768 channels; mixed8 takes the maximum."""
    network = build_model(compose(["data=imagenet", "model=inception_v3", f"model.form={form}"]), 1000, device="meta")
    assert isinstance(network, InceptionV3)
    x = network.stem(torch.empty(2, 3, 299, 299, device="meta"))
    sizes = []
    for module in network.mixed:
        x = module(x)
        sizes.append(tuple(x.shape[1:]))
    assert [c for c, _, _ in sizes] == [256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048]
    assert [s for _, _, s in sizes] == [35] * 3 + [17] * 5 + [8] * 3
    assert type(network.mixed.get_submodule("8.branch_pool.pool")).__name__ == "MaxPool2d"


def test_padding_is_a_setting_of_one_model() -> None:
    """The paper models default to TensorFlow's padding; the symmetric one is a setting and computes something else."""
    image = torch.randn(1, 3, 299, 299, generator=torch.Generator().manual_seed(0))
    for model, width in (("xception", "model.width=0.125"), ("inception_v3", "model.form=torch")):
        outputs = []
        for padding in ("tf", "symmetric"):
            config = compose(["data=imagenet", f"model={model}", f"model.padding={padding}", width])
            network = build_model(config, 10).eval()
            with torch.no_grad():
                outputs.append(network(image))
        assert compose(["data=imagenet", f"model={model}"]).model.padding.name == "tf"  # type: ignore[union-attr]
        assert (outputs[0] - outputs[1]).abs().max() > 1e-3 * outputs[0].abs().max()


@pytest.mark.parametrize("size", [6, 7, 8, 74, 75, 147])
def test_tensorflows_padding_at_a_stride(size: int) -> None:
    """With stride 2 and a 3x3 window, even sizes pad (0, 1) and odd ones (1, 1): at 74 pixels a one-pixel shift."""
    from sepconv_lab.models.layers import pad_same

    column = (1 - pad_same(torch.ones(1, 1, size, size), (3, 3), 2))[0, 0, :, size // 2].tolist()
    assert (column[0], column[-1], sum(column)) == ((1, 1, 2) if size % 2 else (0, 1, 1))


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("height", [6, 7, 74])
def test_max_pooling_equals_pooling_of_an_explicitly_padded_map(height: int, kernel: int) -> None:
    """Output and gradient to the bit, ties at zero and oblong maps included, although no padded copy is made."""
    from sepconv_lab.config import Padding
    from sepconv_lab.models.layers import Conventions, MaxPool2d, same_padding

    width = 9
    drawn = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0)).relu()
    plain, padded = (drawn.to(memory_format=torch.channels_last, copy=True).requires_grad_() for _ in range(2))
    pads = [p for size in (width, height) for t in [same_padding(size, kernel, 2)] for p in (t // 2, t - t // 2)]
    expected = F.max_pool2d(F.pad(padded, pads, value=-torch.inf), kernel, 2)
    found = MaxPool2d(kernel, 2, conventions=Conventions(padding=Padding.tf))(plain)
    assert torch.equal(found, expected)
    for out in (found, expected):
        out.backward(torch.arange(out.numel()).view(out.shape).to(out))
    assert torch.equal(plain.grad, padded.grad)
