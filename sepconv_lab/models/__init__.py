"""Skeletons and literal networks, and how one is built from a configuration."""

from __future__ import annotations

import torch
from torch import nn

from ..config import BadInput, RunConfig
from ..config.messages import first_line
from ..config.registry import builder
from . import (  # noqa: F401  (these register the built-in models)
    blocks,
    inception_v3,
    vgg_sep,
    xception,
)
from .layers import initialise

__all__ = ["build_model"]

LARGEST = 10**10
"""Parameters; with gradients, momentum and average a network of so many takes 160 GB."""


def build_model(config: RunConfig, num_classes: int, *, device: str | torch.device = "cpu") -> nn.Module:
    """The network of a complete configuration, initialised by its seed; on the meta device, shapes only.

    Maps (N, 3, S, S) images to (N, num_classes) logits. Raises BadInput where channels do not divide, or where the image is too
    small for the network.
    """
    arguments = [config.model, config.block, num_classes] if config.model.has_block else [config.model, num_classes]
    device = torch.device(device)
    # What initialise() does not know, such as a user's own parameters, still comes from the run's seed alone.
    with torch.random.fork_rng(devices=[]), device:
        torch.manual_seed(config.seed)
        network = builder(config.model)(*arguments)
    if device.type != "meta":
        initialise(network, config.seed)
    return network.to(memory_format=torch.channels_last)


def check_buildable(config: RunConfig, num_classes: int) -> None:
    """Build and run the network on the meta device. Raises BadInput with what does not fit."""
    if num_classes < 2:
        raise BadInput(f"{num_classes} classes: at least 2 are needed")
    size = config.data.image_size
    try:
        network = build_model(config, num_classes, device="meta")
    except (RuntimeError, TypeError, OverflowError) as error:
        raise BadInput(f"model={config.model.name} cannot be built so large: {first_line(error)}") from error
    count = sum(parameter.numel() for parameter in network.parameters())
    if count > LARGEST:
        raise BadInput(f"model={config.model.name} would have {count:,} parameters; more than {LARGEST:,} are refused")
    try:
        network(torch.empty(2, 3, size, size, device="meta"))
    except RuntimeError as error:
        raise BadInput(f"images of {size} pixels are too small for model={config.model.name}: {error}") from error
