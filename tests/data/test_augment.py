"""Random crops and flips of a batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from sepconv_lab.config import Augment, DataConfig
from sepconv_lab.data import streams
from sepconv_lab.data.augment import COLUMNS, PAD, augment, centre, crop_boxes, normalise

PLAIN = DataConfig(image_size=12, augment=Augment.none)
SHIFT = DataConfig(image_size=12, augment=Augment.pad_crop, crop_padding=3)
RESIZED = DataConfig(image_size=12, augment=Augment.random_resized_crop, crop_scale=0.3)


def batch(side: int, count: int = 40) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8))


def uniforms(count: int = 40) -> Tensor:
    return torch.from_numpy(streams.uniforms(range(count), COLUMNS, "test")).float()


@pytest.mark.parametrize("config", [PLAIN, SHIFT, RESIZED], ids=lambda c: c.augment.name)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("side", [12, 15])
def test_batches_are_what_a_network_takes(config: DataConfig, flip: bool, side: int) -> None:
    """(B, 3, S, S) float32 in [-1, 1], channels_last; an example's picture depends on its own image and uniforms alone."""
    config = dataclasses.replace(config, flip=flip)
    images, u = batch(side), uniforms()
    out = augment(images, u, config)
    assert out.shape == (40, 3, 12, 12)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert out.min() >= -1
    assert out.max() <= 1
    rows = torch.tensor([7, 0, 31])
    assert torch.equal(augment(images[rows], u[rows], config), out[rows])


def test_normalise() -> None:
    """0 -> -1, 255 -> 1."""
    out = normalise(torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1).expand(1, 2, 1, 1))
    assert torch.allclose(out.flatten(), torch.tensor([-1.0, 1.0]), atol=1e-6)


@pytest.mark.parametrize("side", [12, 15, 24])
def test_pad_crop_is_a_shifted_window(side: int) -> None:
    """Against a loop: a window up to 3 pixels off the centre, mirrored or not, grey outside the image; all shifts occur."""
    config = dataclasses.replace(SHIFT, flip=True)
    images, u = batch(side, 400), uniforms(400)
    out = augment(images, u, config)
    shifts = set()
    for image, row, got in zip(images.numpy(), u.numpy(), out, strict=True):
        padded = np.pad(image, ((0, 0), (3, 3), (3, 3)), constant_values=PAD)
        x, y = int(row[1] * 7), int(row[2] * 7)
        shifts.add((x, y))
        first = (side - 12) // 2
        window = padded[:, first + y : first + y + 12, first + x : first + x + 12]
        window = window[:, :, ::-1] if row[0] < 0.5 else window
        assert torch.equal(got, normalise(torch.from_numpy(window.copy())[None])[0])
    assert len(shifts) == 49


def test_without_augmentation_the_centre_is_shown() -> None:
    """`augment=none` without flips is what evaluation sees."""
    images = batch(16)
    assert torch.equal(augment(images, uniforms(), PLAIN), normalise(centre(images, 12)))


def test_flip_mirrors_half_of_the_images() -> None:
    """Each image is itself or its mirror image, about equally often."""
    images = batch(12, 400)
    out = augment(images, uniforms(400), dataclasses.replace(PLAIN, flip=True))
    same = (out == normalise(images)).flatten(1).all(1)
    mirrored = (out == normalise(images.flip(3))).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    assert 150 < same.sum() < 250


def test_crop_boxes_lie_inside_and_have_the_declared_area_and_aspect() -> None:
    """Area within [scale, 1] and aspect within 3/4 to 4/3, up to rounding to pixels; positions reach all borders."""
    left, top, width, height = crop_boxes(uniforms(5000), 100, 0.2)
    assert left.min() == 0
    assert top.min() == 0
    assert (left + width).max() == 100
    assert (top + height).max() == 100
    area, aspect = width * height / 1e4, width / height
    assert 0.19 < area.min() < 0.25
    assert 0.95 < area.max() <= 1
    assert 0.73 < aspect.min() < 0.78
    assert 1.28 < aspect.max() < 1.36


def test_a_crop_that_never_fits_shows_the_whole_image() -> None:
    """All ten tries too wide: the fallback is the image itself."""
    u = torch.zeros(1, COLUMNS)
    u[:, 3::2], u[:, 4::2] = 1 - 2**-24, 1 - 2**-24  # the whole area at 4:3 is wider than a square
    assert [v.item() for v in crop_boxes(u, 60, 0.08)] == [0, 0, 60, 60]


def test_resized_crop_samples_its_box() -> None:
    """On a linear ramp, bilinear sampling is exact: each output pixel has the coordinate of its place in the box."""
    side, size = 64, 16
    config = dataclasses.replace(RESIZED, image_size=size)
    ramp = (torch.arange(side) * 2).to(torch.uint8)
    images = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), ramp.expand(side, side)])[None]
    images, u = images.expand(50, -1, -1, -1), uniforms(50)
    out = (augment(images, u, config) + 1) * 127.5
    left, top, width, height = crop_boxes(u, side, config.crop_scale)
    at = (torch.arange(size) + 0.5) / size
    x = (left[:, None] + width[:, None] * at - 0.5).clamp(0, side - 1) * 2
    y = (top[:, None] + height[:, None] * at - 0.5).clamp(0, side - 1) * 2
    assert torch.allclose(out[:, 0, 5], x, atol=1e-3)
    assert torch.allclose(out[:, 1, :, 5], y, atol=1e-3)
    flipped = (augment(images, u, dataclasses.replace(config, flip=True)) + 1) * 127.5
    assert torch.allclose(flipped[:, 0, 5], torch.where(u[:, :1] < 0.5, x.flip(1), x), atol=1e-3)
