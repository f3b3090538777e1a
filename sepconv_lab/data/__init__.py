"""Data sets, splits, batches and augmentation.

`fingerprint` identifies the data for the run id without loading it, `sizes` counts examples, `load` gives the splits, and
`train_batches` and `eval_batches` turn a split into tensors. What reads fonts, parquet files or the hub is imported when used.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Protocol

from ..config import DataConfig
from ..config.registry import builder
from .batches import eval_batches, steps_per_epoch, train_batches
from .splits import ImageData, Split

__all__ = [
    "ImageData",
    "Source",
    "Split",
    "eval_batches",
    "fingerprint",
    "load",
    "sizes",
    "steps_per_epoch",
    "train_batches",
]


class Source(Protocol):
    """A data set. One of your own is registered for its config class: `@register(MyConfig)`, built as `MyData(config)`."""

    def fingerprint(self) -> str: ...
    def sizes(self) -> tuple[int, int, int, int]: ...
    def load(self) -> ImageData: ...


def fingerprint(config: DataConfig) -> str:
    """Hex digest of what determines images and labels, apart from the settings in the run's identity. Draws and decodes nothing.

    Raises BadInput when the data is missing or cannot be what the settings say. With a hub id it may fetch the data.
    """
    return _source(config).fingerprint()


def sizes(config: DataConfig) -> tuple[int, int, int, int]:
    """Examples for training, validation and test, and classes. Reads labels, no images. Raises BadInput like `load`."""
    return _source(config).sizes()


def load(config: DataConfig) -> ImageData:
    """The data set. Small images are decoded (or drawn) here unless the cache has them; large ones when they are needed.

    Raises BadInput, naming file and row, for images and labels that cannot be used.
    """
    return _source(config).load()


def _source(config: DataConfig) -> Source:
    _register_sources()
    source: Source = builder(config)(config)
    return source


@functools.cache
def _register_sources() -> None:
    """Import every module of this package: a built-in data set registers itself as a user's does."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
