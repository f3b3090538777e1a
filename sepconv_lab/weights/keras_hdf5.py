"""Keras's layer-per-group HDF5 files, matched with a network by the order and shapes of their layers."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import BadInput
from .keras_order import KerasLayer, Shape, from_keras, kind_of


@dataclass(frozen=True)
class Group:
    """One layer of a file: its name there, its weights in the layer's own order."""

    name: str
    tensors: tuple[Tensor, ...]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(tuple(t.shape) for t in self.tensors)


def read_hdf5(path: Path) -> list[Group]:
    """The layers with weights of a layer-per-group HDF5 file (or a whole model saved as one). Raises BadInput."""
    try:
        import h5py
    except ImportError as error:
        raise BadInput("reading Keras's HDF5 files needs h5py: pip install 'sepconv_lab[keras]'") from error
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            names = _names(root, "layer_names")
            if not names:
                raise BadInput(
                    f"{path} is no layer-per-group HDF5 file: it has no layer_names. Keras 3's own format (.weights.h5) is "
                    "another one; docs/weights.md shows how to write this one from a model"
                )
            groups = [Group(n, tuple(_tensor(root[n][w]) for w in _names(root[n], "weight_names"))) for n in names]
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} cannot be read as HDF5: {str(error).splitlines()[0]}") from error
    return [group for group in groups if group.tensors]


def _names(group: Any, attribute: str) -> list[str]:
    """An attribute that lists names; Keras cuts a long one into pieces `attribute0`, `attribute1`, ..."""
    pieces = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(pieces)}" in group.attrs and pieces[:1] != [attribute]:
        pieces.append(f"{attribute}{len(pieces)}")
    found = [name for piece in pieces for name in group.attrs[piece]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in found]


def _tensor(dataset: Any) -> Tensor:
    values = np.asarray(dataset)
    if values.dtype.kind != "f":
        raise BadInput(f"{dataset.name}: numbers are expected, not {values.dtype}")
    return torch.from_numpy(values)


def match_layers(
    layers: list[KerasLayer], groups: list[Group], ours: Mapping[str, Tensor], without_head: bool
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Pair expected layers with a file's groups: of each kind in order, by shape. Names play no part."""
    if without_head:
        layers = [layer for layer in layers if not layer.tensors[0].startswith("head.")]
        groups = [group for group in groups if kind_of(group.shapes) != "dense"]
    kinds = dict.fromkeys([*(layer.kind for layer in layers), *(kind_of(group.shapes) for group in groups)])
    tensors: dict[str, Tensor] = {}
    problems = []
    for kind in kinds:
        wanted = [layer for layer in layers if layer.kind == kind]
        found = [group for group in groups if kind_of(group.shapes) == kind]
        matcher = difflib.SequenceMatcher(None, [w.shapes for w in wanted], [f.shapes for f in found], autojunk=False)
        for _, low, high, first, last in matcher.get_opcodes():
            for layer, group in itertools.zip_longest(wanted[low:high], found[first:last]):
                if layer is None:
                    problems.append(f"extra: group {group.name!r} {_shapes(group)}")
                elif group is None:
                    problems.append(f"missing: {', '.join(layer.tensors)}: a {kind} layer {_shapes(layer)}")
                elif layer.shapes != group.shapes:
                    words = f"group {group.name!r} is {_shapes(group)}, expected {_shapes(layer)}"
                    problems.append(f"misshapen: {', '.join(layer.tensors)}: {words}")
                else:
                    for name, tensor in zip(layer.tensors, group.tensors, strict=True):
                        tensors[name] = from_keras(tensor, tuple(ours[name].shape))
    return tensors, problems, []


def _shapes(layer: KerasLayer | Group) -> str:
    return " ".join(map(str, layer.shapes))
