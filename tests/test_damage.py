"""Whatever happens to a file: a line that names it, or the result that the undamaged file gives. Never a traceback, never a hang.

Seeded, over every file of a record, of a plan, of committed results and of the caches. Early records have no manifest, and plans
of schema 1 no checksum: of these only the first half of the promise is asked.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sepconv_lab import data
from sepconv_lab.analysis.claims import board
from sepconv_lab.analysis.read.export import export
from sepconv_lab.analysis.read.load import load_history, load_runs
from sepconv_lab.compose import compose
from sepconv_lab.config import BadInput, plain
from sepconv_lab.config.identity import run_id
from sepconv_lab.data import cache
from sepconv_lab.data.photos import digests
from sepconv_lab.record.plan import read_plan
from sepconv_lab.record.record import Record
from sepconv_lab.runs import main
from sepconv_lab.study import __main__ as study_command

from .analysis import generated as made
from .data.conftest import picture, write_parquet

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error")]
SECONDS = 20.0
"""What any reader may take on a busy machine."""
Numbered = Callable[[str, object], None]

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 7, 0.5, 1e308, float("nan"), float("inf"), 10**30, "", "x", "../..", "\x1b[2J", "ä",
    [], {}, [1, 2], {"a": 1}, [[[[1]]]],
)  # fmt: skip


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The content of a file after something has happened to it: bits, bytes, blocks, lines, digits, or one value of its JSON."""
    out = bytearray(content)
    size = max(1, len(out))
    kind = draw.choice(
        ("bit", "bit", "byte", "cut", "zeros", "swap", "insert", "digit", "line", "twice", "empty", "json", "json")
    )
    at, end = draw.randrange(size), draw.randrange(size)
    if kind == "bit" and out:
        out[at] ^= 1 << draw.randrange(8)
    elif kind == "byte" and out:
        out[at] = draw.randrange(256)
    elif kind == "cut":
        del out[at:]
    elif kind == "zeros":
        out[at : at + 40] = bytes(len(out[at : at + 40]))
    elif kind == "swap":
        out[at : at + 16], out[end : end + 16] = out[end : end + 16], out[at : at + 16]
    elif kind == "insert":
        out[at:at] = draw.choice((b"\0", b"[" * 300, b'"', b"\xff\xfe", b"\n", b"- - - ", b": ", b"*a", b"9" * 5000))
    elif kind == "digit":
        places = [m.start() for m in re.finditer(rb"\d", content)]
        if places:
            out[draw.choice(places)] = ord("0") + draw.randrange(10)
    elif kind in ("line", "twice"):
        lines = content.split(b"\n")
        number = draw.randrange(len(lines))
        lines[number : number + 1] = [] if kind == "line" else [lines[number]] * 2
        out = bytearray(b"\n".join(lines))
    elif kind == "json":
        return _other_value(content, draw)
    elif kind == "empty":
        out = bytearray()
    return bytes(out)


def _other_value(content: bytes, draw: random.Random) -> bytes:
    """One value somewhere in a JSON file, or in one line of several, replaced by another."""
    try:
        lines = [json.loads(content)]
    except ValueError:
        try:
            lines = [json.loads(line) for line in content.splitlines()]
        except ValueError:
            return content[: len(content) // 2]
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            places.append((node, key))
            walk(value)

    for line in lines:
        walk(line)
    if not places:
        return b""
    node, key = draw.choice(places)
    if draw.random() < 0.3 and isinstance(node, dict):
        del node[key]
    else:
        node[key] = draw.choice(VALUES)
    text = json.dumps(lines[0], indent=1) if len(lines) == 1 else "".join(json.dumps(line) + "\n" for line in lines)
    return text.encode()


@contextlib.contextmanager
def instead(path: Path, content: bytes | None) -> Iterator[None]:
    """The file with other content inside; None: a folder in its place."""
    whole = path.read_bytes()
    try:
        if content is None:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(content)
        yield
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(whole)


def asked(reader: Callable[[], Any]) -> Any:
    """What a reader gives, or a string: the one line, or the few, with which it refuses; within seconds."""
    began = time.monotonic()
    try:
        return reader()
    except BadInput as error:
        return str(error)
    finally:
        assert time.monotonic() - began < SECONDS


def command(run: Callable[[list[str]], int], words: list[str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = asked(lambda: run(words))
    assert code in (0, 1, 2), (words, code)
    assert "Traceback" not in err.getvalue()
    return code, out.getvalue()


def cases(folder: Path, names: list[str], each: int, seed: int) -> Iterator[tuple[Path, bytes | None, str]]:
    """(file, its other content, which case) for every file; each once as a folder too."""
    for name in names:
        path, draw = folder / name, random.Random(f"{name}/{seed}")
        whole = path.read_bytes()
        yield path, None, f"{name} as a folder"
        for number in range(each):
            yield path, damaged(whole, draw), f"{name}, damage {number}"


# --- records ----------------------------------------------------------------------------------------------------------

RECORD = [
    "summary.json",
    "config.yaml",
    "metrics.jsonl",
    "predictions.npz",
    "manifest.json",
    "attempts",
    "checkpoints/last.pt",
]


def study_of_four(runs_dir: Path) -> str:
    """Two variants of two seeds, each record with all its files; the id of one."""
    variants = {name: made.config(block__mid_act=name) for name in ("none", "relu")}
    claim = made.C4 | {"id": "own", "contrasts": ["none better than relu"]}
    schema = {"schema": 2, "looks": [2], "strata": None, "stop_when_supported": True, "beside": None}
    for run in made.write_plan(runs_dir, variants, seeds=(0, 1), claim=claim, **schema):
        values = made.config(run["seed"], str(runs_dir), block__mid_act=run["variant"])
        record = Record(runs_dir, run["run_id"])
        (record.path / "checkpoints").mkdir(parents=True)
        torch.save({"step": 3, "network": torch.arange(99.0)}, record.path / "checkpoints" / "last.pt")
        (record.path / "attempts").write_text("1")
        top1 = {"none": 0.8, "relu": 0.75}[run["variant"]] + 0.01 * run["seed"]
        made.write_record(runs_dir, run["run_id"], values, made.summary(run["run_id"], top1))
    plan = made.plan_file(runs_dir)
    plan.write_bytes(read_plan(plan).to_json())
    return made.run_id(made.FIGURE10, "relu", 1)


def frames_of(runs_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return load_runs(runs_dir, allow_partial=True), load_history(runs_dir, allow_partial=True)


def believed(found: tuple[pd.DataFrame, pd.DataFrame], whole: tuple[pd.DataFrame, pd.DataFrame], bad: str) -> None:
    """The frames are those of whole records, but for runs that are left out: named by their status, without any number."""
    runs, history = found
    assert runs["run_id"].tolist() == whole[0]["run_id"].tolist()
    left_out = runs["run_id"].eq(bad) & ~runs["status"].eq("finished")
    for name in whole[0].columns:
        pd.testing.assert_series_equal(runs[name][~left_out], whole[0][name][~left_out])
    assert set(runs.columns) == set(whole[0].columns)
    for row in runs[left_out].to_dict("records"):
        assert row["status"] in ("altered", "interrupted", "missing", "failed")
        assert pd.isna(row["test_ema/top1"])
        assert pd.isna(row["images_per_second"])
    kept = whole[1][~whole[1]["run_id"].isin(runs["run_id"][left_out])].reset_index(drop=True)
    mine = history[~history["run_id"].isin(runs["run_id"][left_out])].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, kept)


def test_a_damaged_record_is_whole_or_left_out(tmp_path: Path, record_property: Numbered) -> None:
    """Frames, verdicts and the status of its study: what the whole records give, without the one that changed."""
    bad = study_of_four(tmp_path)
    whole, count, noticed = frames_of(tmp_path), 0, 0
    (judged,) = board.judge_plans([tmp_path]).judged
    for path, content, case in cases(tmp_path / bad, RECORD, 22, 1):
        with instead(path, content):
            found = asked(lambda: frames_of(tmp_path))
            if isinstance(found, str):
                assert bad in found, case
                noticed += 1
            else:
                believed(found, whole, bad)
                noticed += found[0]["status"].ne("finished").any()
            if count % 12 == 0:
                other = asked(lambda: board.judge_plans([tmp_path]).judged)
                assert isinstance(other, str) or other[0].verdict.n in (1, 2), case
                if not isinstance(other, str) and other[0].verdict.n == 2:
                    assert other[0].verdict.ruling == judged.verdict.ruling, case
                command(lambda words: study_command.main(words), ["status", made.FIGURE10, f"runs_dir={tmp_path}"])
            count += 1
    believed(frames_of(tmp_path), whole, bad)
    assert noticed > 0.8 * (count - 2 * 23)  # what is in attempts and checkpoints is looked at by `verify`
    record_property("count damaged files", count)


def test_nothing_damaged_is_exported_or_verified(tmp_path: Path, record_property: Numbered) -> None:
    """`verify` and `export` read every byte: no damage passes them, whatever its time of change."""
    bad = study_of_four(tmp_path / "runs")
    record, count = Record(tmp_path / "runs", bad), 0
    whole = record.summary()
    stat = {name: (record.path / name).stat() for name in RECORD}
    for path, content, case in cases(record.path, RECORD, 12, 2):
        same = content is not None and content == path.read_bytes()
        with instead(path, content):
            if content is not None:
                times = stat[str(path.relative_to(record.path))]
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            found = asked(lambda: (record.summary(full=True), record.check_results()))
            # of a manifest, a time of change decides nothing
            assert isinstance(found, str) or same or (path.name == "manifest.json" and found[0] == whole), case
            same |= not isinstance(found, str)
            if count % 8 == 0 and not same:
                out = asked(lambda: export(made.FIGURE10, tmp_path / "runs", to=tmp_path / "out", allow_partial=True))
                assert isinstance(out, str) or bad not in json.dumps([p.name for p in out.rglob("*.json")]) or "altered" in "".join(
                    p.read_text() for p in out.rglob(f"{bad}*.json")
                ), case  # fmt: skip
                shutil.rmtree(tmp_path / "out", ignore_errors=True)
        count += 1
    record_property("count damaged files", count)


def test_commands_over_damaged_records_name_them_and_show_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Numbered
) -> None:
    """`list`, `show`, `diff`, `verify`: with a manifest the line of the bad record is as it was, or it is named."""
    monkeypatch.chdir(tmp_path)
    ids = []
    for words in (["block.mid_act=relu"], ["train.lr=0.3"]):
        config = compose(words)
        record = Record("runs", run_id(config, "d" * 16))
        made.write_record(Path("runs"), record.run_id, plain(config), made.summary(record.run_id))
        ids.append(record.run_id)
    bad, good = ids
    count = 0
    for early in (False, True):
        if early:
            made.unseal(Path("runs") / bad)
        _, whole = command(main, ["list"])
        lines = {line.split()[0]: line.split() for line in whole.splitlines()[1:]}
        names = [n for n in RECORD if (Path("runs") / bad / n).is_file()]
        for path, content, case in cases(Path("runs") / bad, names, 7, 3 + early):
            with instead(path, content):
                code, out = command(main, ["list"])
                listed = {line.split()[0]: line.split() for line in out.splitlines() if line[:1] in "0123456789abcdef"}
                assert listed[good][:3] == lines[good][:3], case
                assert code == 2 or bad in listed, case
                if not early and bad in listed and listed[bad][1] == "finished":
                    assert listed[bad][:3] == lines[bad][:3], case
                command(main, (["show", bad], ["diff", bad, good], ["verify"])[count % 3])
            count += 1
    record_property("count damaged files", count)


def test_damaged_early_records_and_plans_end_in_a_line(tmp_path: Path, record_property: Numbered) -> None:
    """Without manifest and checksum a changed digit cannot be told; whatever else is wrong is a line, and never a traceback."""
    made.figure10(tmp_path, seeds=(0, 1))
    bad, count = made.run_id(made.FIGURE10, "relu", 1), 0
    made.unseal(tmp_path / bad)
    plan = made.plan_file(tmp_path)
    files = [*cases(tmp_path / bad, ["summary.json", "config.yaml", "metrics.jsonl", "predictions.npz"], 14, 5),
             *cases(plan.parent, ["plan.json"], 20, 6)]  # fmt: skip
    for path, content, _ in files:
        with instead(path, content):
            asked(lambda: frames_of(tmp_path))
            if count % 6 == 0:
                asked(lambda: board.judge_plans([tmp_path]))
                asked(lambda: Record(tmp_path, bad).check_results())
                command(lambda words: study_command.main(words), ["status", made.FIGURE10, f"runs_dir={tmp_path}"])
        count += 1
    record_property("count damaged files", count)


# --- plans and committed results --------------------------------------------------------------------------------------


def test_a_damaged_plan_is_refused(tmp_path: Path, record_property: Numbered) -> None:
    """Its checksum is of every value: whatever is read is what was frozen."""
    study_of_four(tmp_path)
    path, count = made.plan_file(tmp_path), 0
    whole = read_plan(path)
    for _, content, case in cases(path.parent, ["plan.json"], 60, 7):
        with instead(path, content):
            found = asked(lambda: read_plan(path))
            assert found == whole or "plan.json" in found, case
        count += 1
    record_property("count damaged files", count)


def test_damaged_committed_results_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Numbered
) -> None:
    monkeypatch.chdir(tmp_path)
    study_of_four(Path("runs"))
    out = export(made.FIGURE10)
    whole, count = frames_of(out), 0
    files = sorted(str(p.relative_to(out)) for p in [out / "plan.json", out / "export.json", *out.glob("runs/*")])
    for path, content, case in cases(out, files[:2] + files[2:5], 14, 8):
        with instead(path, content):
            found = asked(lambda: frames_of(out))
            if not isinstance(found, str):
                pd.testing.assert_frame_equal(found[0], whole[0], obj=case)
                pd.testing.assert_frame_equal(found[1], whole[1], obj=case)
        count += 1
    record_property("count damaged files", count)


# --- caches -----------------------------------------------------------------------------------------------------------


def test_damaged_caches_give_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Numbered
) -> None:
    """Decoded images, encoded images and remembered digests: made again, or refused once and made again."""
    monkeypatch.setenv("SEPCONV_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_SETTLED_SECONDS", -1.0)
    for split in ("train", "test"):
        images = [picture(i, (70, 70)) for i in range(10)]
        write_parquet(tmp_path / "hub" / f"{split}.parquet", images, [i % 2 for i in range(10)])
    hub = ["data=hub", f"data.path='{tmp_path}/hub'"]
    small, large = (compose([*hub, f"data.image_size={side}"]).data for side in (16, 70))

    def pixels(config: Any) -> list[Any]:
        cache._verified.clear()
        loaded = data.load(config)
        split = loaded.test
        return [loaded.digest, loaded.content, *(batch.numpy().copy() for batch in split.read([torch.arange(10)]))]

    count = 0
    for config, folders in ((small, ("images", "digests")), (large, ("encoded", "digests"))):
        whole = pixels(config)
        for folder in folders:
            kept = [
                p
                for p in (tmp_path / "cache" / folder).rglob("*")
                if p.name == "test.npy" or p.suffix in (".bin", ".json")
            ]
            path = kept[0]
            for _, content, case in cases(path.parent, [path.name], 24, 9):
                if content is None:
                    continue
                path.write_bytes(content)
                found = asked(lambda config=config: pixels(config))
                if isinstance(found, str):
                    assert "damaged in the cache and is removed" in found, case
                    found = pixels(config)
                assert found[:2] == whole[:2], case
                assert np.array_equal(found[2], whole[2]), case
                count += 1
    record_property("count damaged files", count)
