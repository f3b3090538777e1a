"""experiments/wandb_sweep.yaml drives the entry point: what W&B's agent would type is composed and carried out."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml

from sepconv_lab.compose import compose
from sepconv_lab.config import WandbMode, flat
from sepconv_lab.config.overrides import check_given_once
from sepconv_lab.config.structured import from_record
from sepconv_lab.record.record import records

from .helpers import SMALL

SWEEP = yaml.safe_load((Path(__file__).parent.parent / "experiments" / "wandb_sweep.yaml").read_text())


def combinations() -> list[dict[str, Any]]:
    """The grid, as the controller hands it out."""
    assert all(set(p) == {"values"} for p in SWEEP["parameters"].values())
    names, values = SWEEP["parameters"], [p["values"] for p in SWEEP["parameters"].values()]
    return [dict(zip(names, cell, strict=True)) for cell in itertools.product(*values)]


def typed(cell: dict[str, Any]) -> list[str]:
    """The words that the agent puts behind `env python -m sepconv_lab.run`, with its own functions."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    filled = create_sweep_command_args({"args": {name: {"value": value} for name, value in cell.items()}})
    command = create_sweep_command(list(SWEEP["command"]))
    words = [w for c in command for w in (filled["args_no_hyphens"] if c == "${args_no_hyphens}" else [c])]
    assert words[:4] == ["${env}", "python", "-m", "sepconv_lab.run"]
    return words[4:]


def test_every_parameter_and_value_composes_to_a_run_of_its_own() -> None:
    """No run is refused, none is another one's twin, and each holds the values that W&B will show for it."""
    seen = set()
    for cell in combinations():
        words = typed(cell)
        check_given_once(words)
        config = compose(words)
        assert config.wandb.mode is WandbMode.online
        shown = flat(config)
        assert {name: shown[name] for name in cell} == cell
        seen.add(repr(config))
    assert len(seen) == len(combinations()) == 18


@pytest.mark.slow
def test_the_agent_carries_out_a_run_and_its_metric_is_what_the_sweep_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B's own agent, told to run one combination, without its server: the record is whole and the run is the sweep's."""
    from wandb.wandb_agent import Agent

    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_DIR", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_SERVICE"):
        monkeypatch.setenv(name, "")  # so that what the agent sets goes with the test
        monkeypatch.delenv(name)
    activated = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", activated)  # the file says `python`
    monkeypatch.setenv("WANDB_SWEEP_ID", "abcdefgh")
    monkeypatch.setenv("WANDB_PROJECT", "of-the-sweep")
    agent = Agent(MagicMock(), multiprocessing.Queue(), sweep_id="abcdefgh")
    agent._sweep_command = [*SWEEP["command"][:-1], *SMALL, "train.epochs=1", "wandb.mode=offline"]
    cell = combinations()[-1]
    command = {"type": "run", "run_id": "fromagent", "program": SWEEP["program"],
               "args": {name: {"value": value} for name, value in cell.items()}}  # fmt: skip
    assert "exception" not in agent._process_command(command)
    assert agent._run_processes["fromagent"].wait() == 0
    (record,) = records(tmp_path / "runs")
    summary = record.summary()
    assert summary is not None
    assert summary["status"] == "finished"
    assert summary["wandb"] == {"id": "fromagent", "mode": "offline", "error": None}
    assert SWEEP["metric"]["name"] in record.events()[-2] | record.events()[-1]
    assert {name: flat(from_record(record.config()))[name] for name in cell} == cell
