"""Claim C8: from timings in turn, committed as the benchmark writes them, and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sepconv_lab.analysis.claims import board, of_the_paper as claims, speed, verdicts
from sepconv_lab.analysis.notebook import show
from sepconv_lab.config import BadInput


def timing(ratio: float = 1.4, rounds: int = 8, **more: Any) -> dict[str, Any]:
    """The content of a timing in which Xception takes `ratio` times as long, with a little noise."""
    draw = np.random.default_rng(0)
    base = 0.1 * (1 + 0.01 * draw.random(rounds))
    return {
        "schema": 1, "device": "cpu", "hardware_class": "a CPU, AVX2", "precision": "fp32", "threads": 2, "image_size": 299,
        "batch_size": 8, "classes": 1000, "versions": {"torch": "2.13.0"},
        "seconds": {"xception": list(ratio * base * (1 + 0.01 * draw.random(rounds))), "inception_v3": list(base)},
        "macs": {"xception": 8_357_000_000, "inception_v3": 5_713_000_000},
        "params": {"xception": 22_855_952, "inception_v3": 23_834_568},
    } | more  # fmt: skip


def write(folder: Path, content: dict[str, Any], name: str = "epyc") -> Path:
    (folder / "bench").mkdir(exist_ok=True)
    path = folder / "bench" / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def timed() -> speed.Timing:
    raw = timing()
    return speed.Timing("epyc", raw, raw["seconds"], raw["macs"])


@pytest.mark.parametrize(
    ("ratio", "label"), [(1.4, "supported (materially)"), (0.7, "contradicted (materially)"), (1.0, "negligible")]
)
def test_the_verdict_follows_the_rounds(tmp_path: Path, ratio: float, label: str) -> None:
    verdict = speed.judge(claims.C8, speed.read(write(tmp_path, timing(ratio))))
    assert verdict.label == label
    text = verdict.text()
    for words in ("299 pixels, batch 8", "a CPU, AVX2, fp32, threads 2", "ln seconds per image", "n=8", "bench step",
                  "the paper has +0.102", "23,834,568 parameters", "per MAC"):  # fmt: skip
        assert words in text


def test_the_board_shows_timings_and_never_runs(tmp_path: Path) -> None:
    write(tmp_path, timing())
    (judged,) = board.judge_plans([tmp_path]).judged
    assert (judged.verdict.claim.id, judged.name) == ("C8", "bench step (epyc)")
    assert "epyc" in show.cells(judged)[4]


def test_runs_do_not_decide_speed(figure10_runs: pd.DataFrame) -> None:
    with pytest.raises(BadInput, match="C8 is judged from results of `bench step`, never from the records of runs"):
        verdicts.judge(claims.C8, figure10_runs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2, this version reads 1"), ({"macs": None, "seconds": {"xception": [0.1, 0.0]}}, "more than 0"),
        ({"seconds": {"xception": [1.0] * 4, "inception_v3": [1.0] * 3}}, "takes the same rounds"),
        ({"seconds": {"xception": [1.0] * 4}}, "inception_v3 was not timed; there are: xception"),
        ({"seconds": {"xception": [1.0] * 2, "inception_v3": [1.0] * 2}}, "2 rounds; a verdict on speed takes 3"),
    ],
)  # fmt: skip
def test_what_is_no_timing_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        speed.judge(claims.C8, speed.read(write(tmp_path, timing() | change)))
