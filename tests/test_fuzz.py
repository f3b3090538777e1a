"""Whatever is typed either trains or is refused in words: overrides drawn from the schema's own declarations."""

from __future__ import annotations

import io
import os
import random
import shutil
import string
from collections import Counter
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Union

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sepconv_lab.config import BUILTIN, RunConfig, TrainConfig, WandbConfig, default_of, registry, settings
from sepconv_lab.config.overrides import values as parsed
from sepconv_lab.record.record import records
from sepconv_lab.run import main

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("SEPCONV_FUZZ_SEED", "20261123"))
CASES = int(os.environ.get("SEPCONV_FUZZ", "200"))
PARTS = 4
"""So that two processes share the cases."""

BASE = {
    "train.max_steps": "2", "train.batch_size": "4", "train.threads": "1", "train.workers": "0", "train.eval_images": "4",
    "wandb.mode": "disabled",
}  # fmt: skip
GLYPHS = {"data.num_classes": "4", "data.images_per_class": "4", "data.eval_images_per_class": "2"}
PHOTOS = {"data.num_classes": "0", "data.image_size": "32"}
DEAR = {
    "data.image_size": ["16", "24", "33", "8", "0", "129", "-1"],
    "data.num_classes": ["2", "3", "7", "1", "0", "2001"],
    "data.images_per_class": ["1", "3", "5", "0", "-2"],
    "data.eval_images_per_class": ["1", "3", "0"],
    "data.resize": ["0", "8", "40"],
    "model.width": ["0.1", "0.5", "0.3", "0", "-1", "1e-3"],
    "model.size": ["auto", "lab", "huge"],
    "model.fc_width": ["1", "16", "0", "1000001"],
    "model.fc_layers": ["0", "1", "2", "21", "-1"],
    "model.features": ["null", "published", "1", "24", "0", "65537"],
    "model.middle_repeats": ["null", "0", "1", "3", "-1", "201"],
    "block.depth_multiplier": ["1", "2", "3", "0", "1025"],
    "block.segments": ["channels", "1", "2", "7", "0", "65537"],
    "block.towers": ["1", "2", "3", "0", "1025"],
    "block.reduce": ["0.25", "1.0", "1.7", "0", "101"],
    "model.match": ["none", "params", "wrong"],
    "model.match_to": ["20000", "'block=conv'", "'block=cnv'", "0", "1", "abc"],
    "model.weights": ["nowhere", "null"],
    "train.batch_size": ["1", "3", "8", "100000", "0"],
    "train.max_steps": ["1", "2", "-1"],
    "train.workers": ["0", "-1"],
    "train.threads": ["1", "-1"],
    "train.device": ["auto", "cpu", "tpu"],
    "wandb.mode": ["disabled", "onlin"],
    "data.repo": ["null"],
    "imports": ["[]", "[nowhere]", "nowhere"],
    "runs_dir": [],
    "force": ["true", "false", "maybe"],
}
"""Fields for which the edges of what is allowed would cost minutes, memory or the network: values to draw instead."""


TEXTS = ("2026_11_27", "photos (1)", "日本", "a#1", "~/x", "a=b", "it's", "1e3", "x" * 300)
"""Texts and paths that a grammar could read something else into."""


def values(rng: random.Random, name: str, f: Any, kind: Any) -> str:
    """A value near the edges of what the field allows, or beyond, or of another type."""
    if name in DEAR:
        return rng.choice(DEAR[name])
    wild = [
        "null",
        "true",
        "-1",
        "0",
        "nan",
        "inf",
        "1e400",
        "''",
        "[]",
        "{}",
        "abc",
        "1.5",
        "'a b'",
        "${seed}",
        "äö",
        "???",
    ]
    if rng.random() < 0.12:
        return rng.choice(wild)
    default = default_of(f)
    if isinstance(kind, type) and issubclass(kind, Enum):
        names = list(kind.__members__)
        return rng.choice(names) if rng.random() < 0.85 else misspelt(rng, rng.choice(names))
    if kind is bool:
        return rng.choice(["true", "false", "True", "yes", "1"])
    if kind in (int, float, Union[int, str]):
        bounds = f.metadata["bounds"]
        edges = [b for b in (bounds["low"], bounds["high"], bounds["above"]) if b is not None]
        steps = [1, 2] if kind is not float else [0.01, 0.3]
        near = [e + s for e in edges for s in (0, *steps, -steps[0])] + ([default] if default is not None else [2])
        return str(rng.choice([*near, "channels"] if kind == Union[int, str] else near))
    if kind is str:
        return rng.choice([str(default or "x"), "other", "image", "label", "train", *TEXTS])
    return rng.choice(["[a,b]", "[]", "a"])


def misspelt(rng: random.Random, word: str) -> str:
    """A letter too many, too few, or another."""
    at, letter = rng.randrange(len(word)), rng.choice(string.ascii_lowercase)
    return rng.choice([word[:at] + word[at + 1 :], word[:at] + letter + word[at:], word[:at] + letter + word[at + 1 :]])


def overrides(rng: random.Random, paths: dict[str, Path]) -> list[str]:
    """Choices of block, model and data, and one to three settings, mostly of these."""
    data = rng.choice(["glyphs"] * 6 + ["hub", "folder", "cifar10"])
    model = rng.choice(["xception"] * 5 + ["vgg_sep"] * 4 + (["inception_v3"] if rng.random() < 0.3 else []))
    block = rng.choice(list(registry.CONFIGS["block"]))
    words = dict(BASE) | (GLYPHS if data == "glyphs" else PHOTOS) | {"data": data, "model": model}
    if model != "inception_v3":
        words |= {"block": block, "model.width": "0.1"}
    if data in paths:
        words["data.path"] = str(paths[data])
    by_name = {c.name: c for c in BUILTIN if hasattr(c, "name")}
    pool = [("", RunConfig), ("train", TrainConfig), ("train", TrainConfig), ("wandb", WandbConfig)]
    pool += [(g, by_name[n]) for g, n in (("block", block), ("model", model), ("data", data)) for _ in range(3)]
    for _ in range(rng.randint(1, 3)):
        group, cls = rng.choice(pool)
        f, kind = rng.choice([x for x in settings(cls) if x[0].name != "name"])
        key = f"{group}.{f.name}" if group else f.name
        if DEAR.get(key) == [] or key == "data.path":
            continue
        value = values(rng, key, f, kind)
        if rng.random() < 0.04:
            key = misspelt(rng, key)
        words[key] = value
    if rng.random() < 0.03:
        words[rng.choice(["block", "model", "train"])] = rng.choice(["xcepton", "smok", "none", "conv"])
    line = [f"{k}={v}" for k, v in words.items()]
    if rng.random() < 0.02:
        line.append(rng.choice(["+block.extra=1", "~block", "two words", "=", "a=b=c", "block.act=relu,elu", "--nope"]))
    rng.shuffle(line)
    return line


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small data sets on disk: two classes as parquet files and as folders."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    images = []
    for _ in range(24):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(out, "png")
        images.append(out.getvalue())
    for name, image, label in (("hub", "image", "label"), ("cifar10", "img", "label")):
        (root / name).mkdir()
        for split in ("train", "test"):
            rows = {image: [{"bytes": i, "path": None} for i in images], label: [i % 2 for i in range(24)]}
            pq.write_table(pa.table(rows), root / name / f"{split}.parquet")
    for i, content in enumerate(images):
        path = root / "folder" / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {name: root / name for name in ("hub", "cifar10", "folder")}


TRUTH = {True: ("true", "yes", "on", "y", "1"), False: ("false", "no", "off", "n", "0")}
"""What OmegaConf takes for a bool."""


def ignored(words: list[str], config: dict[str, Any]) -> list[str]:
    """The typed settings that the record does not have. Empty ones and `auto` become the size's own; a match solves widths."""
    lost = []
    for word in words:
        key, _, typed = word.partition("=")
        group, _, name = key.rpartition(".")
        value = parsed([word])[key]
        if (
            (not group and name in registry.CONFIGS)
            or name in ("train", "imports")
            or value in (None, "auto")
            or "${" in typed
        ):
            continue
        if key == "model.width" and any(w.startswith("model.match=") for w in words):
            continue
        kept = (config[group] if group else config)[name]
        same = kept == value or str(kept).lower() == str(value).lower()
        same |= isinstance(kept, bool) and str(value).lower() in TRUTH[kept]
        same |= isinstance(kept, float) and kept == float(value)
        lost += [] if same else [f"{word}, recorded {kept!r}"]
    return lost


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_override_trains_or_is_refused(
    part: int,
    paths: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    """Two steps and a finished record, or exit code 2, a message, no traceback and nothing on disk. A third thing fails."""
    monkeypatch.setenv("SEPCONV_LAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    rng, outcomes, wrong = random.Random(f"{SEED} {part}"), Counter[str](), []
    cases = CASES // PARTS
    for _ in range(cases):
        words = overrides(rng, paths)
        try:
            code: Any = main(words)
        except BaseException as error:  # SystemExit too: `main` returns its code
            if isinstance(error, KeyboardInterrupt):
                raise
            code = f"{type(error).__name__}: {error}"
        out, err = capsys.readouterr()
        written = list((tmp_path / "here").iterdir())
        kept = list(records("runs")) if written else []
        statuses = [r.status() for r in kept]
        if code == 0 and statuses == ["finished"] and not (lost := ignored(words, kept[0].config())):
            outcomes["trained"] += 1
        elif code == 0 and statuses == ["finished"]:
            wrong.append(f"{' '.join(words)}\n    -> trained with another value: {', '.join(lost)}")
        elif code == 1 and statuses == ["diverged"]:
            outcomes["diverged, and said so"] += 1
        elif code == 2 and not written and err.strip() and "Traceback" not in out + err:
            outcomes["refused"] += 1
        else:
            detail = [(r.summary() or {}).get("error") for r in kept]
            wrong.append(f"{' '.join(words)}\n    -> {code} {statuses} {detail} {err.strip()[-300:]}")
        shutil.rmtree("runs", ignore_errors=True)
    for outcome, number in outcomes.items():
        record_property(f"count overrides {outcome}", number)
    assert not wrong, f"{len(wrong)} of {cases}:\n" + "\n".join(wrong)
    assert min(outcomes["trained"], outcomes["refused"]) >= cases // 5, outcomes
