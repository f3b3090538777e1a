"""Optimisers and schedules against formulas and independent arithmetic."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch

from sepconv_lab.compose import compose
from sepconv_lab.config.identity import identity
from sepconv_lab.models import build_model
from sepconv_lab.training.optim import RMSpropTF, learning_rate, make_optimizer, parameter_groups


def test_rmsprop_has_tensorflows_semantics() -> None:
    """Epsilon inside the root, squared average from one, the learning rate inside the momentum."""
    w = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = RMSpropTF([w], lr=0.1, decay=0.9, eps=0.5, momentum=0.8)
    square, velocity, value = 1.0, 0.0, 1.0
    for gradient, rate in ((2.0, 0.1), (-1.0, 0.05)):
        optimizer.param_groups[0]["lr"] = rate
        w.grad = torch.tensor([gradient])
        optimizer.step()
        square = 0.9 * square + 0.1 * gradient**2
        velocity = 0.8 * velocity + rate * gradient / (square + 0.5) ** 0.5
        value -= velocity
    assert w.item() == pytest.approx(value, rel=1e-6)


def test_weight_decay_touches_what_it_is_told_to() -> None:
    """Every parameter is in exactly one group; norms, biases and depthwise kernels leave the decayed one by their settings."""
    network = build_model(compose([]), 10)
    for overrides, spared in (
        (["train.decay_norms=true", "train.decay_biases=true"], 0),
        ([], sum(p.numel() for n, p in network.named_parameters() if "norm" in n or n.endswith("bias"))),
        (
            ["train.decay_norms=true", "train.decay_biases=true", "train.decay_depthwise=false"],
            sum(p.numel() for n, p in network.named_parameters() if n.endswith("depthwise.weight")),
        ),
    ):
        groups = parameter_groups(network, compose(overrides).train)
        counts = {g["weight_decay"] > 0: sum(p.numel() for p in g["params"]) for g in groups}
        assert sum(counts.values()) == sum(p.numel() for p in network.parameters())
        assert counts.get(False, 0) == spared


def test_the_papers_staircase() -> None:
    """0.045, times 0.94 every two epochs (paper, section 4.3); in samples and steps alike."""
    rate = learning_rate(compose(["train=paper_imagenet"]).train, 10_000, 100)
    assert [rate(s) for s in (0, 199, 200, 400)] == pytest.approx([0.045, 0.045, 0.045 * 0.94, 0.045 * 0.94**2])
    by_samples = ["train=paper_imagenet", "train.decay_unit=samples", "train.decay_every=6400"]
    rate = learning_rate(compose(by_samples).train, 10_000, 100)
    assert [rate(s) for s in (199, 200)] == pytest.approx([0.045, 0.045 * 0.94])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle", "exponential"])
def test_schedules_stay_within_their_bounds(schedule: str) -> None:
    """Every step has a rate above zero and not above `train.lr`; all but the constant one fall at the end."""
    warm = [] if schedule == "onecycle" else ["train.warmup_epochs=1"]
    more = ["train.decay_every=1"] if schedule == "exponential" else []
    train = compose([f"train.schedule={schedule}", "train.lr=0.5", *warm, *more]).train
    rate = learning_rate(train, 100, 20)
    rates = [rate(s) for s in range(100)]
    assert min(rates) > 0
    assert max(rates) <= 0.5
    assert rates[0] < 0.1
    assert (rates[-1] < max(rates)) == (schedule != "constant")


def test_a_staircase_falls_where_it_is_written() -> None:
    """Lengths in epochs, samples and steps that binary fractions round: each fall comes at the first step at or past k lengths,
    in exact arithmetic."""
    for length, per_epoch in itertools.product(("0.1", "0.3", "0.7", "1.1", "1.4", "2.2", "2.4"), (7, 100, 313)):
        config = compose(["train.schedule=exponential", f"train.decay_every={length}", "train.decay_rate=0.5"]).train
        rate, stair = learning_rate(config, 10**9, per_epoch), Fraction(length) * per_epoch
        for k in (1, 2, 3, 7, 100):
            falls = math.ceil(k * stair)
            assert rate(falls) == config.lr * config.decay_rate ** math.floor(falls / stair)
            assert rate(falls - 1) == config.lr * config.decay_rate ** math.floor((falls - 1) / stair)
    samples = compose(["train.schedule=exponential", "train.decay_unit=samples", "train.batch_size=49",
                       "train.decay_every=490", "train.decay_rate=0.5"]).train  # fmt: skip
    assert [learning_rate(samples, 100, 20)(s) / samples.lr for s in (9, 10, 19, 20)] == [1, 0.5, 0.5, 0.25]


def test_an_exact_staircase_enters_the_ids_that_it_changes() -> None:
    """The paper's two epochs keep their id; 1.1 epochs, whose falls moved, have another."""
    first, second = (
        identity(compose(["train.schedule=exponential", f"train.decay_every={length}"]), "") for length in (2, 1.1)
    )
    assert "train.staircase" not in first
    assert second["train.staircase"] == "exact"


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.05), ("rmsprop", 0.05), ("adamw", 0.003)])
def test_every_optimizer_lowers_a_loss(optimizer: str, lr: float) -> None:
    """Ten steps on one batch lower the loss."""
    config = compose([f"train.optimizer={optimizer}", f"train.lr={lr}", "model.width=0.25"])
    network = build_model(config, 10)
    steps = make_optimizer(network, config.train)
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 10
    losses = []
    for _ in range(10):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
