"""Random crops and flips of a whole batch, on whatever device it is on.

The uniforms come from outside (one row an example), so the result depends on them alone. Images come in as (B, 3, R, R)
bytes and leave as (B, 3, S, S) floats in [-1, 1], channels_last.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import Augment, DataConfig

PAD = 128
"""Grey level around a padded image: after normalisation 0.004, the nearest to zero that a byte has."""
_LOG_ASPECT = float(torch.log(torch.tensor(4 / 3)))
"""Of the most elongated crop, as float32 has it: a tensor made for every batch would have to cross to the device."""
_TRIES = 10
COLUMNS = 3 + 2 * _TRIES
"""Uniforms an example: flip, position (x, y), and area and aspect of each try at a random resized crop."""


def normalise(images: Tensor) -> Tensor:
    """Values of 0 to 255 (B, 3, S, S) -> float32 in [-1, 1]: x / 127.5 - 1, channels_last. Floats may be changed in place."""
    return images.to(torch.float32, memory_format=torch.channels_last).mul_(1 / 127.5).sub_(1)


def centre(images: Tensor, size: int) -> Tensor:
    """The middle (B, 3, size, size)."""
    first = (images.shape[-1] - size) // 2
    return images[..., first : first + size, first : first + size]


def augment(images: Tensor, uniforms: Tensor, config: DataConfig) -> Tensor:
    """Bytes (B, 3, R, R) and uniforms (B, COLUMNS) on the same device -> normalised training images (B, 3, S, S)."""
    flip = uniforms[:, 0] < 0.5 if config.flip else None
    if config.augment is Augment.random_resized_crop:
        return _resized_crop(images, uniforms, config, flip)
    padding = config.crop_padding if config.augment is Augment.pad_crop else 0
    if not padding and flip is None:
        return normalise(centre(images, config.image_size))
    return _shifted(images, uniforms[:, 1:3], config.image_size, padding, flip)


def _shifted(images: Tensor, position: Tensor, size: int, padding: int, flip: Tensor | None) -> Tensor:
    """A window moved off the centre by -padding to +padding pixels; what lies outside the image is grey."""
    batch, device = len(images), images.device
    outside = max(0, padding - (images.shape[-1] - size) // 2)
    if outside:
        images = F.pad(images, (outside,) * 4, value=PAD)
    side = images.shape[-1]
    first = (position * (2 * padding + 1)).long() + (side - size) // 2 - padding
    window = torch.arange(size, device=device)
    columns, rows = first[:, :1] + window, first[:, 1:] + window
    if flip is not None:
        columns = torch.where(flip[:, None], columns.flip(1), columns)
    pixels = (rows[:, :, None] * side + columns[:, None, :]).reshape(batch, 1, -1).expand(-1, 3, -1)
    return normalise(images.flatten(2).gather(2, pixels).view(batch, 3, size, size))


def crop_boxes(uniforms: Tensor, side: int, smallest: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, top, width, height (B,) in pixels of crops that show a share of [smallest, 1] of the area at aspects of 3/4 to 4/3.

    Area uniform, aspect log-uniform, the first of ten tries that fits (Szegedy et al. 2015); if none does, the whole image.
    """
    tries = uniforms[:, 3:].reshape(len(uniforms), _TRIES, 2)
    area = (smallest + (1 - smallest) * tries[..., 0]) * side * side
    aspect = torch.exp((2 * tries[..., 1] - 1) * _LOG_ASPECT)
    width, height = torch.sqrt(area * aspect).round(), torch.sqrt(area / aspect).round()
    fits = (width > 0) & (width <= side) & (height > 0) & (height <= side)
    chosen = fits.long().argmax(1, keepdim=True)
    none = ~fits.any(1)
    width = torch.where(none, float(side), width.gather(1, chosen)[:, 0])
    height = torch.where(none, float(side), height.gather(1, chosen)[:, 0])
    left = (uniforms[:, 1] * (side - width + 1)).floor()
    top = (uniforms[:, 2] * (side - height + 1)).floor()
    return left, top, width, height


def _resized_crop(images: Tensor, uniforms: Tensor, config: DataConfig, flip: Tensor | None) -> Tensor:
    """Crops resized bilinearly to S x S."""
    side, size = images.shape[-1], config.image_size
    left, top, width, height = crop_boxes(uniforms, side, config.crop_scale)
    across = (torch.arange(size, device=images.device) + 0.5) / size
    x = (left[:, None] + width[:, None] * across) * (2 / side) - 1
    y = (top[:, None] + height[:, None] * across) * (2 / side) - 1
    if flip is not None:
        x = torch.where(flip[:, None], x.flip(1), x)
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
    return normalise(F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False))
