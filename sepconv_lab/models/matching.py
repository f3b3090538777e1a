"""Variants of equal size: the width at which a count meets a number or another variant, solved on meta tensors."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..config import BadInput, Match as What, RunConfig, SkeletonConfig
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


@dataclass(frozen=True)
class Match:
    """A solved width, what is counted there, and what it was to meet."""

    what: What
    width: float
    count: int
    target: int

    @property
    def error(self) -> float:
        """Signed relative error of the count."""
        return self.count / self.target - 1


def solve_width(config: RunConfig, num_classes: int | None = None) -> RunConfig:
    """The configuration with the width that `model.match` and `model.match_to` ask for; these two stay for the record.

    num_classes: needed where `data.num_classes` is 0; else it is read from the data. Raises BadInput where no width comes
    within TOLERANCE.
    """
    return _at_width(config, solve(config, num_classes).width)


def solve(config: RunConfig, num_classes: int | None = None) -> Match:
    """The width whose count is nearest to what `model.match_to` names. Deterministic; nothing is allocated."""
    assert isinstance(config.model, SkeletonConfig)
    classes, what = num_classes or class_count(config), config.model.match
    target = _target(config, classes)
    if target < 1:
        raise BadInput(f"model.match_to={config.model.match_to} is not allowed: a count >= 1")
    counts: dict[float, int] = {}
    positions: dict[str, int] = {}

    def at(width: float) -> int:
        if width not in counts:
            counts[width] = count(_at_width(config, width), classes, what, positions)
        return counts[width]

    _search(at, target)
    nearest = sorted(counts, key=lambda w: (abs(counts[w] - target), w))
    width = nearest[0]
    if abs(counts[width] / target - 1) > TOLERANCE:
        # Different widths can round to the same channels: name two different counts.
        second = next((w for w in nearest if (counts[w] - target) * (counts[width] - target) < 0), None)
        second = second or next((w for w in nearest if counts[w] != counts[width]), width)
        words = " and ".join(f"model.width={w:g} -> {counts[w]:,}" for w in sorted({width, second}))
        raise BadInput(
            f"model.match={what.name}: no width of model={config.model.name} comes within {TOLERANCE:.0%} of {target:,}; "
            f"the nearest: {words}"
        )
    return Match(what, width, counts[width], target)


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


def record(config: RunConfig, num_classes: int | None = None) -> dict[str, Any] | None:
    """What a run's record says of its match; None where nothing was matched.

    E.g. {"what": "params", "to": "block=conv", "width": 1.638, "target": 600000, "count": 600764, "error": 0.0013}.
    """
    if not isinstance(config.model, SkeletonConfig) or config.model.match is What.none:
        return None
    classes, model = num_classes or class_count(config), config.model
    found = Match(model.match, model.width, count(config, classes, model.match), _target(config, classes))
    return {
        "what": model.match.name,
        "to": model.match_to,
        "width": found.width,
        "target": found.target,
        "count": found.count,
        "error": found.error,
    }


def count(config: RunConfig, num_classes: int, what: What, positions: dict[str, int] | None = None) -> int:
    """Trainable parameters, those outside the head, or multiply-accumulates of one image.

    positions: filled by the first call and used by later ones, which may differ in width alone.
    """
    network = build_model(config, num_classes, device="meta")
    if what is What.macs:
        return _macs(network, config.data.image_size, {} if positions is None else positions)
    head = getattr(network, "head", None) if what is What.body_params else None
    return trainable(network) - (trainable(head) if isinstance(head, nn.Module) else 0)


def _macs(network: nn.Module, image_size: int, positions: dict[str, int]) -> int:
    """What `complexity.measure` counts, but faster: where each layer works does not depend on the width and is traced once."""
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


def class_count(config: RunConfig) -> int:
    """The classes of a configuration's data; read from the data where the configuration leaves them open."""
    if config.data.num_classes:
        return config.data.num_classes
    from ..data import sizes

    return sizes(config.data)[3]


def variant_overrides(text: str) -> list[str]:
    """The overrides that a variant's text stands for: words of a shell, the first may be a model's name alone.

    "inception_v3 model.form=keras" -> ["model=inception_v3", "model.form=keras"]. Raises BadInput.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(f"{text}: {error}") from error
    if words and "=" not in words[0]:
        words[0] = f"model={words[0]}"
    return words


def _target(config: RunConfig, num_classes: int) -> int:
    """The count that `match_to` names, directly or by a reference variant on the same images and classes."""
    assert isinstance(config.model, SkeletonConfig)
    wanted = config.model.match_to
    assert wanted is not None
    if isinstance(wanted, int):
        return wanted
    try:
        return int(float(wanted))
    except (ValueError, OverflowError):
        return _reference_count(config, wanted, num_classes)


def _reference_count(config: RunConfig, text: str, num_classes: int) -> int:
    from ..compose import compose

    assert isinstance(config.model, SkeletonConfig)
    overrides = variant_overrides(text)
    data = [o for o in overrides if o.lstrip("+").startswith(("data=", "data."))]
    if data:
        raise BadInput(f"model.match_to: {', '.join(data)}: the reference is counted on this run's own data")
    size = f"data.image_size={config.data.image_size}"
    try:
        reference = compose([f"data={config.data.name}", size, f"data.num_classes={num_classes}", *overrides])
        return count(reference, num_classes, config.model.match)
    except BadInput as error:
        raise BadInput(f"model.match_to={text!r}: {error}") from error


def _at_width(config: RunConfig, width: float) -> RunConfig:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, width=width))  # type: ignore[call-arg]


def _rounded(width: float) -> float:
    return float(f"{width:.{DIGITS}g}")
