"""One table over all studies: judged by what each plan froze, partial ones shown as partial, and never a crash."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sepconv_lab.analysis import load_plans, load_runs
from sepconv_lab.analysis.__main__ import main
from sepconv_lab.analysis.claims import board, verdicts
from sepconv_lab.analysis.claims.of_the_paper import C4, FIGURE06
from sepconv_lab.analysis.notebook import show
from sepconv_lab.analysis.read.export import export
from sepconv_lab.config import BadInput

from ..helpers import cli
from . import generated as made

NO_DECAY = {"none_no_decay": 0.2, "norm_relu_no_decay": 0.19}
"""The arms of mid_norm without weight decay on depthwise kernels."""


def planted(
    runs_dir: Path,
    errors: dict[str, float],
    *,
    study: str = made.FIGURE10,
    seeds: int = 6,
    scale: str = "lab",
    missing: tuple[tuple[str, int], ...] = (),
    told: dict[str, Any] | None = None,
    **plan: Any,
) -> None:
    """A study whose variants have these test errors, with a little noise from a generator of its own."""
    draw = np.random.default_rng(7)
    variants = {name: made.config(train__lr=0.1 + i / 1000) for i, name in enumerate(errors)}
    for run in made.write_plan(runs_dir, variants, study=study, seeds=range(seeds), scale=scale, **plan):
        if (run["variant"], run["seed"]) in missing:
            continue
        error = math.exp(math.log(errors[run["variant"]]) + 0.004 * draw.normal() + 0.01 * run["seed"])
        values = variants[run["variant"]] | {"seed": run["seed"]}
        made.write_record(runs_dir, run["run_id"], values, made.summary(run["run_id"], 1 - error, **(told or {})))


ERRORS = {"none": 0.2, "elu": 0.22, "relu": 0.25}


def test_a_complete_study_has_its_verdict(tmp_path: Path) -> None:
    planted(tmp_path, ERRORS)
    (judged,) = board.judge_plans([tmp_path]).judged
    assert judged.label == "supported (materially)"
    fresh = verdicts.judge(C4, load_runs(tmp_path)).ruling
    assert (judged.verdict.ruling.low, judged.verdict.ruling.high) == (fresh.low, fresh.high)


def test_smallest_effect_and_interval_come_from_the_plan(tmp_path: Path) -> None:
    """Of the same numbers another frozen effect makes another verdict, and `pooled` another interval."""
    planted(tmp_path, ERRORS, claim=made.C4 | {"smallest_effect": 0.5, "interval": "pooled"})
    (judged,) = board.judge_plans([tmp_path]).judged
    assert judged.label == "negligible"
    assert "smallest effect 0.5; spread pooled over variants and seeds" in judged.verdict.text()
    assert {p.effect.method for p in judged.verdict.parts} == {"pooled"}
    assert "smallest effect 0.5" in show.cells(judged)[2]


@pytest.mark.parametrize(
    ("contrasts", "kind", "outcome"),
    [
        (["elu better than relu"], "superior", "supported (materially)"),
        (["relu better than elu"], "superior", "contradicted (materially)"),
        (["twin same as none"], "equivalent", "supported"),
        (["twin same as none", "relu same as none"], "equivalent", "contradicted"),
        (["none better than elu", "none better than relu"], "all_of", "supported (materially)"),
        (["none better than elu", "relu better than elu"], "all_of", "contradicted (materially)"),
    ],
)
def test_a_claim_of_ones_own(tmp_path: Path, contrasts: list[str], kind: str, outcome: str) -> None:
    own = {"id": "mine", "statement": "It helps", "contrasts": contrasts, "smallest_effect": 0.03, "interval": "paired"}
    planted(tmp_path, ERRORS | {"twin": 0.2}, study="mine_too", claim=own)
    (judged,) = board.judge_plans([tmp_path]).judged
    assert judged.verdict.claim.kind == kind
    assert judged.label == outcome
    assert [p.contrast.name for p in judged.verdict.parts] == contrasts
    assert judged.verdict.text().startswith(f"mine {outcome}. It helps (study mine_too).")
    assert "Does not show: other data, scales and settings" in judged.verdict.text()


def test_a_partial_study_is_shown_as_partial_with_n(tmp_path: Path) -> None:
    planted(tmp_path, ERRORS, missing=(("elu", 1), ("none", 4), ("relu", 4)))
    (judged,) = board.judge_plans([tmp_path]).judged
    assert judged.label == "supported (materially), pilot, partial"
    assert show.cells(judged)[3] == "4 of 6"
    assert "Partial, without: figure10_mid_activation/elu/seed 1 (missing)" in show.as_paragraphs(
        board.judge_plans([tmp_path])
    )


def test_one_seed_is_no_interval(tmp_path: Path) -> None:
    planted(tmp_path, ERRORS, seeds=1)
    (judged,) = board.judge_plans([tmp_path]).judged
    assert judged.label == "not judged, pilot"
    assert "one seed: no interval" in show.cells(judged)[2]


@pytest.mark.parametrize(("scale", "stage"), [("smoke", "fixed"), ("smoke", "tuned")])
def test_smoke_results_are_pilots_however_many_seeds(tmp_path: Path, scale: str, stage: str) -> None:
    planted(tmp_path, ERRORS, scale=scale, stage=stage)
    (judged,) = board.judge_plans([tmp_path]).judged
    assert judged.label == "supported (materially), pilot"
    assert "at the smoke scale the numbers mean nothing" in judged.verdict.text()


def test_a_study_without_results_or_claim_is_named_below(tmp_path: Path) -> None:
    planted(tmp_path, ERRORS, missing=tuple((v, s) for v in ERRORS for s in range(6)))
    planted(tmp_path, ERRORS, study="a_a", claim=None)
    found = board.judge_plans([tmp_path])
    assert found.judged == ()
    assert found.notes == (
        f"figure10_mid_activation (lab, plan {made.plan_file(tmp_path).parent.name}): no run of 18 has ended yet",
        f"a_a (lab, plan {made.plan_file(tmp_path, 'a_a').parent.name}): states no claim; 18 of 18 runs have ended",
    )
    assert show.as_text(found).splitlines()[0].startswith("figure10_mid_activation (lab")
    assert show.as_markdown(found).strip().startswith("- figure10_mid_activation (lab")


def test_one_bad_study_hides_no_other(tmp_path: Path) -> None:
    """Runs that cannot be compared give a refusal with its reason in the table."""
    planted(tmp_path, ERRORS)
    own = {"id": "mine", "contrasts": ["none better than relu"], "smallest_effect": 0.02, "interval": "paired"}
    planted(tmp_path, ERRORS, study="mine", claim=own)
    record = tmp_path / made.run_id("mine", "none", 2) / "summary.json"
    record.write_text(record.read_text().replace('"fp32"', '"bf16"'))
    made.reseal(record.parent)
    good, bad = board.judge_plans([tmp_path]).judged
    assert (good.verdict.claim.id, good.verdict.outcome) == ("C4", "supported")
    assert bad.label == "refused"
    assert show.cells(bad)[2].startswith("mixed precision inside a comparison: bf16: mine/none/seed 2")


def test_a_study_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    planted(tmp_path, ERRORS)
    planted(tmp_path, ERRORS, study="mine", claim=None)
    summary = tmp_path / made.run_id("mine", "none", 2) / "summary.json"
    summary.write_text(summary.read_text().replace('"schema": 1', '"schema": 0'))
    made.reseal(summary.parent)
    found = board.judge_plans([tmp_path])
    assert [j.verdict.claim.id for j in found.judged] == ["C4"]
    assert [note.partition(":")[2][:22] for note in found.notes] == [" a record of schema 0;"]
    assert board.judge_plans([tmp_path], study=made.FIGURE10).notes == ()
    with pytest.raises(BadInput, match="a record of schema 0"):  # not: there is no such study
        board.judge_plans([tmp_path], study="mine")


def test_beside_a_claim_stand_runs_under_its_own_label(tmp_path: Path) -> None:
    """Two sets of results of the other study are no duplicates, and neither is said not to have been run."""
    planted(tmp_path, ERRORS)
    norms = {"none": 0.2, "relu": 0.21, "norm": 0.2, "norm_relu": 0.19, **NO_DECAY}
    for label in ("lab", "lab_dropout"):
        planted(tmp_path, norms, study="mid_norm", claim=None, label=label, question=label)
        for record in tmp_path.glob("*/attempts"):
            record.unlink()
    (judged,) = board.judge_plans([tmp_path]).judged
    assert not judged.verdict.not_run


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (made.C4 | {"contrasts": ["none better than relu"]}, r"froze C4 as none better than relu, which this version"),
        (
            made.C4 | {"id": "x", "contrasts": ["none > relu"]},
            r"'none > relu' of study .*not of the form 'A better than B'",
        ),
        (made.C4 | {"id": "x", "contrasts": []}, "claim x has no contrast"),
        (
            made.C4 | {"id": "x", "contrasts": ["none better than elu", "relu same as none"]},
            "claim x asks for a direction and for an equivalence: two studies",
        ),
    ],
)
def test_a_plan_that_cannot_be_judged_as_frozen_is_not_judged(
    tmp_path: Path, claim: dict[str, Any], words: str
) -> None:
    planted(tmp_path, ERRORS, claim=claim)
    found = board.judge_plans([tmp_path])
    assert found.judged == ()
    (note,) = found.notes
    with pytest.raises(BadInput, match=words):
        raise BadInput(note)
    with pytest.raises(BadInput, match=words):
        board.frozen_claim(load_plans(tmp_path)[0])


def test_a_claim_that_the_variants_decide_without_the_plan_says_so(tmp_path: Path) -> None:
    """A study of one's own whose variants are those of C4 decides it beside its own claim; no runs ever decide C8."""
    own = {"id": "mine", "contrasts": ["none better than relu"], "smallest_effect": 0.02, "interval": "paired"}
    planted(tmp_path, ERRORS, claim=own)
    first, second = board.judge_plans([tmp_path]).judged
    assert (second.verdict.claim.id, second.label) == ("mine", "supported (materially)")
    assert first.verdict.claim.id == "C4"
    assert first.label.endswith("not stated in the plan")
    errors = {"xception": 0.2, "inception": 0.22, "inception_no_residual": 0.23}
    planted(tmp_path / "six", errors, study=FIGURE06, claim=None)
    assert [j.verdict.claim.id for j in board.judge_plans([tmp_path / "six"]).judged] == ["C1"]


def test_results_in_two_places_count_once_and_the_fuller_ones_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    planted(Path("full"), ERRORS)
    planted(Path("part"), ERRORS, missing=(("elu", 1),))
    export(made.FIGURE10, "full")
    for sources in (["part", "experiments"], ["experiments", "part"]):
        (judged,) = board.judge_plans(sources).judged
        assert judged.verdict.n == 6
    old = made.plan_file(Path("part")).parent.name
    planted(Path("part"), ERRORS, seeds=7, replaces=[old])
    (judged,) = board.judge_plans(["part", "experiments"]).judged
    assert judged.verdict.planned == 7  # what was committed has been planned anew since


def test_claims_stand_in_order_and_other_studies_beside_them(tmp_path: Path) -> None:
    """C4's verdict shows what mid_norm says beside it, from the same scale and data only."""
    planted(tmp_path, ERRORS)
    planted(
        tmp_path, {"none": 0.2, "relu": 0.21, "norm": 0.2, "norm_relu": 0.19, **NO_DECAY}, study="mid_norm", claim=None
    )
    (judged,) = board.judge_plans([tmp_path]).judged
    assert [p.contrast.name for p in judged.verdict.also][1] == "none better than relu, without norm (mid_norm)"
    assert not judged.verdict.not_run


def test_the_table_is_readable_at_120_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted(tmp_path, ERRORS, missing=(("elu", 1),))
    assert main(["verdicts", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    head, _, row, *_ = text.splitlines()
    assert head.split() == ["claim", "verdict", "effect", "seeds", "data", "and", "scale"]
    assert row.startswith("C4 No activation between the two")
    assert "5 of 6" in row
    assert "does not show: ImageNet at 299 pixels" in text
    assert "[+0." in text


def test_the_markdown_table_has_a_row_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted(tmp_path, ERRORS, claim=made.C4)
    own = {
        "id": "m",
        "statement": "a | b",
        "contrasts": ["x better than y"],
        "smallest_effect": 0.02,
        "interval": "paired",
    }
    planted(tmp_path, {"x": 0.2, "y": 0.3}, study="mine", claim=own)
    assert main(["verdicts", str(tmp_path), "--markdown"]) == 0
    header, rule, *rows = capsys.readouterr().out.strip().splitlines()
    assert rule == "| --- | --- | --- | --- | --- | --- |"
    assert [row.split(" | ")[1] for row in rows] == ["supported (materially)", r"supported (materially)"]
    assert rows[1].startswith(r"| m a \| b | ")
    assert header.count("|") == 7


@pytest.mark.slow
def test_the_commands_from_a_terminal(tmp_path: Path) -> None:
    """Verdicts of records, an export, then verdicts of what was committed; refusals are one line and exit code 2."""
    nothing = cli("verdicts", cwd=tmp_path, module="analysis")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr.startswith("no study in runs and no results below experiments: run one")
    planted(tmp_path / "runs", ERRORS)
    of_records = cli("verdicts", cwd=tmp_path, module="analysis")
    assert of_records.returncode == 0, of_records.stderr
    done = cli("export", made.FIGURE10, cwd=tmp_path, module="analysis")
    assert done.stdout.startswith("experiments/figure10_mid_activation/results/lab: 18 runs, ")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    assert cli("verdicts", cwd=tmp_path, module="analysis").stdout == of_records.stdout
    assert cli("verdicts", "--runs-dir", "elsewhere", "--verbose", cwd=tmp_path, module="analysis").returncode == 0
    none = cli("verdicts", "--study", "figure09", cwd=tmp_path, module="analysis")
    assert none.returncode == 2
    assert none.stderr.startswith("no study 'figure09' in experiments; there are: figure10_mid_activation.")
    wrong = cli("export", "figure10", "--runs-dir", "elsewhere", cwd=tmp_path, module="analysis")
    assert wrong.returncode == 2
    assert "no study 'figure10'; there are: figure10_mid_activation. Did you mean" in wrong.stderr
    assert len(list((tmp_path / "experiments" / made.FIGURE10 / "results/lab/runs").glob("*.json"))) == 18


LOOKS = {"schema": 2, "looks": [5, 10, 20], "strata": None, "stop_when_supported": True, "beside": None}


def test_a_plan_with_looks_is_judged_by_them_and_says_what_is_open(tmp_path: Path) -> None:
    """Five seeds of twenty have ended: the clear part is decided, the other one waits for ten."""
    later = tuple((v, s) for v in ERRORS for s in range(5, 20))
    small = made.C4 | {"smallest_effect": 0.002}
    planted(tmp_path, {"none": 0.2, "elu": 0.2006, "relu": 0.25}, seeds=20, missing=later, claim=small, **LOOKS)
    (judged,) = board.judge_plans([tmp_path]).judged
    assert judged.label == "inconclusive"
    assert [c.name for c in board.open_contrasts(judged)] == ["none better than elu"]
    assert (judged.verdict.look, judged.verdict.next_look, judged.verdict.decided) == (1, 10, False)
    assert show.cells(judged)[3] == "5, look 1 of 3"
    assert judged.verdict.design.shared
    (plan,) = load_plans(tmp_path)
    assert board.judge_plan(plan, load_runs(tmp_path, allow_partial=True)) == judged


def test_parts_of_different_looks_are_no_partial_results(tmp_path: Path) -> None:
    """The decided part was trained no further: its later seeds are no gap."""
    later = tuple((v, s) for v in ERRORS for s in range(10 if v != "relu" else 5, 20))
    small = made.C4 | {"smallest_effect": 0.002}
    planted(tmp_path, {"none": 0.2, "elu": 0.2006, "relu": 0.25}, seeds=20, missing=later, claim=small, **LOOKS)
    (judged,) = board.judge_plans([tmp_path]).judged
    assert [p.look for p in judged.verdict.parts] == [2, 1]
    assert "partial" not in judged.label
    assert show.cells(judged)[3] == "5 to 10, look 2 of 3"


def test_a_plan_in_strata_is_judged_in_them(tmp_path: Path) -> None:
    """Declared strata decide; a plan of schema 1 keeps its verdict, and the stratified reading of it is called post hoc."""
    folds = ["serif", "sans", "mono"] * 2
    for place, more in (("old", {}), ("new", LOOKS | {"looks": [6], "strata": "data.fold"})):
        draw = np.random.default_rng(1)
        variants = {name: made.config(train__lr=0.1 + i / 1000) for i, name in enumerate(("a", "b"))}
        own = {"id": "mine", "contrasts": ["a better than b"], "smallest_effect": 0.02, "interval": "paired"}
        blocks = [{"data.fold": fold} for fold in folds]
        runs = [
            {"variant": v, "seed": s, "run_id": made.run_id("mine", v, s), "block": blocks[s]}
            for s in range(6)
            for v in variants
        ]
        made.write_plan(tmp_path / place, variants, study="mine", seeds=range(6), claim=own, runs=runs, **more)
        for run in runs:
            gain = {"serif": 0.03, "sans": 0.06, "mono": 0.4}[folds[run["seed"]]] * (run["variant"] == "a")
            error = 0.3 * math.exp(0.01 * draw.normal() - gain)
            values = variants[run["variant"]] | {"seed": run["seed"]}
            values["data"] = values["data"] | {"fold": folds[run["seed"]]}
            made.write_record(tmp_path / place, run["run_id"], values, made.summary(run["run_id"], 1 - error))
    (old,), (new,) = (board.judge_plans([tmp_path / place]).judged for place in ("old", "new"))
    assert (old.verdict.outcome, new.verdict.outcome) == ("inconclusive", "supported")
    assert "Post hoc, one look, in strata not declared before the first run: a better than b: " in old.verdict.text()
    assert "on average over serif, sans, mono (data.fold)" in new.verdict.text()
    assert new.verdict.post_hoc == ()
