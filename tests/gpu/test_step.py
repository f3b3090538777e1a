"""On a GPU: the networks compute what they compute on a CPU, and a step gives the same bits each time it is taken."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F

from sepconv_lab import data, models
from sepconv_lab.compose import compose
from sepconv_lab.config import Precision
from sepconv_lab.training.averaging import measure_norms
from sepconv_lab.training.evaluation import evaluate
from sepconv_lab.training.loop import Training

from ..helpers import SMALL, layered

GPU, CPU = torch.device("cuda"), torch.device("cpu")
AXES = (
    [],
    ["block.order=pointwise_first", "block.mid_norm=true", "block.mid_act=relu"],
    ["block.mid_act=elu", "block.out_norm=false", "model.dropout=0"],
    ["block.segments=4"],
    ["block.segments=1", "block.residual=false"],
    ["block.depth_multiplier=2", "block.kernel_size=5"],
    ["block.act=silu", "model.stem=separable", "model.padding=tf"],
    ["block=inception", "block.towers=4"],
    ["block=conv"],
    ["model=vgg_sep"],
)
OPTIMISERS = (
    ["train.optimizer=sgd", "train.clip_norm=1"],
    ["train.optimizer=rmsprop", "train.lr=0.01", "model.dropout=0.5"],
    ["train.optimizer=adamw", "train.lr=0.01", "train.accumulate=2", "model.dropout=0.5"],
)


@pytest.mark.parametrize("words", AXES, ids=lambda w: " ".join(w) or "default")
def test_every_axis_forward_and_backward(words: list[str]) -> None:
    """Logits, loss and gradient are the CPU's, in float64 to 1e-8 and in float32 to its rounding."""
    config = compose(["model.width=0.25", "data.num_classes=5", *words])
    network = models.build_model(config, 5).train()
    torch.manual_seed(0)
    images = torch.rand(8, 3, 32, 32, dtype=torch.float64).mul(2).sub(1).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(8) % 5
    reference = _gradients(network.double(), images, labels)
    for kind, near in ((torch.float64, 1e-8), (torch.float32, 1e-2)):
        found = _gradients(copy.deepcopy(network).to(GPU, kind), images.to(GPU, kind), labels.to(GPU))
        for name, expected in reference.items():
            error = (found[name].double().cpu() - expected).norm() / expected.norm()
            assert error < near, f"{name} in {kind}: {error:.1e}"


def _gradients(network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    network.zero_grad()
    logits = network(images)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    return {"logits": logits.detach(), "loss": loss.detach(), "gradient": gradient}


def training(words: Sequence[str] = (), precision: Precision = Precision.fp32, device: torch.device = GPU) -> Training:
    config = compose(layered([*SMALL, "train.epochs=3"], *words))
    loaded = data.load(config.data)
    return Training(config, models.build_model(config, loaded.num_classes), loaded, device, precision)


def taken(run: Training, epochs: int = 2) -> list[torch.Tensor]:
    """Every tensor of the state after some epochs."""
    for epoch in range(epochs):
        for _ in run.steps(epoch, 0):
            pass
    assert run.average is not None
    states = (run.network.state_dict(), run.average.state_dict(), run.sums)
    optimizer = [v for state in run.optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor)]
    return [v.clone() for state in states for v in state.values()] + optimizer


@pytest.mark.parametrize("augment", ["pad_crop", "random_resized_crop"])
def test_batches_are_the_cpus(augment: str) -> None:
    """Crops and flips drawn on the GPU are bit for bit the CPU's; resized crops are so to rounding."""
    words = [f"data.augment={augment}", "data.flip=true"]
    pairs = zip(training(words)._batches(1), training(words, device=CPU)._batches(1), strict=True)
    for (images, labels), (expected, classes) in pairs:
        assert torch.equal(labels.cpu(), classes)
        if augment == "pad_crop":
            assert torch.equal(images.cpu(), expected)
        else:
            assert (images.cpu() - expected).abs().mean() < 1e-3


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16], ids=lambda p: p.name)
@pytest.mark.parametrize("words", OPTIMISERS, ids=lambda w: w[0])
def test_a_graph_gives_the_bits_of_the_eager_step(words: list[str], precision: Precision) -> None:
    """Two epochs replayed as a CUDA graph end with every bit of two epochs of eager steps; eager ones end so again."""
    eager, again = taken(training(words, precision)), taken(training(words, precision))
    assert all(torch.equal(a, b) for a, b in zip(eager, again, strict=True)), "eager steps differ among themselves"
    run = training([*words, "train.graph=true"], precision)
    graph = taken(run)
    assert run.static is not None
    assert run.static.graph is not None
    assert len(eager) == len(graph)
    assert all(torch.equal(a, b) for a, b in zip(eager, graph, strict=True)), "the graph's step differs"


def test_a_step_and_an_evaluation_never_wait() -> None:
    """With the driver told to refuse whatever makes the program wait, steps, measured norms and a batch of scores run."""
    run = training()
    steps = run.steps(0, 0)
    next(steps)  # the epoch's draws cross, kernels are chosen
    batches = list(run._batches(1))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            next(steps)
        measure_norms(batches, run.network)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_metrics_are_the_cpus() -> None:
    """A network evaluated on the GPU has the metrics that it has on the CPU."""
    run = training()
    taken(run, 1)
    split = data.load(run.config.data).test
    here, _, _ = evaluate(run.network, run.data.test, GPU)
    there, _, _ = evaluate(copy.deepcopy(run.network).cpu(), split, CPU)
    assert here == pytest.approx(there, rel=1e-3, abs=1e-3)
