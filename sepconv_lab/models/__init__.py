"""Skeletons and literal networks, and how one is built from a configuration."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

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

__all__ = ["build_checked", "build_model", "on_meta"]

LARGEST = 10**10
"""Parameters of the largest network that is built: 160 GB with gradients, momentum and average."""


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


def build_checked(config: RunConfig, num_classes: int, *, device: str | torch.device = "cpu") -> nn.Module:
    """`build_model`, run once without its values on two images of the data's size. Raises BadInput with what does not fit."""
    if num_classes < 2:
        raise BadInput(f"{num_classes} classes: at least 2 are needed")
    size = config.data.image_size
    with _counted(config.model.name):
        try:
            network = build_model(config, num_classes, device=device)
        except (RuntimeError, TypeError, OverflowError) as error:
            if torch.device(device).type != "meta":
                # refuses with the number of parameters, which the allocator does not say
                build_checked(config, num_classes, device="meta")
            raise BadInput(f"model={config.model.name} cannot be built so large: {first_line(error)}") from error
    try:
        on_meta(network)(torch.empty(2, 3, size, size, device="meta"))
    except RuntimeError as error:
        raise BadInput(f"images of {size} pixels are too small for model={config.model.name}: {error}") from error
    return network


@contextlib.contextmanager
def _counted(name: str) -> Iterator[None]:
    """While a network is built: raises BadInput with the parameter that is one too many, before its memory is touched."""
    count = 0

    def registered(module: nn.Module, _: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        count += 0 if parameter is None else parameter.numel()
        if count > LARGEST:
            raise BadInput(f"model={name} would have {count:,} parameters or more; more than {LARGEST:,} are refused")

    hook = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()


def on_meta(network: nn.Module) -> nn.Module:
    """The network without its values, on the meta device: modules are copied, tensors are not."""
    copies: dict[int, Any] = {
        id(p): nn.Parameter(p.detach().to("meta"), requires_grad=p.requires_grad) for p in network.parameters()
    }
    for module in network.modules():
        tensors = [*module.buffers(recurse=False), *(v for v in vars(module).values() if isinstance(v, torch.Tensor))]
        copies |= {id(t): t.to("meta") for t in tensors}
    return copy.deepcopy(network, copies)
