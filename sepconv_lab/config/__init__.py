"""Every axis and setting of a run, once: name, default, allowed values, doc, and whether it is part of the run's identity.

Nothing here imports torch. The command line, the checks, the run id, the listing of `python -m sepconv_lab.models`
and docs/axes.md all derive from these declarations.
"""
# mypy: implicit-reexport
# ruff: noqa: F401, I001

from .block import (
    Activation, BlockConfig, ConvBlockConfig, Form, InceptionBlockConfig, Order, XceptionBlockConfig, placements,
)  # fmt: skip
from .data import (
    Augment, Cifar10Config, Cifar100Config, DataConfig, Fill, Fold, FolderConfig, GlyphsConfig, HubConfig,
    ImagenetConfig,
)  # fmt: skip
from .fields import LARGEST_SEED, BadInput, active, allowed, default_of, plain, setting, settings
from .model import (
    PUBLISHED, InceptionV3Config, InceptionV3Form, Match, ModelConfig, Padding, Size, SkeletonConfig, Stem,
    VggSepConfig, XceptionConfig,
)  # fmt: skip
from .registry import register
from .run import BUILTIN, GROUPS, RECIPE, RunConfig, WandbConfig, WandbMode, complete, flat, value_problems
from .train import DecayUnit, Device, Optimizer, Precision, Schedule, TrainConfig
