"""Verdicts for programs and papers: JSON, LaTeX, exit codes by claim, and several verdicts as a family."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from sepconv_lab.analysis.__main__ import main
from sepconv_lab.analysis.claims import board, family
from sepconv_lab.analysis.claims.design import Design
from sepconv_lab.analysis.notebook import publish

from . import generated as made
from .test_board import ERRORS, planted

WIDE = {"none": 0.2, "elu": 0.201, "relu": 0.25}
"""Of these, "none better than elu" stays open, within the noise that `planted` draws."""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    planted(tmp_path, ERRORS)
    own = {"id": "mine", "contrasts": ["a_b better than c"], "smallest_effect": 0.001, "interval": "paired"}
    planted(tmp_path, {"a_b": 0.2, "c": 0.2003}, study="mine", claim=own)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code"), [(["C4"], 0), (["C4", "mine"], 3), (["mine"], 3), (["C9"], 3), (["C4", "C9"], 3), ([], 0)]
)
def test_the_exit_code_says_whether_each_claim_that_is_named_is_decided(
    results: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 decided, 3 one is open, without results too; without names always 0."""
    assert main(["verdicts", *words, str(results)]) == code
    shown = capsys.readouterr().out
    assert ("C4 No activation" in shown) == ("C4" in words or not words)
    assert ("C9: no results yet, so it is open" in shown) == ("C9" in words)


def test_what_is_neither_a_claim_nor_a_folder_is_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdicts", "C44", str(results)]) == 2
    assert "C44: neither a folder nor a claim; claims: C1, C2" in capsys.readouterr().err


@pytest.mark.parametrize(("ran", "seeds", "code"), [(0, 6, 0), (0, 4, 3), (1, 6, 1)])
def test_until_decided_runs_the_study_to_its_next_look_and_judges_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: int, seeds: int, code: int
) -> None:
    """The overrides go to `study run`; the exit code is that of the verdict, or of runs that failed."""
    asked: list[list[str]] = []
    monkeypatch.setattr("sepconv_lab.study.__main__.main", lambda words: asked.append(words) or ran)
    monkeypatch.chdir(tmp_path)
    planted(Path("runs"), ERRORS, seeds=seeds)
    assert main(["verdicts", made.FIGURE10, "scale=lab", "--until", "decided"]) == code
    assert asked == [["run", made.FIGURE10, "scale=lab"]]
    assert main(["verdicts", "--until", "decided"]) == 2


def test_a_pilot_decides_nothing(tmp_path: Path) -> None:
    planted(tmp_path, ERRORS, seeds=4)
    (judged,) = board.judge_plans([tmp_path]).judged
    assert judged.verdict.outcome == "supported"
    assert not judged.verdict.decided


def test_json_is_the_verdict_in_numbers(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdicts", str(results), "--json", "--family"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["verdicts"]
    (judged, _) = board.judge_plans([results]).judged
    assert (first["claim"], first["verdict"], first["decided"], first["seeds"]) == ("C4", "supported", True, 6)
    assert [p["low"] for p in first["parts"]] == [p.effect.low for p in judged.verdict.parts]
    assert (second["claim"], second["decided"]) == ("mine", False)
    assert [m["claim"] for m in found["family"]] == ["C4", "mine"]
    planted(
        results,
        {"x": 0.2, "y": 0.3},
        study="one",
        seeds=1,
        claim=made.C4 | {"id": "one", "contrasts": ["x better than y"]},
    )
    assert main(["verdicts", str(results), "--json"]) == 0
    assert "NaN" not in capsys.readouterr().out


def test_latex_is_a_whole_table_with_everything_escaped(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdicts", str(results), "--latex"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(r"\begin{tabularx}")
    assert lines[-1] == r"\end{tabularx}"
    rows = [line for line in lines if line.endswith(r"\\")]
    assert all(len(re.findall(r"(?<!\\)&", row)) == 5 for row in rows if "multicolumn" not in row)
    assert any(r"a\_b better than c" in row for row in rows)
    assert (
        publish.latex("a_b & 5 % {x} \\ #$~^")
        == r"a\_b \& 5 \% \{x\} \textbackslash{} \#\$\textasciitilde{}\textasciicircum{}"
    )


def test_holm_corrects_over_the_family_and_shared_runs_are_named(results: Path) -> None:
    judged = board.judge_plans([results]).judged
    members = family.family(judged)
    assert [m.adjusted for m in members] == pytest.approx([2 * members[0].p, members[1].p])
    assert [m.holds for m in members] == [True, False]
    assert "C4 (lab): p < 0.0001, adjusted < 0.0001: supported (materially), holds in the family" in members[0].text
    assert family.shared(judged) == []
    assert family.shared([judged[0], board.Judged(judged[0].plan, judged[1].verdict)])[0].startswith(
        "C4 and mine share 18 runs"
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_p_value_of_a_verdict_is_the_error_at_which_it_is_just_reached(tmp_path: Path, seed: int) -> None:
    """A verdict of 95 % intervals stands exactly where p is at most .05, whatever the word and the parts."""
    draw = np.random.default_rng(seed)
    errors = {v: float(0.2 * np.exp(draw.normal(0, 0.006))) for v in ERRORS}
    planted(tmp_path, errors)
    (judged,) = board.judge_plans([tmp_path]).judged
    shared = board.Judged(judged.plan, board.judge(judged.verdict.claim, board.load.load_runs(tmp_path)))
    assert (family.p_value(shared) <= 0.05) == (shared.verdict.outcome != "inconclusive")


def test_over_looks_the_p_value_is_that_of_all_looks() -> None:
    design = Design(tuple(range(20)), (5, 10, 20))
    for error in (0.05, 0.01):
        assert design.overall(1 - design.level(error)) == pytest.approx(error, rel=0.01)
    assert design.overall(0.5) == 1.0
