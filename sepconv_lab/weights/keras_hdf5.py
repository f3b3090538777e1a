"""Keras's files of weights, matched with a network by the order and shapes of their layers."""

from __future__ import annotations

import difflib
import io
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..config import BadInput
from ..config.messages import first_line
from .keras_order import KerasLayer, Shape, from_keras, kind_of

CONFIG_LIMIT, WEIGHTS_LIMIT = 64 << 20, 4 << 30
"""Bytes, unpacked, up to which the parts of a `.keras` file are read."""


@dataclass(frozen=True)
class Group:
    """One layer of a file: its name there, its weights in the layer's own order."""

    name: str
    tensors: tuple[Tensor, ...]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(tuple(t.shape) for t in self.tensors)


def read_hdf5(file: Path | BinaryIO, name: str) -> list[Group]:
    """The layers with weights of a Keras file: one group a layer (also inside a whole model's), or Keras 3's `.weights.h5`.

    Raises BadInput, naming the file as `name`.
    """
    try:
        import h5py
    except ImportError as error:
        raise BadInput("reading Keras's HDF5 files needs h5py: pip install 'sepconv_lab[keras]'") from error
    try:
        with h5py.File(file, "r") as opened:
            root = opened.get("model_weights", opened)
            names = _names(root, "layer_names")
            if names:
                groups = [Group(n, tuple(_tensor(root[n][w]) for w in _names(root[n], "weight_names"))) for n in names]
            elif "layers" in root:
                groups = list(_keras3_groups(root["layers"]))
            else:
                raise BadInput(f"{name} is no file of Keras's weights: it has neither layer_names nor a group `layers`")
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{name} cannot be read as HDF5: {first_line(error)}") from error
    return [group for group in groups if group.tensors]


def read_keras_archive(path: Path) -> list[Group]:
    """The layers with weights of a whole model saved by Keras 3 (`.keras`, a zip). Only its weights are read: nothing in it is
    executed. Raises BadInput, also where a Lambda layer stands, which no network here has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if "model.weights.h5" not in sizes or sizes.get("config.json", 0) > CONFIG_LIMIT:
                raise BadInput(
                    f"{path} is no model saved by Keras 3: it holds {', '.join(list(sizes)[:5]) or 'nothing'}"
                )
            if sizes["model.weights.h5"] > WEIGHTS_LIMIT:
                raise BadInput(
                    f"{path}: its weights take {sizes['model.weights.h5']:,} bytes; no network here is so large"
                )
            if "config.json" in sizes and b'"Lambda"' in archive.read("config.json"):
                raise BadInput(
                    f"{path} holds a Lambda layer, which is code; save the weights alone: model.save_weights"
                )
            return read_hdf5(io.BytesIO(archive.read("model.weights.h5")), str(path))
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise BadInput(f"{path} cannot be read as a model of Keras 3: {first_line(error)}") from error


def _keras3_groups(layers: Any) -> Iterator[Group]:
    """Keras 3 names a layer's group by its class and its place among the layers of that class: conv2d, conv2d_1, conv2d_2.

    HDF5 lists them by the alphabet. A model inside the model has a group `layers` of its own.
    """
    for name in sorted(layers, key=_class_and_place):
        layer = layers[name]
        if "layers" in layer:
            yield from _keras3_groups(layer["layers"])
        elif "vars" in layer:
            values = layer["vars"]
            yield Group(name, tuple(_tensor(values[key]) for key in sorted(values, key=int)))


def _class_and_place(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
    assert match is not None
    return match[1], int(match[2] or 0)


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
