"""The run id: what decides a run's result is in it, and nothing else."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import shlex
from enum import Enum
from pathlib import Path
from typing import Any, Union

import numpy as np
import pytest
from PIL import Image

from sepconv_lab import data
from sepconv_lab.analysis.read import committed
from sepconv_lab.compose import compose
from sepconv_lab.config import (
    BUILTIN,
    GROUPS,
    BlockConfig,
    FolderConfig,
    RunConfig,
    TrainConfig,
    WandbConfig,
    XceptionBlockConfig,
    active,
    default_of,
    identity as identity_module,
    registry,
    setting,
    settings,
)
from sepconv_lab.config.identity import identity, quoted, run_id
from sepconv_lab.config.overrides import values

DIGEST = "0" * 64
COMMITTED = committed.folders(Path(__file__).parent.parent / "experiments")
CLASSES: list[tuple[str, type]] = [
    *((group, cls) for group in registry.CONFIGS for cls in BUILTIN if issubclass(cls, GROUPS[group])),
    ("train", TrainConfig),
    ("wandb", WandbConfig),
    ("", RunConfig),
]
FIELDS = [(group, cls, f, kind) for group, cls in CLASSES for f, kind in settings(cls)]


@functools.cache
def default_run() -> RunConfig:
    return compose([])


def run_with(group: str, node: Any) -> RunConfig:
    """A run whose group is `node`; the rest as it comes."""
    return dataclasses.replace(default_run(), **{group: node}) if group else node


def other_value(f: dataclasses.Field[Any], kind: Any) -> Any:
    """A value that is not the default."""
    value = default_of(f)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(v for v in kind if v is not value)
    if kind is bool:
        return not value
    if kind in (int, float):
        return (value or 0) + (2 if f.metadata["bounds"]["odd"] else 1)
    if kind == Union[int, str]:
        return 2
    if kind is str:
        return (value or "") + "x"
    assert kind == list[str], f"teach this test about {kind}"
    return ["x"]


def made_active(node: Any, f: dataclasses.Field[Any]) -> Any:
    """The node with its other field set so that `f` has an effect."""
    if active(node, f):
        return node
    condition = f.metadata["needs"][0]
    other, kind = next((g, k) for g, k in settings(type(node)) if g.name == condition.field)
    if not condition.values:
        value: Any = other_value(other, kind)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        value = kind[condition.values[0]]
    else:
        value = condition.values[0] == "true"
    node = dataclasses.replace(node, **{other.name: value})
    assert active(node, f)
    return node


@pytest.mark.parametrize(("group", "cls", "f", "kind"), FIELDS, ids=[f"{c.__name__}.{f.name}" for _, c, f, _ in FIELDS])
def test_a_field_is_in_the_id_exactly_if_it_says_so(
    group: str, cls: type, f: dataclasses.Field[Any], kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field of the schema: changed where it has an effect, an identity field changes the id, another does not."""
    monkeypatch.setattr(identity_module.registry, "user_sources", lambda modules: [])  # `imports` counts by its source
    node = made_active(cls() if group else default_run(), f)
    changed = dataclasses.replace(node, **{f.name: other_value(f, kind)})
    before, after = (run_id(run_with(group, n), DIGEST) for n in (node, changed))
    assert (before != after) is f.metadata["identity"]


@pytest.mark.parametrize(
    ("group", "cls", "f", "kind"),
    [x for x in FIELDS if x[2].metadata["needs"]],
    ids=[f"{c.__name__}.{f.name}" for _, c, f, _ in FIELDS if f.metadata["needs"]],
)
def test_a_field_without_effect_is_not_in_the_id(group: str, cls: type, f: dataclasses.Field[Any], kind: Any) -> None:
    """Where its condition does not hold, a field cannot tell two runs apart."""
    key = f.metadata["needs"][0].field
    other, other_kind = next((g, k) for g, k in settings(cls) if g.name == key)
    candidates: list[Any] = [default_of(other)]
    candidates += list(other_kind) if isinstance(other_kind, type) and issubclass(other_kind, Enum) else [False, True]
    node = next(n for n in (dataclasses.replace(cls(), **{key: v}) for v in candidates) if not active(n, f))
    changed = dataclasses.replace(node, **{f.name: other_value(f, kind)})
    assert run_id(run_with(group, node), DIGEST) == run_id(run_with(group, changed), DIGEST)


def test_an_undeclared_field_is_refused() -> None:
    """A config class whose field does not say whether it is identity cannot be selected at all."""

    @dataclasses.dataclass
    class Forgetful(BlockConfig):
        name: str = setting("forgetful", "the block's name in the registry")
        extra: int = 3

    with pytest.raises(TypeError, match=r"declare extra with setting"):
        registry.declare(Forgetful)
    assert "forgetful" not in registry.CONFIGS["block"]


def test_every_field_of_the_schema_is_declared() -> None:
    """Also where no registry looks: the run's own fields, train and wandb."""
    for cls in (RunConfig, TrainConfig, WandbConfig):
        declared = {f.name for f, _ in settings(cls)} | (set(GROUPS) if cls is RunConfig else set())
        assert {f.name for f in dataclasses.fields(cls)} == declared


@pytest.mark.parametrize(
    "spellings",
    [
        ([], ["model=xception", "block=xception", "data=glyphs", "train=default", "seed=0", "block.mid_act=none"]),
        ([], ["train.lr=2e-1"]),
        (["train.lr=1e-1"], ["train.lr=0.1"], ["train.lr=.1"], ["train.lr=0.10"]),
        (["model.width=1"], ["model.width=1.0"], ["model.width=1e0"], []),
        ([], ["model.size=lab"], ["model.size=auto"], ["model.middle_repeats=2"], ["model.stem=conv"]),
        (["block.residual=False"], ["block.residual=false"]),
        ([], ["model.features=null"], ["model.features=256"], ["model.features=published"]),
        (["model.width=0.5"], ["model.width=0.5", "model.features=128"]),
        (["model.width=0.5", "model.features=256"], ["model.width=0.5", "model.features=published"]),
        ([], ["block.segments=channels"]),
        ([], ["runs_dir=elsewhere", "train.threads=3", "wandb.tags=[a]", "train.workers=0", "force=true"]),
        ([], ["data.num_classes=300", "data.seed=0", "train.max_steps=0"]),
    ],
)  # fmt: skip
def test_equal_configurations_have_equal_ids_however_spelled(spellings: tuple[list[str], ...]) -> None:
    """Defaults given explicitly, and other ways to write a number, are the same run."""
    assert len({run_id(compose(words), DIGEST) for words in spellings}) == 1


def test_the_order_of_overrides_does_not_matter() -> None:
    """All orders of four overrides, a group choice among them, are one run."""
    words = ["block=inception", "block.towers=2", "train.lr=0.1", "seed=3"]
    assert len({run_id(compose(order), DIGEST) for order in itertools.permutations(words)}) == 1


def test_a_matched_width_is_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose width was solved is the run that was given this width."""
    matched = compose(["model.match=params", "model.match_to=2000000", "data.num_classes=10"])
    given = compose([f"model.width={matched.model.width!r}", "data.num_classes=10"])  # type: ignore[attr-defined]
    assert run_id(matched, DIGEST) == run_id(given, DIGEST)


def test_a_field_added_later_keeps_old_ids_at_its_neutral_value() -> None:
    """Runs from before a field existed keep their ids; at any other value the field counts, its default included."""

    @dataclasses.dataclass
    class Later(XceptionBlockConfig):
        added: int = setting(5, "added after runs exist", neutral=1)

    old = run_with("block", XceptionBlockConfig())
    assert run_id(run_with("block", Later(added=1)), DIGEST) == run_id(old, DIGEST)
    ids = {run_id(run_with("block", Later(added=n)), DIGEST) for n in (1, 2, 5)}
    assert len(ids) == 3


def test_a_changed_image_changes_the_id(tmp_path: Path) -> None:
    """One pixel of one image, a renamed class or a moved image is other data; another path to the same files is not."""
    rng = np.random.default_rng(0)
    for split, name, i in itertools.product(("train", "test"), ("cat", "dog"), range(4)):
        path = tmp_path / "a" / split / name / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)

    def found(folder: str) -> str:
        config = compose(["data=folder", f"data.path={tmp_path / folder}"])
        assert isinstance(config.data, FolderConfig)
        return run_id(config, data.fingerprint(config.data))

    first = found("a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert found("b") == first
    changed = tmp_path / "b" / "test" / "dog" / "3.png"
    pixels = np.asarray(Image.open(changed)).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(changed)
    second = found("b")
    (tmp_path / "b" / "train" / "cat" / "0.png").rename(tmp_path / "b" / "train" / "dog" / "4.png")
    third = found("b")
    for split in ("train", "test"):
        (tmp_path / "b" / split / "dog").rename(tmp_path / "b" / split / "wolf")
    assert len({first, second, third, found("b")}) == 4


def test_a_changed_weight_file_changes_the_id(tmp_path: Path) -> None:
    """By content, not by name: a copy elsewhere is the same, one other byte is not, and none is not some."""
    from sepconv_lab.weights import digest

    def found(path: Path) -> str:
        return run_id(compose([f"model.weights={path}"]), DIGEST, digest(path))

    for name, content in (("a", b"weights"), ("b", b"weights"), ("c", b"weightz")):
        (tmp_path / name).write_bytes(content)
    assert found(tmp_path / "a") == found(tmp_path / "b")
    assert len({found(tmp_path / "a"), found(tmp_path / "c"), run_id(compose([]), DIGEST)}) == 3
    assert run_id(compose([]), DIGEST) != run_id(compose([]), "1" * 64), "the digest of the data"


def test_a_users_source_is_part_of_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of an imported module counts, its place does not."""
    source = tmp_path / "own.py"
    source.write_text("x = 1\n")
    monkeypatch.setattr(identity_module.registry, "user_sources", lambda modules: [source] if modules else [])
    config = dataclasses.replace(compose([]), imports=["own"])
    before = run_id(config, DIGEST)
    assert before != run_id(compose([]), DIGEST)
    source.write_text("x = 2\n")
    assert run_id(config, DIGEST) != before


GOLDEN = {
    "": "5ef6014b1eb96773",
    "model=vgg_sep block=inception block.towers=2 train=paper_imagenet data=cifar10 seed=7": "3d56dc8175623baa",
    "model=inception_v3 data=imagenet train.optimizer=adamw": "6ac3910fa765ad87",
}
"""Ids that records in the world have. They change only on purpose: with RECIPE, when the same configuration comes to compute
something else. A new field gets a `neutral` value instead."""


@pytest.mark.parametrize("words", GOLDEN)
def test_ids_do_not_change_by_accident(words: str) -> None:
    """The ids of three fixed configurations are what they were."""
    config = compose(words.split())
    assert run_id(config, DIGEST) == GOLDEN[words], identity(config, DIGEST)


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda f: f"{f.parent.parent.name}/{f.name}")
def test_the_ids_of_committed_runs_are_reproduced(folder: Path) -> None:
    """Of every run in `experiments/`, from the configuration that its plan froze and from the command that repeats it."""
    export = committed.read(folder)
    rows = {(row["variant"], row["seed"]): row for row in export.rows}
    ended = [run for run in export.plan.runs if rows.get((run.variant, run.seed), {}).get("command")]
    assert len(ended) > 10  # those of later looks are still to come
    for run in ended:
        row = rows[run.variant, run.seed]
        for config in (export.plan.config(run, "runs"), compose(shlex.split(row["command"])[3:])):
            assert run_id(config, row["data_digest"]) == run.run_id == row["run_id"], identity(
                config, row["data_digest"]
            )


def test_minus_zero_is_zero() -> None:
    found = [identity(compose([f"train.weight_decay={zero}"]), "") for zero in ("-0.0", "0.0", "0")]
    assert [json.dumps(f["train.weight_decay"]) for f in found] == ["0.0"] * 3


@pytest.mark.parametrize(
    "text",
    ["plain", "a b", "it's", "a\\b", "back\\", "\\'", "1_000", "1e3", "true", "null", "None", "nan", "ü", "a,b", "${x}", "a=b"],
)  # fmt: skip
def test_a_quoted_text_is_read_back_as_it_was(text: str) -> None:
    """The command in a record names the same file, whatever it is called."""
    assert values([f"data.path={quoted(text)}"])["data.path"] == text


def test_all_of_a_users_source_is_part_of_the_id(tmp_path: Path) -> None:
    """Of a package every file; of a file also what it imports from beside it. Other files there are not."""
    package = tmp_path / "mine_pkg"
    package.mkdir()
    for name in ("__init__.py", "k.py"):
        (package / name).write_text("")
    (tmp_path / "mine_file.py").write_text("import mine_helper\n")
    (tmp_path / "mine_helper.py").write_text("K = 1\n")
    (tmp_path / "unrelated.py").write_text("")
    registry.import_user_modules([str(tmp_path / "mine_file.py")])
    names = {p.name for p in registry.user_sources([str(tmp_path / "mine_file.py")])}
    assert names == {"mine_file.py", "mine_helper.py"}
    for module in ("mine_pkg", "mine_pkg.k"):
        assert {p.name for p in registry.user_sources([module])} == {"__init__.py", "k.py"}
