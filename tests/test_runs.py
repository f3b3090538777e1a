"""`python -m sepconv_lab.runs diff` explains one run against another in lines that a person can read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from sepconv_lab.compose import compose
from sepconv_lab.config import RECIPE, plain
from sepconv_lab.config.identity import run_id
from sepconv_lab.record.record import Record
from sepconv_lab.runs import main

from .analysis.generated import unseal

A, B = "a" * 16, "b" * 16
SUMMARY: dict[str, Any] = {
    "status": "finished", "error": None, "recipe": RECIPE, "threads": 2, "precision": "fp32", "device": "cpu",
    "hardware_class": "AMD EPYC, AVX2", "data_digest": "d" * 64, "weights_digest": None,
    "git": {"commit": "1" * 40, "dirty": False}, "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "params": {"total": 259116, "body": 182016, "head": 77100}, "macs": 31_000_000, "steps": 2250,
    "metrics": {"test/top1": 0.8014, "test_ema/top1": 0.8002, "test/loss": 0.71, "test_ema/loss": 0.70,
                "val/top1": 0.9, "val_ema/top1": 0.91},
    "wall_time": 200.5, "images_per_second": 358.8, "peak_memory": 900_000_000, "after_depthwise": "none",
}  # fmt: skip


@pytest.fixture
def diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Write two records that differ as told, and give what `diff` prints of them."""

    def printed(overrides: list[str], changed: dict[str, Any], *flags: str) -> str:
        found = []
        for folder, words, summary in (("a", [], SUMMARY), ("b", overrides, SUMMARY | changed)):
            config = compose([*words, f"runs_dir='{tmp_path}'"])
            record = Record(tmp_path / folder, run_id(config, summary["data_digest"]))
            record.begin(plain(config))
            record.finish({"run_id": record.run_id, **summary})
            found.append(record)
        assert main(["diff", *(str(r.path) for r in found), *flags]) == 0
        out = capsys.readouterr().out
        return out.replace(found[0].run_id, A, 1).replace(found[1].run_id, B, 1)

    return printed


METRICS = SUMMARY["metrics"] | {"test/top1": 0.7761, "test_ema/top1": 0.7802, "test/loss": 0.8021, "val/top1": 0.85}
TIMED = {"wall_time": 231.0, "images_per_second": 311.4, "peak_memory": 950_000_000}


def test_two_runs_of_a_sweep_differ_in_a_few_lines(diff: Callable[..., str]) -> None:
    """What was set, then what came out, with the change; time, speed and derived values are counted, not listed."""
    assert diff(["block.mid_act=relu"], {"metrics": METRICS, "after_depthwise": "relu", **TIMED}) == dedent("""\
                                            aaaaaaaaaaaaaaaa  bbbbbbbbbbbbbbbb
        config       block.mid_act          none              relu
        environment  the same
        result       metrics.test_ema/top1  0.8002            0.7802            -0.02
        result       metrics.test/top1      0.8014            0.7761            -0.0253
        result       metrics.test/loss      0.71              0.8021            +0.0921
        5 further values differ (time, speed, memory, further metrics, what follows from the above): --all
        """)


def test_another_environment_and_size_are_told_in_words(diff: Callable[..., str]) -> None:
    """Versions, commit (shortened), threads and precision by name; counts as ratios; and nothing that is the same."""
    changed = {
        "threads": 16, "precision": "bf16", "git": {"commit": "2" * 40, "dirty": True},
        "versions": {"python": "3.11.7", "torch": "2.14.0"}, "params": {"total": 518232, "body": 441132, "head": 77100},
    }  # fmt: skip
    assert diff(["model.width=1.5", "seed=3"], changed) == dedent("""\
                                     aaaaaaaaaaaaaaaa  bbbbbbbbbbbbbbbb
        config       model.width     1                 1.5
        config       seed            0                 3
        environment  versions.torch  2.13.0            2.14.0
        environment  git.commit      111111111111      222222222222
        environment  git.dirty       false             true
        environment  threads         2                 16
        environment  precision       fp32              bf16
        result       params.total    259,116           518,232           x 2.000
        1 further value differs (time, speed, memory, further metrics, what follows from the above): --all
        """)


def test_a_run_that_did_not_finish_says_why(diff: Callable[..., str]) -> None:
    """Status and error stand first among the results; what only the other run has is a dash."""
    changed = {"status": "diverged", "error": "the loss is not finite at step 12", "metrics": {}, "steps": 12}
    assert diff(["train.lr=2"], changed) == dedent("""\
                                            aaaaaaaaaaaaaaaa  bbbbbbbbbbbbbbbb
        config       train.lr               0.2               2
        environment  the same
        result       status                 finished          diverged
        result       error                  -                 the loss is not finite at step 12
        result       metrics.test_ema/top1  0.8002            -
        result       metrics.test/top1      0.8014            -
        result       metrics.test_ema/loss  0.7               -
        result       metrics.test/loss      0.71              -
        result       steps                  2,250             12                                 x 0.005
        2 further values differ (time, speed, memory, further metrics, what follows from the above): --all
        """)


def test_all_lists_every_value_and_counts_none_as_hidden(diff: Callable[..., str]) -> None:
    """What the short form counts is there by name."""
    found = diff(["block.mid_act=relu"], {"metrics": METRICS, "after_depthwise": "relu", **TIMED}, "--all")
    assert [line.split()[1] for line in found.splitlines()[1:]] == [
        "block.mid_act", "after_depthwise", "the", "metrics.test/top1", "metrics.test_ema/top1", "metrics.test/loss",
        "metrics.val/top1", "images_per_second", "wall_time", "peak_memory",
    ]  # fmt: skip


def test_a_run_does_not_differ_from_an_equal_one(diff: Callable[..., str]) -> None:
    """Three words, one for each part, and no hidden rest."""
    assert diff([], {}) == dedent("""\
                               aaaaaaaaaaaaaaaa  bbbbbbbbbbbbbbbb
        config       the same
        environment  the same
        result       the same
        """)


# --- records that are damaged, or not what they say -------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """A runs_dir with two finished records, without training."""
    monkeypatch.chdir(tmp_path)
    found = []
    for words in (["block.mid_act=relu"], ["train.lr=0.3"]):
        config = compose(words)
        record = Record("runs", run_id(config, SUMMARY["data_digest"]))
        record.begin(plain(config))
        record.log({"step": 1, "train/loss": 2.0})
        record.close()
        record.finish({"run_id": record.run_id, **SUMMARY})
        found.append(record)
    return found


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("summary.json", "", "summary.json is damaged"),
        ("summary.json", '{"schema": 1, "sta', "summary.json is damaged"),
        ("summary.json", "[]", "not the summary of a run"),
        ("summary.json", '{"schema": 1, "status": "finished", "metrics": null}', "metrics and params are tables"),
        ("summary.json", '{"schema": 99, "status": "wonderful"}', "summary.json (changed)"),
        ("config.yaml", "", "altered since its run ended: config.yaml (0 bytes"),
        ("config.yaml", "- a", "altered since its run ended: config.yaml (3 bytes"),
        ("config.yaml", "a: !!python/object:os.system {}", "altered since its run ended: config.yaml (31"),
        ("config.yaml", "mid_act", "altered since its run ended: config.yaml (1"),
    ],
)
def test_one_bad_record_is_named_and_hides_no_other(
    name: str, content: str, words: str, two: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    """`list` shows the others and exits with 2; `archive` moves the bad one aside, whatever is in it."""
    bad, good = two
    path = bad.path / name
    path.write_text(path.read_text().replace("mid_act: relu", "mid_act: elu") if content == "mid_act" else content)
    assert main(["list"]) == 2
    out, err = capsys.readouterr()
    assert good.run_id in out
    assert bad.run_id not in out
    assert words in err
    assert str(bad.path) in err
    assert err.count("\n") == 1
    for command in (["show", bad.run_id], ["diff", bad.run_id, good.run_id], ["plot", bad.run_id]):
        assert main(command) == 2
        assert words in capsys.readouterr().err
    assert main(["archive", bad.run_id]) == 0
    assert bad.run_id in capsys.readouterr().out
    assert main(["list"]) == 0
    assert bad.run_id not in capsys.readouterr().out


def test_a_renamed_folder_is_not_that_run_and_an_archived_one_is(
    two: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    two[0].path.rename("runs/" + "f" * 16)
    assert main(["show", "f" * 16]) == 2
    assert "not the run of its id" in capsys.readouterr().err
    moved = two[1].archive()
    assert main(["show", str(moved)]) == 0


def test_a_damaged_event_is_named(two: list[Record], capsys: pytest.CaptureFixture[str]) -> None:
    (two[0].path / "metrics.jsonl").write_text('{"step": 1}\n{"ste\n{"step": 3}\n')
    unseal(two[0].path)
    assert main(["plot", two[0].run_id]) == 2
    assert "metrics.jsonl is damaged" in capsys.readouterr().err


def test_filters_compare_values_not_their_spelling(two: list[Record], capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("train.lr=3e-1", "train.lr=0.30", "block.mid_act=none"):
        assert main(["list", "seed=0", word]) == 0
        out = capsys.readouterr().out
        assert two[1].run_id in out
        assert two[0].run_id not in out
    for words, said in (
        (["block.mid_act=rellu"], "Did you mean relu"),
        (["seed=0", "seed=1"], "seed is given twice"),
        (["block.mid_acts=relu"], "Did you mean block.mid_act"),
    ):
        assert main(["list", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_record_at_work_is_not_archived(two: list[Record], capsys: pytest.CaptureFixture[str]) -> None:
    with two[0].owned():
        assert main(["archive", two[0].run_id]) == 1
    assert "under way in another process" in capsys.readouterr().err
