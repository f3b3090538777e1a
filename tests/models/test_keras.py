"""The reference networks compute what Keras computes: same weights and statistics in, same feature map and logits out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sepconv_lab.compose import compose
from sepconv_lab.models import build_model
from sepconv_lab.weights import import_weights

pytestmark = pytest.mark.slow
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
SIZES = {"float64": (299, 96), "float32": (299, 150, 111)}
"""299 pixels and other sizes, odd and even: TensorFlow's padding differs from the symmetric one in another place at each."""


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["xception", "inception_v3"])
def test_agreement_with_keras(name: str, dtype: str, tmp_path: Path) -> None:
    """Largest absolute difference over largest absolute value: 1e-9 in float64, 1e-4 in float32."""
    agree(name, dtype, SIZES[dtype], tmp_path)


def test_agreement_with_the_first_port(tmp_path: Path) -> None:
    """`model.form=paper` is the first Keras port, built here from Keras's layers: its import, its order of ReLU and norm."""
    agree("first_port", "float64", (139,), tmp_path)


def agree(name: str, dtype: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
    from .keras_models import OVERRIDES, keras_model, keras_precision, run_keras, write_hdf5

    with keras_precision(dtype):
        theirs = keras_model(name)
        write_hdf5(theirs, tmp_path / "weights.h5")
        config = compose(["data=imagenet", *OVERRIDES[name]])
        state, _ = import_weights(tmp_path / "weights.h5", config)
        network = build_model(config, 1000, device="meta").to(getattr(torch, dtype))
        network.load_state_dict(state, assign=True)
        network.eval()
        generator = torch.Generator().manual_seed(1)
        for size in sizes:
            images = torch.rand(1, 3, size, size, dtype=getattr(torch, dtype), generator=generator) * 2 - 1
            expected = run_keras(theirs, images)
            with torch.no_grad():
                features = network.features(images)  # type: ignore[operator]
                found = features, network.head(features)  # type: ignore[operator]
            for what, a, b in zip(("features", "logits"), expected, found, strict=True):
                assert a.shape == b.shape
                error = float((a - b).abs().max() / a.abs().max())
                assert error < TOLERANCE[dtype], f"{what} at {size} pixels"
