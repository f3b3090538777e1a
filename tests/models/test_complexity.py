"""What is counted is what is there: parameters, MACs, receptive field, and the golden file of every model and block."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sepconv_lab.compose import compose
from sepconv_lab.config import BUILTIN, BlockConfig, Form, InceptionV3Form, ModelConfig
from sepconv_lab.models import build_model
from sepconv_lab.models.complexity import complexity, measure
from sepconv_lab.models.layers import MaxPool2d

BLOCKS = [c().name for c in BUILTIN if issubclass(c, BlockConfig)]
MODELS = [c().name for c in BUILTIN if issubclass(c, ModelConfig)]


def every_variant() -> list[str]:
    """Each registered model at each size with each registered block; Inception V3 and, small, its block in each form; at half
    the width, with the features that scaling gives and with the published ones."""
    found = [f"data=imagenet model=inception_v3 model.form={form.name}" for form in InceptionV3Form]
    for model, block, data in itertools.product(MODELS, BLOCKS, ("cifar10", "imagenet")):
        all_forms = block == "inception" and data == "cifar10"
        forms = [f" block.form={form.name}" for form in Form] if all_forms else [""]
        found += [f"data={data} model={model} block={block}{form}" for form in forms if model != "inception_v3"]
    for model, block, features in itertools.product(("xception", "vgg_sep"), BLOCKS, ("null", "published")):
        found.append(f"data=cifar10 model={model} block={block} model.width=0.5 model.features={features}")
    return found


def test_parameters_and_macs_of_every_model_and_block(golden: Callable[[str, Any], None]) -> None:
    """The golden file of sizes: a change of any of them is on purpose."""
    found = {}
    for words in every_variant():
        counts = complexity(compose(words.split()))
        found[words] = {"params": counts.params, "head": counts.head_params, "macs": counts.macs, "field": counts.field}
    golden("complexity", found)


VARIANTS = [
    "block=conv",
    "block.segments=4 block.order=pointwise_first block.depth_multiplier=2",
    "block=inception block.form=canonical",
    "model=vgg_sep block.kernel_size=5",
    "model.stem=separable model.fc_layers=2 model.fc_width=64 block.mid_norm=true",
    "model=inception_v3 data=imagenet",
    "model=xception data=imagenet",
]


@pytest.mark.parametrize("words", VARIANTS)
def test_macs_are_half_of_torchs_flops(words: str) -> None:
    """PyTorch's own counter, which sees every convolution and matrix product, gives twice the MACs."""
    config = compose(words.split())
    size = config.data.image_size
    network = build_model(config, config.data.num_classes, device="meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, size, size, device="meta"))
    assert complexity(config).macs * 2 == counter.get_total_flops()


@pytest.mark.parametrize("words", VARIANTS)
def test_rows_add_up_to_the_whole(words: str) -> None:
    """Each trainable parameter stands in exactly one row; the head's are counted apart."""
    config = compose(words.split())
    network = build_model(config, config.data.num_classes, device="meta")
    counts = complexity(config)
    assert sum(r.params for r in counts.rows) == counts.params == sum(p.numel() for p in network.parameters())
    assert counts.body_params + counts.head_params == counts.params
    assert sum(r.macs for r in counts.rows) == counts.macs


class _Average(nn.Module):
    """A pool with the same geometry through which every position has a gradient."""

    def __init__(self, pool: MaxPool2d):
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.pool.kernel_size
        return nn.functional.avg_pool2d(x, kernel, self.pool.stride, 0 if self.pool.valid else kernel // 2)


@pytest.mark.parametrize(
    "words", ["block=xception", "block=conv block.residual=false", "model=vgg_sep", "block.kernel_size=5"]
)
def test_the_receptive_field_is_where_gradients_reach(words: str) -> None:
    """The input pixels that one position of the last map depends on span as many pixels as are counted."""
    config = compose([*words.split(), "model.size=lab", "model.width=0.125", "data=imagenet"])
    field = complexity(config).field
    network = build_model(config, 10).eval()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, MaxPool2d):
                setattr(module, name, _Average(child))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.1)
    size = field + 30
    image = torch.ones(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    features = network.double().features(image)  # type: ignore[operator]
    middle = features.shape[-1] // 2
    features[0, :, middle, middle].sum().backward()
    assert image.grad is not None
    reached = image.grad.abs().sum((0, 1)).nonzero()
    assert (reached.max(0).values - reached.min(0).values + 1).tolist() == [field, field]


@pytest.mark.parametrize("dilation", [1, 2])
def test_each_side_of_a_window_widens_its_own_side(dilation: int) -> None:
    """1x7 and 7x1 one after the other see 7x7, at any stride, dilation and branch: where gradients reach is what is counted."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Identity()
            self.wide = nn.Conv2d(3, 2, (1, 7), padding=(0, 3 * dilation), dilation=dilation)
            self.tall = nn.Conv2d(2, 2, (7, 1), padding=(3 * dilation, 0), dilation=dilation)
            self.both = nn.Conv2d(3, 2, 3, padding=1)
            self.last = nn.Conv2d(4, 2, (3, 1), stride=(2, 1), padding=(1, 0))
            self.end = nn.Conv2d(2, 1, (3, 5), padding=(1, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.end(self.last(torch.cat([self.tall(self.wide(x)), self.both(x)], 1)))

    with torch.device("meta"):
        counted = measure(Branches(), 64)
    network, image = Branches(), torch.ones(1, 3, 65, 65, requires_grad=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.1)
    out = network(image)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    assert image.grad is not None
    reached = image.grad.abs().sum((0, 1)).nonzero()
    sides = (reached.max(0).values - reached.min(0).values + 1).tolist()
    assert sides == [7 + 6 * (dilation - 1) + 2 + 4, 7 + 6 * (dilation - 1) + 4]
    assert counted.field == max(sides)


def test_activation_memory_follows_what_is_kept() -> None:
    """Twice the pixels keep four times the activations; a norm in the middle keeps one more map a layer."""
    small, large, normed = (
        complexity(compose(words)).activation_bytes
        for words in (["data.image_size=32"], ["data.image_size=64"], ["block.mid_norm=true"])
    )
    assert large / small == pytest.approx(4, rel=0.02)
    assert normed > 1.1 * small
