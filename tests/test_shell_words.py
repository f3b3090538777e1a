"""What a person types in a shell arrives as it was typed."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from sepconv_lab.compose import compose, compose_sweep
from sepconv_lab.config import BadInput
from sepconv_lab.config.overrides import parse

TEXTS = (
    "2026_11_27", "1e3", "0x10", "1_000", "007", "1.50", "-0", "nan", "inf", "true", "None", "Null", "off", "photos (1)",
    "日本", "a#1",
    "a=b", "a:b", "a b", "a{b", "a}b", "a]b", "a?b", "a&b", "a;b", "a|b", "a<b", "a!b", "a%b", "a@b", "a*b", "a^b", "a`b", "it's",
    'a"b', "(x)", "x()", "é", "-", "--x", "+1", "a$b", "???a", " a ", "😀",
)  # fmt: skip
"""Texts that Hydra's grammar reads as something else, or not at all."""


@pytest.mark.parametrize("key", ["runs_dir", "data.path", "wandb.notes", "wandb.name"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_keeps_its_spelling(key: str, text: str) -> None:
    """No number, list, call or comment is read into it."""
    config = compose(["data=folder", f"{key}={text}"])
    group, _, name = key.rpartition(".")
    assert getattr(getattr(config, group) if group else config, name) == text


def test_what_is_written_in_hydras_grammar_stays_in_it() -> None:
    """Quotes, escapes, null, and the sweep of a text by commas or a function."""
    assert compose(["wandb.notes='a, b'"]).wandb.notes == "a, b"
    assert compose(["wandb.notes=a\\ b"]).wandb.notes == "a b"
    assert compose(["wandb.name=null"]).wandb.name is None
    for words in ("wandb.name=1_0,b c", "wandb.name=choice(1_0,b c)"):
        names = [config.wandb.name for _, config in compose_sweep([words])]
        assert names == (["1_0", "b c"] if "choice" not in words else ["10", "b c"])
    with pytest.raises(BadInput, match="several values in one run"):
        compose(["wandb.notes=a, b"])


@pytest.mark.parametrize("character", [c for c in map(chr, range(32, 127)) if not c.isalnum()])
def test_the_advice_works_when_it_is_followed(character: str) -> None:
    """A value that the grammar refuses, in a setting that is no text alone: typing what the message says parses."""
    line = f"model.match_to=a{character}b{character}"
    try:
        parse([line])
    except BadInput as error:
        advice = str(error).split("stands in quotes: ")[1]
        (word,) = shlex.split(advice)
        (override,) = parse([word])
        assert override.value() == line.partition("=")[2], advice


def test_the_home_folder_in_every_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~` without a shell: records, data, weights, imported files and the cache."""
    from sepconv_lab.data.cache import cache_dir

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "of_the_home.py").write_text("")
    config = compose(["data=folder", "data.path=~/x", "runs_dir=~/r", "imports=['~/of_the_home.py']"])
    assert (config.data.path, config.runs_dir) == (f"{tmp_path}/x", f"{tmp_path}/r")  # type: ignore[attr-defined]
    assert config.imports == [f"{tmp_path}/of_the_home.py"]
    assert compose(["model.weights=~/w"]).model.weights == f"{tmp_path}/w"
    assert compose(["wandb.notes=~/x"]).wandb.notes == "~/x"
    monkeypatch.setenv("SEPCONV_LAB_CACHE", "~/c")
    assert os.fspath(cache_dir()) == f"{tmp_path}/c"


def test_ranges_count_in_decimal() -> None:
    """0.3 is 0.3, with the id that a typed 0.3 has; whole numbers stay whole."""
    rates = [config.train.lr for _, config in compose_sweep(["train.lr=range(0.1,0.45,0.1)"])]
    assert rates == [0.1, 0.2, 0.3, 0.4]
    assert [c.train.lr for _, c in compose_sweep(["train.lr=range(0.3,0,-0.1)"])] == [0.3, 0.2, 0.1]
    assert [c.seed for _, c in compose_sweep(["seed=range(2,8,2)"])] == [2, 4, 6]
    with pytest.raises(BadInput, match="no job"):
        compose_sweep(["seed=range(3,1)"])


@pytest.mark.parametrize(
    "line", ["train.lr=" + "9" * 400, "seed=" + "9" * 5000, "train.lr=" + "(" * 3000, "seed=" + "1" * 30]
)
def test_numbers_without_end_are_one_message(line: str) -> None:
    """No traceback from a parser or a conversion."""
    with pytest.raises(BadInput) as error:
        compose([line])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 6000
