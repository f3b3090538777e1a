"""Names that somebody else may have chosen, before they become a part of a path."""

from __future__ import annotations

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
