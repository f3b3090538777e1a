"""A record, a plan or a study from somebody else is data: reading it runs nothing, and it stays in its place."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sepconv_lab import evaluate
from sepconv_lab.analysis import __main__ as analysis
from sepconv_lab.analysis.read.load import load_history, load_runs
from sepconv_lab.config import BadInput, registry
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
    run_id = made.run_id(made.FIGURE10, "elu", 0)
    with pytest.raises(BadInput, match=r"somewhere/curves.py.*load\(..., allow_imports=True\), or --allow-imports"):
        load(run_id).network()
    assert evaluate.main([run_id]) == 2
    assert "Reading a record runs none" in capsys.readouterr().err
    assert not ran(here)
    assert load(run_id, allow_imports=True).config.block.name == "curves"
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
