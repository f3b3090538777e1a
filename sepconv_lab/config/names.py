"""Names that somebody else may have chosen, before they become a part of a path."""

from __future__ import annotations

import re

from .fields import BadInput


def path_part(name: object, what: str) -> str:
    """The name, where it is one part of a path and nothing more. Raises BadInput, naming what it is the name of.

    Refused are separators of any system, `..`, hidden files, control characters, and what no file system takes.
    """
    if not isinstance(name, str) or not name or name != name.strip():
        raise BadInput(f"{what} {name!r} is not a name")
    if (
        any(c in "/\\:\0" or not c.isprintable() for c in name)
        or name.startswith((".", "-", "~"))
        or len(name.encode()) > 200
    ):
        raise BadInput(f"{what} {name[:80]!r} cannot be the name of a folder or file: no / \\ : or control characters in it, "
                       "no . - ~ before it, at most 200 bytes")  # fmt: skip
    return name


def run_name(name: object, what: str) -> str:
    """A run id, which also stands in patterns of file names: letters, digits, _ and - alone. Raises BadInput."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w-]{0,199}", name, re.ASCII):
        raise BadInput(f"{what} {str(name)[:80]!r} is not the id of a run")
    return name
