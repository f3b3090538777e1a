"""On a GPU: a whole run, killed, resumed, out of memory, and taken up on another device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sepconv_lab.compose import compose
from sepconv_lab.record.record import records
from sepconv_lab.run import run

from ..helpers import SMALL, deterministic, interrupted_at, layered

WORDS = layered(SMALL, "wandb.mode=disabled", "train.epochs=2", "train.device=cuda")


@pytest.mark.parametrize("graph", ["false", "true"])
def test_a_stopped_run_ends_with_the_same_bits(tmp_path: Path, graph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped within an epoch and started again it logs what a run never stopped logs, eager as with graphs, and each other's."""
    for name in ("whole", "stopped"):
        config = compose([*WORDS, f"runs_dir={tmp_path / name}", f"train.graph={graph}"])
        if name == "stopped":
            with monkeypatch.context() as patch:
                interrupted_at(patch, 10)
                assert run(config)["status"] == "interrupted"
            config.train.graph = not config.train.graph  # what is left by the one is taken up by the other
        summary = run(config)
        assert summary["status"] == "finished"
        assert summary["device"] == "cuda"
        assert summary["hardware_class"] == torch.cuda.get_device_name()
        assert summary["peak_memory"] > 0
    events = [deterministic(next(iter(records(tmp_path / name))).events()) for name in ("whole", "stopped")]
    assert events[0] == events[1]


def test_a_run_goes_on_on_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun on the GPU it ends on the CPU, and says that it was computed on both."""
    with monkeypatch.context() as patch:
        interrupted_at(patch, 5)
        run(compose([*WORDS, f"runs_dir={tmp_path}"]))
    summary = run(compose([*layered(WORDS, "train.device=cpu"), f"runs_dir={tmp_path}"]))
    assert summary["status"] == "finished"
    assert " + " in summary["hardware_class"]


def test_out_of_memory_is_said_and_leaves_the_process_usable(tmp_path: Path) -> None:
    """The record says what ran out; the next run of the same process, as launchers start it, is unharmed."""
    words = [*WORDS, f"runs_dir={tmp_path}"]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        summary = run(compose([*words, "seed=1"]))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert summary["status"] == "failed"
    assert "OutOfMemory" in json.dumps(summary["error"])
    assert run(compose([*words, "seed=2"]))["status"] == "finished"
