"""Processes that decode: nothing that happens to them leaves the run waiting."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sepconv_lab import data
from sepconv_lab.config import DataConfig

from .conftest import picture


@pytest.fixture
def photos(tmp_path: Path, config: Callable[..., DataConfig]) -> DataConfig:
    """24 pictures that are large enough to be streamed."""
    for i in range(24):
        (tmp_path / "big" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "big" / "ab"[i % 2] / f"{i:02d}.jpg").write_bytes(picture(i, (70, 80), "JPEG"))
    return config("data=folder", f"data.path={tmp_path / 'big'}", "data.image_size=70")


def test_a_long_name_of_the_temporary_folder(photos: DataConfig, tmp_path: Path) -> None:
    """With a TMPDIR of more letters than a socket's name may have, workers give what no workers give."""
    long = tmp_path / ("t" * 80) / ("t" * 80)
    long.mkdir(parents=True)
    code = (
        "import sys, torch\nfrom sepconv_lab import data\nfrom sepconv_lab.compose import compose\n"
        "split = data.load(compose(sys.argv[1:]).data).train\n"
        "a, b = ([x for x, _ in data.eval_batches(split, batch_size=5, device='cpu', workers=w)] for w in (0, 2))\n"
        "assert all(map(torch.equal, a, b)) and len(a) == len(b)\n"
    )
    words = ["data=folder", f"data.path={photos.path}", "data.image_size=70"]  # type: ignore[attr-defined]
    subprocess.run(
        [sys.executable, "-c", code, *words], env=os.environ | {"TMPDIR": str(long)}, check=True, timeout=120
    )


def test_a_worker_that_is_killed_ends_the_reading(photos: DataConfig) -> None:
    """Within seconds, with its reason, instead of waiting for what it will never send."""
    split = data.load(photos).train
    many = [torch.arange(4)] * 2000
    batches = split.read(many, workers=2)
    next(iter(batches))
    began = time.monotonic()
    multiprocessing.active_children()[0].kill()
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        for _ in batches:
            pass
    assert time.monotonic() - began < 20
