"""A record tells the truth: whole files, one owner, nothing overwritten."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sepconv_lab.config import BadInput
from sepconv_lab.disk import write_atomically
from sepconv_lab.record.record import Busy, Record, records

ID = "0123456789abcdef"


def test_events_survive_one_by_one_and_a_cut_line_is_no_event(tmp_path: Path) -> None:
    """Each event is on disk when log() returns; what a kill cut short is left out when reading."""
    record = Record(tmp_path, ID)
    record.begin({"seed": 0})
    record.log({"step": 1, "train/loss": 2.5})
    record.log({"step": 2, "train/loss": 2.0})
    record.close()
    assert [e["step"] for e in Record(tmp_path, ID).events()] == [1, 2]
    with open(record.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 3, "tra')
    assert [e["step"] for e in Record(tmp_path, ID).events()] == [1, 2]


def test_a_resumed_run_cuts_what_will_come_again(tmp_path: Path) -> None:
    """Events after the checkpoint are dropped, to the byte."""
    record = Record(tmp_path, ID)
    record.begin({})
    record.log({"step": 1})
    size = record.metrics_size()
    record.log({"step": 2})
    record.close()
    record.cut_metrics(size)
    assert [e["step"] for e in record.events()] == [1]


def test_status_tells_running_from_interrupted(tmp_path: Path) -> None:
    """Without a summary a record is running while somebody holds its lock, else interrupted; the summary has the last word."""
    record = Record(tmp_path, ID)
    assert record.status() == "missing"
    with record.owned():
        record.begin({})
        assert Record(tmp_path, ID).status() == "running"
    assert record.status() == "interrupted"
    record.finish({"status": "finished"})
    assert record.status() == "finished"


def test_a_file_system_without_locks_is_refused_and_not_taken_for_a_busy_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster's file system may be mounted without them: that is no other process at work."""
    record = Record(tmp_path, ID)
    with record.owned():
        record.begin({})

    def lockf(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.lockf", lockf)
    assert record.status() == "interrupted"
    with pytest.raises(BadInput, match="no locks on this file system"), record.owned():
        pass


def test_one_process_owns_a_record_and_a_dead_one_does_not(tmp_path: Path) -> None:
    """A second owner is refused, in this process and in another; after SIGKILL the record is free."""
    code = (
        "import sys, time; from sepconv_lab.record.record import Record\n"
        f"with Record({str(tmp_path)!r}, {ID!r}).owned(): print('owned', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "owned\n"
        record = Record(tmp_path, ID)
        with pytest.raises(Busy), record.owned():
            pass
        owner.kill()
    with record.owned():
        with pytest.raises(Busy), Record(tmp_path, ID).owned():
            pass
        assert record.is_locked()
    assert not record.is_locked()


def test_archiving_never_overwrites(tmp_path: Path) -> None:
    """Two archived records of one id stand side by side."""
    for _ in range(2):
        record = Record(tmp_path, ID)
        record.begin({})
        record.finish({"status": "finished"})
        record.archive()
    assert sorted(p.name for p in (tmp_path / "archive").iterdir()) == [f"{ID}-1", f"{ID}-2"]
    assert list(records(tmp_path)) == []


def test_writing_aside_leaves_the_old_file_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure before the rename leaves the old content."""
    path = tmp_path / "f"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_an_unwritable_runs_dir_is_bad_input(tmp_path: Path) -> None:
    """A file where the folder should be: one message, no traceback."""
    (tmp_path / "runs").write_text("")
    with pytest.raises(BadInput, match="is not writable"), Record(tmp_path / "runs", ID).owned():
        pass


def test_the_summary_is_json_with_its_schema(tmp_path: Path) -> None:
    """Readers of other versions can tell what they read."""
    record = Record(tmp_path, ID)
    record.begin({})
    record.finish({"status": "failed", "error": "x"})
    assert json.loads((record.path / "summary.json").read_text())["schema"] == 1
