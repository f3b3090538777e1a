"""Keras's own Xception and Inception V3 with random weights and statistics, and its layer-per-group HDF5 files."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import h5py
    import keras
    from absl import logging as absl_logging
    from keras.src.backend.common import dtypes

# Keras brings absl, whose log handler, when Hydra sets up logging, closes the standard error that it was born with: pytest's.
absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

OVERRIDES = {
    "xception": ["model=xception"],
    "inception_v3": ["model=inception_v3", "model.form=keras"],
    "first_port": ["model=inception_v3", "model.form=paper"],
}
"""What our network is called that should equal Keras's."""


@contextmanager
def keras_precision(dtype: str) -> Iterator[None]:
    """Keras computing in dtype throughout; by itself it rounds float64 to float32 inside BatchNorm and additions."""
    policy, rounded = keras.config.dtype_policy(), dtypes.BIT64_TO_BIT32_DTYPE["float64"]
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = dtype
    try:
        yield
    finally:
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = rounded
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(policy)


def keras_model(name: str, seed: int = 0) -> Any:
    """Keras's model for images of any size, giving (feature map before pooling, logits); every weight and statistic random."""
    keras.utils.clear_session()
    inputs = keras.Input((None, None, 3))
    if name == "first_port":
        whole = first_port(inputs)
    else:
        application = {"xception": keras.applications.Xception, "inception_v3": keras.applications.InceptionV3}[name]
        whole = application(weights=None, input_tensor=inputs, classifier_activation=None)
    draw = np.random.default_rng(seed)
    for layer in whole.layers:
        if layer.weights:
            layer.set_weights([_random(w, draw) for w in layer.weights])
    return keras.Model([inputs], [whole.get_layer("avg_pool").input, whole.output])


def first_port(inputs: Any) -> Any:
    """Inception V3 as the first Keras port had it, from Keras's layers: the network of Table 3's 23,626,728 parameters."""
    layers = keras.layers

    def conv(x: Any, width: int, rows: int, columns: int, stride: int = 1, padding: str = "same") -> Any:
        x = layers.Conv2D(width, (rows, columns), stride, padding, activation="relu")(x)
        return layers.BatchNormalization()(x)

    def chain(x: Any, *steps: tuple[int, int, int]) -> Any:
        for step in steps:
            x = conv(x, *step)
        return x

    def average(x: Any, width: int) -> Any:
        return conv(layers.AveragePooling2D(3, 1, "same")(x), width, 1, 1)

    x = conv(inputs, 32, 3, 3, 2, "valid")
    x = conv(conv(x, 32, 3, 3, padding="valid"), 64, 3, 3)
    x = layers.MaxPooling2D(3, 2)(x)
    x = conv(conv(x, 80, 1, 1, padding="valid"), 192, 3, 3, padding="valid")
    x = layers.MaxPooling2D(3, 2)(x)
    for _ in range(3):
        five, double = ((48, 1, 1), (64, 5, 5)), ((64, 1, 1), (96, 3, 3), (96, 3, 3))
        x = layers.Concatenate()([conv(x, 64, 1, 1), chain(x, *five), chain(x, *double), average(x, 32)])
    double = conv(chain(x, (64, 1, 1), (96, 3, 3)), 96, 3, 3, 2, "valid")
    x = layers.Concatenate()([conv(x, 384, 3, 3, 2, "valid"), double, layers.MaxPooling2D(3, 2)(x)])
    for width, first in ((128, 128), (160, 160), (160, 160), (192, 160)):
        seven = ((width, 1, 1), (width, 1, 7), (192, 7, 1))
        long = ((first, 1, 1), (width, 7, 1), (width, 1, 7), (width, 7, 1), (192, 1, 7))
        x = layers.Concatenate()([conv(x, 192, 1, 1), chain(x, *seven), chain(x, *long), average(x, 192)])
    three = conv(conv(x, 192, 1, 1), 320, 3, 3, 2, "valid")
    seven = conv(chain(x, (192, 1, 1), (192, 1, 7), (192, 7, 1)), 192, 3, 3, 2, "valid")
    x = layers.Concatenate()([three, seven, layers.AveragePooling2D(3, 2)(x)])
    for _ in range(2):
        three = conv(x, 384, 1, 1)
        double = chain(x, (448, 1, 1), (384, 3, 3))
        fans = [layers.Concatenate()([conv(y, 384, 1, 3), conv(y, 384, 3, 1)]) for y in (three, double)]
        x = layers.Concatenate()([conv(x, 320, 1, 1), *fans, average(x, 192)])
    pooled = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, layers.Dense(1000)(pooled))


def _random(weight: Any, draw: np.random.Generator) -> np.ndarray:
    """Statistics far from 0 and 1; kernels that keep the signal's size."""
    shape = tuple(weight.shape)
    if weight.name == "moving_variance":
        return draw.uniform(0.5, 1.5, shape)
    if weight.name == "gamma":
        return draw.normal(1, 0.2, shape)
    if len(shape) == 1:
        return draw.normal(0, 0.2, shape)
    fan_in = 9 if weight.name == "depthwise_kernel" else int(np.prod(shape[:-1]))
    return draw.normal(0, (1.5 / fan_in) ** 0.5, shape)


def write_hdf5(model: Any, path: Path, *, rename: bool = False, root: str = "", skip: tuple[str, ...] = ()) -> None:
    """The layer-per-group file that Keras publishes, by its documented layout. rename: other names for groups and weights."""
    with h5py.File(path, "w") as file:
        place = file.create_group(root) if root else file
        names = []
        for i, layer in enumerate(model.layers):
            if layer.name in skip:
                continue
            name = f"{(i * 7919) % 1000:03d}_{i}" if rename else layer.name
            group, weights = place.create_group(name), []
            for j, weight in enumerate(layer.weights):
                weights.append(f"{name}/{j if rename else weight.name}:0")
                group.create_dataset(weights[-1], data=keras.ops.convert_to_numpy(weight))
            group.attrs["weight_names"] = [w.encode() for w in weights]
            names.append(name)
        place.attrs["layer_names"] = [n.encode() for n in names]


def run_keras(model: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(feature map (N, C, H, W), logits) of images (N, 3, S, S), in evaluation mode."""
    with torch.no_grad():
        features, logits = model([images.permute(0, 2, 3, 1).contiguous()], training=False)
    return features.detach().permute(0, 3, 1, 2), logits.detach()
