"""Lines for the person at the terminal."""

from __future__ import annotations

import os
import sys
import traceback


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def refuse(error: Exception) -> int:
    """Print what is wrong with the input and return exit code 2; HYDRA_FULL_ERROR=1 shows the traceback."""
    if os.environ.get("HYDRA_FULL_ERROR"):
        traceback.print_exception(error)
    print(str(error), file=sys.stderr, flush=True)
    return 2
