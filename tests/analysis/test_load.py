"""Records become frames: typed the same whatever the runs are, complete or refused, and nothing guessed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sepconv_lab.analysis import load_history, load_plans, load_runs
from sepconv_lab.analysis.claims import verdicts
from sepconv_lab.analysis.claims.of_the_paper import C4
from sepconv_lab.analysis.figures import curves
from sepconv_lab.analysis.read import frames
from sepconv_lab.analysis.stats import checks
from sepconv_lab.config import BadInput

from . import generated as made

KILLED = {"killed": "interrupted"}


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return made.figure10(tmp_path / "runs")


def of(runs_dir: Path, variant: str, seed: int, study: str = made.FIGURE10) -> Path:
    return runs_dir / made.run_id(study, variant, seed)


def refused(words: str, *args: object, **options: object) -> None:
    for load in (load_runs, load_history):
        with pytest.raises(BadInput, match=words):
            load(*args, **options)  # type: ignore[arg-type]


# --- what is in the frames --------------------------------------------------------------------------------------------


def test_a_row_a_run_in_the_order_of_the_plan(runs_dir: Path) -> None:
    runs = load_runs(runs_dir)
    assert list(zip(runs["variant"], runs["seed"], strict=True)) == [(v, s) for s in range(3) for v in made.ERRORS]
    first = runs.iloc[0]
    wanted = {
        "study": made.FIGURE10, "scale": "lab", "stage": "fixed", "status": "finished",
        "plan_id": made.plan_file(runs_dir).parent.name,
        "block.mid_act": "none", "block.segments": "channels", "data.num_classes": 300, "after_depthwise": "none",
        "test_ema/top1": 0.8, "params_head": 100, "test_examples": 3000, "images_per_second": 130.25,
        "git.commit": "a" * 40, "versions.torch": "2.13.0", "command": "python -m sepconv_lab.run model=xception",
    }  # fmt: skip
    assert {k: first[k] for k in wanted} == wanted
    assert pd.isna(first["error"])


def test_a_row_an_event_with_the_keys_of_its_run(runs_dir: Path) -> None:
    history = load_history(runs_dir)
    assert len(history) == 9 * 9
    mine = history[(history["variant"] == "relu") & (history["seed"] == 2)]
    assert list(mine["step"]) == [20, 40, 60, 80, 100, 120, 140, 160, 160]
    assert mine["test_ema/top1"].notna().sum() == 1
    assert mine["val/top1"].isna().all()  # logged as null: not a number then
    assert list(history["variant"].drop_duplicates()) == list(made.ERRORS)


def test_every_column_has_the_type_that_is_documented(runs_dir: Path) -> None:
    for frame, fixed in ((load_runs(runs_dir), made_columns()), (load_history(runs_dir), frames.EVENT)):
        for name, dtype in frame.dtypes.items():
            if str(name) in frames.KEYS:
                kind = frames.KEYS[str(name)][0]
            elif str(name) in fixed:
                kind = fixed[str(name)][0]
            else:
                kind = frames.config_kinds().get(str(name), "float" if "/" in str(name) else "text")
            assert dtype == frames.DTYPES[kind], name


def made_columns() -> dict[str, tuple[str, str]]:
    return frames.PLACEMENTS | frames.RESULT | frames.PROVENANCE


def test_types_and_columns_do_not_depend_on_what_the_runs_became(tmp_path: Path) -> None:
    """A study without a single ended run has the columns of a finished one, but for metrics and versions."""
    every = {(v, s): "missing" for v in made.ERRORS for s in range(3)}
    some = load_runs(
        made.figure10(tmp_path / "a", but={("none", 0): "missing", ("elu", 1): "killed"}), allow_partial=True
    )
    none = load_runs(made.figure10(tmp_path / "b", but=every), allow_partial=True)
    whole = load_runs(made.figure10(tmp_path / "c"))
    assert list(some.dtypes) == list(whole.dtypes)
    assert list(some.columns) == list(whole.columns)
    measured = [c for c in whole.columns if "/" in c or c.startswith("versions.")]
    pd.testing.assert_series_equal(none.dtypes, whole.drop(columns=measured).dtypes)
    assert load_history(tmp_path / "b", allow_partial=True).dtypes.to_dict() == {
        k: v for k, v in load_history(tmp_path / "c").dtypes.to_dict().items() if "/" not in k
    }


def test_as_many_classes_as_the_data_has_becomes_their_number(tmp_path: Path) -> None:
    values = made.config(data__num_classes=0)
    for run in made.write_plan(tmp_path, {"none": values}, seeds=[0, 1]):
        if run["seed"] == 0:
            made.write_record(tmp_path, run["run_id"], values, made.summary(run["run_id"], num_classes=47))
    runs = load_runs(tmp_path, allow_partial=True)
    assert runs["data.num_classes"].tolist() == [47, pd.NA]


def test_test_examples_are_those_that_were_evaluated(tmp_path: Path) -> None:
    made.write_record(tmp_path, "a" * 16, made.config(train__eval_images=500), made.summary("a" * 16))
    assert load_runs(tmp_path)["test_examples"].item() == 500


def test_a_run_of_two_studies_is_in_both(runs_dir: Path) -> None:
    shared = made.run_id(made.FIGURE10, "none", 0)
    runs = [{"variant": "baseline", "seed": 0, "run_id": shared}]
    made.write_plan(runs_dir, {"baseline": made.config()}, study="other", seeds=[0], runs=runs)
    both = load_runs(runs_dir, where={"run_id": shared})
    assert both[["study", "variant"]].to_numpy().tolist() == [[made.FIGURE10, "none"], ["other", "baseline"]]
    assert both["test_ema/top1"].nunique() == 1
    assert len(load_history(runs_dir, where={"run_id": shared})) == 2 * 9


def test_a_missing_run_has_the_data_that_its_seed_sets(runs_dir: Path) -> None:
    runs = [
        {"variant": "baseline", "seed": 1, "run_id": "f" * 16, "block": {"data.fold": "sans", "data.first_class": 300}}
    ]
    made.write_plan(runs_dir, {"baseline": made.config()}, study="other", seeds=[1], runs=runs)
    row = load_runs(runs_dir, study="other", allow_partial=True).iloc[0]
    assert (row["status"], row["data.fold"], row["data.first_class"]) == ("missing", "sans", 300)


def test_folders_of_this_machine_are_left_out(tmp_path: Path) -> None:
    """Absolute paths would name a machine: in a configuration, a command and an error only their last part is kept."""
    values = made.config(model__weights="/home/me/some where/w.safetensors", imports=["/home/me/mine.py", "rel/b.py"])
    command = (
        "python -m sepconv_lab.run 'model.weights='\"'\"'/home/me/some where/w.safetensors'\"'\"'' imports=[rel/b.py]"
    )
    told = made.summary("a" * 16, None, "failed", command=command, error="OSError: /home/me/x/f.bin: gone\nsecond line")
    made.write_record(tmp_path / "home", "a" * 16, values, told)
    run = load_runs(tmp_path / "home", allow_partial=True).iloc[0]
    assert run["model.weights"] == "w.safetensors"
    assert run["imports"] == '["mine.py","rel/b.py"]'
    assert run["error"] == "OSError: f.bin: gone"
    assert (
        run["command"] == "python -m sepconv_lab.run 'model.weights='\"'\"'w.safetensors'\"'\"'' 'imports=[rel/b.py]'"
    )
    assert "/home" not in run.astype(str).str.cat()


# --- runs that have not finished --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["missing", "failed", "diverged", "interrupted", "killed"])
def test_unfinished_runs_are_refused_by_name(tmp_path: Path, status: str) -> None:
    made.figure10(tmp_path, but={("elu", 1): status})
    name = f"{made.FIGURE10}/elu/seed 1 ({KILLED.get(status, status)})"
    refused(name.replace("(", r"\(").replace(")", r"\)"), tmp_path)
    runs = load_runs(tmp_path, allow_partial=True)
    assert runs.loc[4, ["variant", "seed", "status"]].tolist() == ["elu", 1, KILLED.get(status, status)]
    assert (runs["status"] == "finished").sum() == 8
    assert runs.loc[4, ["block.mid_act", "macs", "params_total"]].tolist() == ["elu", 25_000, 1100]
    assert pd.isna(runs.loc[4, "test_ema/top1"])
    history = load_history(tmp_path, allow_partial=True)
    assert set(history["run_id"]) == set(runs["run_id"]) - ({runs.loc[4, "run_id"]} if status == "missing" else set())


def test_a_run_under_way_is_running(tmp_path: Path) -> None:
    made.figure10(tmp_path, but={("elu", 1): "killed"})
    from sepconv_lab.record.record import Record

    with Record(tmp_path, made.run_id(made.FIGURE10, "elu", 1)).owned():
        refused(r"elu/seed 1 \(running\)", tmp_path)


def test_a_run_that_could_not_start_says_why(tmp_path: Path) -> None:
    """What kept it from starting stands beside the plan; there is no record that could say it."""
    made.figure10(tmp_path, but={("elu", 1): "missing"})
    note = made.plan_file(tmp_path).parent / "notes" / f"{made.run_id(made.FIGURE10, 'elu', 1)}.txt"
    note.parent.mkdir()
    note.write_text("ImportError: no such module\n\nTraceback ...")
    row = load_runs(tmp_path, allow_partial=True).loc[4]
    assert (row["status"], row["error"]) == ("failed", "ImportError: no such module")


def test_a_planned_run_whose_id_nobody_could_know_is_missing(tmp_path: Path) -> None:
    made.write_plan(tmp_path, {"none": made.config()}, runs=[{"variant": "none", "seed": 0, "run_id": None}])
    runs = load_runs(tmp_path, allow_partial=True)
    assert runs["status"].tolist() == ["missing"]
    assert runs["run_id"].isna().all()
    assert load_history(tmp_path, allow_partial=True).empty


def test_a_verdict_takes_a_partial_frame(tmp_path: Path) -> None:
    """Missing and failed runs leave the pairs, diverged ones count as chance: from records as from planted frames."""
    but = {("elu", 1): "missing", ("relu", 2): "diverged"}
    runs = load_runs(made.figure10(tmp_path, seeds=range(6), but=but), allow_partial=True)
    verdict = verdicts.judge(C4, runs, allow_partial=True)
    assert (verdict.n, verdict.planned) == (5, 6)
    assert verdict.absent == (f"{made.FIGURE10}/elu/seed 1 (missing)",)
    assert "relu diverged in 1 of 6 runs" in verdict.text()


def test_figures_and_curves_take_the_frames(runs_dir: Path) -> None:
    runs, history = load_runs(runs_dir), load_history(runs_dir)
    axes = curves.figure10(runs, history)
    heights = {line.get_gid(): line.get_ydata()[-1] for line in axes.get_lines() if line.get_gid()}
    assert heights == pytest.approx({f"mean {v}": 1 - e * 1.01 for v, e in made.ERRORS.items()})


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_a_filter_takes_values_as_they_are_typed_or_as_they_are(runs_dir: Path) -> None:
    by_text = load_runs(runs_dir, where={"block.mid_act": ["relu", "elu"], "block.residual": "true", "seed": "2"})
    assert by_text["variant"].tolist() == ["elu", "relu"]
    by_value = load_runs(runs_dir, where={"block.mid_act": ["relu", "elu"], "block.residual": True, "seed": 2})
    pd.testing.assert_frame_equal(by_text, by_value)
    assert set(load_history(runs_dir, where={"seed": 2})["seed"]) == {2}


def test_a_filter_that_leaves_the_unfinished_out_is_complete(tmp_path: Path) -> None:
    made.figure10(tmp_path, but={("elu", 1): "failed"})
    assert len(load_runs(tmp_path, where={"variant": ["none", "relu"]})) == 6


def test_misspelt_columns_values_and_names_are_refused(runs_dir: Path) -> None:
    refused(r"no column 'block.mid_acts'. Did you mean block.mid_act\?", runs_dir, where={"block.mid_acts": "relu"})
    refused(
        r"no run has block.mid_act=rel; there are: elu, none, relu. Did you", runs_dir, where={"block.mid_act": "rel"}
    )
    refused(r"no run has block.mid_act=gelu", runs_dir, where={"block.mid_act": ["relu", "gelu"]})
    refused(r"no study 'figure10'; there are: figure10_mid_activation. Did", runs_dir, study="figure10")
    refused(r"no label 'labs'; there are: lab. Did you mean lab", runs_dir, label="labs")
    refused(r"no plan 'ff'; there are: \w{12}", runs_dir, plan="ff")
    refused("no such folder", runs_dir / "nowhere")


def test_a_folder_without_runs_says_what_was_looked_for(tmp_path: Path) -> None:
    refused("neither a runs_dir nor a folder of results; looked for studies/", tmp_path)


def test_superseded_plans_and_tuning_are_read_only_where_they_are_named(runs_dir: Path) -> None:
    variants = {name: made.config(block__mid_act=name) for name in made.ERRORS}
    old = made.plan_file(runs_dir).parent.name
    made.write_plan(runs_dir, variants, seeds=[0], replaces=[old])
    made.write_plan(runs_dir, variants, seeds=[1], stage="tune", label="lab_tune")
    made.write_plan(runs_dir, variants, seeds=[2], stage="tuned", label="lab_tuned")
    assert [p.label for p in load_plans(runs_dir)] == ["lab", "lab_tuned"]
    assert old not in [p.plan_id for p in load_plans(runs_dir)]
    runs = load_runs(runs_dir)
    assert runs.groupby("scale")["seed"].unique().map(list).to_dict() == {"lab": [0], "lab_tuned": [2]}
    assert set(load_runs(runs_dir, plan=old[:6])["seed"]) == {0, 1, 2}
    assert set(load_runs(runs_dir, label="lab_tune")["stage"]) == {"tune"}


def test_a_folder_with_tuning_alone_has_nothing_to_read_unnamed(tmp_path: Path) -> None:
    made.write_plan(tmp_path, {"none": made.config()}, stage="tune", label="lab_tune")
    refused(r"only plans that are read where they are named .*: figure10_mid_activation \(lab_tune", tmp_path)


# --- without a study --------------------------------------------------------------------------------------------------


def test_runs_without_a_study_are_named_by_what_varies(tmp_path: Path) -> None:
    """Not by where and how they were run, nor by the seed."""
    own = [
        {"block__mid_act": "relu"}, {"block__mid_act": "relu", "seed": 1, "train__threads": 2}, {},
        {"block__mid_act": "relu", "train__lr": 0.1},
    ]  # fmt: skip
    for i, values in enumerate(own):
        made.write_record(tmp_path, f"{i:016x}", made.config(**values), made.summary(f"{i:016x}"))
    runs = load_runs(tmp_path)
    assert runs[["variant", "seed"]].to_numpy().tolist() == [
        ["block.mid_act=none train.lr=0.2", 0], ["block.mid_act=relu train.lr=0.1", 0],
        ["block.mid_act=relu train.lr=0.2", 0], ["block.mid_act=relu train.lr=0.2", 1],
    ]  # fmt: skip
    assert set(runs["study"]) == {""}
    assert load_plans(tmp_path) == []
    refused("has no study", tmp_path, label="lab")


def test_runs_that_differ_in_nothing_but_the_seed_are_one_variant(tmp_path: Path) -> None:
    for seed in (0, 1):
        made.write_record(tmp_path, f"{seed:016x}", made.config(seed), made.summary(f"{seed:016x}"))
    assert load_runs(tmp_path)["variant"].unique().tolist() == ["all"]


def test_runs_of_no_study_beside_studies_are_asked_for(runs_dir: Path) -> None:
    made.write_record(runs_dir, "f" * 16, made.config(), made.summary("f" * 16))
    assert "f" * 16 not in set(load_runs(runs_dir)["run_id"])
    assert load_runs(runs_dir, study="")["run_id"].tolist() == ["f" * 16]


# --- records that cannot be read --------------------------------------------------------------------------------------


def edit(path: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    made.reseal(path.parent)


def test_another_schema_is_refused_with_the_version_that_wrote_it(runs_dir: Path) -> None:
    path = of(runs_dir, "elu", 1) / "summary.json"
    edit(path, lambda s: s.update(schema=0))
    refused(
        r"schema 0; this version reads schema 1. Read it with the version that wrote it, sepconv_lab 0.1.0", runs_dir
    )
    edit(path, lambda s: s.pop("schema"))
    refused("a record of schema None", runs_dir)
    plan = made.plan_file(runs_dir)
    edit(plan, lambda p: p.update(schema=7))
    refused(r"plan.json: schema 7; this version reads plans of schemas 1 and 2", runs_dir)
    plan.write_text("{")
    refused("plan.json: not a plan", runs_dir)
    plan.write_text('{"schema": 1, "study": "x"}')
    refused("not a whole plan, without plan_id, label", runs_dir)


def test_a_plan_that_was_changed_since_it_was_frozen_is_refused(runs_dir: Path) -> None:
    """The smallest effect is no longer open when the results are known."""
    edit(made.plan_file(runs_dir), lambda p: p["claim"].update(smallest_effect=0.3))
    refused("plan.json: changed since plan .* was frozen: what is judged has to be what was asked", runs_dir)


def test_damaged_records_are_refused_by_name(runs_dir: Path) -> None:
    """Truncated or swapped files, a copied folder, a number that is none: each a message that names the record."""
    folder = of(runs_dir, "elu", 1)
    made.unseal(folder)
    whole = {name: (folder / name).read_text() for name in ("summary.json", "config.yaml")}
    for name, text, words in (
        ("summary.json", "{", "summary.json is damaged"),
        ("summary.json", "[]", "not the summary of a run"),
        ("summary.json", whole["summary.json"].replace('"images":', '"pictures":'), "damaged .KeyError: 'images'"),
        ("summary.json", whole["summary.json"].replace(folder.name, "0" * 16), "the record of run 0000000000000000 in"),
        (
            "summary.json",
            whole["summary.json"].replace('"macs": 25000', '"macs": "many"'),
            "macs is 'many', not a whole",
        ),
        ("summary.json", whole["summary.json"].replace("0.7778,", '"0.7778",', 1), "top1 is '0.7778', not a number"),
        ("config.yaml", "a: [", "config.yaml is damaged"),
        ("config.yaml", "seed: 1", "is not the configuration of a run"),
        (
            "config.yaml",
            whole["config.yaml"].replace("seed: 1\n", "seed: 2\n"),
            "planned with seed 1, its record has 2",
        ),
        (
            "config.yaml",
            whole["config.yaml"].replace("residual: true", "residual: 3"),
            "residual is 3, not true or false",
        ),
    ):
        assert text not in whole.values()
        (folder / name).write_text(text)
        with pytest.raises(BadInput, match=words) as caught:
            load_runs(runs_dir)
        assert folder.name in str(caught.value), name
        (folder / name).write_text(whole[name])
    (folder / "config.yaml").unlink()
    refused("a summary without config.yaml", runs_dir)


def test_a_truncated_last_line_is_left_out_and_counted(runs_dir: Path) -> None:
    path = of(runs_dir, "elu", 1) / "metrics.jsonl"
    made.unseal(path.parent)
    whole = load_history(runs_dir)
    assert whole.attrs["truncated"] == []
    os.truncate(path, path.stat().st_size - 5)
    cut = load_history(runs_dir)
    assert cut.attrs["truncated"] == [path.parent.name]
    last = whole.index[whole["run_id"] == path.parent.name][-1]
    pd.testing.assert_frame_equal(cut, whole.drop(index=last).reset_index(drop=True), check_exact=True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"step": 40, "ep', r"metrics.jsonl: line 2 is no event \("),
        ("7", "line 2 is no event"),
        ("", "line 2 is no event"),
        ('{"step": 40}, {"step": 50}', "line 2 is no event"),
        ('{"epoch": 1.0}', "event 2 has no step"),
        ('{"step": 40, "val/top1": "high"}', "val/top1 of an event is no number"),
    ],
)
def test_a_damaged_line_within_is_refused(runs_dir: Path, line: str, words: str) -> None:
    path = of(runs_dir, "elu", 1) / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:], ""]))
    made.reseal(path.parent)
    with pytest.raises(BadInput, match=words):
        load_history(runs_dir)
    assert len(load_runs(runs_dir)) == 9  # which does not need it


def test_nan_stays_nan_and_is_refused_where_it_is_compared(runs_dir: Path) -> None:
    edit(of(runs_dir, "elu", 1) / "summary.json", lambda s: s["metrics"].update({"test_ema/top1": float("nan")}))
    runs = load_runs(runs_dir)
    assert np.isnan(runs.loc[4, "test_ema/top1"])
    with pytest.raises(BadInput, match="test_ema/top1 is NaN in finished runs: figure10_mid_activation/elu/seed 1"):
        verdicts.judge(C4, runs)


def test_mixed_machines_load_and_are_refused_where_they_are_compared(runs_dir: Path) -> None:
    edit(of(runs_dir, "elu", 1) / "summary.json", lambda s: s.update(precision="bf16"))
    with pytest.raises(BadInput, match="mixed precision inside a comparison"):
        checks.comparable(load_runs(runs_dir))


# --- size -------------------------------------------------------------------------------------------------------------


def test_many_records_parse_each_configuration_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes ten thousand records of a study quick: YAML is parsed once a variant, whatever the seeds."""
    import yaml

    variants = {f"v{i}": made.config(train__lr=0.1 + i / 100) for i in range(5)}
    logged = made.events(50)
    for run in made.write_plan(tmp_path, variants, seeds=range(20), claim=None):
        values = variants[run["variant"]] | {"seed": run["seed"]}
        made.write_record(tmp_path, run["run_id"], values, made.summary(run["run_id"]), logged)
    parsed = []
    real = yaml.load
    monkeypatch.setattr(yaml, "load", lambda data, Loader: parsed.append(data) or real(data, Loader=Loader))
    runs, history = load_runs(tmp_path), load_history(tmp_path)
    assert len(parsed) == 2 * len(variants)  # each of the two reads on its own
    assert (len(runs), len(history)) == (100, 100 * 51)
    assert (runs["seed"].to_numpy() == np.repeat(np.arange(20), 5)).all()
    assert runs.groupby("variant")["train.lr"].first().to_dict() == pytest.approx(
        {f"v{i}": 0.1 + i / 100 for i in range(5)}
    )
