"""What several tests need: a small run, and the command line as a user types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sepconv_lab.console.progress import Progress

SMALL = ["data.num_classes=5", "data.images_per_class=24", "data.eval_images_per_class=8", "model.width=0.25",
         "train.batch_size=16", "train.log_every=1", "train.threads=1"]  # fmt: skip
"""A run of a second or so: five classes, a quarter of the width, six steps an epoch."""


def environment(**more: str) -> dict[str, str]:
    """This process's, without the W&B service that it may have started: what a child of it logs there is lost."""
    return {k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"} | more


def cli(*words: str, cwd: Path, module: str = "run", **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m sepconv_lab.<module> words...` in a folder, with W&B offline and the environment of this process."""
    command = [sys.executable, "-m", f"sepconv_lab.{module}", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment(**env), check=False)


def deterministic(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events without what time and load decide."""
    return [{k: v for k, v in e.items() if k != "time" and not k.startswith("perf/")} for e in events]


def layered(base: list[str], *more: str) -> list[str]:
    """A base of overrides without those that `more` sets anew, and `more`: no key is typed twice."""
    keys = {word.split("=")[0] for word in more}
    return [*(word for word in base if word.split("=")[0] not in keys), *more]


def interrupted_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The next run is told to stop after so many steps, as `kill` does."""
    real = Progress.stepped

    def stepped(self: Progress) -> None:
        real(self)
        if self._step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "stepped", stepped)
