"""For tests alone: a process that kills itself at a named point, so that crash safety is proven point by point.

`SEPCONV_KILL_AT=checkpoint.between:2` sends SIGKILL at the second passage of that point. Unset, a point costs one look-up.
"""

from __future__ import annotations

import os
import signal

_passed: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Die here, as by `kill -9`, if the environment asks for it."""
    wanted = os.environ.get("SEPCONV_KILL_AT")
    if wanted:
        _passed[name] = _passed.get(name, 0) + 1
        if wanted == f"{name}:{_passed[name]}":
            os.kill(os.getpid(), signal.SIGKILL)
