"""What a run asks of the process that it trains in."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGED = """
import resource, sys
import torch
from sepconv_lab.config import TrainConfig
from sepconv_lab.training import environment

def pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(16, 2**20)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

default = pages(4)
environment.set_threads(TrainConfig())
assert environment.keep_memory()
pages(2)
print(default, pages(4))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to keep freed memory")
def test_a_step_reuses_the_memory_of_the_one_before() -> None:
    """By default the kernel pages every large tensor in anew; a run keeps what it frees."""
    ended = subprocess.run([sys.executable, "-c", PAGED], capture_output=True, text=True, check=True)
    default, kept = map(int, ended.stdout.split())
    assert default >= 4 * 16, "64 MiB are at least 16 pages of 4 MiB, each time"
    assert kept <= 4


def test_where_memory_cannot_be_kept_a_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another C library has no such call."""
    from sepconv_lab.config import TrainConfig
    from sepconv_lab.training import environment

    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not environment.keep_memory()
    assert environment.set_threads(TrainConfig(threads=1)) == 1


@pytest.mark.parametrize(("told", "found"), [("a" * 40, {"commit": "a" * 40, "dirty": False}), ("main", {}), ("", {})])
def test_a_copy_without_history_is_told_its_commit(
    told: str, found: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where git knows nothing of the package, the environment may say of which commit it is; nothing else counts as one."""
    from sepconv_lab.training import environment

    def unknown(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr("subprocess.run", unknown)
    monkeypatch.setenv("SEPCONV_LAB_COMMIT", told)
    assert environment.git_state.__wrapped__() == found
