"""Optimisers, what weight decay touches, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from ..config import DecayUnit, Optimizer, Schedule, TrainConfig
from ..models.layers import is_depthwise


class RMSpropTF(torch.optim.Optimizer):
    """RMSprop with TensorFlow's semantics, which the paper's JFT settings assume.

    s <- decay s + (1 - decay) g^2, from s = 1; v <- momentum v + lr g / sqrt(s + eps); w <- w - v. PyTorch's own adds epsilon
    outside the root, starts s at 0 and multiplies the learning rate last. Weight decay is added to the gradient.
    """

    def __init__(self, params: Any, lr: float, *, decay: float, eps: float, momentum: float, weight_decay: float = 0.0):
        super().__init__(params, dict(lr=lr, decay=decay, eps=eps, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["square"], state["velocity"] = torch.ones_like(p), torch.zeros_like(p)
                grad = p.grad.add(p, alpha=group["weight_decay"]) if group["weight_decay"] else p.grad
                state["square"].mul_(group["decay"]).addcmul_(grad, grad, value=1 - group["decay"])
                root = state["square"].add(group["eps"]).sqrt_()
                state["velocity"].mul_(group["momentum"]).addcdiv_(grad, root, value=group["lr"])
                p.sub_(state["velocity"])


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


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The configured optimiser. Its `weight_decay` w adds w * weight to the gradient (AdamW: decoupled)."""
    groups = parameter_groups(network, config)
    if config.optimizer is Optimizer.sgd:
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(groups, config.lr, momentum=config.momentum, nesterov=nesterov)
    if config.optimizer is Optimizer.rmsprop:
        return RMSpropTF(
            groups, config.lr, decay=config.rmsprop_decay, eps=config.rmsprop_eps, momentum=config.momentum
        )
    return torch.optim.AdamW(groups, config.lr, betas=(config.beta1, config.beta2))


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
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip(parameters: Iterable[nn.Parameter], config: TrainConfig) -> None:
    if config.clip_norm:
        nn.utils.clip_grad_norm_(parameters, config.clip_norm)
