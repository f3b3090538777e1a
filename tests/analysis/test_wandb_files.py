"""Offline W&B files hold the same two frames as the records they mirror, to the last bit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from sepconv_lab.analysis import load_history, load_runs
from sepconv_lab.analysis.read import wandb_files
from sepconv_lab.compose import compose
from sepconv_lab.config import BadInput, plain
from sepconv_lab.training.job import record_of, run

from ..helpers import SMALL, interrupted_at
from . import generated as made

pytestmark = pytest.mark.slow
STUDY = "figure10_mid_activation"
VARIANTS = ("elu", "none")


def real_run(runs_dir: Path, act: str, seed: int, context: Mapping[str, str] | None = None, *more: str) -> None:
    overrides = [*SMALL, "train.epochs=2", f"block.mid_act={act}", f"seed={seed}", f"runs_dir={runs_dir}", *more]
    run(compose(overrides), context=context)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants, two seeds, really run under a plan; one of the runs was stopped once and resumed, one diverged."""
    runs_dir = tmp_path_factory.mktemp("wandb") / "runs"
    variants, runs = {}, []
    for act in VARIANTS:
        for seed in (0, 1):
            config = compose([*SMALL, "train.epochs=2", f"block.mid_act={act}", f"seed={seed}", f"runs_dir={runs_dir}"])
            runs.append({"variant": act, "seed": seed, "run_id": record_of(config)[0].run_id})
            variants[act] = plain(config)
    runs.sort(key=lambda r: (r["seed"], r["variant"]))
    made.write_plan(
        runs_dir, variants, study=STUDY, seeds=(0, 1), runs=runs, scale="lab", stage="tuned", label="lab_tuned"
    )
    plan_id = made.plan_file(runs_dir, STUDY, "lab_tuned").parent.name
    for planned in runs:
        context = {"study": STUDY, "variant": planned["variant"], "claim": "C4", "plan": plan_id, "scale": "lab",
                   "stage": "tuned", "label": "lab_tuned"}  # fmt: skip
        if (planned["variant"], planned["seed"]) == ("none", 1):
            with pytest.MonkeyPatch.context() as patch:
                interrupted_at(patch, 9)
                real_run(runs_dir, planned["variant"], planned["seed"], context)
            assert load_runs(runs_dir, allow_partial=True)["status"].iloc[-1] == "interrupted"
        real_run(runs_dir, planned["variant"], planned["seed"], context)
    return runs_dir


def test_the_frames_equal_those_from_the_records(study: Path) -> None:
    """Settings, outcome, sizes, cost and every event, the resumed run's among them: W&B and records say the same."""
    runs, history = load_runs(study), load_history(study)
    assert runs["attempts"].tolist() == [1, 1, 1, 2]
    assert runs["scale"].unique().tolist() == ["lab_tuned"]
    assert len(history) == 4 * 17
    pd.testing.assert_frame_equal(wandb_files.load_runs(study), runs, check_exact=True)
    pd.testing.assert_frame_equal(wandb_files.load_history(study), history, check_exact=True)


def test_filters_and_names_work_as_for_records(study: Path) -> None:
    where = {"variant": "none", "seed": 1}
    history = wandb_files.load_history(
        study, study=STUDY, plan=made.plan_file(study, STUDY, "lab_tuned").parent.name[:6], where=where
    )
    pd.testing.assert_frame_equal(history, load_history(study, where=where), check_exact=True)
    with pytest.raises(BadInput, match=r"no W&B file of study 'mine', plan None; there are: figure10.*plan \w+"):
        wandb_files.load_runs(study, study="mine")


def test_files_gathered_without_their_records_are_enough(study: Path, tmp_path: Path) -> None:
    for folder in study.glob("*/wandb/offline-run-*"):
        shutil.copytree(folder, tmp_path / folder.name)
    pd.testing.assert_frame_equal(wandb_files.load_runs(tmp_path), load_runs(study), check_exact=True)


def test_runs_without_a_study_and_unfinished_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that was stopped, with a file in which a kill left nothing beside it; and a diverged run."""
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(patch, 3)
        real_run(tmp_path, "none", 0)
    real_run(tmp_path, "relu", 0, None, "train.lr=1e30")
    (first,) = tmp_path.glob(f"{load_runs(tmp_path, allow_partial=True)['run_id'][0]}/wandb/offline-run-*")
    empty = first.with_name("offline-run-20991231_000000-lost") / "run-lost.wandb"
    empty.parent.mkdir()
    empty.write_bytes(next(first.glob("run-*.wandb")).read_bytes()[:7])
    runs = load_runs(tmp_path, allow_partial=True)
    assert runs[["variant", "status"]].to_numpy().tolist() == [
        ["block.mid_act=none train.lr=0.2", "interrupted"], ["block.mid_act=relu train.lr=1e+30", "diverged"],
    ]  # fmt: skip
    pd.testing.assert_frame_equal(wandb_files.load_runs(tmp_path, allow_partial=True), runs, check_exact=True)
    history = load_history(tmp_path, allow_partial=True)
    pd.testing.assert_frame_equal(wandb_files.load_history(tmp_path, allow_partial=True), history, check_exact=True)
    with pytest.raises(BadInput, match=r"2 of 2 runs have not finished: /block.mid_act=none.* \(interrupted\)"):
        wandb_files.load_runs(tmp_path)


def test_a_killed_attempt_leaves_an_interrupted_run(study: Path, tmp_path: Path) -> None:
    """A file that ends in the middle has the events up to there and no outcome."""
    source = next(study.glob("*/wandb/offline-run-*"))
    target = tmp_path / source.name
    target.mkdir()
    whole = next(source.glob("run-*.wandb"))
    (target / whole.name).write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    runs = wandb_files.load_runs(tmp_path, allow_partial=True)
    assert runs["status"].tolist() == ["interrupted"]
    assert runs[["block.kernel_size", "after_pointwise"]].iloc[0].tolist() == [3, "norm+relu"]
    history = wandb_files.load_history(tmp_path, allow_partial=True)
    assert 3 < len(history) < 17
    whole_history = load_history(study, where={"run_id": runs["run_id"][0]})
    pd.testing.assert_series_equal(
        history["train/loss"], whole_history["train/loss"].iloc[: len(history)], check_exact=True
    )


def test_what_is_no_run_of_ours_is_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no W&B files here; looked for \*run-"):
        wandb_files.load_runs(tmp_path)
    broken = tmp_path / "offline-run-1" / "run-1.wandb"
    broken.parent.mkdir()
    broken.write_text("nothing of W&B's")
    with pytest.raises(BadInput, match=r"run-1.wandb: W&B cannot read it \(.*header"):
        wandb_files.load_runs(tmp_path)
    broken.write_bytes(next(study.glob("*/wandb/offline-run-*/run-*.wandb")).read_bytes()[:7])
    with pytest.raises(BadInput, match="no run in any of 1 W&B files"):
        wandb_files.load_runs(tmp_path)
    import wandb

    with wandb.init(mode="offline", dir=str(tmp_path), config={"lr": 1}, reinit="create_new") as foreign:
        foreign.log({"loss": 1.0})
    with pytest.raises(BadInput, match="not a run of sepconv_lab"):
        wandb_files.load_runs(tmp_path)
