"""Weights from files: ours (safetensors), and imports of published ones.

    python -m sepconv_lab.weights FILE --model xception [overrides ...] --out OUT.safetensors

FILE is Keras's (.h5, .weights.h5 or .keras), a PyTorch state dict or checkpoint of the well-known ports, or safetensors
of either kind of names.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..config import BadInput, InceptionV3Config, InceptionV3Form, RunConfig
from ..config.messages import first_line
from ..disk import replacing
from ..models import build_model
from .keras_hdf5 import match_layers, read_hdf5, read_keras_archive
from .keras_order import Shape, keras_layers
from .torch_names import ALIASES, DROPPED, torch_names

STATE_DICTS = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the weights among the rest of a checkpoint."""
WRAPPERS = ("_orig_mod.", "module.", "model.", "net.")
"""What stands before all names of a network that was compiled, distributed, averaged, or a field of a Lightning module."""
OPTIONAL = "num_batches_tracked"
"""Counters of BatchNorm that some files have and nothing here reads."""


# --- for the rest of the package --------------------------------------------------------------------------------------


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a safetensors file with our names, such as `python -m sepconv_lab.weights` writes, into the network.

    Raises BadInput with every missing, extra and misshapen tensor, and then loads nothing.
    """
    tensors = _read_safetensors(_existing(path))
    expected = network.state_dict()
    problems = compare({n: tuple(t.shape) for n, t in expected.items()}, tensors)
    if problems:
        hint = "Files of other frameworks are imported first: python -m sepconv_lab.weights --help"
        if all(": head." in line for line in problems):
            hint = "For a head of other classes: python -m sepconv_lab.weights FILE --new-head N ..."
        raise BadInput(_message(f"{path} does not fit this network", problems) + "\n" + hint)
    network.load_state_dict({n: tensors.get(n, t) for n, t in expected.items()})


def digest(path: str | Path) -> str:
    """SHA-256 of a file of weights, hexadecimal. Raises BadInput where there is none."""
    with _existing(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(state: Mapping[str, Tensor], path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Write tensors as safetensors, aside and then renamed. Equal input gives equal bytes. Raises BadInput where it cannot."""
    path = Path(path)
    # One key only: the format does not keep the order of several.
    metadata = {"sepconv_lab": json.dumps(about or {}, sort_keys=True)}
    try:
        with replacing(path) as file:
            file.write(save({name: tensor.contiguous() for name, tensor in state.items()}, metadata))
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} cannot be written: {first_line(error)}") from error


def import_weights(
    path: str | Path, config: RunConfig, *, new_head: int | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """The file's tensors under our names and in our layout for the configuration's network, and notes on what was done.

    new_head: draw the classifier (`head.`) anew for so many classes, from the configuration's seed; whatever head the file has
    is left out. Raises BadInput for files that cannot be read or do not fit.
    """
    path = _existing(path)
    classes = config.data.num_classes if new_head is None else new_head
    if classes < 2:
        raise BadInput(f"{classes} classes: at least 2 are needed")
    network = build_model(config, classes, device="meta" if new_head is None else "cpu")
    tensors, problems, notes = _fit(path, network, new_head is not None)
    if problems:
        title = f"{path} does not fit {model_words(config)} with {classes} classes"
        raise BadInput(_message(title, problems) + _hints(path, config, classes, problems, new_head is not None))
    expected = network.state_dict()
    if new_head is not None:
        tensors |= {name: t for name, t in expected.items() if name.startswith("head.")}
        notes.append(f"the head is drawn anew for {new_head} classes (seed={config.seed})")
    counters = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith(OPTIONAL)}
    return counters | {name: t for name, t in tensors.items() if name in expected}, notes


def _fit(path: Path, network: nn.Module, without_head: bool) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """(tensors by our names, problems, notes)"""
    if (kind := _magic(path)) in ("hdf5", "keras"):
        groups = read_hdf5(path, str(path)) if kind == "hdf5" else read_keras_archive(path)
        return match_layers(keras_layers(network), groups, network.state_dict(), without_head)
    tensors, notes = _read_named(path, network)
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    if without_head:
        expected = {name: shape for name, shape in expected.items() if not name.startswith("head.")}
        tensors = {name: t for name, t in tensors.items() if not name.startswith("head.")}
    return tensors, compare(expected, tensors), notes


def compare(expected: Mapping[str, Shape], tensors: Mapping[str, Tensor]) -> list[str]:
    """What is missing, extra or misshapen, a line each; counters of batches may be absent."""
    problems = []
    for name, shape in expected.items():
        if name not in tensors:
            if not name.endswith(OPTIONAL):
                problems.append(f"missing: {name} {shape}")
        elif tuple(tensors[name].shape) != shape:
            problems.append(f"misshapen: {name} is {tuple(tensors[name].shape)}, expected {shape}")
    unknown = {n: tuple(t.shape) for n, t in tensors.items() if n not in expected and not n.endswith(OPTIONAL)}
    return problems + [f"extra: {name} {shape}" for name, shape in unknown.items()]


# --- reading ----------------------------------------------------------------------------------------------------------


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise BadInput(f"{path}: no such file")
    return Path(path)


def _magic(path: Path) -> str:
    """The format by content: hdf5, keras (a zip that holds HDF5), safetensors, or else torch."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[:4] == b"PK\x03\x04":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            if any(name.endswith((".weights.h5", "config.json")) for name in archive.namelist()):
                return "keras"
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    return "safetensors" if start[8:9] == b"{" else "torch"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} is no file of safetensors: {first_line(error)}") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        # Training scripts pickle their command line beside the tensors: an empty shell of plain values, harmless to make.
        with torch.serialization.safe_globals([argparse.Namespace]):
            values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever unpickling hostile or broken bytes may raise
        refused = re.search(r"(?:GLOBAL|Unsupported (?:class|global):?(?: GLOBAL)?) ([\w.]+)", str(error))
        what = f"it holds an object of {refused[1]}" if refused else first_line(error)
        raise BadInput(
            f"{path} is no PyTorch file of tensors alone, and nothing else in it is executed: {what}. Where you trust it, "
            "save its state dict: torch.save(torch.load(FILE, weights_only=False)['state_dict'], OUT)"
        ) from error
    for key in STATE_DICTS:
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
    if not isinstance(values, dict) or not values or not all(isinstance(v, Tensor) for v in values.values()):
        raise BadInput(f"{path} holds no state dict: names of tensors are expected")
    return {str(name): tensor for name, tensor in values.items()}


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what torch.compile, DDP, Lightning and averaging put before them; a Lightning module may hold more."""
    while prefix := next((p for p in WRAPPERS if 2 * sum(n.startswith(p) for n in tensors) > len(tensors)), ""):
        tensors = {name.removeprefix(prefix): t for name, t in tensors.items()}
    return tensors


def _read_named(path: Path, network: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors by our names, from a file with ours or a port's. Names that neither has stay as they are."""
    tensors = _read_safetensors(path) if _magic(path) == "safetensors" else _read_torch(path)
    notes = []
    tensors.pop("n_averaged", None)  # the counter of torch's AveragedModel
    tensors = _without_wrappers(tensors)
    theirs = {port: ours for ours, port in torch_names(network).items()}
    if len(tensors.keys() & theirs.keys()) > len(tensors.keys() & network.state_dict().keys()):
        for alias, name in ALIASES.items():
            tensors = {name + n.removeprefix(alias) if n.startswith(alias) else n: t for n, t in tensors.items()}
        dropped = [name for name in tensors if name.startswith(DROPPED)]
        if dropped:
            notes.append(f"dropped {len(dropped)} tensors of the auxiliary tower ({', '.join(DROPPED)}*)")
        tensors = {theirs.get(name, name): t for name, t in tensors.items() if name not in dropped}
        expected = network.state_dict()
        # Early files of Cadene's keep pointwise kernels as matrices.
        tensors = {
            n: t[..., None, None] if "pointwise" in n and t.ndim == 2 and n in expected else t
            for n, t in tensors.items()
        }
    return tensors, notes


# --- words ------------------------------------------------------------------------------------------------------------


def _message(title: str, problems: list[str]) -> str:
    """All of the problems, those that one layer's tensors share on one line, and their numbers at the end."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for line in problems:
        match = re.fullmatch(r"(\w+: [\w.]+)\.(\w+) ((?:is )?\(.*)", line)
        lines.setdefault((match[1], match[3]) if match else (line,), []).append(match[2] if match else "")
    found = []
    for words, names in lines.items():
        joined = names[0] if len(names) == 1 else "{" + ", ".join(names) + "}"
        found.append("  " + (f"{words[0]}.{joined} {words[1]}" if len(words) == 2 else words[0]))
    kinds = Counter(line.split(":")[0] for line in problems)
    numbers = ", ".join(f"{kinds[kind]} {kind}" for kind in ("missing", "extra", "misshapen"))
    return "\n".join([f"{title}:", *found, numbers])


def _hints(path: Path, config: RunConfig, classes: int, problems: list[str], without_head: bool) -> str:
    if all(" head." in line for line in problems):
        return f"\nTo draw a new head for {classes} classes: --new-head {classes}"
    if isinstance(config.model, InceptionV3Config):
        for form in InceptionV3Form:
            model = dataclasses.replace(config.model, form=form)
            network = build_model(dataclasses.replace(config, model=model), classes, device="meta")
            if not _fit(path, network, without_head)[1]:
                return f"\nIt fits model.form={form.name}"
    return ""


def model_words(config: RunConfig) -> str:
    form = f" model.form={config.model.form.name}" if isinstance(config.model, InceptionV3Config) else ""
    return f"model={config.model.name}{form}"
