"""Files that somebody else may have written, read with bounds: size, depth, aliases, and what is no file at all.

Readers of records, plans, results and studies go through here. What is wrong is a `Malformed` (a ValueError) with the reason
alone, or an OSError; the caller knows the name of what it reads.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

DEPTH = 64
"""Levels of nesting; a plan has seven."""
VALUES = 200_000
"""Values of a YAML file once its aliases are written out; a study has some hundreds."""
SMALL, LARGE, EVENTS = 4 * 2**20, 256 * 2**20, 2**30
"""Bytes of what a person writes or one run sums up in; of what holds something for each run; of a run's events."""


class Malformed(ValueError):
    """Content that is not what it should be, or more than is read."""


def read_bytes(path: str | Path, most: int = SMALL) -> bytes:
    """The bytes of a regular file of at most `most`. Raises OSError, of a folder or a pipe too, and Malformed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for its writer
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        data = file.read(most + 1)
    if len(data) > most:
        raise Malformed(f"larger than {most / 2**20:,.0f} MiB")
    return data


def read_text(path: str | Path, most: int = SMALL) -> str:
    """The text of a file, undecodable bytes replaced. Raises as `read_bytes`."""
    return read_bytes(path, most).decode("utf-8", "replace")


def parse_json(data: bytes | str) -> Any:
    """What `json.loads` gives, of UTF-8 nested at most `DEPTH` deep and without halves of characters. Raises Malformed."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        value = json.loads(text)
    except RecursionError as error:
        raise Malformed("nested too deeply") from error
    except ValueError as error:
        raise Malformed(" ".join(str(error).split())) from error
    if text.count("[") + text.count("{") > DEPTH:
        _check_depth(value)
    if "\\ud" in text.lower():
        _check_text(json.dumps(value, ensure_ascii=False))
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH + 1):
        level = [
            inner for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, (dict, list))
        ] if level else []  # fmt: skip
        if not level:
            return
    raise Malformed("nested too deeply")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"{text[error.start]!r} is no character") from error


FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader of plain values; in C where there is one, which is ten times faster."""


def parse_yaml(data: bytes | str, loader: Any = FAST) -> Any:
    """One YAML document of plain values, nested at most `DEPTH` deep, at most `VALUES` of them, aliases counted at what they
    stand for. Raises Malformed."""
    try:
        text = data if isinstance(data, str) else _decoded(data)
        _check_yaml(text)
        value = yaml.load(text, Loader=loader)
        if "\\u" in text.lower() or "\\U" in text:
            _check_text(json.dumps(value, ensure_ascii=False, default=str))
    except yaml.YAMLError as error:
        raise Malformed(" ".join(str(error).split())) from error
    except Malformed:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        # a date of month 13, `!!bool maybe`, `!!timestamp x`, a list as a key: PyYAML lets its own errors through
        raise Malformed(f"a value that is none ({type(error).__name__}: {' '.join(str(error).split())})") from error
    return value


def _decoded(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise Malformed(f"not text in {encoding.removesuffix('-sig').upper()}: {error.reason}") from error
    raise AssertionError


def _check_yaml(text: str) -> None:
    """Walk over the events of a document, which nests on no stack, before anything is built of it."""
    flat = text.count("[") + text.count("{") < DEPTH // 2 and not re.search(r"[&*?]|-\s+-", text)
    if flat and not any(line.startswith(" " * (DEPTH // 2)) for line in text.split("\n")):
        return  # two dozen levels at most, by its brackets and its indentation
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    count = 0
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            count += 1
            open_.append((event.anchor, count))
            if len(open_) > DEPTH:
                raise Malformed("nested too deeply")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = count - before + 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise Malformed(f"*{event.anchor} stands for nothing that is complete there")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if count > VALUES:
            raise Malformed(f"more than {VALUES:,} values, aliases written out")
