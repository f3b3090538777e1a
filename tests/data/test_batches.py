"""Splits -> batches: what a batch depends on, and what it does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sepconv_lab.config import Augment, BadInput, DataConfig
from sepconv_lab.data import eval_batches, steps_per_epoch, train_batches
from sepconv_lab.data.cache import CachedImages
from sepconv_lab.data.photos.folder import ImageFiles
from sepconv_lab.data.splits import MemorySplit, Split, StreamSplit

from .conftest import picture

CONFIG = DataConfig(image_size=8, flip=True, crop_padding=2)
RESIZED = dataclasses.replace(CONFIG, augment=Augment.random_resized_crop)
COUNT = 26


@pytest.fixture(params=["memory", "stream"])
def split(request: pytest.FixtureRequest, tmp_path: Path) -> Split:
    """The same kind of examples, decoded in memory or streamed from files of 10 x 12 pixels."""
    labels = np.arange(COUNT) % 5
    if request.param == "memory":
        images = np.random.default_rng(0).integers(0, 256, (2 * COUNT, 3, 8, 8), dtype=np.uint8)
        stored = CachedImages("key", "train", 2 * COUNT, 8, lambda: iter([images]))
        return MemorySplit(stored, np.arange(0, 2 * COUNT, 2), labels, 8)
    files = [tmp_path / f"{i}.png" for i in range(COUNT)]
    for i, file in enumerate(files):
        file.write_bytes(picture(i, (10, 12)))
    return StreamSplit(ImageFiles(files, labels.tolist()), np.arange(COUNT), labels, 9, 8)


def epoch(split: Split, config: DataConfig = CONFIG, **how: int) -> list[tuple[Tensor, Tensor]]:
    settings = {"epoch": 0, "batch_size": 4, "seed": 0, **how}
    return list(train_batches(split, config, device="cpu", **settings))  # type: ignore[arg-type]


def equal(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether both give the same examples in the same order, however they are divided into batches."""
    columns = [[torch.cat(column) for column in zip(*batches, strict=True)] for batches in (a, b)]
    return all(torch.equal(x, y) for x, y in zip(*columns, strict=True))


@pytest.mark.parametrize("config", [CONFIG, RESIZED], ids=["pad_crop", "random_resized_crop"])
def test_a_batch_depends_on_seed_epoch_and_examples_alone(split: Split, config: DataConfig) -> None:
    """Again, resumed within the epoch, in other batches, after other epochs, or after other random draws: the same bits."""
    whole = epoch(split, config)
    assert len(whole) == COUNT // 4, "the last partial batch is dropped"
    torch.rand(7)
    assert equal(whole, epoch(split, config))
    epoch(split, config, epoch=1)
    assert equal(whole[4:], epoch(split, config, start=4))
    assert equal(whole, epoch(split, config, batch_size=12)), "24 examples either way"


def test_a_batch_does_not_depend_on_workers(split: Split) -> None:
    """Decoded here or in two processes: the same bits, and the global random state is left alone."""
    before = torch.get_rng_state()
    assert equal(epoch(split), epoch(split, workers=2))
    assert torch.equal(before, torch.get_rng_state())


def test_order_and_augmentation_change_with_seed_and_epoch(split: Split) -> None:
    """Every epoch and seed shows each example once, in another order and other crops."""
    none = dataclasses.replace(CONFIG, augment=Augment.none, flip=False)
    shown = sorted(x.numpy().tobytes() for x, _ in eval_batches(split, batch_size=1, device="cpu"))
    for how in ({}, {"epoch": 1}, {"seed": 1}):
        plain = epoch(split, none, batch_size=COUNT, **how)
        assert sorted(x.contiguous().numpy().tobytes() for x in plain[0][0].split(1)) == shown
        if how:
            assert not equal(epoch(split, none), epoch(split, none, **how))
            assert not equal(epoch(split), epoch(split, **how))


def test_labels_go_with_their_images(split: Split) -> None:
    """An image found in a shuffled batch has the label it has in order."""
    none = dataclasses.replace(CONFIG, augment=Augment.none, flip=False)
    known = {x.numpy().tobytes(): int(y) for x, y in eval_batches(split, batch_size=1, device="cpu")}
    for images, labels in epoch(split, none):
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64
        assert [known[x.contiguous().numpy().tobytes()] for x in images.split(1)] == labels.tolist()


def test_evaluation_shows_every_example_once_in_order(split: Split) -> None:
    """All of them, the last batch smaller; workers change nothing."""
    batches = list(eval_batches(split, batch_size=8, device="cpu"))
    assert [len(x) for x, _ in batches] == [8, 8, 8, 2]
    assert torch.equal(torch.cat([y for _, y in batches]), split.labels)
    assert equal(batches, list(eval_batches(split, batch_size=5, device="cpu", workers=2)))


def test_a_limited_evaluation_is_always_the_same(split: Split) -> None:
    """The limit's examples are spread over the classes; a limit beyond the split is no limit."""
    labels = torch.cat([y for _, y in eval_batches(split, batch_size=4, device="cpu", limit=10)])
    assert torch.bincount(labels).tolist() == [2] * 5
    first, again = (list(eval_batches(split, batch_size=4, device="cpu", limit=10)) for _ in range(2))
    assert equal(first, again)
    assert sum(len(y) for _, y in eval_batches(split, batch_size=4, device="cpu", limit=1000)) == COUNT


def test_skipped_batches_are_not_decoded(tmp_path: Path) -> None:
    """`start` jumps: unreadable files before it do no harm."""
    files = [tmp_path / f"{i}.png" for i in range(8)]
    for i, file in enumerate(files):
        file.write_bytes(picture(i))
    split = StreamSplit(ImageFiles(files, [0] * 8), np.arange(8), np.zeros(8), 8, 8)
    whole = epoch(split)
    in_second = {x.contiguous().numpy().tobytes() for x in whole[1][0].split(1)}
    plain = dataclasses.replace(CONFIG, augment=Augment.none, flip=False)
    keep = {x.contiguous().numpy().tobytes() for x in epoch(split, plain)[1][0].split(1)}
    for i, (x, _) in enumerate(eval_batches(split, batch_size=1, device="cpu")):
        if x.numpy().tobytes() not in keep:
            files[i].write_bytes(b"gone")
    assert {x.contiguous().numpy().tobytes() for x in epoch(split, start=1)[0][0].split(1)} == in_second


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_fails_midway_is_named(tmp_path: Path, workers: int) -> None:
    """A streamed file that turns unreadable raises BadInput with its name and no worker's traceback."""
    files = [tmp_path / f"{i}.png" for i in range(8)]
    for i, file in enumerate(files):
        file.write_bytes(picture(i) if i != 5 else picture(i)[:60])
    split = StreamSplit(ImageFiles(files, [0] * 8), np.arange(8), np.zeros(8), 8, 8)
    with pytest.raises(BadInput, match=r"^\S+5\.png: cannot be decoded: [^\n]*$"):
        epoch(split, workers=workers)


def test_a_batch_larger_than_the_split_is_refused(split: Split) -> None:
    """With both numbers and what to change."""
    with pytest.raises(
        BadInput, match=r"a batch of 27 is larger than the training split of 26 images; lower train\.batch_size"
    ):
        steps_per_epoch(len(split), 27)
    assert steps_per_epoch(26, 26) == 1
    assert steps_per_epoch(26, 5) == 5
