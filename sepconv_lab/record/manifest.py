"""The manifest of an ended run: what its files were when it ended, so that every reader notices what changed since.

`manifest.json` holds, for each file of the record (W&B's folder aside), its size, time of change and sha-256, and the identity
that the run id hashes. It is written before the summary, and vouches for it too. It is no signature: who rewrites a record
and its manifest consistently is not noticed here, but by the predictions, the plan, or doing the run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import BadInput, bounded
from ..config.identity import hashed
from ..disk import write_atomically

NAME = "manifest.json"
SCHEMA = 1
SEALED = ("finished", "diverged")
"""Ends after which a record never changes. A failed or interrupted run goes on in the same folder."""
MARK = "manifest"
"""The key of a summary that says which schema of manifest stands beside it."""
FILES = re.compile(r"(checkpoints/)?[A-Za-z_]+(\.[a-z]+)?")
"""The names of a record's files; a manifest is not followed out of its folder."""
ELSEWHERE = ("recipe", "data", "weights", "imports")
"""Names of an identity that are no setting."""


class Altered(BadInput):
    """A record that is not what it was when its run ended."""


def seal(folder: Path, identity: Mapping[str, Any] | None, summary: bytes) -> None:
    """Write the manifest of a record whose summary will be these bytes."""
    files = {str(path.relative_to(folder)): _entry(path) for path in sealed_files(folder)}
    files["summary.json"] = [len(summary), None, hashlib.sha256(summary).hexdigest()]
    found = {"schema": SCHEMA, "identity": identity, "files": files}
    write_atomically(folder / NAME, json.dumps(found, indent=1).encode() + b"\n")


def sealed_files(folder: Path) -> Iterator[Path]:
    """The files that a run leaves, besides its summary and manifest: what it writes later, such as pictures, is not among them."""
    for name in ("attempts", "config.yaml", "metrics.jsonl", "predictions.npz"):
        if (folder / name).exists():
            yield folder / name
    yield from sorted((folder / "checkpoints").glob("*.pt"))


def _entry(path: Path) -> list[Any]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, _sha256(path)]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Manifest:
    """A manifest as read."""

    identity: Mapping[str, Any] | None
    files: Mapping[str, tuple[int, int | None, str]]
    """Name -> bytes, time of change in ns (None: not known), sha-256."""


def read(folder: Path) -> Manifest | None:
    """The manifest of a record; None where there is none. Raises Altered for a damaged one."""
    try:
        found = bounded.parse_json(bounded.read_bytes(folder / NAME))
        if found["schema"] != SCHEMA:
            raise Altered(f"{folder}: {NAME} has schema {found['schema']}; this version reads {SCHEMA}")
        files = {name: (size, time, digest) for name, (size, time, digest) in found["files"].items()}
        if not all(FILES.fullmatch(name) and type(size) is int for name, (size, _, _) in files.items()):
            raise ValueError("not the files of a record")
        if not isinstance(found["identity"], (dict, type(None))):
            raise ValueError("identity")
        return Manifest(found["identity"], files)
    except FileNotFoundError:
        return None
    except Altered:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Altered(f"{folder}: {NAME} is damaged ({type(error).__name__})") from error


def check(folder: Path, run_id: str, summary: bytes, *, full: bool = False) -> None:
    """Raises Altered, naming the files, where a record that has a manifest does not agree with it.

    summary: the bytes of summary.json. A file of the same size and time of change is taken for the same; one of another time,
    as in a copy, is read. full: read every file, and compare the configuration with the identity in the run id.
    """
    manifest = read(folder)
    if manifest is None:
        raise Altered(f"{folder}: {NAME} is missing, which its run wrote: the record was altered")
    changed = [f"{name} ({why})" for name, why in _changed(folder, manifest, summary, full)]
    if manifest.identity is not None and hashed(manifest.identity) != run_id.partition("-")[0]:
        changed.append("the identity in its manifest (not that of its run id)")
    if changed:
        raise Altered(f"{folder}: altered since its run ended: {', '.join(changed)}")


def _changed(folder: Path, manifest: Manifest, summary: bytes, full: bool) -> Iterator[tuple[str, str]]:
    for name, (size, time, digest) in manifest.files.items():
        if name == "summary.json":
            if len(summary) != size or hashlib.sha256(summary).hexdigest() != digest:
                yield name, "changed"
            continue
        try:
            stat = os.stat(folder / name)
            if stat.st_size != size:
                yield name, f"{stat.st_size:,} bytes instead of {size:,}"
                continue
            doubtful = full or (stat.st_mtime_ns != time and not name.startswith("checkpoints/"))
            if doubtful and _sha256(folder / name) != digest:
                yield name, "changed"
        except FileNotFoundError:
            yield name, "missing"
        except OSError as error:
            yield name, str(error.strerror)
    for path in sealed_files(folder):
        if (name := str(path.relative_to(folder))) not in manifest.files:
            yield name, "not there when the run ended"


def disagreements(identity: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Settings that a run's identity has otherwise than its config.yaml, as `name: config.yaml has x, the run id y`."""
    found = []
    for name, value in identity.items():
        if name not in ELSEWHERE:
            group, _, key = name.rpartition(".")
            node = config.get(group) if group else config
            have = node.get(key, "nothing") if isinstance(node, Mapping) else "nothing"
            if have != value:
                found.append(f"{name}: config.yaml has {have}, the run id {value}")
    return found
