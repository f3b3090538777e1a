"""Words for what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """'what: unknown. Allowed: ... Did you mean ...?'; a long list is left to the command that prints it."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    listed = (
        f"Allowed: {', '.join(known)}." if len(known) <= 30 else "`python -m sepconv_lab.models` lists every setting."
    )
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{what}: unknown. {listed}{hint}"


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
