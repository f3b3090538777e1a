"""One command trains any variant and leaves a record from which the run can be judged and reproduced."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sepconv_lab.compose import compose
from sepconv_lab.record import metrics
from sepconv_lab.record.record import records
from sepconv_lab.run import main, run
from sepconv_lab.runs import differences, load, load_all, main as runs_command
from sepconv_lab.training import environment

from .helpers import SMALL, cli, deterministic, interrupted_at, layered

pytestmark = pytest.mark.slow
QUIET = ["wandb.mode=disabled", "train.epochs=2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of one small finished run with W&B offline."""
    runs_dir = tmp_path_factory.mktemp("runs")
    summary = run(compose([*SMALL, "train.epochs=2", f"runs_dir={runs_dir}"]), name="small")
    assert summary["status"] == "finished"
    return runs_dir / summary["run_id"]


def test_the_record_is_complete(finished: Path) -> None:
    """Every file and every field that the design names is there."""
    summary = json.loads((finished / "summary.json").read_text())
    for key in (
        *(
            "status",
            "run_id",
            "metrics",
            "params",
            "macs",
            "images_per_second",
            "wall_time",
            "peak_memory",
            "data_digest",
        ),
        *("git", "versions", "hardware_class", "threads", "precision", "command", "error", "after_depthwise"),
    ):
        assert key in summary
    names = {f"{s}/{m}" for s in ("val", "val_ema", "test", "test_ema") for m in ("loss", "top1", "top5", "ece")}
    assert names <= set(summary["metrics"])
    events = load(finished).record.events()
    assert {m.name for m in metrics.TABLE} == {k.partition("/")[2] for e in events for k in e if "/" in k}
    assert sum("train/loss" in e for e in events) == 2 * 7
    assert sum("val/top1" in e for e in events) == 2
    assert sum("test/top1" in e for e in events) == 1, "the test split is touched once"
    assert [e["step"] for e in events] == sorted(e["step"] for e in events)


def test_predictions_agree_with_the_accuracy(finished: Path) -> None:
    """predictions.npz holds class and prediction of every test image, raw and averaged."""
    summary = json.loads((finished / "summary.json").read_text())
    with np.load(finished / "predictions.npz", allow_pickle=False) as kept:
        for suffix in ("", "_ema"):
            accuracy = float((kept[f"predicted{suffix}"] == kept["label"]).mean())
            assert accuracy == pytest.approx(summary["metrics"][f"test{suffix}/top1"])


def test_a_loaded_run_gives_its_network_back(finished: Path) -> None:
    """The checkpoint reloads into the network whose test accuracy the record states."""
    from sepconv_lab import data
    from sepconv_lab.training.loop import evaluate

    loaded = load(finished)
    split = data.load(loaded.config.data).test
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=loaded.summary["precision"] == "bf16")
    for averaged, suffix in ((False, ""), (True, "_ema")):
        metrics, _, _ = evaluate(loaded.network(averaged), split, torch.device("cpu"), autocast=autocast)
        assert metrics["loss"] == pytest.approx(loaded.summary["metrics"][f"test{suffix}/loss"], rel=1e-5)


def test_wandbs_own_reader_finds_every_event(finished: Path) -> None:
    """The offline W&B file holds each event of metrics.jsonl with all its values, and the configuration."""
    files = list(finished.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 1
    out = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(files[0])],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    history = [r["history"]["item"] for r in rows if r["type"] == "history"]
    for event, mirrored in zip(load(finished).record.events(), history, strict=True):
        assert {k: v for k, v in mirrored.items() if not k.startswith("_")} == event
    config = next(r["run"]["config"]["update"] for r in rows if r["type"] == "run" and "config" in r["run"])
    assert config["block.mid_act"] == "none"
    assert config["run_id"] == finished.name


def test_a_finished_run_is_not_run_again_and_force_archives_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same configuration, however spelled, is a no-op; forced, the old record moves aside and the bits come out the same."""
    words = [*SMALL, *QUIET, f"runs_dir={tmp_path}"]
    assert main(words) == 0
    (record,) = records(tmp_path)
    before = record.events()
    assert main([*words, "block.mid_act=none", "train.lr=2e-1"]) == 0
    assert "finished already" in capsys.readouterr().out
    assert main([*words, "force=true"]) == 0
    assert (tmp_path / "archive" / f"{record.run_id}-1" / "summary.json").exists()
    assert deterministic(record.events()) == deterministic(before)


def test_the_recorded_command_reproduces_the_bits(finished: Path, tmp_path: Path) -> None:
    """Typed into a shell with a fresh runs_dir, it gives the same id, metrics and weights."""
    words = shlex.split(load(finished).summary["command"])[3:]
    assert cli(*words, f"runs_dir={tmp_path}", cwd=tmp_path).returncode == 0
    again = tmp_path / finished.name
    assert deterministic(load(again).record.events()) == deterministic(load(finished).record.events())
    a, b = (torch.load(p / "checkpoints/last.pt", weights_only=True) for p in (finished, again))
    for part in ("network", "average"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])


def test_a_diverging_run_ends_as_diverged_with_its_step(tmp_path: Path) -> None:
    """A loss that is no number ends the run, exit code 1, and W&B is told that it failed."""
    words = [
        *SMALL,
        "train.epochs=2",
        "train.lr=1e18",
        "block.out_norm=false",
        f"runs_dir={tmp_path}",
        "wandb.mode=disabled",
    ]
    assert main(words) == 1
    (record,) = records(tmp_path)
    summary = record.summary()
    assert summary is not None
    assert summary["status"] == "diverged"
    assert "not finite at step" in summary["error"]


def test_a_failing_mirror_does_not_stop_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B failing at the start, or midway, leaves a finished record that says so."""
    import wandb

    def fail(**_: object) -> None:
        raise RuntimeError("no W&B today")

    with monkeypatch.context() as patch:
        patch.setattr(wandb, "init", fail)
        summary = run(compose([*SMALL, "train.epochs=1", f"runs_dir={tmp_path}"]))
    assert summary["status"] == "finished"
    assert "no W&B today" in summary["wandb"]["error"]

    class Midway:
        id = "x"
        logged = 0

        def define_metric(self, *_: object, **__: object) -> None: ...

        def log(self, _: object) -> None:
            self.logged += 1
            if self.logged == 3:
                raise OSError("gone")

    monkeypatch.setattr(wandb, "init", lambda **_: Midway())
    summary = run(compose([*SMALL, "train.epochs=1", "seed=1", f"runs_dir={tmp_path}"]))
    assert summary["status"] == "finished"
    assert summary["wandb"]["error"] == "OSError: gone"


def test_a_sweep_leaves_six_different_complete_records(tmp_path: Path) -> None:
    """The issue's sweep: six records, six W&B runs, a table at the end, exit code 0."""
    words = [
        "-m",
        "model=xception",
        "block.mid_act=none,relu,elu",
        "block.order=depthwise_first,pointwise_first",
        "train=smoke",
    ]
    out = cli(*words, *SMALL[:4], cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    runs = load_all(tmp_path / "runs")
    assert len(runs) == 6
    assert {r.summary["status"] for r in runs} == {"finished"}
    assert len({(r.columns["block.mid_act"], r.columns["block.order"]) for r in runs}) == 6
    assert len({json.dumps(r.summary["metrics"]) for r in runs}) == 6
    assert len(list((tmp_path / "runs").glob("*/wandb/offline-run-*/*.wandb"))) == 6
    table = out.stdout.splitlines()[-6:]
    assert all("block.mid_act=" in line and "finished" in line for line in table)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs"], "records are the only output"
    assert {"block.mid_act"} <= set(
        differences(*[r for r in runs if r.columns["block.order"] == "depthwise_first"][:2])["config"]
    )


def test_a_users_own_block_works_like_a_built_in_one(tmp_path: Path) -> None:
    """The README's ten lines: named in the config, composed, trained, recorded, and also in a sweep's worker processes."""
    (tmp_path / "my_blocks.py").write_text(
        "from dataclasses import dataclass\n"
        "from torch import nn\n"
        "from sepconv_lab.config import BlockConfig, setting\n"
        "from sepconv_lab.config.registry import register\n\n"
        "@dataclass\n"
        "class BottleneckConfig(BlockConfig):\n"
        "    name: str = setting('bottleneck', 'the name on the command line')\n"
        "    ratio: int = setting(4, 'how much narrower the middle is', low=1)\n\n"
        "@register(BottleneckConfig)\n"
        "class Bottleneck(nn.Sequential):\n"
        "    def __init__(self, config, in_channels, out_channels, conventions):\n"
        "        mid = max(1, out_channels // config.ratio)\n"
        "        super().__init__(nn.Conv2d(in_channels, mid, 1, bias=False), conventions.norm(mid), nn.ReLU(),\n"
        "            nn.Conv2d(mid, out_channels, config.kernel_size, padding='same', bias=False),\n"
        "            conventions.norm(out_channels))\n"
    )
    small = [*SMALL, "train=smoke", "imports=[my_blocks]", "block=bottleneck"]
    out = cli("-m", *small, "block.ratio=2,4", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", cwd=tmp_path)
    assert out.returncode == 0, out.stdout + out.stderr
    found = cli("list", "block.name=bottleneck", module="runs", cwd=tmp_path)
    assert found.stdout.count("finished") == 2
    assert cli(*small, "block.ratio=0", cwd=tmp_path).returncode == 2


def test_the_runs_command_lists_shows_diffs_and_draws(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every subcommand of `python -m sepconv_lab.runs` on a real record; a wrong id or column is bad input."""
    monkeypatch.chdir(finished)
    for code, said, *words in (
        (0, finished.name, "list", "block.mid_act=none"),
        (0, "no records", "list", "block.mid_act=relu"),
        (2, "Did you mean block.mid_act?", "list", "block.mid_acts=relu"),
        (2, "Did you mean block.mid_act?", "list", "--columns", "block.mid_acts"),
        (0, '"status": "finished"', "show", finished.name[:6]),
        (0, "the same", "diff", finished.name, finished.name),
        (2, "zzz", "show", "zzz"),
        (0, "curves.png", "plot", "--latest"),
    ):
        assert runs_command(["--runs-dir", str(finished.parent), *words]) == code, words
        out, err = capsys.readouterr()
        assert said in (err if code else out), words
    assert (finished / "curves.png").stat().st_size > 10_000


def test_a_run_evaluated_again_keeps_its_throughput(tmp_path: Path) -> None:
    """Without its summary a trained run is only evaluated again, and the record does not claim zero images a second."""
    words = [*SMALL, *QUIET, f"runs_dir={tmp_path}"]
    assert main(words) == 0
    (record,) = records(tmp_path)
    before = record.summary()
    assert before is not None
    (record.path / "summary.json").unlink()
    assert main(words) == 0
    after = record.summary()
    assert after is not None
    assert after["images_per_second"] == before["images_per_second"] > 0
    assert after["metrics"] == before["metrics"]
    assert after["command"].count("train.threads=") == 1


# --- going on under other conditions, and being told to stop too late ---------------------------------------------------


def test_threads_that_nobody_set_are_those_of_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine of another size the run goes on to the same bits, and its command gives them."""
    small = [w for w in SMALL if not w.startswith("train.threads")] + QUIET
    expected = run(compose([*small, "train.threads=1", f"runs_dir={tmp_path / 'whole'}"]))
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(patch, 9)
        assert run(compose([*small, "train.threads=1", f"runs_dir={tmp_path}"]))["status"] == "interrupted"
    summary = run(compose([*small, f"runs_dir={tmp_path}"]))
    assert summary["threads"] == 1
    assert "train.threads=1" in summary["command"]
    assert "environments" not in summary
    assert summary["metrics"] == expected["metrics"]
    assert "going on from step 9" in capsys.readouterr().out


def test_a_run_of_two_environments_says_so_and_does_not_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other threads or hardware than the first attempt's: the record names both, and mixed hardware is its own class."""
    words = [*SMALL, *QUIET, f"runs_dir={tmp_path}"]
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(patch, 9)
        assert run(compose(words))["status"] == "interrupted"
    monkeypatch.setattr(environment, "hardware_class", lambda device: "another processor")
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(patch, 11)
        assert run(compose(layered(words, "train.threads=2")))["status"] == "interrupted"
    summary = run(compose(layered(words, "train.threads=2")))  # as the attempt before, but not as the first
    assert summary["status"] == "finished"
    assert [e["threads"] for e in summary["environments"]] == [1, 2]
    assert summary["hardware_class"].endswith(" + another processor")
    out = capsys.readouterr().out
    assert "threads 1 -> 2" in out
    assert "will not give the same bits" in out


@pytest.mark.parametrize("flags", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]])
def test_a_signal_in_the_last_evaluation_stops_what_would_follow(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That run is finished, and the sweep ends with it: the others wait for the same command."""

    def at(point: str) -> None:
        if point == "test.logged":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("sepconv_lab.training.loop.crash_point", at)
    assert main(["-m", *SMALL, *QUIET, f"runs_dir={tmp_path}", "seed=0,1,2", *flags]) == 1
    assert [r.status() for r in records(tmp_path)] == ["finished"]
    assert capsys.readouterr().out.count("missing") == 2
