"""The embedded data set: which characters, which faces, the same bytes."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sepconv_lab import data
from sepconv_lab.config import BadInput, DataConfig, Fill, Fold, GlyphsConfig, default_of, settings
from sepconv_lab.data.glyphs import Glyphs, classes as glyph_classes, render as glyph_render
from sepconv_lab.data.glyphs.faces import (
    FACES,
    FAMILIES,
    MARGIN,
    VALIDATION_FACE,
    faces_of,
    font_file,
    fonts_digest,
    masks,
)
from sepconv_lab.data.glyphs.render import render

Config = Callable[..., DataConfig]
SMALL = ("data.num_classes=4", "data.image_size=16", "data.images_per_class=9", "data.eval_images_per_class=5")


def glyphs(**changes: object) -> GlyphsConfig:
    """A small configuration."""
    return GlyphsConfig(
        **{"num_classes": 4, "image_size": 16, "images_per_class": 9, "eval_images_per_class": 5, **changes}
    )  # type: ignore[arg-type]


def pictures(config: GlyphsConfig, split: str = "train") -> np.ndarray:
    """(classes, count, 3, S, S)."""
    source = Glyphs(config)
    return np.stack(list(render(config, split, faces_of(config.fold)[split], source.characters, source.counts[split])))


def test_classes_are_a_stretch_of_the_list_that_goes_on_at_its_beginning() -> None:
    """Fewer classes are a subset of more, wherever they begin; the data's digest knows where that is."""
    listed = glyph_classes.classes()
    assert Glyphs(glyphs(first_class=7)).characters == listed[7:11]
    assert Glyphs(glyphs(first_class=1998)).characters == (*listed[1998:], *listed[:2])
    assert set(Glyphs(glyphs(first_class=7)).characters) < set(Glyphs(glyphs(first_class=7, num_classes=9)).characters)
    assert len({Glyphs(glyphs(first_class=i)).fingerprint() for i in (0, 7)}) == 2


# --- the classes ------------------------------------------------------------------------------------------------------


def test_the_list_covers_what_can_be_asked_for() -> None:
    """As many characters as `data.num_classes` allows, none twice, each with its name."""
    listed = glyph_classes.classes()
    highest = next(f.metadata["bounds"]["high"] for f, _ in settings(GlyphsConfig) if f.name == "num_classes")
    assert len(listed) == len(set(listed)) == highest == glyph_classes.COUNT
    text = Path(glyph_classes.__file__).with_suffix(".txt").read_text()
    names = [line.split(" ", 1)[1] for line in text.splitlines() if line.startswith("U+")]
    assert sum(name == unicodedata.name(chr(c), "UNNAMED") for name, c in zip(names, listed, strict=True)) > 1990


def test_every_face_has_every_class() -> None:
    """All listed characters are shared, and none is blank in any of three faces of different families."""
    assert set(glyph_classes.classes()) <= set(glyph_classes.shared_characters())
    for family in FAMILIES.values():
        drawn = masks(family[3], glyph_classes.classes()[::5], 16)
        assert (drawn.max((1, 2)) > 0).all()


def test_classes_differ_in_every_face() -> None:
    """The first 300, the default, differ by the first threshold or more; samples of the rest by the last."""
    listed = glyph_classes.classes()
    assert glyph_classes.distances(listed[:300]).min() >= glyph_classes.THRESHOLDS[0]
    assert glyph_classes.distances(listed[300::5]).min() >= glyph_classes.THRESHOLDS[-1]


def test_the_command_makes_the_list() -> None:
    """On a part of the characters: passes of falling threshold, each against all before, in a shuffled order."""
    characters = glyph_classes.shared_characters()[:150]
    distance = glyph_classes.distances(characters)
    passes = glyph_classes.choose(characters, distance)
    chosen = [characters.index(c) for _, new in passes for c in new]
    assert 80 < len(chosen) < 150
    assert " " not in map(chr, (characters[i] for i in chosen))
    first = [characters.index(c) for c in passes[0][1]]
    assert distance[np.ix_(first, first)].min() >= passes[0][0]
    assert distance[np.ix_(chosen, chosen)].min() >= passes[-1][0]
    assert first != sorted(first)
    listed = glyph_classes.classes()
    assert sum(characters[i] in listed for i in first) > 0.95 * len(first)


# --- the faces --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", Fold)
def test_the_test_shows_unseen_faces(fold: Fold) -> None:
    """7 faces for training, one for validation, and the whole held-out family for the test; no face in two splits."""
    faces = faces_of(fold)
    assert [len(faces[split]) for split in ("train", "val", "test")] == [7, 1, 4]
    assert set(faces["train"]) | set(faces["val"]) | set(faces["test"]) == set(FACES)
    assert faces["test"] == FAMILIES[fold]
    assert VALIDATION_FACE[fold] not in faces["test"]


def test_masks_are_centred_and_scaled_to_their_bounding_box() -> None:
    """A full stop is as large as a capital; the margin is empty; blanks are blank."""
    drawn = masks("DejaVuSans", [ord(c) for c in "A.|_ "], 24)
    assert drawn.shape == (5, 24 + 2 * MARGIN, 24 + 2 * MARGIN)
    for mask in drawn[:4]:
        rows, columns = np.nonzero(mask.max(1))[0], np.nonzero(mask.max(0))[0]
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert max(height, width) == 24
        assert abs(rows[0] + rows[-1] - 27) <= 1
        assert abs(columns[0] + columns[-1] - 27) <= 1
        assert mask.max() > 200
    assert drawn[4].max() == 0


def test_a_missing_font_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it."""
    import importlib.util

    font_file.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install matplotlib"):
        font_file("DejaVuSans")


# --- the pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", Fill)
def test_the_same_seed_gives_the_same_bytes(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again, and on one thread; another seed gives other ones."""
    config = glyphs(fill=fill)
    first = pictures(config)
    assert first.dtype == np.uint8
    assert first.shape == (4, 9, 3, 16, 16)
    monkeypatch.setattr(glyph_render, "cores", lambda: 1)
    assert np.array_equal(pictures(config), first)
    assert not np.array_equal(pictures(glyphs(fill=fill, seed=1)), first)


def test_subsets_are_nested() -> None:
    """The first classes, and the first pictures of each, are the same bytes however many there are."""
    large = pictures(glyphs())
    assert np.array_equal(pictures(glyphs(num_classes=2)), large[:2])
    assert np.array_equal(pictures(glyphs(images_per_class=3)), large[:, :3])


def test_splits_are_drawn_independently() -> None:
    """Not the same places and fills in validation and test, and not from picture to picture."""
    val, test = pictures(glyphs(), "val"), pictures(glyphs(), "test")
    everything = [p.tobytes() for split in (val, test, pictures(glyphs())) for p in split.reshape(-1, 3, 16, 16)]
    assert len(set(everything)) == len(everything)
    corners = [
        x[..., 0, 0].ravel().astype(float) for x in (val, test, pictures(glyphs())[:, :5], pictures(glyphs())[:, 4:])
    ]
    assert np.abs(np.corrcoef(corners) - np.eye(4)).max() < 0.5


def test_flat_pictures_are_rank_one_but_for_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """In channel x space, around the background: why `flat` flatters separable layers. Textured ones have full rank."""
    monkeypatch.setattr(glyph_render, "NOISE", 0.0)

    def second_share(fill: Fill) -> float:
        x = pictures(glyphs(fill=fill, image_size=32)).reshape(-1, 3, 32 * 32).astype(float)
        values = np.linalg.svd(x - x[:, :, :1], compute_uv=False)
        return float(np.median(values[:, 1] / values[:, 0]))

    assert second_share(Fill.flat) < 0.02
    assert second_share(Fill.textured) > 0.3


def test_no_threshold_in_one_channel_finds_a_textured_character() -> None:
    """Under the mask and beside it, grey levels of a channel have the same distribution over pictures."""
    u = np.random.default_rng(0).random((400, 2 * 3 * glyph_render.NODES**2))
    ground, ink = glyph_render._fills(Fill.textured, 32, u)
    for levels in (ground, ink):
        assert levels.min() >= 0
        assert levels.max() <= 255
        assert abs(levels.mean() - 127.5) < 2
    assert abs(ground.std() - ink.std()) < 1
    at_nodes = np.abs(ground - ink)[:, :, 0, 0]
    assert at_nodes.min() >= glyph_render.CONTRAST


def test_golden_bytes() -> None:
    """If this fails with the fonts and libraries it was made with, the renderer has changed: raise RENDERER."""
    if fonts_digest()[:12] != GOLDEN_FONTS:
        pytest.skip("other versions of fonts, Pillow or FreeType")
    found = {fill.name: hashlib.sha256(pictures(glyphs(fill=fill)).tobytes()).hexdigest()[:12] for fill in Fill}
    assert (glyph_render.RENDERER, found) == GOLDEN


GOLDEN_FONTS = "913a3723db7a"
GOLDEN: tuple[int, dict[str, str]] = (1, {"textured": "aa5a175cd03b", "flat": "9551f4a68ae1"})


# --- the data set -----------------------------------------------------------------------------------------------------


def test_load(config: Config) -> None:
    """Splits, sizes, labels, names; the second load draws nothing and has the same content."""
    loaded = data.load(config(*SMALL))
    assert (len(loaded.train), len(loaded.val), len(loaded.test), loaded.num_classes) == (36, 20, 20, 4)
    assert data.sizes(config(*SMALL)) == (36, 20, 20, 4)
    assert torch.bincount(loaded.train.labels).tolist() == [9] * 4
    assert loaded.class_names == [chr(c) for c in glyph_classes.classes()[:4]]
    assert np.array_equal(loaded.train.images.numpy().reshape(4, 9, 3, 16, 16), pictures(glyphs()))  # type: ignore[attr-defined]


def test_a_second_load_draws_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything comes from the cache, with the same content."""

    first = data.load(config(*SMALL))
    monkeypatch.setattr(glyph_render, "render", lambda *_: pytest.fail("drawn again"))
    again = data.load(config(*SMALL))
    assert (again.content, again.digest) == (first.content, first.digest)
    assert torch.equal(again.test.images, first.test.images)  # type: ignore[attr-defined]


def test_the_test_split_is_not_read_by_training(config: Config, cache: Path) -> None:
    """Loading and training leave the test's pixels unread: a damaged file goes unnoticed until the end, and is mended then."""
    whole = data.load(config(*SMALL)).test.images.clone()  # type: ignore[attr-defined]
    (file,) = cache.glob("images/*/test.npy")
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    loaded = data.load(config(*SMALL))
    for _ in data.train_batches(loaded.train, config(*SMALL), epoch=0, batch_size=8, seed=0, device="cpu"):
        pass
    assert "_all" not in vars(loaded.test)
    ((images, _),) = data.eval_batches(loaded.test, batch_size=20, device="cpu")
    assert torch.equal(((images + 1) * 127.5).round().to(torch.uint8), whole)


@pytest.mark.parametrize(
    "change",
    [
        "num_classes=5",
        "seed=1",
        "image_size=17",
        "images_per_class=8",
        "eval_images_per_class=6",
        "fill=flat",
        "fold=mono",
    ],
)
def test_the_fingerprint_covers_what_changes_the_pictures(config: Config, change: str) -> None:
    """Every setting that changes a picture or a split; not augmentation, which stands in the run's identity anyway."""
    before = data.fingerprint(config(*SMALL))
    assert data.fingerprint(config(*SMALL, f"data.{change}")) != before
    assert data.fingerprint(config(*SMALL, "data.augment=none", "data.flip=true")) == before


def test_the_fingerprint_covers_renderer_and_fonts(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another renderer, font file or library is other data."""
    from sepconv_lab.data import glyphs as module

    before = data.fingerprint(config(*SMALL))
    monkeypatch.setattr(glyph_render, "RENDERER", -1)
    other = data.fingerprint(config(*SMALL))
    monkeypatch.setattr(module, "fonts_digest", lambda: "other fonts")
    assert len({before, other, data.fingerprint(config(*SMALL))}) == 3


def test_defaults_are_the_declared_task() -> None:
    """300 classes, 24,000 training images, textures, serif held out."""
    declared = {f.name: default_of(f) for f, _ in settings(GlyphsConfig)}
    assert Glyphs(GlyphsConfig(**declared)).sizes() == (24_000, 3_000, 3_000, 300)
    assert (declared["fill"], declared["fold"]) == (Fill.textured, Fold.serif)


def test_too_many_classes_are_refused() -> None:
    """For a configuration made by hand; the schema refuses it on the command line."""
    with pytest.raises(BadInput, match=r"data\.num_classes=3000: there are 2000 characters"):
        data.fingerprint(glyphs(num_classes=3000))


def test_importing_data_and_identifying_glyphs_is_light() -> None:
    """Neither pulls in matplotlib, pyarrow or the hub; Pillow comes with the first fingerprint."""
    import subprocess
    import sys

    code = """
import sys
from sepconv_lab import data
from sepconv_lab.config import GlyphsConfig
heavy = {"PIL", "pyarrow", "matplotlib", "huggingface_hub", "datasets", "pandas"}
print(sorted(heavy & set(sys.modules)))
data.fingerprint(GlyphsConfig())
print(sorted(heavy & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert out.stdout.splitlines() == ["[]", "['PIL']"]
