"""The Polyak average of the weights, and BatchNorm statistics of its own, without asking the device for a number."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel


class Average(AveragedModel):
    """w <- decay w + (1 - decay) w_network, from the weights after the first step; buffers follow the network.

    torch's own update asks the device at every step whether it is the first one, which makes the program wait for it.
    """

    def __init__(self, network: nn.Module, decay: float):
        super().__init__(
            network, device=next(network.parameters()).device
        )  # its counter too: a CUDA graph holds no other
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, first: bool) -> None:
        """Take in the network's weights; `first`: begin with them."""
        ours, theirs = list(self.module.parameters()), list(network.parameters())
        if first:
            torch._foreach_copy_(ours, theirs)
        else:
            torch._foreach_lerp_(ours, theirs, 1 - self.decay)
        for floating in (True, False):  # the fast kernel takes one type at a time
            pairs = [(a, b) for a, b in zip(self.module.buffers(), network.buffers(), strict=True)
                     if a.is_floating_point() is floating]  # fmt: skip
            if pairs:
                torch._foreach_copy_([a for a, _ in pairs], [b for _, b in pairs])
        self.n_averaged += 1


@torch.no_grad()
def measure_norms(batches: Iterable[tuple[Tensor, Tensor]], network: nn.Module) -> None:
    """Set the statistics of every BatchNorm to their means over the batches.

    As `torch.optim.swa_utils.update_bn`, which fetches the number of batches from the device in each layer.
    """
    norms = {m: m.momentum for m in network.modules() if isinstance(m, _BatchNorm)}
    if not norms:
        return
    training = network.training
    network.train()
    for norm in norms:
        norm.reset_running_stats()
    for number, (images, _) in enumerate(batches, 1):
        for norm in norms:
            norm.momentum = 1 / number
        network(images)
    for norm, momentum in norms.items():
        norm.momentum = momentum
    network.train(training)
