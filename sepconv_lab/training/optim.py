"""Optimisers, what weight decay touches, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from ..config import DecayUnit, Optimizer, Schedule, TrainConfig
from ..models.layers import is_depthwise


class RMSpropTF(torch.optim.Optimizer):
    """RMSprop with TensorFlow's semantics, which the paper's JFT settings assume.

    s <- decay s + (1 - decay) g^2, from s = 1; v <- momentum v + lr g / sqrt(s + eps); w <- w - v. PyTorch's own adds epsilon
    outside the root, starts s at 0 and multiplies the learning rate last. Weight decay is added to the gradient. The learning
    rate can be a tensor on the device.
    """

    def __init__(self, params: Any, lr: float, *, decay: float, eps: float, momentum: float, weight_decay: float = 0.0):
        super().__init__(params, dict(lr=lr, decay=decay, eps=eps, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p].update(square=torch.ones_like(p), velocity=torch.zeros_like(p))
            grads = [p.grad for p in params]
            squares, velocities = ([self.state[p][key] for p in params] for key in ("square", "velocity"))
            if group["weight_decay"]:
                grads = torch._foreach_add(grads, params, alpha=group["weight_decay"])
            torch._foreach_mul_(squares, group["decay"])
            torch._foreach_addcmul_(squares, grads, grads, value=1 - group["decay"])
            roots = torch._foreach_sqrt(torch._foreach_add(squares, group["eps"]))
            torch._foreach_mul_(velocities, group["momentum"])
            if isinstance(group["lr"], Tensor):
                torch._foreach_add_(velocities, torch._foreach_mul(torch._foreach_div(grads, roots), group["lr"]))
            else:
                torch._foreach_addcdiv_(velocities, grads, roots, value=group["lr"])
            torch._foreach_sub_(params, velocities)


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Two groups: with weight decay and without, by the `decay_*` settings. Every trainable parameter is in exactly one."""
    decayed, spared = [], []
    for module in network.modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name, p in module.named_parameters(recurse=False):
            decays = (
                config.decay_norms
                if norm
                else config.decay_biases
                if name == "bias"
                else config.decay_depthwise or not is_depthwise(module)
            )
            (decayed if decays else spared).append(p)
    groups = [(decayed, config.weight_decay), (spared, 0.0)]
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]


def make_optimizer(network: nn.Module, config: TrainConfig, *, on_device: bool = False) -> torch.optim.Optimizer:
    """The configured optimiser. Its `weight_decay` w adds w * weight to the gradient (AdamW: decoupled).

    on_device: the learning rate is a tensor beside the weights and all of them move in a few kernels, which a CUDA graph can hold.
    """
    groups = parameter_groups(network, config)
    rate: Any = config.lr
    fused = {}
    if on_device:
        rate = torch.tensor(config.lr, dtype=torch.float32, device=next(network.parameters()).device)
        fused = {"fused": True}
    if config.optimizer is Optimizer.sgd:
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(groups, rate, momentum=config.momentum, nesterov=nesterov, **fused)
    if config.optimizer is Optimizer.rmsprop:
        return RMSpropTF(groups, rate, decay=config.rmsprop_decay, eps=config.rmsprop_eps, momentum=config.momentum)
    return torch.optim.AdamW(groups, rate, betas=(config.beta1, config.beta2), **fused)


EXECUTION = ("lr", "fused", "foreach", "capturable")
"""What a group says of how and when its parameters move here, which is not for a checkpoint to say."""


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take up a checkpoint's state, perhaps of another device; how the parameters are moved stays as it is here."""
    kept = [{key: group[key] for key in EXECUTION if key in group} for group in optimizer.param_groups]
    groups = [old | new for old, new in zip(state["param_groups"], kept, strict=True)]
    optimizer.load_state_dict(state | {"param_groups": groups})
    for group, own in zip(optimizer.param_groups, kept, strict=True):
        group.update(own)


def staircase(config: TrainConfig, steps_per_epoch: int) -> Fraction:
    """Steps from one fall of the exponential schedule to the next, exactly as the setting is written.

    In floating point 1.1 epochs of 100 steps are a little more than 110, and every fall came one step late.
    """
    unit = {
        DecayUnit.epochs: Fraction(steps_per_epoch),
        DecayUnit.samples: Fraction(1, config.batch_size),
        DecayUnit.steps: Fraction(1),
    }[config.decay_unit]
    return Fraction(repr(config.decay_every)) * unit


def learning_rate(config: TrainConfig, total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """step (from 0) -> learning rate of that step."""
    stair, warmup = staircase(config, steps_per_epoch), config.warmup_epochs * steps_per_epoch

    def rate(step: int) -> float:
        if config.schedule is Schedule.onecycle:
            peak = config.onecycle_peak * total_steps
            if step + 1 < peak:
                return config.lr * (step + 1) / peak
            # The last step still moves: zero would come one step after it.
            return (
                config.lr
                * 0.5
                * (1 + math.cos(math.pi * min(1.0, (step + 1 - peak) / max(1.0, total_steps + 1 - peak))))
            )
        factor = min(1.0, (step + 1) / warmup) if warmup else 1.0
        if config.schedule is Schedule.cosine:
            factor *= 0.5 * (1 + math.cos(math.pi * max(0.0, step - warmup) / max(1.0, total_steps - warmup)))
        elif config.schedule is Schedule.exponential:
            factor *= config.decay_rate ** math.floor(step / stair)
        return config.lr * factor

    return rate


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For the next step; where the rate is a tensor, without waiting for the device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def clip(parameters: Iterable[nn.Parameter], config: TrainConfig) -> None:
    if config.clip_norm:
        nn.utils.clip_grad_norm_(parameters, config.clip_norm)
