"""Variants of equal size: the width at which a count meets a target, solved on meta tensors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..config import BadInput, Match, RunConfig, SkeletonConfig
from . import build_model
from .complexity import trainable

TOLERANCE = 0.01
"""Largest relative error of a match."""
GOOD = 0.001
"""Relative error at which the search ends early."""
NARROWEST, WIDEST = 1e-3, 1e3
"""Bounds of the search."""
DIGITS = 4
"""Significant digits of a solved width: enough for any width up to 10,000 channels, and readable in a record."""


def solve_width(config: RunConfig, num_classes: int, target: int) -> float:
    """The width at which the count that `model.match` names is nearest to target. Deterministic; nothing is allocated.

    Raises BadInput where no width comes within TOLERANCE.
    """
    assert isinstance(config.model, SkeletonConfig)
    what = config.model.match
    counts: dict[float, int] = {}
    positions: dict[str, int] = {}

    def at(width: float) -> int:
        if width not in counts:
            counts[width] = count(_at_width(config, width), num_classes, what, positions)
        return counts[width]

    _search(at, target)
    nearest = sorted(counts, key=lambda w: (abs(counts[w] - target), w))
    width = nearest[0]
    if abs(counts[width] / target - 1) > TOLERANCE:
        # Different widths can round to the same channels: name two different counts.
        second = next((w for w in nearest if (counts[w] - target) * (counts[width] - target) < 0), None)
        second = second or next((w for w in nearest if counts[w] != counts[width]), width)
        widths = " and ".join(f"model.width={w:g} -> {counts[w]:,}" for w in sorted({width, second}))
        raise BadInput(
            f"model.match={what.name}: no width of model={config.model.name} comes within {TOLERANCE:.0%} of {target:,}; "
            f"the nearest: {widths}"
        )
    return width


def _search(at: Callable[[float], int], target: int) -> None:
    """Evaluate `at` ever nearer to where it crosses target. Counts never fall as the width grows, and jump as channels round.

    Ends at a good width, or when no width of DIGITS digits is left between the two around the target.
    """

    def miss(width: float) -> float:
        """Below zero: too small. About linear in the width, since counts grow with its square."""
        return math.sqrt(at(width) / target) - 1

    start = _start(at)
    low = high = start
    while miss(low) > 0 and low > NARROWEST:
        low, high = _rounded(max(low / 4, NARROWEST)), low
    while miss(high) < 0 and high < WIDEST:
        low, high = high, _rounded(min(high * 4, WIDEST))
    bisect = False
    while min(abs(at(low) / target - 1), abs(at(high) / target - 1)) > GOOD and miss(low) < 0 < miss(high):
        share = 0.5 if bisect else -miss(low) / (miss(high) - miss(low))
        guess = _rounded(low + share * (high - low))
        if not low < guess < high:
            guess = _rounded((low + high) / 2)
        if guess == 1.0 != start:
            guess = 0.9999
        if not low < guess < high:
            return
        low, high = (guess, high) if miss(guess) < 0 else (low, guess)
        bisect = not bisect


def _start(at: Callable[[float], int]) -> float:
    """1, or just above where the skeleton's own widths, which the factor 1 leaves as they are, do not suit the block."""
    try:
        at(1.0)
    except BadInput:
        return 1.001
    return 1.0


def count(config: RunConfig, num_classes: int, what: Match, positions: dict[str, int] | None = None) -> int:
    """Trainable parameters, those outside the head, or multiply-accumulates of one image.

    positions: filled by the first call and used by later ones, which may differ in width alone.
    """
    network = build_model(config, num_classes, device="meta")
    if what is Match.macs:
        return _macs(network, config.data.image_size, {} if positions is None else positions)
    head = getattr(network, "head", None) if what is Match.body_params else None
    return trainable(network) - (trainable(head) if isinstance(head, nn.Module) else 0)


def _macs(network: nn.Module, image_size: int, positions: dict[str, int]) -> int:
    """Match `complexity.measure` counts, but faster: where each layer works does not depend on the width and is traced once."""
    layers = {name: m for name, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    if not positions.keys() >= layers.keys():
        positions.clear()

        def note(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, _: Any, out: Tensor) -> None:
                positions[name] = out[0, 0].numel() if isinstance(module, nn.Conv2d) else 1

            return hook

        hooks = [m.register_forward_hook(note(name)) for name, m in layers.items()]
        try:
            with torch.no_grad():
                network(torch.empty(2, 3, image_size, image_size, device="meta"))
        except RuntimeError as error:
            raise BadInput(f"images of {image_size} pixels are too small for this network: {error}") from error
        finally:
            for hook in hooks:
                hook.remove()
    return sum(positions.get(name, 0) * module.weight.numel() for name, module in layers.items())


def _at_width(config: RunConfig, width: float) -> RunConfig:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, width=width))  # type: ignore[call-arg]


def _rounded(width: float) -> float:
    return float(f"{width:.{DIGITS}g}")
