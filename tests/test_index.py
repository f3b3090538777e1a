"""Lists of many records are quick, and say what reading each record says."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from sepconv_lab.compose import compose
from sepconv_lab.config import plain
from sepconv_lab.config.identity import hashed, identity
from sepconv_lab.record import index
from sepconv_lab.record.record import Record
from sepconv_lab.record.runs import Listed, chosen, listed, readable
from sepconv_lab.runs import main

DIGEST = "d" * 64


def write(runs_dir: Path, seeds: int, rates: int = 2, **ends: object) -> list[Record]:
    """Finished records without training."""
    base = compose(["train=smoke", "data.num_classes=20", "wandb.notes='a: b # c'"])
    made = []
    for rate in range(rates):
        train = dataclasses.replace(base.train, lr=0.01 * (rate + 1))
        for seed in range(seeds):
            config = dataclasses.replace(base, seed=seed, train=train)
            wanted = identity(config, DIGEST, None)
            record = Record(runs_dir, hashed(wanted))
            record.begin(plain(config), wanted)
            record.log({"step": 1})
            summary = {
                "status": "finished",
                "run_id": record.run_id,
                "data_digest": DIGEST,
                "weights_digest": None,
                "error": None,
            }
            record.finish(summary | {"metrics": {"val_ema/top1": 0.5, "test_ema/top1": 0.4}, "wall_time": 1.0} | ends)
            made.append(record)
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEPCONV_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "records"


def test_a_list_says_what_the_records_say_with_the_index_and_without(tmp_path: Path, cache: Path) -> None:
    """Configuration, what follows from it, status and metrics; filters choose the same runs."""
    write(tmp_path / "runs", 2)
    slow, _ = readable(tmp_path / "runs")
    for _ in range(2):
        quick, problems = listed(tmp_path / "runs")
        assert problems == []
        assert all(isinstance(r, Listed) for r in quick)
        for a, b in zip(slow, quick, strict=True):
            assert list(a.columns.items()) == list(b.columns.items())
            assert all(b.summary[k] == a.summary[k] for k in b.summary)
        for where in ({"train.lr": "2e-2"}, {"seed": "1"}, {"block.mid_act": "none"}):
            assert [r.record.run_id for r in chosen(slow, where)] == [r.record.run_id for r in chosen(quick, where)]
        assert len(list(cache.iterdir())) == 1


def test_what_changed_since_is_noticed_whatever_the_index_remembers(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edited, a removed and an added file; a record that is gone, and one that is new."""
    edited, removed, gone, *_ = write(tmp_path / "runs", 2)
    assert listed(tmp_path / "runs")[1] == []
    text = (edited.path / "config.yaml").read_text()
    (edited.path / "config.yaml").write_text(text.replace("lr: 0.01", "lr: 0.03"))
    (removed.path / "metrics.jsonl").unlink()
    os.rename(gone.path, tmp_path / "elsewhere")
    write(tmp_path / "runs", 3, rates=1)[2].path.joinpath("curves.png").touch()
    quick, problems = listed(tmp_path / "runs")
    assert len(problems) == len(readable(tmp_path / "runs")[1])
    assert gone.run_id not in {r.record.run_id for r in quick}
    assert main(["--runs-dir", str(tmp_path / "runs"), "list"]) == (2 if problems else 0)


def test_the_index_is_only_a_cache(tmp_path: Path, cache: Path) -> None:
    """Damaged, of another version, or not to be written: the records are read."""
    write(tmp_path / "runs", 1)
    expected = [r.columns for r in listed(tmp_path / "runs")[0]]
    (path,) = cache.iterdir()
    other = '{"version": 0, "records": {}, "groups": []}'
    for damage in ("", "{", "[]", '{"version": 1}', other, '{"version": 1, "records": 3, "groups": 4}'):
        path.write_text(damage)
        assert [r.columns for r in listed(tmp_path / "runs")[0]] == expected
    assert json.loads(path.read_text())["version"] == index.VERSION
    path.unlink()
    cache.rmdir()
    cache.write_text("a file in the folder's place")
    assert [r.columns for r in listed(tmp_path / "runs")[0]] == expected
    assert not list((tmp_path / "runs").glob("*.json"))


def test_unended_runs_are_read_as_always(tmp_path: Path, cache: Path) -> None:
    (record,) = write(tmp_path / "runs", 1, rates=1, status="failed", error="ValueError: no")
    for _ in range(2):
        (run,), problems = listed(tmp_path / "runs")
        assert (run.summary["status"], problems) == ("failed", [])
    (record.path / "summary.json").unlink()
    assert [r.summary["status"] for r in listed(tmp_path / "runs")[0]] == ["interrupted"]


def test_a_record_takes_little_to_list(tmp_path: Path, cache: Path) -> None:
    """20,000 in 10 s cold and 2 s with the index are 0.5 and 0.1 ms each; eight times as much is let pass on a busy machine."""
    write(tmp_path / "runs", 50)

    def seconds(remembered: bool) -> float:
        if not remembered:
            next(cache.iterdir()).unlink()
        began = time.process_time()
        found, _ = listed(tmp_path / "runs")
        assert all(run.columns for run in found)
        return (time.process_time() - began) / len(found)

    listed(tmp_path / "runs")
    assert min(seconds(remembered=False) for _ in range(4)) < 4e-3
    assert min(seconds(remembered=True) for _ in range(4)) < 0.8e-3
