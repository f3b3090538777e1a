"""What a finished record says is what its run left, or it is named and left out."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sepconv_lab.analysis.claims import board
from sepconv_lab.analysis.read.export import export
from sepconv_lab.analysis.read.load import load_history, load_runs
from sepconv_lab.compose import compose
from sepconv_lab.config import BadInput
from sepconv_lab.config.identity import hashed
from sepconv_lab.record import manifest
from sepconv_lab.record.manifest import Altered
from sepconv_lab.record.record import Record, records
from sepconv_lab.run import run
from sepconv_lab.runs import load, main

from .analysis import generated as made
from .helpers import SMALL

FILES = ("summary.json", "config.yaml", "metrics.jsonl", "predictions.npz", "manifest.json", "attempts",
         "checkpoints/last.pt")  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs_dir of one real run."""
    runs_dir = tmp_path_factory.mktemp("real") / "runs"
    words = [*SMALL, "train=smoke", "train.epochs=1", "wandb.mode=disabled", f"runs_dir='{runs_dir}'"]
    assert run(compose(list({w.split("=")[0]: w for w in words}.values())))["status"] == "finished"
    return runs_dir


@pytest.fixture
def record(finished: Path, tmp_path: Path) -> Record:
    """A copy of it, times of change kept."""
    shutil.copytree(finished, tmp_path / "runs")
    (found,) = records(tmp_path / "runs")
    return found


def test_a_finished_run_vouches_for_every_file_and_for_its_id(record: Record) -> None:
    """The identity in the manifest hashes to the run id; the record is whole, by a glance and to the byte."""
    found = manifest.read(record.path)
    assert found is not None
    assert set(found.files) == set(FILES) - {"manifest.json"}
    assert found.identity is not None
    assert hashed(found.identity) == record.run_id
    assert record.summary() == record.summary(full=True)
    record.check_results()
    assert main(["--runs-dir", str(record.runs_dir), "verify"]) == 0


def test_a_run_that_never_read_the_test_split_needs_no_predictions(tmp_path: Path) -> None:
    """Of a tuning stage: it is whole without them. An early record may even lack its metrics."""
    name = made.run_id("a", "b", 0)
    told = made.summary(name, None) | {"metrics": {"val/top1": 0.5}}
    record = made.write_record(tmp_path, name, made.config(), told, [{"step": 1}])
    (record.path / "predictions.npz").unlink()
    made.reseal(record.path)
    record.summary(full=True)
    record.check_results()
    made.unseal(record.path)
    path = record.path / "summary.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "metrics"}))
    record.check_results()


def test_a_copy_with_other_times_is_the_same_record(record: Record) -> None:
    for path in record.path.rglob("*"):
        os.utime(path, ns=(1, 1))
    assert record.summary() == record.summary(full=True)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", ["one bit", "shorter", "gone", "one bit, time kept"])
def test_whatever_changes_is_noticed(record: Record, name: str, way: str) -> None:
    """By a glance, or by `verify` where size and time are as before; the file is named."""
    path, glance = record.path / name, way != "one bit, time kept" and not (name.endswith(".pt") and way == "one bit")
    before, data = path.stat(), bytearray(path.read_bytes())
    if way == "gone":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data[:-1] if way == "shorter" else data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + (0 if "kept" in way else 10**9)))
    if name == "summary.json" and way == "gone":
        assert record.status() == "interrupted"
        return
    if glance:
        with pytest.raises(Altered, match=path.name):
            record.summary()
    with pytest.raises(Altered, match=path.name):
        record.summary(full=True)
    assert main(["--runs-dir", str(record.runs_dir), "verify"]) == 1
    if glance:
        with pytest.raises(BadInput, match=path.name):
            load(record.path)


def test_a_failed_run_cannot_be_told_to_have_finished(tmp_path: Path) -> None:
    """Nor can the mark of a manifest be taken out of a summary that a manifest vouches for."""
    failed = Record(tmp_path, "0" * 16)
    failed.begin({})
    failed.finish({"status": "failed", "error": "x"})
    path = failed.path / "summary.json"
    path.write_text(path.read_text().replace('"failed"', '"finished"'))
    with pytest.raises(Altered, match=r"manifest.json is missing"):
        failed.summary()
    failed.begin({})
    failed.finish({"status": "diverged"})
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != manifest.MARK}))
    with pytest.raises(Altered, match=r"summary.json \(changed\)"):
        failed.summary()


def test_a_file_that_no_run_left_is_noticed(record: Record) -> None:
    """A checkpoint put in afterwards; a picture drawn of the run is no part of it."""
    (record.path / "curves.png").write_bytes(b"")
    record.summary(full=True)
    shutil.copy(record.path / "checkpoints" / "last.pt", record.path / "checkpoints" / "previous.pt")
    with pytest.raises(Altered, match=r"previous.pt \(not there when the run ended\)"):
        record.summary()


def test_a_manifest_made_anew_does_not_hide_another_configuration(record: Record) -> None:
    """Whoever edits config.yaml and every digest has another run id, or another identity than the configuration."""
    path = record.path / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0\n", "seed: 7\n", 1))
    identity, summary = dict(record.identity() or {}), (record.path / "summary.json").read_bytes()
    manifest.seal(record.path, identity, summary)
    with pytest.raises(Altered, match=r"seed: config.yaml has \d, the run id \d"):
        record.summary(full=True)
    manifest.seal(record.path, identity | {"seed": 7}, summary)
    with pytest.raises(Altered, match="the identity in its manifest"):
        record.summary()


# --- analysis ---------------------------------------------------------------------------------------------------------


def better(path: Path) -> None:
    summary = json.loads(path.read_text())
    summary["metrics"]["test_ema/top1"] = 0.9
    path.write_text(json.dumps(summary))


def other_rate(path: Path) -> None:
    path.with_name("config.yaml").write_text(path.with_name("config.yaml").read_text().replace("lr: 0.2", "lr: 0.3"))


@pytest.mark.parametrize("edit", [better, other_rate])
def test_an_edited_record_is_named_and_left_out_of_frames_and_verdicts(
    tmp_path: Path, edit: Callable[[Path], None]
) -> None:
    """As a failed run is: its status is `altered`, its error names the file, and none of its numbers is there."""
    made.figure10(tmp_path, seeds=range(6))
    run_id = made.run_id(made.FIGURE10, "relu", 3)
    edit(tmp_path / run_id / "summary.json")
    with pytest.raises(BadInput, match=r"relu/seed 3 \(altered\)"):
        load_runs(tmp_path)
    runs = load_runs(tmp_path, allow_partial=True).set_index("run_id")
    assert runs.loc[run_id, "status"] == "altered"
    assert "altered since its run ended" in runs.loc[run_id, "error"]
    assert runs.loc[run_id, ["test_ema/top1", "params_head"]].isna().tolist()[0]
    assert runs.drop(run_id)["status"].eq("finished").all()
    (judged,) = board.judge_plans([tmp_path]).judged
    assert "figure10_mid_activation/relu/seed 3 (altered)" in judged.verdict.text()
    assert run_id not in set(load_history(tmp_path, allow_partial=True).query("variant != 'relu'")["run_id"])


@pytest.mark.parametrize(
    ("name", "words"), [("test_ema/top1", "0.9 in its summary"), ("test/top1", "0.9 in its summary")]
)
def test_export_recomputes_accuracies_from_the_predictions(
    tmp_path: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A summary, events and manifest that agree with each other and not with the predictions are not exported."""
    monkeypatch.chdir(tmp_path)
    made.figure10(Path("runs"))
    run_id = made.run_id(made.FIGURE10, "elu", 1)
    folder = Path("runs") / run_id
    summary, value = json.loads((folder / "summary.json").read_text()), json.dumps
    log = (folder / "metrics.jsonl").read_text()
    old = summary["metrics"][name]
    (folder / "metrics.jsonl").write_text(log.replace(f'"{name}": {value(old)}', f'"{name}": 0.9'))
    summary["metrics"][name] = 0.9
    (folder / "summary.json").write_text(json.dumps(summary))
    made.reseal(folder)
    assert load_runs(Path("runs")).query("run_id == @run_id")[name].item() == 0.9  # cheap reading cannot tell
    with pytest.raises(BadInput, match=f"elu/seed 1 .*{words}, .* by its predictions"):
        export(made.FIGURE10)
    out = export(made.FIGURE10, allow_partial=True)
    assert load_runs(out, allow_partial=True).query("status == 'altered'")["run_id"].tolist() == [run_id]
    assert main(["verify", run_id]) == 1


def test_early_records_say_that_nothing_vouches_for_them(
    record: Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read as before; `list`, `show` and `verify` say so."""
    made.unseal(record.path)
    monkeypatch.chdir(record.runs_dir.parent)
    for command, words in (
        (["list"], "1 of 1 records have no manifest"),
        (["show", record.run_id], "no manifest: an earlier version wrote none"),
        (["verify"], "1 records: 1 without a manifest"),
    ):
        assert main(command) == 0
        assert words in capsys.readouterr().out


def test_the_glance_costs_microseconds(tmp_path: Path) -> None:
    """Reading a summary with its manifest takes less than a millisecond in the best of many, on a busy machine too."""
    made.figure10(tmp_path)
    found = list(records(tmp_path))
    best = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        for one in found:
            one.summary()
        best = min(best, (time.perf_counter() - began) / len(found))
    assert best < 1e-3
