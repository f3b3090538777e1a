"""Parquet data in the hub's layout: what is read, and what each kind of bad input says."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import struct
import sys
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sepconv_lab import data
from sepconv_lab.config import BadInput, DataConfig
from sepconv_lab.data.splits import MemorySplit, StreamSplit

from .conftest import picture, pixels, write_parquet

Config = Callable[..., DataConfig]


@pytest.fixture
def of(config: Config) -> Callable[..., DataConfig]:
    """Configuration of `data=hub` at a folder, 8 x 8 pixels."""
    return lambda root, *more: config("data=hub", f"data.path={root}", "data.image_size=8", *more)


def test_images_labels_and_names_are_those_in_the_files(hub: Path, of: Config) -> None:
    """Both shards, in order; validation is cut from training; class names from the schema; sizes agree."""
    loaded = data.load(of(hub))
    assert loaded.class_names == ["ant", "bee", "cat"]
    assert (len(loaded.train), len(loaded.val), len(loaded.test), loaded.num_classes) == (54, 6, 12, 3)
    assert data.sizes(of(hub)) == (54, 6, 12, 3)
    assert isinstance(loaded.test, MemorySplit)
    for i, image in enumerate(loaded.test.images):
        assert np.array_equal(image.numpy(), pixels(picture(100 + i)))
        assert loaded.test.labels[i] == (100 + i) % 3
    everything = {image.numpy().tobytes() for split in (loaded.train, loaded.val) for image in split.images}  # type: ignore[attr-defined]
    assert everything == {pixels(picture(i)).tobytes() for i in range(60)}


def test_validation_is_the_same_for_every_training_size(hub: Path, of: Config) -> None:
    """`images_per_class` limits training after the cut, in nested subsets; `data.seed` moves the cut."""
    whole, some, few, other = (data.load(of(hub, *more)) for more in (
        [], ["data.images_per_class=9"], ["data.images_per_class=4"], ["data.seed=1"]))  # fmt: skip

    def rows(split: Any) -> set[int]:
        return set(split.rows.tolist())

    assert rows(few.val) == rows(whole.val) != rows(other.val)
    assert rows(few.train) < rows(some.train) < rows(whole.train)
    assert torch.bincount(few.train.labels).tolist() == [4, 4, 4]
    assert not rows(whole.train) & rows(whole.val)


@pytest.mark.parametrize(
    ("layout", "binary"),
    [
        ("{}-00000-of-00001.parquet", False),
        ("data/{}-00000-of-00001-a1b2c3d4e5f60718.parquet", True),
        ("plain_text/{}.parquet", False),
        ("default/{}/0000.parquet", False),
    ],
)
def test_layouts(tmp_path: Path, of: Config, layout: str, binary: bool) -> None:
    """Shards with counts, with hashes, one file a split, converted branches; images as struct or as bytes."""
    for split, first in (("train", 0), ("test", 50)):
        rows = range(first, first + 20)
        write_parquet(tmp_path / layout.format(split), [picture(i) for i in rows], [i % 2 for i in rows], binary=binary)
    loaded = data.load(of(tmp_path))
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (18, 2, 20)
    assert loaded.class_names == ["0", "1"], "without names, as many classes as labels"


def test_the_fingerprint_is_of_the_content(hub: Path, of: Config, tmp_path: Path) -> None:
    """The same files elsewhere have the same one; one changed pixel changes it, also at the same size and time."""
    before = data.fingerprint(of(hub))
    elsewhere = Path(shutil.copytree(hub, tmp_path / "elsewhere"))
    assert data.fingerprint(of(elsewhere)) == before
    assert data.load(of(hub)).digest == before
    file = elsewhere / "data" / "test-00000-of-00001.parquet"
    stat = file.stat()
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 10] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert data.fingerprint(of(elsewhere)) != before


def test_digests_of_settled_files_are_remembered(hub: Path, of: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large data is hashed once; what has just changed is not trusted to stay."""
    from sepconv_lab.data.photos import digests

    before = data.fingerprint(of(hub))
    monkeypatch.setattr(digests, "_SETTLED_SECONDS", -1.0)
    assert data.fingerprint(of(hub)) == before
    monkeypatch.setattr(digests, "_sha256", lambda path: pytest.fail("hashed again"))
    assert data.fingerprint(of(hub)) == before


def test_decoded_images_are_cached(hub: Path, of: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second load decodes nothing, whatever the cut; its content is the same."""
    from sepconv_lab.data.photos import photos

    first = data.load(of(hub))
    monkeypatch.setattr(photos, "decode_all", lambda *_: pytest.fail("decoded again"))
    assert data.load(of(hub)).content == first.content
    other = data.load(of(hub, "data.seed=3"))
    assert other.content != first.content, "another cut is other content"
    assert torch.equal(other.test.images, first.test.images)  # type: ignore[attr-defined]


def test_each_column_has_its_own_cache(tmp_path: Path, of: Config) -> None:
    """Two columns of images in the same files are not mistaken for each other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, second = ([picture(seed + i) for i in range(20)] for seed in (0, 500))
    for split in ("train", "test"):
        pq.write_table(pa.table({"image": first, "other": second, "label": [0, 1] * 10}), tmp_path / f"{split}.parquet")
    for column, cells in (("image", first), ("other", second)):
        images = data.load(of(tmp_path, f"data.image_column={column}")).test.images  # type: ignore[attr-defined]
        assert np.array_equal(images[0].numpy(), pixels(cells[0]))


def test_other_shapes_are_resized_and_cropped(tmp_path: Path, of: Config) -> None:
    """The shorter side is resized, then the centre cropped; grey, palette and alpha images become RGB."""
    import io

    from PIL import Image

    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = (10, 200, 60)
    cells = []
    for mode in ("RGB", "RGBA", "P"):
        out = io.BytesIO()
        Image.fromarray(wide).convert(mode).save(out, "PNG")
        cells.append(out.getvalue())
    out = io.BytesIO()
    Image.fromarray(wide[..., 1]).save(out, "PNG")
    cells.append(out.getvalue())
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", cells * 3, [0, 1] * 6)
    images = data.load(of(tmp_path)).test.images[:4].float()  # type: ignore[attr-defined]
    inner = images[:, :, :, 2:-2]
    assert (inner[:2] - torch.tensor([10.0, 200.0, 60.0]).view(3, 1, 1)).abs().max() <= 1
    assert (inner[2] - torch.tensor([10.0, 200.0, 60.0]).view(3, 1, 1)).abs().max() <= 30, (
        "the palette's nearest colour"
    )
    assert (inner[3] - 200).abs().max() <= 1


def test_large_images_stream(tmp_path: Path, of: Config) -> None:
    """Above 64 pixels images are decoded when needed, at `resize`; evaluation shows the centre, with or without workers."""
    for split, first in (("train", 0), ("test", 50)):
        rows = range(first, first + 20)
        write_parquet(tmp_path / f"{split}-0-of-1.parquet", [picture(i, (90, 80)) for i in rows], [i % 2 for i in rows])
    config = of(tmp_path, "data.image_size=72", "data.resize=80", "data.augment=random_resized_crop")
    loaded = data.load(config)
    assert isinstance(loaded.train, StreamSplit)
    assert loaded.content == loaded.digest
    ((images, labels),) = data.eval_batches(loaded.test, batch_size=20, device="cpu", workers=2)
    assert torch.equal(labels, torch.arange(20) % 2)
    expected = pixels(picture(50, (90, 80)))[:, 4:76, 9:81]
    assert np.abs((images[0].numpy() + 1) * 127.5 - expected).max() < 1e-3
    x, y = next(data.train_batches(loaded.train, config, epoch=0, batch_size=4, seed=0, device="cpu"))
    assert x.shape == (4, 3, 72, 72)
    assert len(y) == 4


def test_a_damaged_copy_of_large_images_is_made_again(tmp_path: Path, of: Config, cache: Path) -> None:
    """The copy that random access needs is checked for completeness."""
    for split in ("train", "test"):
        write_parquet(
            tmp_path / f"{split}.parquet", [picture(i, (70, 70)) for i in range(20)], [i % 2 for i in range(20)]
        )
    config = of(tmp_path, "data.image_size=70")
    (first, _), *_ = data.eval_batches(data.load(config).val, batch_size=9, device="cpu")
    for path in (cache / "encoded").glob("*.bin"):
        path.write_bytes(path.read_bytes()[:-9])
    (again, _), *_ = data.eval_batches(data.load(config).val, batch_size=9, device="cpu")
    assert torch.equal(first, again)


def test_a_changed_copy_of_large_images_never_gives_other_pixels(tmp_path: Path, of: Config, cache: Path) -> None:
    """90 flips in images, table and checksum: the pixels are right, or one line says that the copy was damaged and is gone."""
    for split in ("train", "test"):
        write_parquet(
            tmp_path / f"{split}.parquet", [picture(i, (70, 70)) for i in range(12)], [i % 2 for i in range(12)]
        )
    config, draw = of(tmp_path, "data.image_size=70"), random.Random(5)

    def pixels_now() -> bytes:
        split = data.load(config).test
        return b"".join(batch.numpy().tobytes() for batch in split.read([torch.arange(12)]))

    first = pixels_now()
    noticed = 0
    for number in range(90):
        (path,) = (cache / "encoded").glob("*.bin")  # the two splits have the same images
        content = bytearray(path.read_bytes())
        end = len(content) - 16 * 12 - 32  # the table is a small part of the file
        place = draw.randrange(end, len(content)) if number % 3 == 0 else draw.randrange(end)
        content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            given, why = pixels_now(), ""
        except BadInput as error:
            given, why = first, str(error)
            noticed += 1
        assert given == first
        assert not why or ("damaged in the cache and is removed" in why and "\n" not in why)
        assert pixels_now() == first
    assert noticed > 30


def test_damaged_digests_are_computed_again(
    hub: Path, of: Config, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One digit changed in what is remembered would be another run id."""
    from sepconv_lab.data.photos import digests

    monkeypatch.setattr(digests, "_SETTLED_SECONDS", -1.0)
    before = data.fingerprint(of(hub))
    (path,) = (cache / "digests").iterdir()
    whole, draw = path.read_bytes(), random.Random(6)
    for _ in range(24):
        changed = bytearray(whole)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        assert data.fingerprint(of(hub)) == before
        assert path.read_bytes() == whole
    for foreign in (b"", b"[" * 100_000, b"{}", b"null"):
        path.write_bytes(foreign)
        assert data.fingerprint(of(hub)) == before
    path.unlink()
    path.mkdir()
    assert data.fingerprint(of(hub)) == before


# --- bad input: which file, which row, what is allowed ----------------------------------------------------------------


def refused(config: DataConfig, *words: str) -> None:
    """`load`, and where it can know `sizes`, raise one line with all the words."""
    with pytest.raises(BadInput) as error:
        data.load(config)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_a_missing_folder(tmp_path: Path, of: Config) -> None:
    """A near miss is named."""
    (tmp_path / "cifar10").mkdir()
    refused(of(tmp_path / "cifar01"), f"data.path={tmp_path}/cifar01 does not exist", "Did you mean cifar10?")
    with pytest.raises(BadInput, match="does not exist"):
        data.fingerprint(of(tmp_path / "cifar01"))
    with pytest.raises(BadInput, match="does not exist"):
        data.sizes(of(tmp_path / "cifar01"))


def test_a_file_instead_of_a_folder(tmp_path: Path, of: Config) -> None:
    """Said as it is."""
    (tmp_path / "file").touch()
    refused(of(tmp_path / "file"), "is not a folder")


def test_neither_path_nor_repo(config: Config) -> None:
    """Both ways are named."""
    refused(config("data=hub"), "data=hub needs data.path=DIR", "data.repo=OWNER/NAME")


def test_no_parquet_files(tmp_path: Path, of: Config) -> None:
    """An empty folder."""
    (tmp_path / "empty").mkdir()
    refused(of(tmp_path / "empty"), f"{tmp_path}/empty: no parquet files")


def test_an_absent_split(hub: Path, of: Config) -> None:
    """The splits that are there, the setting, and a near miss."""
    refused(
        of(hub, "data.test_split=tests"),
        "no split 'tests' (data.test_split)",
        "found: test, train",
        "Did you mean test?",
    )


@pytest.mark.parametrize(("key", "near"), [("image_column", "imag"), ("label_column", "lable")])
def test_an_absent_column(hub: Path, of: Config, key: str, near: str) -> None:
    """The file, the columns that are there, the setting, and a near miss."""
    refused(
        of(hub, f"data.{key}={near}"),
        "train-00000-of-00002.parquet",
        f"no column '{near}' (data.{key})",
        "found: image, label",
    )


def test_several_configurations(hub: Path, of: Config) -> None:
    """Two folders with the same split are not merged."""
    shutil.copytree(hub / "data", hub / "other")
    refused(of(hub), "several configurations have a split 'train': data, other")


def spoil(hub: Path, row: int, image: bytes | None, label: int | None = 0) -> None:
    """Replace the second training shard by one with this row."""
    images: list[bytes | None] = [picture(i) for i in range(20)]
    labels: list[int | None] = [i % 3 for i in range(20)]
    images[row], labels[row] = image, label
    write_parquet(hub / "data" / "train-00001-of-00002.parquet", images, labels)


def png_claiming(width: int, height: int) -> bytes:
    """A few bytes that say they are a huge picture."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + picture(0)[33:]


@pytest.mark.parametrize("size", [8, 70], ids=["memory", "stream"])
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"no image", "not an image; known: JPEG, PNG"),
        (b"", "not an image"),
        (None, "no image bytes"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
        (png_claiming(8000, 8000), "8000 x 8000 pixels; more than 50,000,000 are refused"),
        (png_claiming(60000, 60000), "exceeds limit"),
    ],
    ids=["text", "empty", "null", "postscript", "large", "bomb"],
)
def test_an_unreadable_image(hub: Path, of: Config, image: bytes | None, words: str, size: int) -> None:
    """Text, nothing, a program, too many pixels: file and row, before anything is trained."""
    spoil(hub, 7, image)
    refused(of(hub, f"data.image_size={size}"), "train-00001-of-00002.parquet, row 7: ", words)


def test_a_truncated_image(hub: Path, of: Config) -> None:
    """Damage behind the header is found when it is decoded."""
    spoil(hub, 19, picture(3)[:80])
    refused(of(hub), "train-00001-of-00002.parquet, row 19: cannot be decoded")


def test_pickles_are_not_executed(hub: Path, of: Config, bomb: tuple[Any, bytes, Path]) -> None:
    """Neither as an image nor as the file itself."""
    _, code, mark = bomb
    spoil(hub, 2, code)
    refused(of(hub), "row 2: not an image")
    (hub / "data" / "train-00001-of-00002.parquet").write_bytes(code)
    refused(of(hub), "train-00001-of-00002.parquet: not a readable parquet file")
    assert not mark.exists()
    pickle.loads(code)
    assert mark.exists(), "the bomb would have worked"


@pytest.mark.parametrize("label", [3, -1, 2**40])
def test_a_label_out_of_range(hub: Path, of: Config, label: int) -> None:
    """File, row, label and the range that the data's names allow; `sizes` sees it too."""
    spoil(hub, 4, picture(4), label)
    refused(of(hub), f"train-00001-of-00002.parquet, row 4: label {label} is out of range", "3 classes, 0 to 2")
    with pytest.raises(BadInput, match="row 4"):
        data.sizes(of(hub))


def test_a_label_beyond_the_number_of_images(tmp_path: Path, of: Config) -> None:
    """Without names the classes are counted, but one wild label does not make a million of them."""
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [picture(i) for i in range(20)], [0, 1] * 9 + [0, 10**12])
    refused(of(tmp_path), "train.parquet, row 19: label 1000000000000 is out of range: 40 images allow 0 to 39")


def test_more_labels_than_num_classes(hub: Path, of: Config) -> None:
    """The setting is named, and how to take all classes."""
    refused(
        of(hub, "data.num_classes=2"),
        "train-00000-of-00002.parquet, row 2: label 2 is out of range",
        "data.num_classes=0",
    )


def test_a_missing_label(hub: Path, of: Config) -> None:
    """A null."""
    spoil(hub, 11, picture(11), None)
    refused(of(hub), "train-00001-of-00002.parquet, row 11: no label (null)")


def test_labels_that_are_text(hub: Path, of: Config) -> None:
    """Whole numbers are needed."""
    write_parquet(hub / "data" / "test-00000-of-00001.parquet", [picture(0)], ["ant"])
    refused(of(hub), "column 'label' (data.label_column) holds string; whole numbers are needed")


def test_images_that_are_none(hub: Path, of: Config) -> None:
    """The label column taken for images."""
    refused(
        of(hub, "data.image_column=label"), "column 'label' (data.image_column) holds int64; encoded images are needed"
    )


def test_no_rows(hub: Path, of: Config) -> None:
    """A split without examples."""
    write_parquet(hub / "data" / "test-00000-of-00001.parquet", [], [])
    refused(of(hub), "test-00000-of-00001.parquet: no rows")


def test_one_class(tmp_path: Path, of: Config) -> None:
    """Nothing to tell apart."""
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [picture(i) for i in range(20)], [0] * 20)
    refused(of(tmp_path), "1 class; at least 2 are needed")


def test_too_few_images_to_cut(tmp_path: Path, of: Config) -> None:
    """Validation cannot take a class's only example."""
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [picture(i) for i in range(2)], [0, 1])
    refused(of(tmp_path), "too few images (2): none is left for the validation split")


def test_resize_below_the_image_size(hub: Path, of: Config) -> None:
    """It would need pixels that are not there."""
    refused(of(hub, "data.resize=6"), "data.resize=6 is smaller than data.image_size=8")


# --- the hub itself ---------------------------------------------------------------------------------------------------


def test_a_hub_id_gives_the_same_data_and_its_commit(
    hub: Path, of: Config, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched through huggingface_hub, only parquet files of the two splits; same fingerprint as by path."""
    asked: dict[str, Any] = {}
    snapshot = hub.rename(hub.parent / "0123abcd")

    def download(repo: str, **how: Any) -> str:
        asked.update(how, repo=repo)
        return str(snapshot)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=download))  # type: ignore[arg-type]
    loaded = data.load(config("data=hub", "data.repo=someone/something", "data.image_size=8"))
    assert loaded.revision == "0123abcd"
    assert loaded.digest == data.fingerprint(of(snapshot))
    assert data.load(of(snapshot)).revision is None
    assert asked["repo"] == "someone/something"
    assert asked["repo_type"] == "dataset"
    assert all(pattern.endswith(".parquet") for pattern in asked["allow_patterns"])


def test_without_network(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed, and the way to work offline."""

    def download(repo: str, **how: Any) -> str:
        raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=download))  # type: ignore[arg-type]
    refused(
        config("data=cifar10"),
        "data.repo=uoft-cs/cifar10 cannot be fetched: Name or service not known; ",
        "data.path=DIR",
    )


def test_without_the_hub_library(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, with the way to work without it."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused(config("data=cifar10"), "needs huggingface_hub", "data.path=DIR")


@pytest.mark.skipif("SEPCONV_CIFAR10" not in os.environ, reason="SEPCONV_CIFAR10=DIR names a folder with CIFAR-10")
def test_cifar10(config: Config) -> None:
    """The real data set: sizes, names, and a balanced cut."""
    loaded = data.load(config("data=cifar10", f"data.path={os.environ['SEPCONV_CIFAR10']}"))
    assert (len(loaded.train), len(loaded.val), len(loaded.test), loaded.num_classes) == (45000, 5000, 10000, 10)
    assert loaded.class_names[:3] == ["airplane", "automobile", "bird"]
    assert torch.bincount(loaded.val.labels).tolist() == [500] * 10
