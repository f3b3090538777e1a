"""The training step never waits for the device, and is the same step wherever its batch and its numbers lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sepconv_lab import data, models
from sepconv_lab.compose import compose
from sepconv_lab.config import Precision
from sepconv_lab.training.averaging import Average, measure_norms
from sepconv_lab.training.evaluation import evaluate
from sepconv_lab.training.loop import Diverged, Training
from sepconv_lab.training.static import StaticStep

from .helpers import SMALL, layered

CPU = torch.device("cpu")
OPTIMISERS = (
    ["train.optimizer=sgd", "train.clip_norm=1"],
    ["train.optimizer=rmsprop", "train.lr=0.01", "model.dropout=0.5"],
    ["train.optimizer=adamw", "train.lr=0.01", "train.accumulate=2"],
)


class Asked(TorchDispatchMode):
    """Counts what the program asks of the device and has to wait for: a tensor's value, or how many elements are not zero."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.patch = pytest.MonkeyPatch()

    def __enter__(self) -> Asked:
        real = torch.Tensor.tolist

        def tolist(tensor: torch.Tensor) -> Any:  # copies by itself, beside the dispatcher
            self.count["tolist"] += 1
            return real(tensor)

        self.patch.setattr(torch.Tensor, "tolist", tolist)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.patch.undo()
        super().__exit__(*error)

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select"):
            self.count[name] += 1
        return operator(*args, **(kwargs or {}))


def training(words: Sequence[str] = (), *, on_device: bool) -> Training:
    """A run between two steps, with images and learning rate beside the weights or not."""
    config = compose(layered([*SMALL, "train.precision=fp32", "train.epochs=2"], *words))
    loaded = data.load(config.data)
    torch.set_num_threads(1)
    return Training(
        config, models.build_model(config, loaded.num_classes), loaded, CPU, Precision.fp32, on_device=on_device
    )


def whole(run: Training) -> dict[str, torch.Tensor]:
    """Every tensor of a run's state."""
    assert run.average is not None
    found = {f"network {k}": v for k, v in run.network.state_dict().items()}
    found |= {f"average {k}": v for k, v in run.average.state_dict().items()}
    for i, state in run.optimizer.state_dict()["state"].items():
        found |= {f"optimizer {i} {k}": v for k, v in state.items()}
    return {k: v.clone() for k, v in (found | run.sums).items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("words", OPTIMISERS, ids=lambda w: w[0])
def test_a_step_asks_the_device_for_nothing(words: list[str]) -> None:
    """From the batch to the average no number comes back; only an event asks."""
    run = training(words, on_device=True)
    with Asked() as asked:
        for number, _ in enumerate(run.steps(0, 0)):
            if number == 3:
                break
        assert not asked.count
        run.train_event()
        assert asked.count == {"tolist": 1}
        float(run.sums["loss"])
        assert asked.count["_local_scalar_dense"] == 1


def test_an_evaluation_asks_as_often_for_many_batches_as_for_few() -> None:
    """Metrics come back once at the end, and BatchNorm's statistics are measured without any number coming back."""
    run = training(on_device=True)
    counts = []
    for size in (40, 4):
        with Asked() as asked:
            evaluate(run.network, run.data.test, CPU, batch_size=size)
        counts.append(asked.count.total())
    assert counts[0] == counts[1]
    with Asked() as asked:
        measure_norms(run._batches(0), run.network)
    assert not asked.count


@pytest.mark.parametrize("augment", ["pad_crop", "random_resized_crop"])
def test_batches_drawn_on_the_device_are_those_drawn_one_by_one(augment: str) -> None:
    """A batch is a function of seed, epoch and examples, wherever the images lie; also from the middle of an epoch."""
    words = [f"data.augment={augment}", "data.flip=true"]
    there, here = training(words, on_device=True), training(words, on_device=False)
    for start in (0, 2):
        pairs = list(zip(there._batches(1, start), here._batches(1, start), strict=True))
        assert len(pairs) == there.epoch_steps - start
        assert all(torch.equal(a, b) for pair in pairs for a, b in zip(*pair, strict=True))


@pytest.mark.parametrize("words", OPTIMISERS, ids=lambda w: w[0])
def test_the_static_step_is_the_step(words: list[str]) -> None:
    """Over buffers that never move it gives the bits of the step that is handed its batch, across epochs, from anywhere in one."""
    usual, static = training(words, on_device=True), training(words, on_device=True)
    step = StaticStep(static, capture=False)
    for epoch, start in ((0, 0), (1, 2)):
        usual.step = static.step = epoch * usual.epoch_steps + start
        step.begin(epoch, start)
        for _ in usual.steps(epoch, start):
            step.step()
        assert same(whole(usual), whole(static))


def test_a_run_goes_on_wherever_its_learning_rate_lies() -> None:
    """A checkpoint says nothing of where or how the parameters move: it is taken up with the rate beside the weights or not."""
    for words in OPTIMISERS:
        first = training(words, on_device=False)
        for _ in first.steps(0, 0):
            pass
        for on_device in (True, False):
            second = training(words, on_device=on_device)
            second.load_state(first.state())
            assert all(isinstance(g["lr"], torch.Tensor) is on_device for g in second.optimizer.param_groups)
            assert all(
                bool(g.get("fused")) is (on_device and "rmsprop" not in words[0]) for g in second.optimizer.param_groups
            )
            for _ in second.steps(1, 0):
                pass
            assert second.train_event()["train/loss"] > 0


def test_the_step_that_diverged_is_named_at_the_next_event() -> None:
    """The loss is looked at only at events, and the first step at which it was no number is the one that is named."""
    run = training(on_device=True)
    for number, _ in enumerate(run.steps(0, 0)):
        if number == 1:
            with torch.no_grad():
                next(run.network.parameters()).fill_(float("nan"))
        if number == 4:
            break
    with pytest.raises(Diverged) as diverged:
        run.train_event()
    assert diverged.value.step == 2


def test_all_of_an_average_lies_with_its_network() -> None:
    """Its counter too: what a CUDA graph replays cannot count on the CPU."""
    average = Average(torch.nn.Linear(2, 2, device="meta"), 0.5)
    assert {tensor.device.type for tensor in average.state_dict().values()} == {"meta"}
