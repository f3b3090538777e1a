"""`model.features`: what feeds the classifier is the same for every variant, whatever its width and its block."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch
from torch import nn

from sepconv_lab.compose import compose
from sepconv_lab.config import BadInput, SkeletonConfig
from sepconv_lab.models import build_model
from sepconv_lab.models.complexity import complexity

SKELETONS = ("xception", "vgg_sep")
ENDS_ANYWHERE = (
    "block=xception",
    "block.segments=4",
    "block.segments=1",
    "block.order=pointwise_first",
    "block.order=pointwise_first block.depth_multiplier=2",
    "block=inception block.form=extreme",
)
ENDS_WITH_1X1 = (
    "block=conv",
    "block.order=pointwise_first block.segments=4",
    "block=inception",
    "block=inception block.form=segments",
    "block=inception block.form=canonical",
)
BLOCKS = (*ENDS_ANYWHERE, *ENDS_WITH_1X1)


def built(words: str, classes: int = 10) -> nn.Module:
    return build_model(compose(words.split()), classes)


def features_1x1(network: nn.Module) -> list[str]:
    """Names of the convolutions that stand after the last block."""
    return [n for n, m in network.named_modules() if n.endswith(".features") and isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(("model", "data", "published"), [
    ("xception", "cifar10", 256), ("vgg_sep", "cifar10", 256), ("xception", "imagenet", 2048), ("vgg_sep", "imagenet", 2048),
])  # fmt: skip
def test_published_is_the_sizes_own_number_at_any_width(model: str, data: str, published: int) -> None:
    """256 at the lab size, 2,048 at the paper's, which scaling gives at a width of 1."""
    base = [f"data={data}", f"model={model}"]
    for width in ("0.5", "1", "1.3"):
        network = build_model(compose([*base, f"model.width={width}", "model.features=published"]), 10, device="meta")
        assert network.head.logits.in_features == published  # type: ignore[union-attr]
    assert build_model(compose(base), 10, device="meta").head.logits.in_features == published  # type: ignore[union-attr]


@pytest.mark.parametrize(("model", "block"), itertools.product(SKELETONS, BLOCKS))
def test_every_block_feeds_the_same_head(model: str, block: str) -> None:
    """Two widths and two numbers: 65 channels enter the head, dense ends by a 1x1, every parameter has a finite gradient, and
    the number of activations is what it was."""
    image = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    base = f"model={model} {block} model.width=0.125"
    network, plain = built(f"{base} model.features=65"), built(base)
    assert network.head.logits.weight.shape == (10, 65)  # type: ignore[union-attr]
    assert len(features_1x1(network)) == (block in ENDS_WITH_1X1)
    network(image).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    kinds = [[type(m) for m in n.modules() if isinstance(m, (nn.ReLU, nn.ELU, nn.Identity))] for n in (network, plain)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("words", ["", "block=conv", "block=inception", "model=vgg_sep", "block.order=pointwise_first"])
def test_the_axis_changes_the_computation(words: str) -> None:
    """At half the width the logits change by more than 1 %, though all layers before the last one are equal."""
    image = torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    networks = [built(f"model.width=0.5 model.features={f} {words}").train() for f in ("null", "published", "64")]
    with torch.no_grad():
        found = [n(image) for n in networks]
    for a, b in itertools.combinations(found, 2):
        assert (a - b).norm() > 0.01 * a.norm()
    states = [n.state_dict() for n in networks]
    different = {k for k in states[0] if k not in states[1] or states[0][k].shape != states[1][k].shape}
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0].keys() - different if "running" not in k)
    last = ("top.layer1.", "stages.stage3.layer6.", "head.logits.")
    assert different
    assert all(k.startswith(last) for k in different), different


@pytest.mark.parametrize("block", ENDS_ANYWHERE)
def test_what_scaling_gives_anyway_is_no_setting(block: str) -> None:
    """At the published width `published` is the default network, under its id; half of it likewise at half the width."""
    for words in (f"{block} model.features=published", f"{block} model.width=0.5 model.features=128"):
        assert compose(words.split()).model.features is None  # type: ignore[attr-defined]
    assert compose(f"{block} model.width=0.5 model.features=published".split()).model.features == 256  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", ["params", "body_params"])
@pytest.mark.parametrize(
    "words", ["block=inception", "block=conv", "block.segments=4", "model=vgg_sep", "block.residual=false"]
)
def test_bodies_are_matched_and_heads_are_equal(words: str, what: str) -> None:
    """Both counts of a matched variant: the body within 1 % of the reference's, the head the same; a thousand classes."""
    classes, reference = ["data.num_classes=1000"], "model.width=0.9 model.features=published"
    asked = [
        *classes,
        *words.split(),
        "model.features=published",
        f"model.match={what}",
        f"model.match_to='{reference}'",
    ]
    matched, target = complexity(compose(asked)), complexity(compose([*classes, *reference.split()]))
    assert matched.head_params == target.head_params == 257_000
    assert matched.body_params == pytest.approx(target.body_params, rel=0.01 if what == "body_params" else 0.03)


def test_a_model_without_it_refuses_it() -> None:
    """The literal Inception V3 has one published head; words that are no number are refused too."""
    for words, message in (
        (["model=inception_v3", "data=imagenet", "model.features=published"], "model=xception|vgg_sep has it"),
        (["model.features=publshed"], "or published"),
        (["model.features=0"], "or published"),
    ):
        with pytest.raises(BadInput) as caught:
            compose(words)
        assert message in str(caught.value)


@pytest.fixture
def own_skeletons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two skeletons of a user's own: one with a head that never asks for the features, one without a head."""
    from sepconv_lab.config import registry

    monkeypatch.setattr(registry, "CONFIGS", {k: dict(v) for k, v in registry.CONFIGS.items()})
    path = tmp_path / "own_skeletons.py"
    path.write_text(
        """
from dataclasses import dataclass
from torch import nn
from sepconv_lab.config import SkeletonConfig, register, setting
from sepconv_lab.models.skeleton import ConvStem, Head, conventions_of
from sepconv_lab.config import Size, Stem
from sepconv_lab.config.model import LAB_CONVENTIONS

@dataclass
class Deaf(SkeletonConfig):
    name: str = setting("deaf", "the model's name in the registry")
    SIZES = {size: LAB_CONVENTIONS for size in Size}

@dataclass
class Headless(Deaf):
    name: str = setting("headless", "the model's name in the registry")

@register(Deaf)
class DeafNet(nn.Sequential):
    def __init__(self, config, block, num_classes):
        super().__init__()
        self.stem = ConvStem((8,), 1, Stem.conv, False, conventions_of(config))
        self.head = Head(8, num_classes, fc_layers=0, fc_width=1, dropout=0)

@register(Headless)
class HeadlessNet(nn.Sequential):
    def __init__(self, config, block, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(3 * 32 * 32, num_classes))
"""
    )
    return path


def test_a_skeleton_that_ignores_it_is_refused(own_skeletons: Path) -> None:
    """A silently ignored axis trains the baseline under another name: a user's own skeleton too is found out."""
    for model, message in (("deaf", "makes no use of it"), ("headless", "no `head`")):
        with pytest.raises(BadInput, match=message):
            compose([f"imports=[{own_skeletons}]", f"model={model}", "model.features=16"])


def test_it_is_an_axis_of_every_skeleton() -> None:
    """Declared once, with nothing as its neutral value."""
    field = next(f for f in dataclasses.fields(SkeletonConfig) if f.name == "features")
    assert field.metadata["neutral"] is None
    assert field.default is None
