"""What `model.features` comes to: the number of channels that feed the classifier, or nothing where scaling gives it anyway."""

from __future__ import annotations

import dataclasses

from torch import nn

from ..config import BadInput, RunConfig, SkeletonConfig
from . import build_model


def settle_features(config: RunConfig) -> RunConfig:
    """The configuration with `published` as its number, and with None where the network is the same without the setting.

    So one computation has one run id, however its features were written. Raises BadInput for a skeleton that ignores them.
    """
    model = config.model
    if not isinstance(model, SkeletonConfig) or model.features is None:
        return config
    made, plain = _built(config, model.features), _built(config, None)
    if _shapes(made) != _shapes(plain):
        return _with(config, _fed(made, config))
    natural = _fed(plain, config)
    if _fed(_built(config, natural + 1), config) != natural + 1:
        raise BadInput(f"model.features={model.features}: model={model.name} makes no use of it")
    return _with(config, None)


def _with(config: RunConfig, features: int | str | None) -> RunConfig:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, features=features))  # type: ignore[call-arg]


def _built(config: RunConfig, features: int | str | None) -> nn.Module:
    return build_model(_with(config, features), 2, device="meta")


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _fed(network: nn.Module, config: RunConfig) -> int:
    """The channels that enter the head."""
    fed = getattr(getattr(network, "head", None), "in_channels", None)
    if not isinstance(fed, int):
        raise BadInput(
            f"model.features: the network of model={config.model.name} has no `head` that says its `in_channels`"
        )
    return fed
