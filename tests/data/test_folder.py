"""Images in one folder per class."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sepconv_lab import data
from sepconv_lab.config import BadInput, DataConfig

from .conftest import picture, pixels

Config = Callable[..., DataConfig]


@pytest.fixture
def of(config: Config) -> Config:
    """Configuration of `data=folder` at a folder, 8 x 8 pixels."""
    return lambda root, *more: config("data=folder", f"data.path={root}", "data.image_size=8", *more)


def test_classes_are_the_folders_names_sorted(folder: Path, of: Config) -> None:
    """Train and test folders; sizes agree; files in order of their names."""
    loaded = data.load(of(folder))
    assert loaded.class_names == ["ant", "cat"]
    assert (len(loaded.train), len(loaded.val), len(loaded.test), loaded.num_classes) == (22, 2, 8, 2)
    assert data.sizes(of(folder)) == (22, 2, 8, 2)
    assert loaded.test.labels.tolist() == [0] * 4 + [1] * 4
    first = picture(1100, (8, 9))  # ant/00.png of the test
    assert np.array_equal(loaded.test.images[0].numpy()[:, 2:-2], resized(first)[:, 2:-2])  # type: ignore[attr-defined]


def resized(image: bytes) -> np.ndarray:
    """8 wide and 9 high: nothing to resize, the middle 8 rows by half a pixel's interpolation."""
    import io

    from PIL import Image

    opened = Image.open(io.BytesIO(image)).convert("RGB")
    return np.asarray(opened.resize((8, 8), Image.Resampling.BICUBIC, (0, 0.5, 8, 8.5))).transpose(2, 0, 1)


def test_without_train_and_test_folders_the_test_is_split_off(folder: Path, of: Config) -> None:
    """`test_fraction` and `val_fraction` by `data.seed`, stratified, disjoint; the test is the same whatever the validation."""
    flat = folder / "train"
    loaded = data.load(of(flat, "data.test_fraction=0.25", "data.val_fraction=0.2"))
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (14, 4, 6)
    assert torch.bincount(loaded.test.labels).tolist() == [3, 3]
    rows = [set(split.rows.tolist()) for split in (loaded.train, loaded.val, loaded.test)]  # type: ignore[attr-defined]
    assert set.union(*rows) == set(range(24))
    other = data.load(of(flat, "data.test_fraction=0.25", "data.val_fraction=0.4"))
    assert torch.equal(other.test.rows, loaded.test.rows)  # type: ignore[attr-defined]
    moved = data.load(of(flat, "data.test_fraction=0.25", "data.seed=1"))
    assert not torch.equal(moved.test.rows, loaded.test.rows)  # type: ignore[attr-defined]


def test_the_fingerprint_is_of_content_and_classes(folder: Path, of: Config, tmp_path: Path) -> None:
    """The same files elsewhere: the same. A changed image, an image of another class, a renamed class: another."""
    before = data.fingerprint(of(folder))
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert data.fingerprint(of(elsewhere)) == before
    found = {before}
    (elsewhere / "train" / "cat" / "03.png").write_bytes(picture(99))
    found.add(data.fingerprint(of(elsewhere)))
    (elsewhere / "train" / "ant" / "11.png").rename(elsewhere / "train" / "cat" / "000.png")
    found.add(data.fingerprint(of(elsewhere)))
    for split in ("train", "test"):
        (elsewhere / split / "cat").rename(elsewhere / split / "cow")
    found.add(data.fingerprint(of(elsewhere)))
    assert len(found) == 4


def test_large_images_stream_and_are_checked_once(tmp_path: Path, of: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their headers are looked at before training, and not again while the files stay the same."""
    from sepconv_lab.data.photos import folder as module

    for i in range(24):
        (tmp_path / "big" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "big" / "ab"[i % 2] / f"{i:02d}.jpg").write_bytes(picture(i, (70, 80), "JPEG"))
    config = of(tmp_path / "big", "data.image_size=70")
    ((images, _),) = data.eval_batches(data.load(config).test, batch_size=9, device="cpu", workers=2)
    assert images.shape == (5, 3, 70, 70)
    monkeypatch.setattr(module, "check", lambda *_: pytest.fail("checked again"))
    row = int(data.load(config).test.rows[0])  # type: ignore[attr-defined]
    file = sorted((tmp_path / "big").glob("*/*.jpg"))[row]
    assert np.abs((images[0].numpy() + 1) * 127.5 - pixels(file.read_bytes())[:, 5:75]).max() < 1e-3


# --- bad input --------------------------------------------------------------------------------------------------------


def refused(config: DataConfig, *words: str) -> None:
    with pytest.raises(BadInput) as error:
        data.load(config)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_no_path(config: Config) -> None:
    """The setting and the layout."""
    refused(config("data=folder"), "data=folder needs data.path=DIR", "train/<class>/*.png")


def test_a_missing_folder(folder: Path, of: Config) -> None:
    """A near miss is named."""
    refused(
        of(folder.parent / "foldr"), "does not exist", "names the folder that holds the data", "Did you mean folder?"
    )


def test_an_empty_folder(tmp_path: Path, of: Config) -> None:
    """The layout that is expected."""
    (tmp_path / "empty").mkdir()
    refused(
        of(tmp_path / "empty"), f"{tmp_path}/empty: no folders of images; expected train/<class>/*.png", "it is empty"
    )


def test_images_without_class_folders(tmp_path: Path, of: Config) -> None:
    """What lies there instead."""
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").write_bytes(picture(0))
    refused(of(tmp_path / "flat"), "no folders of images", "it holds a.png")


def test_train_without_test(folder: Path, of: Config) -> None:
    """A split that is missing, and what is there."""
    shutil.rmtree(folder / "test")
    refused(of(folder), "has train/ but no test/; found: train")


def test_a_class_without_images(folder: Path, of: Config) -> None:
    """The folder, and what counts as an image."""
    (folder / "train" / "dog").mkdir()
    (folder / "train" / "dog" / "notes.txt").touch()
    refused(of(folder), f"{folder}/train/dog: no images; looked for .png, .jpg")


def test_a_class_in_the_test_alone(folder: Path, of: Config) -> None:
    """It could never be learnt."""
    (folder / "test" / "dog").mkdir()
    refused(of(folder), f"{folder}/test/dog: no such class in {folder}/train, which has ant, cat")


@pytest.mark.parametrize("size", [8, 70], ids=["memory", "stream"])
def test_an_unreadable_image(folder: Path, of: Config, size: int, bomb: tuple[Any, bytes, Path]) -> None:
    """The file is named; a pickle in an image's place is not executed."""
    _, code, mark = bomb
    (folder / "train" / "cat" / "05.png").write_bytes(code)
    refused(of(folder, f"data.image_size={size}"), f"{folder}/train/cat/05.png: not an image; known: JPEG, PNG")
    assert not mark.exists()


def test_more_classes_than_declared(folder: Path, of: Config) -> None:
    """The first image of the class too many."""
    for split in ("train", "test"):
        (folder / split / "dog").mkdir()
        (folder / split / "dog" / "1.png").write_bytes(picture(0))
    refused(
        of(folder, "data.num_classes=2"),
        f"{folder}/train/dog/1.png: label 2 is out of range",
        "data.num_classes=2 allows 0 to 1",
    )


def test_one_class(folder: Path, of: Config) -> None:
    """Nothing to tell apart."""
    for split in ("train", "test"):
        shutil.rmtree(folder / split / "cat")
    refused(of(folder), "1 class; at least 2 are needed")


def test_a_test_fraction_beside_a_test_folder_is_refused(tmp_path: Path, of: Config) -> None:
    """Where `test/` exists nothing is split off, so asking for a share is refused, not ignored."""
    for split in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(4):
                (folder / f"{i}.png").write_bytes(picture(i))
    with pytest.raises(BadInput, match="test_fraction"):
        data.sizes(of(tmp_path, "data.test_fraction=0.4"))
