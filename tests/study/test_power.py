"""What a design can find is said before it starts, and the plan can be published as a page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from sepconv_lab.study import load, make_plan
from sepconv_lab.study.__main__ import main
from sepconv_lab.study.power import print_power, spreads

from .conftest import PLAIN, Writer
from .test_advance import Machine, on

LOOKS = PLAIN.replace("seeds: 2", "seeds: {looks: [4, 8], first: 1000}")


@pytest.fixture
def study(write: Writer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(write(LOOKS).parent.parent.parent)
    return lambda *words: main(list(words))


def table(out: str) -> list[list[str]]:
    """The rows under the head of the table of chances."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("SD "))
    return [line.split() for line in lines[start + 1 :] if line[:2] == "0."]


def test_the_chances_of_a_design_are_printed(study: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """At 0, d, 2d and 5d: verdicts, expected seeds, runs and time; a design that cannot see its own d says so."""
    plan = make_plan(load("mine"), "tiny")[0]
    print_power(plan, "runs", {"none": 10.0, "relu": 20.0}, 0.005)
    out = capsys.readouterr().out
    rows = table(out)
    assert [row[1] for row in rows] == ["+0", "+0.02", "+0.04", "+0.1"]
    assert int(rows[1][2]) > 95  # d is four SDs
    assert float(rows[1][-3]) <= 4.5
    assert float(rows[1][-2]) == pytest.approx(2 * float(rows[1][-3]), abs=1)
    assert "nine times in ten" not in out
    print_power(plan, "runs", {"none": 10.0, "relu": math.nan}, 0.3)
    out = capsys.readouterr().out
    assert "at SD 0.300 it ends inconclusive nine times in ten at its own smallest effect, 0.02" in out
    assert table(out)[0][-1] == "?"
    same = dataclasses.replace(plan, claim=(plan.claim or {}) | {"contrasts": ["relu same as none"]})
    print_power(same, "runs", {}, 0.005)
    assert "nine times in ten" not in capsys.readouterr().out  # at d itself nobody could tell
    print_power(same, "runs", {}, 0.3)
    assert "nine times in ten where there is no difference" in capsys.readouterr().out


def test_the_sd_is_that_of_earlier_runs(
    study: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any, some are assumed and named so."""
    plan = make_plan(load("mine"), "tiny")[0]
    assert spreads(plan, "runs") == []
    print_power(plan, "runs", {})
    assert "assumed, no earlier runs; sd=... sets one" in capsys.readouterr().out
    on(Machine({"none": 0.3, "relu": 0.3}), monkeypatch)
    assert study("run", "mine", "scale=tiny", "seeds=1000,1001,1002,1003,1004,1005,1006,1007") == 0
    (spread,) = spreads(plan, "runs")
    assert spread.source == "8 seeds of tiny"
    assert 0.01 < spread.sd < 0.06  # two draws of 0.02


def test_the_plan_is_a_page_before_the_first_run(study: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Question, claim, contrasts, smallest effect, looks, exclusions, variants and hash; nothing is started."""
    assert study("plan", "mine", "scale=tiny", "page=plan.md") == 0
    assert "page: plan.md" in capsys.readouterr().out
    text = Path("plan.md").read_text()
    plan_id = make_plan(load("mine"), "tiny")[0].plan_id
    for words in (f"Plan `{plan_id}`", "**Question.** Does it?", "- relu better than none", "that matters is 0.02",
                  "1000 to 1007", "After 4, 8 seeds", "counts as chance level", "`block.mid_act=relu`"):  # fmt: skip
        assert words in text
    assert not Path("runs").exists()


@pytest.mark.parametrize("word", ["sd=0", "sd=x", "sd=inf"])
def test_an_impossible_sd_is_refused(study: Callable[..., int], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert study("plan", "mine", "scale=tiny", word) == 2
    assert f"{word} is not allowed" in capsys.readouterr().err
