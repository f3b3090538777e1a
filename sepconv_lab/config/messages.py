"""Words for what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """'what: unknown. Allowed: ... Did you mean ...?'; a long list is left to the command that prints it."""
    known = list(known)
    listed = (
        f"Allowed: {', '.join(known)}." if len(known) <= 30 else "`python -m sepconv_lab.models` lists every setting."
    )
    return f"{what}: unknown. {listed}{did_you_mean(word, known)}"


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """ " Did you mean ...?" for a near miss or the beginning of a word, else nothing."""
    word, names = str(word), [str(k) for k in known]
    close = difflib.get_close_matches(word, names, n=1) or [k for k in names if word and k.startswith(word)]
    return f" Did you mean {close[0]}?" if close else ""


def first_line(error: object) -> str:
    """The first line of an error or a text: of an error without words its type, of nothing the empty text."""
    text = str(error or "").strip() or (type(error).__name__ if isinstance(error, BaseException) else "")
    return text.splitlines()[0] if text else ""
