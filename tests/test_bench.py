"""`python -m sepconv_lab.bench`: every table prints, contenders take turns, whoever is absent is named. Nothing is timed here."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sepconv_lab.bench import loop, ours, packing, start, step
from sepconv_lab.bench.__main__ import main
from sepconv_lab.bench.contender import Contender
from sepconv_lab.bench.timing import Ratio, interleaved, ratio

TINY = ["data.num_classes=5", "data.images_per_class=80", "data.eval_images_per_class=2", "model.width=0.25"]


def test_contenders_take_turns() -> None:
    """A B C, A B C: what slows the machine for a while slows all of them."""
    order: list[str] = []

    def turn(name: str) -> float:
        order.append(name)
        return float(len(order))

    found, ended = interleaved({name: lambda name=name: turn(name) for name in "ABC"}, 3)  # type: ignore[misc]
    assert "".join(order) == "ABCABCABC"
    assert found == {"A": [1, 4, 7], "B": [2, 5, 8], "C": [3, 6, 9]}
    assert not ended


def killed_in_its_turn() -> Contender:
    """A contender that starts, and that the kernel then kills."""
    code = "import os; print('{\"versions\": {}}', flush=True); input(); os.kill(os.getpid(), 9)"
    return Contender("greedy", [sys.executable, "-c", code], gpu=False)


def test_a_contender_that_dies_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """The others go on with their rounds; the table names how it ended."""
    with killed_in_its_turn() as greedy:
        seconds, ended = interleaved({"modest": lambda: 1.0, "greedy": greedy.turn}, 3)
    assert seconds == {"modest": [1.0, 1.0, 1.0]}
    assert ended == {"greedy": "killed (memory)"}


def test_contenders_beyond_the_memory_take_turns_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory holds one peer at a time, each is timed beside ours in rounds of its own, and each is gone after them."""
    code = "import json, sys; print('{\"versions\": {}}', flush=True)\nfor _ in sys.stdin: print('{\"seconds\": %s}', flush=True)"

    def contender(name: str, seconds: float) -> tuple[str, list[list[str]]]:
        return name, [[sys.executable, "-c", code % seconds]]

    alive: list[list[str]] = []

    def fits(there: list[Contender]) -> bool:
        alive.append([c.name for c in there])
        return False

    monkeypatch.setattr(step, "fits", fits)
    monkeypatch.setattr(step, "_peers", lambda plan: iter([contender("a", 2), contender("b", 3), ("c", [["false"]])]))
    plan = step.Plan(torch.device("cpu"), {step.OURS: []}, ())
    with Contender(step.OURS, contender("", 1)[1][0], gpu=False) as ours_:
        seconds, against, absent = step._timed(plan, [ours_], 2)
    assert seconds == {step.OURS: [1.0] * 6, "a": [2.0, 2.0], "b": [3.0, 3.0]}
    assert (against["a"], against["b"]) == (Ratio(2, 2, 2), Ratio(3, 3, 3))
    assert absent == {"c": "absent: ended with 1"}
    assert alive == [[step.OURS, "a"], [step.OURS, "b"]]


def test_a_ratio_is_formed_within_each_round() -> None:
    """A machine that becomes ten times slower between two rounds changes no ratio; one odd round changes only the range."""
    assert ratio([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == Ratio(2, 2, 2)
    assert str(ratio([2.0, 2.0, 9.0], [1.0, 1.0, 1.0])) == "2.00 (2.00 to 9.00)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stpe"], "Did you mean step?"),
        (["loop", "block.mid_act=rellu"], "Did you mean relu?"),
        (["step", "block.mid_act=rellu"], "Did you mean relu?"),
        (["start", "sed=1"], "Did you mean seed?"),
        (["loop", "--rounds", "0"], "int >= 1"),
        (["loop", *TINY, "train.batch_size=64"], "more images"),
        (["gpu", "--parts", "tests,pakcing"], "Did you mean packing?"),
        (["gpu", "--seconds", "0"], "float > 0"),
    ],
)
def test_bad_input_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one message."""
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_worker_that_cannot_start_says_why() -> None:
    """It is absent for the reason that it gives, or for the last line of what killed it; asked later, it names itself."""
    broken = [sys.executable, "-c", "import sys; print('no such framework', file=sys.stderr); sys.exit(3)"]
    with Contender("other", broken, gpu=False) as contender:
        assert contender.absent == "no such framework"
    dies = [sys.executable, "-c", "print('{\"versions\": {}}', flush=True); input(); raise SystemExit('out of memory')"]
    with Contender("other", dies, gpu=False) as contender:
        assert not contender.absent
        with pytest.raises(RuntimeError, match="other: out of memory"):
            contender.turn()


def test_the_loop_and_the_bare_one_take_turns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One turn each to warm up, then round by round."""
    order: list[str] = []
    for name in ("_loop", "_steps", "_bare"):
        monkeypatch.setattr(loop, name, lambda *_, name=name: order.append(name) or 1.0)
    loop.table([*TINY, "train.batch_size=16"], 2)
    assert order == ["_loop", "_steps", "_bare"] * 3
    assert "met with +0.0%" in capsys.readouterr().out


def test_the_profile_of_a_step_is_complete() -> None:
    """Shares of one, convolutions and the optimiser among them; the multiplications have a time of their own."""
    words = [*step.BASE, "model.width=0.125", "data.image_size=80", "train.batch_size=2", "data.num_classes=5"]
    run_step, _, more = ours.build({"overrides": words})
    run_step()
    shares = more["profile"]()
    assert sum(shares.values()) == pytest.approx(1)
    for kind in ("convolutions", "normalisation", "activations", "pooling", "linear layers", "optimiser"):
        assert 0 < shares[kind] < 1, kind
    assert shares["the rest"] < 0.5
    assert more["floor"]()["seconds"] > 0


def rows(text: str, first: str) -> dict[str, list[str]]:
    """The table whose header holds `first`: name -> cells."""
    lines = text.splitlines()
    header = next(i for i, line in enumerate(lines) if first in line)
    found = {}
    for line in lines[header + 1 :]:
        name, *cells = re.split(r"\s{2,}", line.strip())
        if not cells:
            break
        found[name] = cells
    return found


def test_aims_are_judged_against_the_fastest_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """A slower Keras cannot make the aim met, and who is not there is neither beaten nor lost to."""
    against = {"Keras on torch": Ratio(3.0, 2.9, 3.1), "Keras on tensorflow": Ratio(2.4, 2.2, 2.6)}
    assert step._judged(against) == ["Keras on tensorflow"]
    said = capsys.readouterr().out
    assert "2.5x the fastest Keras: missed with 2.40 (2.20 to 2.60)" in said
    assert "1.1x timm: not measured, it is absent" in said
    assert step._judged({"Keras on torch": Ratio(2.5, 2.5, 2.5), "timm": Ratio(1.2, 1.1, 1.3)}) == []


@pytest.mark.slow
def test_the_step_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Xception, Inception V3 and Keras are timed, who is absent is named, and a missed aim is explained."""
    monkeypatch.setattr(step, "KERAS_AIM", 1e9)
    words = ["data.image_size=80", "train.batch_size=2", "data.num_classes=5", "model.middle_repeats=0"]
    assert main(["step", "--rounds", "2", *words]) == 0
    text = capsys.readouterr().out
    assert "torch " + torch.__version__ in text
    assert f"{torch.get_num_threads()} threads" in text
    table = rows(text, "s/step  images/s")
    assert table["sepconv_lab"][2] == "1.00 (1.00 to 1.00)"
    keras = next(cells for name, cells in table.items() if name.startswith("Keras on torch"))
    assert all(float(cell) > 0 for cell in keras[:2])
    assert re.fullmatch(r"[\d.]+ \([\d.]+ to [\d.]+\)", keras[2])
    for peer in ("Keras on tensorflow", "timm", "timm, channels_last"):
        cells = next(cells for name, cells in table.items() if name.startswith(peer))
        assert cells[2].startswith("absent: ") or float(cells[0]) > 0
    macs = rows(text, "GMAC/image")
    assert macs["xception"][0] != macs["inception_v3"][0]
    assert "28/31 = 0.90" in text
    assert "Where a step goes: convolutions" in text
    assert "the most that this machine allows is" in text


@pytest.mark.slow
def test_the_loop_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Real loops on real batches, evaluations left out."""
    assert main(["loop", "--rounds", "1", *TINY, "train.batch_size=16"]) == 0
    table = rows(capsys.readouterr().out, "ms/step")
    assert list(table) == ["sepconv_lab", "the step alone", "bare loop"]
    assert all(float(cells[0]) > 0 for cells in table.values())


@pytest.mark.slow
def test_the_start_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The time to the first step, and what of it goes into which imports."""
    assert main(["start", "--rounds", "1", *TINY, "train.max_steps=2"]) == 0
    text = capsys.readouterr().out
    table = rows(text, "lowest")
    assert float(table["to the first step"][0]) > float(table["import torch"][0]) > 0
    assert "Aim, at most 8 s" in text
    assert "torch " in text.splitlines()[-1]


@pytest.mark.slow
def test_the_memory_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CIFAR-10's layout where it is named, glyphs otherwise; the run's own record says how much it took."""
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(out, "png")
    for split in ("train", "test"):
        images = [{"bytes": out.getvalue(), "path": None}] * 100
        table = pa.table({"img": images, "label": [i % 10 for i in range(100)]})
        pq.write_table(table, tmp_path / f"{split}-00000-of-00001.parquet")
    words = ["--rounds", "1", "model.width=0.25", "train.max_steps=1"]
    assert main(["memory", "--cifar10", str(tmp_path), *words]) == 0
    cifar = rows(capsys.readouterr().out, "MiB")
    assert main(["memory", *words, "data.images_per_class=8", "data.eval_images_per_class=2"]) == 0
    glyphs = rows(capsys.readouterr().out, "MiB")
    for table in (cifar, glyphs):
        assert [float(cells[0].replace(",", "")) > 100 for cells in table.values()] == [True, True]


@pytest.mark.slow
def test_the_skip_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Sweeps of finished runs, one of them and several."""
    monkeypatch.setattr(start, "JOBS", 3)
    assert main(["skip", "--rounds", "1"]) == 0
    text = capsys.readouterr().out
    assert list(rows(text, "seconds")) == ["1 run", "3 runs"]
    assert "Aim, under 50 ms a run" in text


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: it is not skipped")
def test_the_page_of_a_gpu_without_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every part has its turn: what needs a GPU is named as skipped, runs are packed onto the CPU, each rate stands in a file."""
    monkeypatch.setattr(packing, "SHAPES", ((0.25, 8),) * 3)
    monkeypatch.setattr(packing, "TURN", 0.05)
    assert main(["gpu", "--seconds", "1200", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "gpu.md").read_text()
    assert "no GPU here: what needs one is skipped" in page
    assert "skipped: they need a GPU" in page
    assert "skipped: CUDA graphs and MPS need a GPU" in page
    assert "2 of 2 runs finished" in page
    rates = [json.loads(line) for line in (tmp_path / "packing.jsonl").read_text().splitlines()]
    assert [r["runs"] for r in rates] == [1, 2] * 3
    assert all(r["images_per_second"] > 0 and not r["graph"] for r in rates)


def test_a_part_that_fails_leaves_the_others_their_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says why on the page, and the exit code is 1; what comes after it stands there too."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("sepconv_lab.bench.gpu._step", broken)
    monkeypatch.setattr("sepconv_lab.bench.gpu._study", lambda page, *_: page.add("a study"))
    assert main(["gpu", "--parts", "step,study", "--out", str(tmp_path)]) == 1
    page = (tmp_path / "gpu.md").read_text()
    assert page.index("RuntimeError: no such kernel") < page.index("a study")


def test_a_packed_run_that_dies_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process wrote last is what the message says."""
    monkeypatch.setattr(packing, "WORKER", [sys.executable, "-c", "raise SystemExit('out of memory')"])
    with packing.Worker({}) as worker:
        worker.tell(graph=False)
        with pytest.raises(RuntimeError, match="a packed run died: out of memory"):
            worker.answer()
