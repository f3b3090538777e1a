"""Nothing of a data set is changed or dropped silently: modes, suffixes, splits, labels, spellings, links."""

from __future__ import annotations

import io
import json
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageMode

from sepconv_lab import data
from sepconv_lab.config import BadInput, DataConfig
from sepconv_lab.data.photos import photos
from sepconv_lab.data.photos.decode import FORMATS, decode
from sepconv_lab.data.photos.folder import SUFFIXES, Paths

from .conftest import picture, write_parquet

Config = Callable[..., DataConfig]
MODES = (
    "1", "L", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "La", "RGBa",
    "I;16", "I;16L", "I;16B", "I;16N",
)  # fmt: skip


@pytest.fixture
def of(config: Config) -> Config:
    """Configuration of a data set at a folder, 8 x 8 pixels."""
    return lambda kind, root, *more: config(f"data={kind}", f"data.path={root}", "data.image_size=8", *more)


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes are said once a process; in a test, anew."""
    monkeypatch.setattr(photos, "_noted", set())


def ramp(mode: str) -> Image.Image:
    """A picture of a mode with all of its levels, 16 x 16."""
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    if mode == "F":
        return Image.fromarray((levels / 255).astype(np.float32))
    if mode == "I":
        return Image.fromarray(levels.astype(np.int32) * 257)
    if mode.startswith("I;16"):
        return Image.frombytes(mode, (16, 16), (levels * 257).astype(">u2" if mode.endswith("B") else "<u2").tobytes())
    grey = Image.fromarray(levels.astype(np.uint8))
    if mode == "PA":
        return grey.convert("P").convert("PA")
    return grey.convert("RGB").convert("RGBA").convert(mode) if mode in ("La", "RGBa") else _converted(grey, mode)


def _converted(grey: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.merge("LAB", [grey, grey, grey])
    return grey.convert("RGB").convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_keeps_its_picture_or_is_refused_by_name(mode: str) -> None:
    """Whatever format can hold the mode: the decoded picture still has its levels, or the message names the mode."""
    image, tried = ramp(mode), 0
    for form in FORMATS:
        out = io.BytesIO()
        try:
            image.save(out, form)
        except (OSError, ValueError, KeyError):
            continue  # the format has no such mode
        if Image.open(out).mode[0] != mode[0] and mode[0] in "IF":
            continue  # this writer has clipped it already
        tried += 1
        pixels, message = None, ""
        try:
            pixels = decode(out.getvalue(), 16, lambda: "here")
        except BadInput as error:
            message = str(error)
        if pixels is None:
            assert re.search("here: (its mode .* has more than 256 levels|cannot be decoded)", message)
        else:
            assert pixels.std() > 30, (form, pixels.std())
    assert tried or mode in ("La", "RGBa", "I;16L", "I;16N", "HSV", "PA", "RGBX", "I;16B"), mode


def test_the_modes_are_pillows() -> None:
    """A mode that Pillow adds is looked at."""
    assert {ImageMode.getmode(mode).mode for mode in MODES} == set(MODES)
    known = set(getattr(Image, "MODES", MODES))
    assert known <= set(MODES)


@pytest.mark.parametrize("kind", ["folder", "parquet"])
@pytest.mark.parametrize("size", [8, 70], ids=["memory", "stream"])
def test_sixteen_bits_are_refused_before_training(kind: str, size: int, tmp_path: Path, of: Config) -> None:
    """A 16-bit greyscale PNG would train as a blank image."""
    out = io.BytesIO()
    ramp("I;16").save(out, "PNG")
    images = [picture(i) for i in range(11)] + [out.getvalue()]
    if kind == "parquet":
        for split in ("train", "test"):
            write_parquet(tmp_path / f"{split}.parquet", images, [i % 2 for i in range(12)])
    else:
        for i, content in enumerate(images):
            (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
            (tmp_path / "ab"[i % 2] / f"{i:02d}.png").write_bytes(content)
    config = of("hub" if kind == "parquet" else "folder", tmp_path, f"data.image_size={size}")
    with pytest.raises(BadInput, match="mode I;16 has more than 256 levels"):
        data.load(config)


def test_what_pillow_reads_is_read_and_the_rest_is_counted(
    folder: Path, of: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """`.jfif` counts as the JPEG that it is; other files and folders among the images are named with their numbers, once."""
    cats = folder / "train" / "cat"
    for i in range(30):
        (cats / f"{i}.jfif").write_bytes(picture(i, form="JPEG"))
        (cats / f"{i}.heic").touch()
    (cats / "images").mkdir()
    (cats / "images" / "x.png").write_bytes(picture(1))
    (cats / "loop.png").symlink_to(cats / "loop.png")
    (cats / "gone.png").symlink_to(cats / "nothing.png")
    assert data.sizes(of("folder", folder))[0] + data.sizes(of("folder", folder))[1] == 24 + 30
    printed = capsys.readouterr().out
    assert printed.count("left out in its class folders: 30 .heic files, 2 broken links, 1 folder") == 1
    readable = {s for s, form in (Image.init() or Image.registered_extensions()).items() if form in FORMATS}
    assert readable - set(SUFFIXES) <= {".pfm", ".dib"}  # floats; another format


def test_splits_of_other_names(folder: Path, of: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """`train/` with only `val/`: the message says what to type, and typing it works; an unused `val/` is named."""
    (folder / "test").rename(folder / "val")
    with pytest.raises(BadInput, match=r"has train/ but no test/; found: train, val; data\.test_split=val takes val/"):
        data.sizes(of("folder", folder))
    assert data.sizes(of("folder", folder, "data.test_split=val")) == (22, 2, 8, 2)
    shutil.copytree(folder / "val", folder / "test")
    data.sizes(of("folder", folder))
    assert f"note: {folder}/val is not used" in capsys.readouterr().out
    (folder / "train").rename(folder / "training")
    with pytest.raises(BadInput, match=r"data\.train_split"):
        data.sizes(of("folder", folder))
    assert data.sizes(of("folder", folder, "data.train_split=training")) == (22, 2, 8, 2)


def test_names_of_splits_leave_ids_as_they_were(folder: Path, of: Config) -> None:
    """Called otherwise, the same images have the same digest."""
    before = data.fingerprint(of("folder", folder))
    (folder / "test").rename(folder / "val")
    assert data.fingerprint(of("folder", folder, "data.test_split=val")) == before


def test_spellings_of_a_name_are_one_class(folder: Path, of: Config) -> None:
    """A letter with its accent, composed in one split and decomposed in the other, or both in one split."""
    for split, form in (("train", "NFC"), ("test", "NFD")):
        (folder / split / "cat").rename(folder / split / unicodedata.normalize(form, "café"))
    assert data.sizes(of("folder", folder)) == (22, 2, 8, 2)
    other = folder / "train" / unicodedata.normalize("NFD", "café")
    other.mkdir()
    (other / "more.png").write_bytes(picture(5))
    loaded = data.load(of("folder", folder))
    assert loaded.class_names == ["ant", "café"]
    assert len(loaded.train) + len(loaded.val) == 25


@pytest.mark.parametrize("layout", ["binary_view", "large_binary", "dictionary", "struct of a dictionary"])
def test_image_columns_of_every_binary_type(layout: str, tmp_path: Path, of: Config) -> None:
    """Arrow's ways of holding bytes give the same images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images, labels = [picture(i) for i in range(12)], [i % 2 for i in range(12)]
    plain = pa.array(images, pa.binary())
    for split in ("train", "test"):
        write_parquet(tmp_path / "plain" / f"{split}.parquet", images, labels)
        column = {
            "binary_view": lambda: pa.array(images, pa.binary_view()),
            "large_binary": lambda: pa.array(images, pa.large_binary()),
            "dictionary": lambda: plain.dictionary_encode(),
            "struct of a dictionary": lambda: pa.StructArray.from_arrays([plain.dictionary_encode()], ["bytes"]),
        }[layout]()
        (tmp_path / "other").mkdir(exist_ok=True)
        table = pa.table({"image": column, "label": pa.array(labels).dictionary_encode()})
        pq.write_table(table, tmp_path / "other" / f"{split}.parquet")
    first, second = (data.load(of("hub", tmp_path / name)) for name in ("plain", "other"))
    assert first.content == second.content


def test_splits_as_folders_of_parquet_files(tmp_path: Path, of: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """`train/part-0.parquet`, behind a link that leads in a circle; a split that is not used is named."""
    for split in ("train", "test", "validation"):
        for part in range(2):
            write_parquet(tmp_path / split / f"part-{part}.parquet", [picture(i) for i in range(12)], [0, 1] * 6)
    (tmp_path / "train" / "again").symlink_to(tmp_path)
    assert data.sizes(of("hub", tmp_path))[2] == 24
    data.sizes(of("hub", tmp_path, "data.test_split=validation"))
    assert "part is not used" in capsys.readouterr().out


def test_labels_that_begin_at_one_add_no_empty_class(tmp_path: Path, of: Config) -> None:
    """The number of classes is not guessed; asked for, the empty class stays; names of the data are believed."""
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [picture(i) for i in range(12)], [1, 2] * 6)
    with pytest.raises(BadInput, match=r"no image has label 0: count classes from 0, or .*data\.num_classes=3"):
        data.sizes(of("hub", tmp_path))
    assert data.sizes(of("hub", tmp_path, "data.num_classes=3"))[3] == 3
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [picture(i) for i in range(12)], [1, 2] * 6, ["x", "y", "z"])
    assert data.sizes(of("hub", tmp_path))[3] == 3
    assert json.dumps(data.load(of("hub", tmp_path)).class_names) == '["x", "y", "z"]'


def test_many_files_are_kept_as_names() -> None:
    """Two million paths as objects would take a gigabyte; as names of a few folders they are found by row."""
    paths = Paths()
    paths.extend(Path("a"), ["0", "1"])
    paths.extend(Path("empty"), [])
    paths.extend(Path("b"), ["2"])
    assert list(paths) == paths[:] == [Path("a/0"), Path("a/1"), Path("b/2")]
    assert paths[-1] == Path("b/2")
    with pytest.raises(IndexError):
        paths[3]
