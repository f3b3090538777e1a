"""Committed results: small, run by run, the same bytes each time, free of this machine, and the same frame when read back."""

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
from sepconv_lab.analysis.read import singles
from sepconv_lab.analysis.read.export import export
from sepconv_lab.analysis.read.kinds import Candidate
from sepconv_lab.analysis.read.sources import Committed, Records
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
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def predict(folder: Path, images: int = 3000, classes: int = 10) -> dict[str, np.ndarray]:
    """Predictions of a record, of classes at random, as wrong as its summary says."""
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    draw = np.random.default_rng(0)
    out = {"label": draw.integers(0, classes, images).astype(np.int32)}
    for metric, name in (("test/top1", "predicted"), ("test_ema/top1", "predicted_ema")):
        wrong = np.arange(images) >= round(metrics[metric] * images)
        out[name] = np.where(draw.permutation(wrong), (out["label"] + 1) % classes, out["label"]).astype(np.int32)
    np.savez(folder / "predictions.npz", allow_pickle=False, **out)  # type: ignore[arg-type]
    made.reseal(folder)
    return out


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
    run = {
        "step": steps, "train/loss": np.where(evaluated, np.nan, 1.0), "val/top1": np.where(evaluated, 0.5, np.nan),
        "perf/images_per_second": np.full(1000, 100.0),
    }  # fmt: skip
    kept = singles.thinned(run, 100, 1000)
    assert np.isfinite(kept["val/top1"]).sum() == 20
    training = kept["step"][np.isnan(kept["val/top1"])]
    assert (len(training), training.min(), training.max()) == (100, 1, 999)
    assert np.diff(training).max() <= 12
    assert len(singles.thinned(run, 1, 2)["step"]) == 3
    assert singles.thinned({}) == {}


def test_a_run_is_small_however_long_it_was(here: Path) -> None:
    """A hundred thousand events and the test split of CIFAR-10 take less than 40 KiB, ten of them the predictions."""
    step = np.arange(100_000.0)
    draw = np.random.default_rng(0)
    events = {"step": step, "epoch": step / 500, "time": step * 1.1, "train/lr": draw.random(len(step))}
    events["train/loss"] = np.where(step % 100, draw.random(len(step)), np.nan)
    events["val_ema/top1"] = np.where(step % 100, np.nan, draw.random(len(step)))
    (candidate,) = Records("runs").candidates(made.run_id(made.FIGURE10, "none", 0))
    long = predict(Path("runs") / str(candidate.row["run_id"]), images=10_000)
    files = singles.encode(Candidate(candidate.row, 1.0, lambda: (events, False), predictions=lambda: long))
    json_, npz = (next(len(data) for name, data in files.items() if name.endswith(end)) for end in (".json", ".npz"))
    assert npz < 14 * 2**10
    assert json_ + npz < 40 * 2**10


def test_predictions_are_committed_as_class_and_correctness(here: Path) -> None:
    """Of every test image, raw and averaged; a run without predictions is exported without."""
    run_id = made.run_id(made.FIGURE10, "none", 0)
    whole = predict(Path("runs") / run_id)
    (read,) = Committed([export(made.FIGURE10)]).candidates(run_id)
    kept = read.predictions()
    assert set(kept) == {"label", "correct", "correct_ema"}
    np.testing.assert_array_equal(kept["label"], whole["label"])
    np.testing.assert_array_equal(kept["correct_ema"], whole["predicted_ema"] == whole["label"])
    np.testing.assert_array_equal(kept["correct"], whole["predicted"] == whole["label"])
    without = singles.encode(Candidate(read.row, 1.0))
    assert [name.rpartition(".")[2] for name in without] == ["json"]
    path = next(LAB.glob(f"runs/{run_id}-*.npz"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BadInput, match=r"npz changed since the export; restore the file"):
        read.predictions()


def test_results_grow_run_by_run(here: Path) -> None:
    """What is there stays, to the byte and without being written again; what has ended since is added."""
    part = made.figure10(
        Path("part"), but={(v, s): "missing" for v in made.ERRORS for s in (1, 2)} | {("elu", 0): "failed"}
    )
    folder = export(made.FIGURE10, part, allow_partial=True)
    failed = made.run_id(made.FIGURE10, "elu", 0)
    before = {name: data for name, data in bytes_of(folder).items() if failed not in name}
    stamps = {name: (folder / name).stat().st_mtime_ns for name in before}
    assert load_runs(folder, allow_partial=True)["status"].value_counts().to_dict() == {
        "missing": 6, "finished": 2, "failed": 1,
    }  # fmt: skip
    made_later = made.figure10(here / "whole")
    for variant, seed in (("elu", 0), ("none", 1)):
        run_id = made.run_id(made.FIGURE10, variant, seed)
        target = part / run_id
        if target.exists():
            target.rename(part / f"{run_id}-old")
        (made_later / run_id).rename(target)
    assert export(made.FIGURE10, part, allow_partial=True) == folder
    after = bytes_of(folder)
    assert {name: after[name] for name in before} == before
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == stamps
    assert load_runs(folder, allow_partial=True)["status"].value_counts().to_dict() == {"missing": 5, "finished": 4}


def test_records_are_not_needed_for_what_is_committed(here: Path) -> None:
    """A fresh clone adds its own runs to those of a machine that is gone."""
    import shutil

    whole = load_runs()
    export(made.FIGURE10)
    for seed in (0, 1):
        for variant in made.ERRORS:
            shutil.rmtree(Path("runs") / made.run_id(made.FIGURE10, variant, seed))
    export(made.FIGURE10)
    pd.testing.assert_frame_equal(load_runs("experiments"), whole, check_exact=True)


def test_the_same_records_give_the_same_bytes(here: Path) -> None:
    first = bytes_of(export(made.FIGURE10, to="a"))
    for path in Path("runs").rglob("*.json"):
        path.touch()
    assert bytes_of(export(made.FIGURE10, to="b")) == first
    assert bytes_of(export(made.FIGURE10, to="a")) == first
    assert {name.partition("/")[0] for name in first} == {"export.json", "plan.json", "preregistration.md", "runs"}
    assert len(first) == 3 + 2 * 9


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
    files = bytes_of(export(made.FIGURE10, tmp_path / "runs", to=tmp_path / "out"))
    assert not any(str(tmp_path).encode() in data for data in files.values())
    text = b"\n".join(data for name, data in files.items() if not name.endswith(".npz")).decode()
    assert str(tmp_path) not in text
    assert not re.search(r"""[\s"'=]/\w""", text)
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)
    for words in ("data.path=images", "w.safetensors", "a" * 40, "2.13.0", "a CPU, AVX2", "train.threads=2"):
        assert words in text


def test_a_partial_study_is_exported_only_when_asked_and_says_so(here: Path) -> None:
    made.figure10(Path("part"), but={("elu", 1): "failed", ("relu", 2): "missing", ("none", 0): "diverged"})
    with pytest.raises(BadInput, match=r"is incomplete: .*elu/seed 1 \(failed\), .*relu/seed 2 \(missing\)\. Complete"):
        export(made.FIGURE10, "part")
    export(made.FIGURE10, "part", allow_partial=True)
    with pytest.raises(BadInput, match="3 of 9 runs have not finished"):
        load_runs("experiments")
    read = load_runs("experiments", allow_partial=True)
    pd.testing.assert_frame_equal(read, load_runs("part", allow_partial=True), check_exact=True)
    assert list(read.dtypes) == list(load_runs("runs").dtypes)


def test_a_diverged_run_is_a_result(tmp_path: Path) -> None:
    made.figure10(tmp_path / "runs", but={("relu", 1): "diverged"})
    read = load_runs(export(made.FIGURE10, tmp_path / "runs", to=tmp_path / "out"), allow_partial=True)
    assert read["status"].value_counts().to_dict() == {"finished": 8, "diverged": 1}


def test_another_plan_of_the_same_label_gets_a_folder_of_its_own(here: Path) -> None:
    """And is told apart when it is named outright."""
    assert export(made.FIGURE10) == LAB
    other = made.figure10(Path("other"), question="Asked otherwise?")
    plan_id = made.plan_file(other).parent.name
    assert export(made.FIGURE10, "other") == LAB.with_name(f"lab-{plan_id}")
    assert export(made.FIGURE10, "other") == LAB.with_name(f"lab-{plan_id}")
    with pytest.raises(BadInput, match=r"holds plan \w+; give another folder with --to"):
        export(made.FIGURE10, "other", to=LAB)


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


def test_results_that_were_changed_since_are_refused(here: Path) -> None:
    """A plan, a run's numbers, a run's name: each is noticed, and exported anew."""
    folder = export(made.FIGURE10)
    run = next(folder.glob("runs/*.json"))
    for path, said in (
        (folder / "plan.json", "plan.json changed since the export; restore the files"),
        (run, "changed since"),
    ):
        whole = path.read_text()
        path.write_text(whole.replace("0", "1", 1))
        with pytest.raises(BadInput, match=said):
            load_runs("experiments")
        path.write_text(whole[:-40])
        with pytest.raises(BadInput, match=f"{path.name}.*(changed since|not a run that `export` wrote)"):
            load_runs("experiments")
        path.write_text(whole)
    run.rename(run.with_name(f"{'0' * 16}-12345678.json"))
    with pytest.raises(BadInput, match="1 of 9 runs have not finished"):
        load_runs("experiments")
    (folder / "plan.json").unlink()
    with pytest.raises(BadInput, match="not what `export` writes"):
        load_runs("experiments")


def test_results_of_another_schema_are_refused(here: Path) -> None:
    path = export(made.FIGURE10) / "export.json"
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 9'))
    with pytest.raises(BadInput, match=r"results of schema 9; this version reads schemas 1 and 2. Export anew"):
        load_runs("experiments")


@pytest.mark.parametrize("written", range(8))
def test_an_export_that_breaks_off_leaves_whole_runs(here: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """Whatever the number of files written before the end: each run is there or missing, and the next export completes them."""
    whole = load_runs()
    real, done = disk.write_atomically, []

    def breaks(path: Path, data: bytes) -> None:
        if len(done) == written:
            raise KeyboardInterrupt
        done.append(path)
        real(path, data)

    monkeypatch.setattr(disk, "write_atomically", breaks)
    with pytest.raises(KeyboardInterrupt):
        export(made.FIGURE10)
    if written >= 3:  # the page of the plan, the plan, and what vouches for it
        read = load_runs("experiments", allow_partial=True)
        assert (read["status"] == "finished").sum() == (written - 3) // 2
    monkeypatch.undo()
    monkeypatch.chdir(here)
    export(made.FIGURE10)
    pd.testing.assert_frame_equal(load_runs("experiments"), whole, check_exact=True)


def test_a_folder_that_cannot_be_written_is_refused(here: Path) -> None:
    Path("taken").write_text("")
    with pytest.raises(BadInput, match="taken cannot be written"):
        export(made.FIGURE10, to="taken")
