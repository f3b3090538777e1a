"""Committed results: small, the same bytes each time, free of this machine, and the same frame when read back."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sepconv_lab import disk
from sepconv_lab.analysis import load_history, load_plans, load_runs
from sepconv_lab.analysis.read.export import LIMIT, contents, export, thin
from sepconv_lab.config import BadInput

from . import generated as made

LAB = Path("experiments") / made.FIGURE10 / "results" / "lab"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a finished study in runs/, one of its variants with a setting of the user's own."""
    monkeypatch.chdir(tmp_path)
    made.figure10(Path("runs"))
    return tmp_path


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_runs_frame_read_back_equals_the_one_from_the_records(here: Path) -> None:
    assert export(made.FIGURE10) == LAB
    for source in (LAB, LAB.parent.parent, Path("experiments")):
        pd.testing.assert_frame_equal(load_runs(source), load_runs(), check_exact=True)
    pd.testing.assert_frame_equal(
        load_runs("experiments", study=made.FIGURE10, label="lab", where={"seed": 1}),
        load_runs(where={"seed": 1}),
        check_exact=True,
    )
    assert [p for p in load_plans("experiments")] == [p for p in load_plans()]


def test_every_kind_of_value_survives(tmp_path: Path) -> None:
    """Own settings, empty texts, quotes, commas and line ends, seventeen digits, infinity, missing and failed runs."""
    awkward = {"block__name": 'my "own", block', "block__ratio": 4, "block__gain": 0.1 + 0.2, "block__on": True,
               "block__note": "", "data__flip": True, "model__match_to": 600_000, "block__list": [1, 2]}  # fmt: skip
    variants = {"plain": made.config(), 'odd, "one"\n': made.config(**awkward)}
    runs_dir = tmp_path / "runs"
    for run in made.write_plan(runs_dir, variants, seeds=(0, 1), claim=None):
        if run["variant"] == "plain" and run["seed"] == 1:
            continue
        told = made.summary(run["run_id"], 1 / 3, error="a, \"b\" 'c'", wall_time=float("inf"), peak_memory=2**53 - 1)
        made.write_record(runs_dir, run["run_id"], variants[run["variant"]] | {"seed": run["seed"]}, told)
    export(made.FIGURE10, runs_dir, to=tmp_path / "out", allow_partial=True)
    read = load_runs(tmp_path / "out", allow_partial=True)
    pd.testing.assert_frame_equal(read, load_runs(runs_dir, allow_partial=True), check_exact=True)
    odd = read.iloc[1]
    assert (odd["block.gain"], odd["block.ratio"], odd["block.on"]) == (0.1 + 0.2, 4.0, True)
    assert odd["model.match_to"] == "600000"
    assert read["wall_time"].tolist()[:2] == [np.inf, np.inf]


def test_the_events_that_a_figure_shows_are_kept(here: Path) -> None:
    """Of a short run all of them, to six digits."""
    export(made.FIGURE10)
    whole, read = load_history(), load_history(LAB)
    assert read.dtypes.equals(whole.dtypes)
    pd.testing.assert_frame_equal(read, whole, rtol=1e-5)


def test_thinning_keeps_the_ends_and_prefers_evaluations() -> None:
    steps = np.arange(1, 1001)
    evaluated = steps % 50 == 0
    run = pd.DataFrame({
        "run_id": "r", "step": steps, "train/loss": np.where(evaluated, np.nan, 1.0),
        "val/top1": np.where(evaluated, 0.5, np.nan), "perf/images_per_second": 100.0,
    })  # fmt: skip
    both = pd.concat([run, run.assign(run_id="q").iloc[:30]], ignore_index=True)
    kept = both[thin(both, 100, 1000)]
    mine = kept[kept["run_id"] == "r"]
    assert mine["val/top1"].notna().sum() == 20
    training = mine.loc[mine["val/top1"].isna(), "step"]
    assert (len(training), training.min(), training.max()) == (100, 1, 999)
    assert training.diff().max() <= 12
    assert len(kept[kept["run_id"] == "q"]) == 30
    assert thin(both, 1, 2).sum() == (1 + 2) + 1


def test_results_stay_under_two_mebibytes(here: Path) -> None:
    """Sixty runs of five thousand events are thinned until they fit; so are more, and what cannot fit is refused."""
    runs, plan = load_runs(), load_plans()[0]
    rows = [{"run_id": "x", "variant": "none", "seed": 0}]
    many = pd.concat([runs] * 7, ignore_index=True).assign(run_id=[f"{i:016x}" for i in range(63)])
    ids = many["run_id"].repeat(5000).to_numpy()
    step = np.tile(np.arange(5000), 63)
    draw = np.random.default_rng(0)
    history = pd.DataFrame({"run_id": ids, "step": step, "epoch": step / 500, "time": step * 1.1})
    history["train/loss"] = np.where(step % 100, draw.random(len(step)), np.nan)
    history["val_ema/top1"] = np.where(step % 100, np.nan, draw.random(len(step)))
    history.attrs["truncated"] = []
    from sepconv_lab.analysis.read import frames

    kinds = {k: v for k, v in frames.runs_columns(rows).items() if k in many.columns}
    files = contents(plan, many, history, kinds, [])
    size = sum(map(len, files.values()))
    about = json.loads(files["export.json"])["history"]
    assert LIMIT / 4 < size < LIMIT
    assert about["kept"] == 63 * (about["most_training_events"] + 50)
    assert about["events"] == 63 * 5000
    huge = pd.concat([many] * 200, ignore_index=True).assign(error="x" * 200)
    huge["error"] += pd.Series(range(len(huge))).astype(str)
    with pytest.raises(BadInput, match=r"figure10_mid_activation \(lab, plan \w+\): 12600 runs take .* MiB"):
        contents(plan, huge, history.iloc[:0], kinds, [])


def test_the_same_records_give_the_same_bytes(here: Path) -> None:
    first = bytes_of(export(made.FIGURE10, to="a"))
    for path in Path("runs").rglob("*.json"):
        path.touch()
    assert bytes_of(export(made.FIGURE10, to="b")) == first
    assert bytes_of(export(made.FIGURE10, to="a")) == first
    assert set(first) == {"export.json", "history.csv", "plan.json", "runs.csv"}


def test_nothing_names_the_machine(tmp_path: Path) -> None:
    """No absolute path, no folder of this test, no host name in any file; where code and data come from is there."""
    place = str(tmp_path / "runs")
    values = made.config(0, place, model__weights=f"{place}/w.safetensors")
    over = ["data=folder", f"data.path={place}/images"]
    told = {
        "command": f"python -m sepconv_lab.run data=folder data.path='{place}/images' train.threads=2",
        "error": f"OSError: {place}/images/1.png",
    }
    for run in made.write_plan(tmp_path / "runs", {"none": values}, seeds=[0], claim=None, overrides=over):
        made.write_record(tmp_path / "runs", run["run_id"], values, made.summary(run["run_id"], **told))
    plan = next((tmp_path / "runs").rglob("plan.json"))
    plan.write_text(plan.read_text().replace('"model=xception"', json.dumps(over)[1:-1]))
    text = b"\n".join(bytes_of(export(made.FIGURE10, tmp_path / "runs", to=tmp_path / "out")).values()).decode()
    assert str(tmp_path) not in text
    assert not re.search(r"""[\s"'=]/\w""", text)
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)
    for words in ("data.path=images", "w.safetensors", "a" * 40, "2.13.0", "a CPU, AVX2", "train.threads=2"):
        assert words in text


def test_a_partial_study_is_exported_only_when_asked_and_says_so(here: Path) -> None:
    made.figure10(Path("part"), but={("elu", 1): "failed", ("relu", 2): "missing", ("none", 0): "diverged"})
    with pytest.raises(BadInput, match=r"is incomplete: .*elu/seed 1 \(failed\), .*relu/seed 2 \(missing\)\. Complete"):
        export(made.FIGURE10, "part")
    folder = export(made.FIGURE10, "part", allow_partial=True)
    about = json.loads((folder / "export.json").read_text())
    assert about["partial"] == [f"{made.FIGURE10}/elu/seed 1 (failed)", f"{made.FIGURE10}/relu/seed 2 (missing)"]
    assert about["status"] == {"diverged": 1, "failed": 1, "finished": 6, "missing": 1}
    with pytest.raises(BadInput, match="3 of 9 runs have not finished"):
        load_runs("experiments")
    read = load_runs("experiments", allow_partial=True)
    pd.testing.assert_frame_equal(read, load_runs("part", allow_partial=True), check_exact=True)
    assert list(read.dtypes) == list(load_runs("runs").dtypes)


def test_a_diverged_run_is_a_result(tmp_path: Path) -> None:
    made.figure10(tmp_path / "runs", but={("relu", 1): "diverged"})
    about = json.loads((export(made.FIGURE10, tmp_path / "runs", to=tmp_path / "out") / "export.json").read_text())
    assert about["partial"] == []


def test_one_plan_at_a_time(here: Path) -> None:
    variants = {name: made.config(block__mid_act=name) for name in made.ERRORS}
    made.write_plan(Path("runs"), variants, label="lab_cifar10", question="Here too?")
    with pytest.raises(
        BadInput, match=r"one plan at a time.*\(lab, plan \w+\), .*\(lab_cifar10, plan \w+\). Choose with"
    ):
        export(made.FIGURE10)
    assert export(made.FIGURE10, label="lab") == LAB
    with pytest.raises(BadInput, match="no study 'figure9'"):
        export("figure9")


def test_results_of_several_studies_are_read_together(here: Path) -> None:
    made.figure10(Path("runs"), study="mine", claim=None)
    for study in (made.FIGURE10, "mine"):
        export(study)
    pd.testing.assert_frame_equal(load_runs("experiments"), load_runs("runs"), check_exact=True)
    assert load_runs("experiments/mine")["study"].unique().tolist() == ["mine"]


@pytest.mark.parametrize("name", ["runs.csv", "history.csv", "plan.json"])
def test_results_that_were_changed_since_are_refused(here: Path, name: str) -> None:
    path = export(made.FIGURE10) / name
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(BadInput, match=f"{name} changed since the export; restore the file"):
        load_runs("experiments")
    path.unlink()
    with pytest.raises(BadInput, match="not what `export` writes"):
        load_runs("experiments")


def test_results_of_another_schema_are_refused(here: Path) -> None:
    path = export(made.FIGURE10) / "export.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 9'))
    with pytest.raises(BadInput, match=r"results of schema 9; this version reads schema 1. Export anew"):
        load_runs("experiments")


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_an_export_that_breaks_off_is_never_read_as_a_whole(
    here: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Whatever the number of files written before the end: the old results, or a refusal, never a mixture."""
    export(made.FIGURE10)
    before = load_runs("experiments")
    made.figure10(Path("later"), seeds=(0, 1, 2, 3))
    real, done = disk.write_atomically, []

    def breaks(path: Path, data: bytes) -> None:
        if len(done) == written:
            raise KeyboardInterrupt
        done.append(path)
        real(path, data)

    monkeypatch.setattr(disk, "write_atomically", breaks)
    with pytest.raises(KeyboardInterrupt):
        export(made.FIGURE10, "later")
    if written == 0:
        pd.testing.assert_frame_equal(load_runs("experiments"), before, check_exact=True)
    else:
        with pytest.raises(BadInput, match="changed since the export"):
            load_runs("experiments")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    export(made.FIGURE10, "later")
    assert load_runs("experiments")["seed"].max() == 3


def test_a_folder_that_cannot_be_written_is_refused(here: Path) -> None:
    Path("taken").write_text("")
    with pytest.raises(BadInput, match="taken cannot be written"):
        export(made.FIGURE10, to="taken")
