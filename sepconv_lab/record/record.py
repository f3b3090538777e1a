"""The record of a run on disk: written so that a kill, a full disk or a second process cannot make it lie.

`<runs_dir>/<run id>/` holds config.yaml, metrics.jsonl, checkpoints/, predictions.npz, manifest.json and, last, summary.json.
A record without a summary is unfinished: running if its lock is held, else to be resumed. Reading needs no torch.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..config import BadInput, bounded
from ..disk import crash_point, write_atomically
from . import manifest
from .manifest import Altered

SCHEMA = 1
"""Of the files of a record; readers refuse what they do not know."""

PARTS = ("config.yaml", "summary.json", "metrics.jsonl", "manifest.json")
"""A folder with any of them is a record, be it one that lost the others."""

RESERVE = 64 * 1024
TAKEN = (errno.EACCES, errno.EAGAIN)
"""What locking fails with when somebody else holds the lock."""
_held: set[str] = set()


class Busy(RuntimeError):
    """Another process owns the record."""


class Record:
    """One run's folder. Reading is free to all; writing needs `owned()`."""

    def __init__(self, runs_dir: str | Path, run_id: str):
        self.runs_dir, self.run_id = Path(runs_dir).expanduser(), run_id
        self.path = self.runs_dir / run_id
        self._metrics: Any = None
        self._identity: Mapping[str, Any] | None = None

    # --- reading ---

    def summary(self, *, full: bool = False) -> dict[str, Any] | None:
        """The summary, or None for a run that has not ended.

        full: compare every byte of the record with its manifest, not sizes and times alone; see `manifest.check`.
        Raises Altered for a record that changed since its run ended, and BadInput for a damaged one without a manifest.
        """
        try:
            data = bounded.read_bytes(self.path / "summary.json")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._damaged("summary.json", error.strerror) from error
        except bounded.Malformed as error:
            raise self._damaged("summary.json", error) from error
        try:
            summary: Any = bounded.parse_json(data)
        except ValueError as error:
            raise self._damaged("summary.json", error) from error
        if not isinstance(summary, dict) or not isinstance(summary.get("status"), str):
            raise self._damaged("summary.json", "not the summary of a run")
        if not isinstance(summary.get("metrics", {}), dict) or not isinstance(summary.get("params", {}), dict):
            raise self._damaged("summary.json", "metrics and params are tables")
        self._compare(summary, data, full)
        return summary

    def _compare(self, summary: Mapping[str, Any], data: bytes, full: bool) -> None:
        """Raises Altered where the record has a manifest and does not agree with it."""
        if manifest.MARK not in summary and not self.has_manifest():
            return  # written before there were manifests
        if summary["status"] in manifest.SEALED or self.has_manifest():
            try:
                manifest.check(self.path, self.run_id, data, full=full)
                if full and (identity := self.identity()) is not None:
                    differ = manifest.disagreements(identity, self.config())
                    if differ:
                        raise Altered(f"{self.path}: altered since its run ended: {'; '.join(differ)}")
            except Altered as error:
                raise Altered(f"{error}; `python -m sepconv_lab.runs archive` puts the record aside") from error

    def identity(self) -> Mapping[str, Any] | None:
        """What the run id hashes, as the run wrote it down; None for a record without a manifest."""
        found = manifest.read(self.path)
        return None if found is None else found.identity

    def check_results(self) -> None:
        """Raises Altered where predictions or events of a finished run contradict the metrics of its summary."""
        from . import predictions

        summary = self.summary()
        if summary is None or summary["status"] != "finished":
            return
        metrics = summary.get("metrics") or {}
        tested = any(k.startswith("test") for k in metrics)  # tuning runs are not
        needed = (self.has_manifest() and tested) or (
            self.path / predictions.NAME
        ).exists()  # early records may have none
        try:
            differ = predictions.contradicted(metrics, self.events())
            if needed:
                differ += predictions.disagreements(self.path, metrics)
        except BadInput as error:
            raise Altered(str(error)) from error
        if differ:
            raise Altered(f"{self.path}: altered since its run ended: {'; '.join(differ)}")

    def has_manifest(self) -> bool:
        return os.path.exists(self.path / manifest.NAME)

    def _damaged(self, name: str, why: object) -> BadInput:
        words = " ".join(str(why).split())
        kind = Altered if self.has_manifest() else BadInput  # a run never leaves a manifest beside a damaged file
        return kind(
            f"{self.path}: {name} is damaged ({words}); `python -m sepconv_lab.runs archive` puts the record aside"
        )

    def config(self) -> dict[str, Any]:
        """The resolved configuration as plain values; `config.structured.from_record` makes a RunConfig of it. Raises BadInput."""
        try:
            config: Any = bounded.parse_yaml(bounded.read_bytes(self.path / "config.yaml"))
        except OSError as error:
            raise self._damaged("config.yaml", error.strerror) from error
        except bounded.Malformed as error:
            raise self._damaged("config.yaml", error) from error
        if not isinstance(config, dict) or not {"model", "data", "train"} <= config.keys():
            raise self._damaged("config.yaml", "not the configuration of a run")
        return config

    def events(self) -> list[dict[str, Any]]:
        """The metric events in order; a last line that a kill has cut short is left out. Raises BadInput for a damaged one."""
        try:
            lines = bounded.read_bytes(self.path / "metrics.jsonl", bounded.EVENTS).split(b"\n")
        except FileNotFoundError:
            return []
        except (OSError, bounded.Malformed) as error:
            raise self._damaged("metrics.jsonl", getattr(error, "strerror", error)) from error
        # What ends in a newline is whole; what follows the last newline is not an event yet.
        try:
            events = [bounded.parse_json(line) for line in lines[:-1]]
        except bounded.Malformed as error:
            raise self._damaged("metrics.jsonl", error) from error
        if not all(isinstance(event, dict) for event in events):
            raise self._damaged("metrics.jsonl", "a line that is no event")
        return events

    def status(self) -> str:
        """finished, failed, diverged, interrupted (a kill leaves this too), running, or missing."""
        summary = self.summary()
        if summary:
            return str(summary["status"])
        if not self.path.is_dir():
            return "missing"
        return "running" if self.is_locked() else "interrupted"

    # --- owning ---

    @property
    def _lock_path(self) -> Path:
        # Outside the record, which may be archived or copied while the lock stays where it is.
        return self.runs_dir / ".locks" / self.run_id

    @property
    def _lock_key(self) -> str:
        return str(self._lock_path.resolve())  # one record has one key, however its runs_dir is spelled

    def is_locked(self) -> bool:
        if self._lock_key in _held:
            return True
        file: Any
        try:
            try:
                file, kind = open(self._lock_path, "r+b"), fcntl.LOCK_EX  # noqa: SIM115  closed below
            except PermissionError:  # somebody else's record: reading is enough to ask
                file, kind = open(self._lock_path, "rb"), fcntl.LOCK_SH  # noqa: SIM115  closed below
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return False
        with file:
            try:
                fcntl.lockf(file, kind | fcntl.LOCK_NB)
            except OSError as error:
                return error.errno in TAKEN
        return False

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Own the record while inside; the kernel frees the lock when the owner dies. Raises Busy, or BadInput."""
        key = self._lock_key
        if key in _held:  # lockf does not keep a process from locking twice
            raise Busy(self.run_id)
        try:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            file = open(self._lock_path, "a+b")  # noqa: SIM115  closing would release the lock
        except OSError as error:
            raise BadInput(f"runs_dir={self.runs_dir} is not writable: {error.strerror}") from error
        with file:
            for patience in range(10, -1, -1):
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in TAKEN:
                        raise BadInput(f"runs_dir={self.runs_dir}: no locks on this file system ({error.strerror}), which keep two "
                                       "processes from one record; choose another, or mount it with them") from error  # fmt: skip
                    if not patience:
                        raise Busy(self.run_id) from error
                    time.sleep(0.02)  # somebody who only asks `is_locked` holds it for a moment
            _held.add(key)
            try:
                yield
            finally:
                _held.discard(key)

    # --- writing ---

    def check_writable(self) -> None:
        """Raises BadInput where the record could not be written; writes nothing."""
        try:
            there = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        except OSError as error:
            raise BadInput(f"runs_dir={self.runs_dir} is not writable: {error.strerror}") from error
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise BadInput(
                f"runs_dir={self.runs_dir} is not writable: {there} is {'read-only' if there.is_dir() else 'a file'}"
            )

    def begin(self, config: dict[str, Any], identity: Mapping[str, Any] | None = None) -> None:
        """Create the folder, or take up an unfinished one. identity: what the run id hashes, for the manifest."""
        self._identity = identity
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "summary.json").unlink(missing_ok=True)
        (self.path / manifest.NAME).unlink(missing_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(config, sort_keys=False).encode())
        # Room for the summary on a disk that fills up meanwhile.
        write_atomically(self.path / ".reserve", bytes(RESERVE))

    def archive(self) -> Path:
        """Move the record aside, never overwriting anything."""
        for number in range(1, 10_000):
            target = self.runs_dir / "archive" / f"{self.run_id}-{number}"
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                os.rename(self.path, target)
                return target
        raise BadInput(f"{self.runs_dir / 'archive'}: too many archived records of {self.run_id}")

    def cut_metrics(self, size: int) -> None:
        """Drop the events after a checkpoint; they will come again."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            os.truncate(path, size)

    def metrics_size(self) -> int:
        """Bytes of events so far, all of them on the disk."""
        if self._metrics is not None:
            os.fsync(self._metrics.fileno())  # a checkpoint must never know of events that a power cut takes away
        path = self.path / "metrics.jsonl"
        return path.stat().st_size if path.exists() else 0

    def log(self, event: dict[str, Any]) -> None:
        """Append one event, in one write that survives the death of this process."""
        if self._metrics is None:
            self._metrics = open(self.path / "metrics.jsonl", "ab", buffering=0)  # noqa: SIM115  open for the run
        line = json.dumps(event, allow_nan=False).encode() + b"\n"
        if self._metrics.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path / "metrics.jsonl"))

    def close(self) -> None:
        if self._metrics is not None:
            os.fsync(self._metrics.fileno())
            self._metrics.close()
            self._metrics = None

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the manifest of a run that ended for good, and the summary, the last act of every run."""
        with contextlib.suppress(OSError):
            self.close()
        crash_point("summary.before")
        (self.path / ".reserve").unlink(missing_ok=True)
        full = {"schema": SCHEMA, "ended": time.time(), **summary}
        full[manifest.MARK] = manifest.SCHEMA if summary["status"] in manifest.SEALED else None
        text = json.dumps(full, indent=1, default=str).encode()
        if full[manifest.MARK] is not None:
            manifest.seal(self.path, self._identity, text)
        write_atomically(self.path / "summary.json", text)


def records(runs_dir: str | Path) -> Iterator[Record]:
    """Every record in a runs_dir, by run id."""
    root = Path(runs_dir)
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder of records")
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        if entry.is_dir() and len(entry.name) == 16 and any(os.path.exists(f"{entry.path}/{name}") for name in PARTS):
            yield Record(root, entry.name)
