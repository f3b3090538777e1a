"""`python -m sepconv_lab.evaluate` measures what a record says, from the record and from a file of weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepconv_lab.compose import compose
from sepconv_lab.evaluate import evaluate_run, evaluate_weights, main
from sepconv_lab.run import run
from sepconv_lab.runs import load
from sepconv_lab.weights import save_weights

from .helpers import SMALL

pytestmark = pytest.mark.slow


def test_a_run_and_its_exported_weights_give_the_recorded_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By run id: raw and averaged as recorded. By file: as the network that was written. Wrong input exits with 2."""
    summary = run(compose([*SMALL, "train.epochs=2", "wandb.mode=disabled", f"runs_dir={tmp_path}"]))
    metrics, network = summary["metrics"], load(summary["run_id"], tmp_path).network(averaged=False)
    found = evaluate_run(summary["run_id"], str(tmp_path), "test")
    for name, suffix in (("raw", ""), ("averaged", "_ema")):
        assert found[name]["top1"] == metrics[f"test{suffix}/top1"]
        assert found[name]["loss"] == pytest.approx(metrics[f"test{suffix}/loss"], rel=1e-5)
    save_weights(network.state_dict(), tmp_path / "w.safetensors")
    by_file = [*SMALL[:4], f"model.weights={tmp_path / 'w.safetensors'}"]
    assert evaluate_weights(by_file, "test")["weights"]["top1"] == metrics["test/top1"]
    assert main([*by_file, "--split", "val"]) == 0
    assert f"val top-1 {metrics['val/top1']:.4f}" in capsys.readouterr().out
    assert main(["zzz", "--runs-dir", str(tmp_path)]) == 2
    for words, said in (
        ([summary["run_id"], "data.path=/nowhere"], "data=glyphs has no path"),
        ([summary["run_id"], "train.lr=1"], "evaluated as it was trained"),
        ([*by_file, "model.weights=other"], "given twice"),
    ):
        assert main([*words, "--runs-dir", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
    assert main(SMALL[:4]) == 2
    assert "model.weights=FILE" in capsys.readouterr().err
