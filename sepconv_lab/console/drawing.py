"""How our commands use matplotlib: into files, in our style, whatever the machine has set up for other work."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def into_files() -> None:
    """Before matplotlib is imported: a command draws into files and needs no window system. A notebook keeps its own backend."""
    if "matplotlib" not in sys.modules:
        os.environ["MPLBACKEND"] = "agg"  # an unknown one would end the import


@contextmanager
def styled(settings: Mapping[str, Any]) -> Iterator[None]:
    """matplotlib's defaults and these settings on top, not those of a matplotlibrc; what was set before comes back."""
    import matplotlib.style

    with matplotlib.style.context(["default", {"text.usetex": False, **settings}]):
        yield
