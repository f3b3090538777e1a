"""How one run is prepared and how its end is judged, without training."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from sepconv_lab import models
from sepconv_lab.compose import compose
from sepconv_lab.config import BUILTIN, BlockConfig
from sepconv_lab.models.complexity import complexity, measure
from sepconv_lab.training import job
from sepconv_lab.training.loop import Diverged, Interrupted

from .helpers import SMALL


def test_one_network_is_built_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked, counted and trained: the same one."""
    built: list[nn.Module] = []
    real = models.builder

    def builder(config: Any) -> Any:
        return lambda *arguments: built.append(network := real(config)(*arguments)) or network

    monkeypatch.setattr(models, "builder", builder)
    prepared = job.prepare(compose(SMALL), None)
    assert built == [prepared.network]


@pytest.mark.parametrize("block", [c().name for c in BUILTIN if issubclass(c, BlockConfig)])
def test_counting_a_built_network_is_counting_its_shape(block: str) -> None:
    """And leaves its values, statistics and place alone."""
    config = compose([*SMALL, f"block={block}"])
    network = models.build_checked(config, 5)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert measure(models.on_meta(network), config.data.image_size) == complexity(config, 5)
    after = network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert {p.device.type for p in network.parameters()} == {"cpu"}


def chained(error: BaseException, cause: BaseException, *, explicit: bool) -> BaseException:
    error.__context__ = cause
    if explicit:
        error.__cause__ = cause
    return error


FULL = OSError(errno.ENOSPC, "No space left on device", "runs/x/metrics.jsonl")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (Interrupted(), "interrupted", "stopped by a signal after step 3"),
        (Diverged(2), "diverged", "the loss is not finite at step 2"),
        (ValueError("no"), "failed", "ValueError: no"),
        (SystemExit(3), "failed", "SystemExit: 3"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (FULL, "interrupted", "no room to write: [Errno 28] No space left on device: 'runs/x/metrics.jsonl'"),
        (OSError(errno.EDQUOT, "quota"), "interrupted", "no room to write: [Errno 122] quota"),
        (chained(RuntimeError("unexpected pos 64 vs 0"), FULL, explicit=False), "interrupted", "no room to write: [Errno 28]"),
        (chained(RuntimeError("unexpected pos 64 vs 0"), FULL, explicit=True), "interrupted", "no room to write: [Errno 28]"),
        (OSError(errno.EIO, "Input/output error"), "failed", "OSError: [Errno 5] Input/output error"),
    ],
)  # fmt: skip
def test_what_ended_a_run_is_its_status_and_error(error: BaseException, status: str, words: str) -> None:
    """A full disk, however torch hides it, is named and interrupts: with room the same command goes on."""
    end = job.outcome(error, Mock(step=3), Mock(events=list))
    assert end["status"] == status
    assert end["error"].startswith(words)
    assert ("traceback" in end) == (status == "failed")


def test_a_checkpoint_on_a_full_device_is_no_room(tmp_path: Path) -> None:
    """torch's own error says "unexpected pos"; the real one stands behind it."""
    with pytest.raises((OSError, RuntimeError)) as caught, open("/dev/full", "wb") as file:
        torch.save({"weights": torch.zeros(300_000)}, file)
    full = job.no_room(caught.value)
    assert full is not None
    assert full.errno == errno.ENOSPC
