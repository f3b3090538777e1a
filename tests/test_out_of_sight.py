"""The test split is out of sight while anything is chosen: lists and sweeps show validation, tuning runs never evaluate it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sepconv_lab.compose import compose
from sepconv_lab.config.identity import run_id
from sepconv_lab.record.record import Record
from sepconv_lab.run import main as sweep
from sepconv_lab.runs import main as runs

from .helpers import SMALL

WORDS = [*SMALL, "train.epochs=1", "wandb.mode=disabled"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of a sweep: one that was tested, and one that was not."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert sweep(["-m", *WORDS, "train.test=true,false"]) == 0
    return folder


@pytest.fixture
def summary(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], dict[str, dict[str, float]]]:
    monkeypatch.chdir(place)
    records = [Record("runs", path.parent.name) for path in Path("runs").glob("*/summary.json")]
    found = {r.config()["train"]["test"]: r for r in records}
    assert set(found) == {True, False}
    return lambda tested: found[tested].summary() or {}


def test_a_run_without_the_test_split_measures_validation_alone(
    summary: Callable[[bool], dict[str, dict[str, float]]],
) -> None:
    """The same training: the same validation, no test metric, no predictions, and the record is whole."""
    tested, blind = summary(True), summary(False)
    assert {k: v for k, v in tested["metrics"].items() if k.startswith("val")} == blind["metrics"]
    assert "test_ema/top1" in tested["metrics"]
    record = Record("runs", str(blind["run_id"]))
    assert not (record.path / "predictions.npz").exists()
    assert not any(k.startswith("test") for e in record.events() for k in e)
    assert record.status() == "finished"
    assert runs(["verify"]) == 0


def test_ids_of_tested_runs_are_what_they_were() -> None:
    """Testing is neutral; a run without it is another run."""
    plain, tested, blind = (compose([*WORDS, *more]) for more in ([], ["train.test=true"], ["train.test=false"]))
    assert run_id(plain, "d") == run_id(tested, "d") != run_id(blind, "d")


@pytest.mark.parametrize("test", [False, True])
def test_a_sweep_and_a_list_show_validation_unless_asked(
    summary: Callable[[bool], dict[str, dict[str, float]]], test: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--test` shows the test split; a run that has not read it shows none."""
    split, asked = ("test", ["--test"]) if test else ("val", [])
    metrics = summary(True)["metrics"]
    raw, averaged = f"{metrics[f'{split}/top1']:.4f}", f"{metrics[f'{split}_ema/top1']:.4f}"
    assert sweep(["-m", *WORDS, "train.test=true,false", *asked]) == 0
    head, first, second = capsys.readouterr().out.splitlines()[-3:]
    assert f"{split} top1" in head
    assert first.split()[2:4] == [raw, averaged]
    assert second.split()[2:4] == (["-", "-"] if test else [raw, averaged])
    assert runs(["list", *asked]) == 0
    out = capsys.readouterr().out
    assert f"{split} top1" in out
    assert averaged in out


def test_the_flag_goes_with_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep([*WORDS, "--test"]) == 2
    assert "It goes with a sweep, -m." in capsys.readouterr().err
