"""All records of a runs_dir at once: each file read once, each distinct text of a configuration parsed once.

What ended runs say is kept in the user's cache, under the sizes and times of their files. It is only a cache: without it, or
where a file has another size or time, the record is read. It never lies in the runs_dir, whose files may be anybody's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import BadInput, bounded
from ..config.fields import dotted
from ..disk import replacing
from .manifest import MARK, SEALED
from .record import SCHEMA, Record, records

VERSION = 1
KEPT = ("schema", "status", "run_id", "metrics", "error", "wall_time", MARK)
"""Of a summary, what lists and states show."""
LARGEST = 2**30
LINE = re.compile(r"(  )?([A-Za-z_][A-Za-z0-9_]*):(?: (.+))?")


@dataclass(frozen=True)
class Entry:
    """What is known of an ended run."""

    summary: dict[str, Any]
    """`KEPT` of it at least."""
    config: dict[str, Any]
    """The content of config.yaml."""
    columns: dict[str, Any]
    """The same by dotted names."""


class Index:
    """Reads ended records whose manifest vouches for them; of others it gives nothing, and they are to be read as always."""

    def __init__(self, runs_dir: str | Path, cache: Path | None = None):
        """cache: folder of the remembered; None remembers nothing."""
        self.runs_dir = Path(runs_dir).expanduser()
        where = hashlib.sha256(os.fsencode(self.runs_dir.absolute())).hexdigest()[:40]
        self._path = cache / "records" / f"{where}.json" if cache else None
        self._known: dict[str, list[Any]] = {}
        self._groups: list[dict[str, Any]] = []
        self._scalars: dict[str, Any] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            found = json.loads(bounded.read_bytes(self._path, LARGEST)) if self._path else {"version": None}
            if found["version"] == VERSION:
                self._known, self._groups = dict(found["records"]), list(found["groups"])
        self._numbers = {json.dumps(group): i for i, group in enumerate(self._groups)}
        self._dotted: dict[tuple[str, int], dict[str, Any]] = {}

    def read(self, record: Record) -> Entry | None:
        """An ended run with a manifest, else None. Raises Altered, or BadInput for a damaged record or one of another version."""
        stamp = _stamp(record.path)
        known = self._known.get(record.run_id)
        if known is None or known[0] != stamp:
            summary = record.summary()
            if summary is None or summary["status"] not in SEALED or MARK not in summary:
                return None
            if summary.get("schema") != SCHEMA or summary.get("run_id") != record.run_id:
                return None  # said by whoever loads it
            config = self._config(record)
            kept = {k: summary[k] for k in KEPT if k in summary}
            settings = {k: {"group": self._number(v)} if isinstance(v, dict) else v for k, v in config.items()}
            known = self._known[record.run_id] = [stamp, kept, settings]
            self._changed = True
        _, summary, settings = known
        config, columns = {}, {}
        for name, value in settings.items():
            if isinstance(value, dict):
                config[name] = self._groups[value["group"]]
                columns |= self._columns(name, value["group"])
            else:
                config[name] = columns[name] = value
        return Entry(summary, config, columns)

    def _number(self, values: dict[str, Any]) -> int:
        """Equal groups of settings are kept once, under a number."""
        number = self._numbers.setdefault(json.dumps(values, default=str), len(self._groups))
        if number == len(self._groups):
            self._groups.append(values)
        return number

    def _columns(self, name: str, number: int) -> dict[str, Any]:
        if (name, number) not in self._dotted:
            self._dotted[name, number] = dotted(self._groups[number], f"{name}.")
        return self._dotted[name, number]

    def _config(self, record: Record) -> dict[str, Any]:
        """config.yaml as a run writes it, line by line, each distinct value parsed once; else as a whole."""
        with contextlib.suppress(ValueError, OSError):
            out: dict[str, Any] = {}
            group = out
            for line in bounded.read_text(record.path / "config.yaml").split("\n")[:-1]:
                found = LINE.fullmatch(line)
                if found is None:
                    raise ValueError(line)
                inner, key, text = found.groups()
                if text is None and not inner:
                    group = out[key] = {}
                elif text is None:
                    raise ValueError(line)
                else:
                    (group if inner else out)[key] = self._scalar(text)
                    group = group if inner else out
            return out
        return record.config()

    def _scalar(self, text: str) -> Any:
        if text not in self._scalars:
            if text[0] in "|>&*!%@`?-" and not re.fullmatch(r"-?[\d.].*", text):
                raise ValueError(text)
            value = bounded.parse_yaml(text)
            if isinstance(value, (dict, list)) and value:
                raise ValueError(text)
            self._scalars[text] = value
        return self._scalars[text]

    def save(self) -> None:
        """Remember what was read; without a writable cache nothing is."""
        if self._path is None or not self._changed:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path, shared=True) as file:
                text = json.dumps({"version": VERSION, "records": self._known, "groups": self._groups}, default=str)
                file.write(text.encode())


def _stamp(folder: Path) -> str:
    """Name, size and time of change of every file that a run leaves."""
    found = []
    for place in (str(folder), f"{folder}/checkpoints"):
        with contextlib.suppress(OSError):
            for entry in sorted(os.scandir(place), key=lambda e: e.name):
                if entry.is_file() and not entry.name.endswith((".png", ".lock")):
                    stat = entry.stat()
                    found.append(f"{entry.name}:{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(found)


def every(runs_dir: str | Path, cache: Path | None) -> Iterator[tuple[Record, Entry | BadInput | None]]:
    """Each record of a runs_dir with what `Index.read` gives or raises."""
    index = Index(runs_dir, cache)
    for record in records(runs_dir):
        try:
            yield record, index.read(record)
        except BadInput as error:
            yield record, error
    index.save()
