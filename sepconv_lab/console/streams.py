"""Standard streams that cannot fail: output that nobody can read any more is lost, and the work goes on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO


class Lossy:
    """A text stream that is given up at its first error: a closed pipe or file, a full disk, a terminal that is gone."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            self._give_up()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        """Send what is buffered and what follows to nowhere, as the interpreter's last flush would fail too."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lossy() -> Iterator[None]:
    """While inside, nothing written to stdout or stderr raises; what the terminal has no characters for is spelled out."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # else a record's file would get the number of a stream that was closed, and what is written there
    os.close(descriptor)
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:
        for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
            if stream is None or getattr(stream, "closed", False):
                stream = opened.enter_context(open(os.devnull, "w"))
            if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
            if not isinstance(stream, Lossy):
                setattr(sys, name, Lossy(stream))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def exit_with(main: Callable[[], int]) -> None:
    """End the process with what a command's `main` returns; its output is never a reason to fail."""
    with lossy():
        try:
            code = main()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    sys.exit(code)
