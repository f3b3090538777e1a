"""A checkpoint holds what was saved, or it is left aside and the run says so."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sepconv_lab.record import checkpoint

ID = "0123456789abcdef"


def state(step: int) -> dict[str, Any]:
    """What a run saves, in small: nested, of several types, one tensor in channels_last, one without dimensions."""
    draw = torch.Generator().manual_seed(step)
    weights = torch.randn(4, 3, 5, 5, generator=draw).to(memory_format=torch.channels_last)
    return {
        "run_id": ID, "metrics_bytes": 10 * step, "step": step, "seconds": 1.5, "results": {"val/top1": 0.25},
        "sums": {"loss": torch.tensor(2.0, dtype=torch.float64)}, "average": None, "environments": [{"threads": 2}],
        "network": {"stem": weights, "half": weights.bfloat16(), "mask": weights > 0},
        "optimizer": {"state": {0: {"square": weights**2}}, "param_groups": [{"lr": 0.1, "params": (0,)}]},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step in (1, 2):
        checkpoint.save(tmp_path / "checkpoints", state(step))
    return tmp_path / "checkpoints"


def test_what_was_saved_comes_back_with_its_checksum(folder: Path) -> None:
    """The newest first; the checksum is of values, whatever the memory format."""
    found = list(checkpoint.candidates(folder, ID, 20))
    assert [s["step"] for s in found] == [2, 1]
    assert [s["sha256"] for s in found] == [checkpoint.digest(state(2)), checkpoint.digest(state(1))]


@pytest.mark.parametrize("value", [0.25 + 1e-9, "0.25", None, [0.25], True])
def test_no_other_value_has_the_same_checksum(value: Any) -> None:
    before = checkpoint.digest(state(1))
    assert checkpoint.digest(state(1) | {"results": {"val/top1": value}}) != before
    assert checkpoint.digest(state(1) | {"seconds": value}) != before


def test_a_damaged_checkpoint_never_trains_on(
    folder: Path, capsys: pytest.CaptureFixture[str], record_property: Any
) -> None:
    """250 flips, cuts and swaps anywhere in last.pt: it gives the bits that were saved, or the one before, and says so."""
    path, draw = folder / "last.pt", random.Random(12)
    whole = path.read_bytes()
    wanted = {2: checkpoint.digest(state(2)), 1: checkpoint.digest(state(1))}
    fell_back = 0
    for number in range(250):
        data = bytearray(whole)
        kind = number % 5
        if kind < 3:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        elif kind == 3:
            a, b = draw.randrange(len(data) - 64), draw.randrange(len(data) - 64)
            data[a : a + 64], data[b : b + 64] = data[b : b + 64], data[a : a + 64]
        else:
            del data[draw.randrange(len(data)) :]
        path.write_bytes(data)
        found = checkpoint.load(folder, ID, 20)
        out = capsys.readouterr().out
        assert found is not None
        assert checkpoint.digest(found) == wanted[found["step"]], number
        assert (found["step"] == 1) == ("last.pt" in out and "left aside" in out), number
        fell_back += found["step"] == 1
    assert fell_back > 200
    record_property("count damaged checkpoints", 250)


def test_numbers_changed_by_somebody_who_knows_torch_are_noticed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two tensors exchanged and saved anew make a valid archive, and not the checksum."""
    found = checkpoint.load(folder, ID)
    assert found is not None
    found["optimizer"]["state"][0]["square"] *= 2
    torch.save(found, folder / "last.pt")
    older = checkpoint.load(folder, ID)
    assert older is not None
    assert older["step"] == 1
    assert "last.pt does not have its checksum and is left aside" in capsys.readouterr().out
    shutil.copy(folder / "last.pt", folder / "previous.pt")
    assert checkpoint.load(folder, ID) is None
    assert f"no whole checkpoint of run {ID} is left: it starts again" in capsys.readouterr().out


def test_an_early_checkpoint_without_a_checksum_is_read(folder: Path) -> None:
    """Its archive has checksums of its own, which are looked at."""
    torch.save(state(3), folder / "last.pt")
    found = checkpoint.load(folder, ID)
    assert found is not None
    assert found["step"] == 3
