"""A record, a plan or a study from somebody else is data: reading it runs nothing, and it stays in its place."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sepconv_lab import evaluate
from sepconv_lab.analysis import __main__ as analysis
from sepconv_lab.analysis.read.load import load_history, load_runs
from sepconv_lab.compose import compose
from sepconv_lab.config import BadInput, plain, registry
from sepconv_lab.config.identity import run_id
from sepconv_lab.config.names import path_part
from sepconv_lab.record.manifest import Altered
from sepconv_lab.record.plan import fingerprint
from sepconv_lab.record.record import Record
from sepconv_lab.report import __main__ as report
from sepconv_lab.runs import load, main
from sepconv_lab.study import __main__ as study_command, frozen, planning, reader

from .analysis import generated as made

MODULE = """
import pathlib
pathlib.Path(__file__).with_suffix(".ran").touch()
from dataclasses import dataclass
from torch import nn
from sepconv_lab.config import BlockConfig, setting
from sepconv_lab.registry import register

@dataclass
class CurvesConfig(BlockConfig):
    name: str = setting("curves", "the name")

@register(CurvesConfig)
class Curves(nn.Conv2d):
    def __init__(self, config, in_channels, out_channels, conventions):
        super().__init__(in_channels, out_channels, 1)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a runs_dir in which every record and the plan name a module, which leaves a trace where it is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somewhere").mkdir()
    (tmp_path / "somewhere" / "curves.py").write_text(MODULE)
    named = {"imports": [str(tmp_path / "somewhere" / "curves.py")]}
    variants = {name: made.config(block__mid_act=name, **named) for name in ("none", "elu")}
    for run in made.write_plan(Path("runs"), variants, claim=None):
        values = variants[run["variant"]] | {"seed": run["seed"]}
        if run["variant"] == "elu":
            values["block"] = {"name": "curves"}
        made.write_record(Path("runs"), run["run_id"], values, made.summary(run["run_id"]))
    yield tmp_path
    sys.modules.pop("curves", None)
    registry.CONFIGS["block"].pop("curves", None)


def ran(folder: Path) -> bool:
    return (folder / "somewhere" / "curves.ran").exists()


def test_reading_a_record_runs_no_code_that_it_names(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Listing, filtering, showing, comparing, verifying, drawing, judging, reporting, exporting: all work, none imports."""
    a, b = (made.run_id(made.FIGURE10, v, 0) for v in ("none", "elu"))
    for command in (
        ["list"], ["list", "seed=0"], ["list", "--columns", "imports,block.name"], ["show", b], ["diff", a, b], ["verify"],
        ["plot", b],
    ):  # fmt: skip
        assert main(command) == 0, (command, capsys.readouterr())
    assert "curves" in capsys.readouterr().out
    assert len(load_runs("runs")) == 6
    assert len(load_history("runs")) > 6
    assert analysis.main(["verdicts"]) == 0
    assert analysis.main(["export", made.FIGURE10, "--to", "out"]) == 0
    assert report.main([made.FIGURE10]) in (0, 2)
    assert study_command.main(["status", made.FIGURE10]) in (0, 1, 2)
    shutil.rmtree("runs/studies")
    assert len(load_runs("runs")) == 6
    assert main(["archive", b]) == 0
    assert not ran(here)


def test_a_network_of_foreign_code_is_built_only_where_that_is_allowed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The refusal names the modules and the flag; with it they are named again, and run."""
    foreign = made.run_id(made.FIGURE10, "elu", 0)
    with pytest.raises(BadInput, match=r"somewhere/curves.py.*load\(..., allow_imports=True\), or --allow-imports"):
        load(foreign).network()
    assert evaluate.main([foreign]) == 2
    assert "Reading a record runs none" in capsys.readouterr().err
    assert not ran(here)
    assert load(foreign, allow_imports=True).config.block.name == "curves"
    assert "importing" in capsys.readouterr().out
    assert ran(here)


STUDY = """
question: Does it help?
baseline: none
variants: {none: [], elu: [block.mid_act=elu]}
seeds: 1
scales: {tiny: [train=smoke, data.num_classes=5, data.images_per_class=24, data.eval_images_per_class=8, model.width=0.25,
                train.batch_size=16, wandb.mode=disabled]}
"""


def test_a_changed_plan_runs_no_code_that_it_names(here: Path) -> None:
    """`study run` imports what the study file and the command line name; a plan that names more is refused before."""
    folder = Path("experiments/mine")
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY)
    plan, _ = planning.make_plan(reader.load(folder / "study.yaml"), "tiny")
    kept = frozen.freeze(plan, "runs")
    path = kept.folder("runs") / "plan.json"
    raw = json.loads(path.read_text())
    for variant in raw["variants"].values():
        variant["config"]["imports"] = [str(here / "somewhere" / "curves.py")]
    path.write_text(json.dumps(raw))
    with pytest.raises(BadInput, match=r"the plan was changed since it was frozen|changed since plan"):
        frozen.freeze(plan, "runs")
    assert not ran(here)


# --- files that are deep, huge, broken, or no files -------------------------------------------------------------------

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(12)
)
BROKEN: dict[str, bytes | None] = {
    "brackets": b"[" * 100_000, "braces": b'{"a":' * 100_000, "dashes": b"- " * 100_000, "questions": b"? " * 100_000,
    "indented": b"".join(b" " * i + b"a:\n" for i in range(1500)), "bomb": BOMB.encode(), "itself": b"a: &a [*a]",
    "unknown alias": b"a: *b", "python": b"a: !!python/object/apply:os.system [true]", "bool": b"a: !!bool maybe",
    "time": b"a: !!timestamp x", "month": b"a: 2026-13-45", "digits": b"a: " + b"1" * 5000, "list key": b"? [a]\n: b",
    "latin": "a: ä".encode("latin-1"), "nul": b"a\0b", "surrogate": b'{"a": "\\ud800"}', "empty": b"", "two": b"a: 1\n---\nb: 2",
    "huge": b" " * (5 * 2**20), "folder": None, "pipe": None, "directory link": None,
}  # fmt: skip


def put(path: Path, name: str) -> None:
    """Something else in a file's place."""
    if path.is_file() or path.is_symlink():
        path.unlink()
    content = BROKEN[name]
    if content is not None:
        path.write_bytes(content)
    elif name == "folder":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/")


def two_records(runs_dir: Path) -> list[str]:
    """Two early records whose ids are those of their configurations, without training."""
    found = []
    for words in (["block.mid_act=relu"], ["train.lr=0.3"]):
        config = compose(words)
        record = Record(runs_dir, run_id(config, "d" * 16))
        made.write_record(runs_dir, record.run_id, plain(config), made.summary(record.run_id))
        made.unseal(record.path)
        found.append(record.run_id)
    return found


@pytest.mark.parametrize("name", BROKEN)
def test_whatever_stands_in_a_files_place_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In place of each file of a record, a plan and a study: exit 2 and a line that names it, in seconds; others are shown."""
    monkeypatch.chdir(tmp_path)
    bad, good = two_records(Path("runs"))
    folder = Path("runs") / bad
    whole = {n: (folder / n).read_bytes() for n in ("config.yaml", "summary.json", "metrics.jsonl")}
    began = time.monotonic()
    for file, content in whole.items():
        put(folder / file, name)
        assert main(["list"]) == (0 if file == "metrics.jsonl" else 2)
        out, err = capsys.readouterr()
        assert good in out
        assert (bad in err and err.count("\n") == 1) or (file == "metrics.jsonl" and bad in out)
        for command in (["show", bad], ["plot", bad], ["diff", bad, good], ["verify", bad]):
            assert main(command) in (0, 1, 2)
        capsys.readouterr()
        assert bad in refusal(lambda: load_runs("runs", allow_partial=True), bad)
        assert bad in refusal(lambda: load_history("runs", allow_partial=True), bad)
        remove(folder / file)
        (folder / file).write_bytes(content)
    made.write_plan(Path("runs"), {"none": made.config()})
    plan = made.plan_file(Path("runs"))
    put(plan, name)
    assert "plan.json" in refusal(lambda: load_runs("runs"))
    shutil.rmtree("runs")
    study_file = Path("experiments/bad/study.yaml")
    for path in (study_file, Path("experiments/fine/study.yaml")):
        path.parent.mkdir(parents=True)
        path.write_text(STUDY)
    put(study_file, name)
    assert study_command.main(["list"]) == 2
    out, err = capsys.readouterr()
    assert "fine" in out
    assert "bad/study.yaml" in err
    assert time.monotonic() - began < 20


def refusal(read: Callable[[], object], otherwise: str = "") -> str:
    """What a reader refuses with, or `otherwise` where it reads."""
    try:
        read()
    except BadInput as error:
        return str(error)
    return otherwise


def remove(path: Path) -> None:
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_record_without_its_configuration_is_mentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lost, good = two_records(Path("runs"))
    (Path("runs") / lost / "config.yaml").unlink()
    assert main(["list"]) == 2
    out, err = capsys.readouterr()
    assert good in out
    assert f"{lost}: config.yaml is damaged (No such file" in err


@pytest.mark.parametrize(
    "line", ["factors: {" + ", ".join(f"block.a{i}: [1, 2, 3, 4, 5, 6, 7, 8, 9]" for i in range(12)) + "}",
             "seeds: 100000000000", "seeds: {looks: [5, 100000000000]}", "blocks: {tiny: {data.seed: {count: 100000000000}}}"],
)  # fmt: skip
def test_a_study_too_large_to_plan_is_refused_at_once(tmp_path: Path, line: str) -> None:
    key = line.partition(":")[0]
    path = tmp_path / "study.yaml"
    path.write_text("\n".join([*(x for x in STUDY.splitlines() if not x.startswith(f"{key}:")), line]))
    began = time.monotonic()
    with pytest.raises(BadInput, match=key):
        reader.load(path)
    assert time.monotonic() - began < 5


# --- names that become paths ------------------------------------------------------------------------------------------

NAMES = (
    "../../..",
    "..",
    ".",
    "",
    "/etc",
    "a/b",
    "a\\b",
    "x\0",
    "a\nb",
    ".hidden",
    "-rf",
    "~root",
    "a:b",
    "x" * 300,
    " ",
    7,
    None,
)


@pytest.mark.parametrize("key", ["label", "study", "plan_id"])
@pytest.mark.parametrize("name", NAMES)
def test_a_plan_leaves_its_folder_by_no_name(
    key: str, name: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read, judged, exported, or reported: one line, and nothing is written anywhere."""
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    made.figure10(Path("runs"), seeds=(0,))
    path = made.plan_file(Path("runs"))
    raw = json.loads(path.read_text()) | {key: name}
    if key == "study":
        raw["plan_id"] = fingerprint(raw)
    path.write_text(json.dumps(raw))
    before = sorted(tmp_path.rglob("*"))
    assert "plan.json" in refusal(lambda: load_runs("runs"))
    for command in (analysis.main, report.main):
        assert command(["export", made.FIGURE10] if command is analysis.main else [made.FIGURE10]) == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", NAMES)
def test_names_are_one_part_of_a_path(name: object) -> None:
    with pytest.raises(BadInput):
        path_part(name, "label")


@pytest.mark.parametrize("name", ["lab", "lab_cifar10", "lr=0.1", "日本", "mid_act=relu mid_norm=true", "a.b-c", "ä"])
def test_ordinary_names_are(name: str) -> None:
    assert path_part(name, "label") == name


@pytest.mark.parametrize("run_id", ["../../../x", "*", "[a-z]*", "..", "a/b"])
def test_the_ids_of_planned_runs_are_names_too(tmp_path: Path, run_id: str) -> None:
    made.figure10(tmp_path / "runs", seeds=(0,))
    path = made.plan_file(tmp_path / "runs")
    raw = json.loads(path.read_text())
    raw["runs"][0]["run_id"] = run_id
    raw["plan_id"] = fingerprint(raw)
    path.write_text(json.dumps(raw))
    assert "plan.json: run " in refusal(lambda: load_runs(tmp_path / "runs", allow_partial=True))


@pytest.mark.parametrize("name", ["../config.yaml", "/etc/passwd", "checkpoints/../../x.pt", "a/b/c"])
def test_a_manifest_is_not_followed_out_of_its_folder(tmp_path: Path, name: str) -> None:
    made.figure10(tmp_path, seeds=(0,))
    folder = tmp_path / made.run_id(made.FIGURE10, "elu", 0)
    found = json.loads((folder / "manifest.json").read_text())
    found["files"][name] = [1, 1, "0" * 64]
    (folder / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(Altered, match=r"manifest.json is damaged"):
        Record(tmp_path, folder.name).summary()
