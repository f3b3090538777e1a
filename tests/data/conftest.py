"""Small data sets on disk, and a cache of their own for every test."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sepconv_lab.compose import compose
from sepconv_lab.config import DataConfig


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache directory of this test alone."""
    path = tmp_path / "cache"
    monkeypatch.setenv("SEPCONV_LAB_CACHE", str(path))
    return path


@pytest.fixture
def config() -> Callable[..., DataConfig]:
    """The data part of a composed configuration."""
    return lambda *overrides: compose(overrides).data


def picture(seed: int, size: tuple[int, int] = (8, 8), form: str = "PNG") -> bytes:
    """An encoded random picture, (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    """(3, H, W)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)


def write_parquet(
    path: Path,
    images: Sequence[Any],
    labels: Sequence[Any],
    names: Sequence[str] = (),
    columns: tuple[str, str] = ("image", "label"),
    binary: bool = False,
) -> Path:
    """One shard in the hub's layout; `binary`: images as plain bytes instead of a struct."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = list(images) if binary else [{"bytes": image, "path": None} for image in images]
    kind = pa.binary() if binary else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {columns[0]: pa.array(cells, kind), columns[1]: pa.array(list(labels), None if len(labels) else pa.int64())}
    )
    if names:
        features = {columns[1]: {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """60 training pictures (two shards) and 12 for the test, of 3 classes, 8 x 8 pixels."""
    root = tmp_path / "hub"
    for shard in range(2):
        rows = range(30 * shard, 30 * shard + 30)
        name = f"train-{shard:05d}-of-00002.parquet"
        write_parquet(root / "data" / name, [picture(i) for i in rows], [i % 3 for i in rows], ["ant", "bee", "cat"])
    test = range(100, 112)
    write_parquet(root / "data" / "test-00000-of-00001.parquet", [picture(i) for i in test], [i % 3 for i in test])
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Train and test folders of 2 classes with 12 and 4 pictures each, of different shapes."""
    root = tmp_path / "folder"
    for split, count in (("train", 12), ("test", 4)):
        for label, name in enumerate(("cat", "ant")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                seed = 1000 * label + 100 * (split == "test") + i
                (root / split / name / f"{i:02d}.png").write_bytes(picture(seed, (8 + i % 3, 9)))
    return root


class Explosive:
    """What unpickling this would do is seen in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (_explode, (str(self.path),))


def _explode(path: str) -> None:
    Path(path).touch()


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[Any, bytes, Path]:
    """An object whose pickle creates a file when it is loaded, that pickle, and the file."""
    mark = tmp_path / "executed"
    thing = Explosive(mark)
    return thing, pickle.dumps(thing), mark
