"""Runs that share GPUs are placed in turn, within memory, and wait where there is no room. The GPUs are simulated."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
import torch

from sepconv_lab.compose import compose
from sepconv_lab.launch import devices
from sepconv_lab.launch.devices import GPU, Placement
from sepconv_lab.models.complexity import Complexity

GIB = 2**30
TWO = (GPU(0, 10 * GIB), GPU(1, 10 * GIB))


def placement(tmp_path: Path, gpus: tuple[GPU, ...] = TWO, dead: set[int] | None = None) -> Placement:
    """Any number is a living process, but for the dead ones."""
    return Placement(tmp_path / "book.json", gpus, alive=lambda process: process not in (dead or set()))


def between_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's lock holds between processes; here threads stand for them."""
    lock = threading.Lock()
    monkeypatch.setattr(devices, "locked", lambda _: lock)


def test_runs_go_in_turn_to_the_gpu_with_the_fewest(tmp_path: Path) -> None:
    """Four equal runs share two GPUs evenly, and who leaves makes the next place."""
    place = placement(tmp_path)
    assert [place.take(run, "small", GIB) for run in range(1, 5)] == [0, 1, 0, 1]
    place.leave(2)
    assert place.take(5, "small", GIB) == 1


def test_a_run_that_does_not_fit_waits_until_it_does(tmp_path: Path) -> None:
    """Memory and not number decides where there is room; nobody is placed beyond it, and some of it stays free."""
    place = placement(tmp_path)
    assert place.take(1, "large", 8 * GIB) == 0
    assert place.take(2, "large", 8 * GIB) == 1
    assert place.take(3, "small", 2 * GIB) is None, "the last twentieth is the libraries'"
    place.leave(1)
    assert place.take(3, "small", 2 * GIB) == 0
    assert place.take(4, "large", 8 * GIB) is None


def test_what_was_measured_is_what_later_runs_claim(tmp_path: Path) -> None:
    """The first run of a kind claims what is expected; a measured step makes room, or takes it, for all of the kind."""
    place = placement(tmp_path, (GPU(0, 10 * GIB),))
    assert place.take(1, "net", 6 * GIB) == 0
    assert place.take(2, "net", 6 * GIB) is None
    place.measured(1, "net", GIB)
    assert [place.take(run, "net", 6 * GIB) for run in range(2, 11)] == [0] * 8 + [None]
    place.measured(1, "net", GIB // 2)
    assert place.take(10, "net", 6 * GIB) is None, "the largest that was seen counts"


def test_a_run_larger_than_a_gpu_gets_an_empty_one(tmp_path: Path) -> None:
    """It is not kept waiting for ever: it runs alone, and says itself when memory is out."""
    place = placement(tmp_path, (GPU(0, GIB),))
    assert place.take(1, "huge", 5 * GIB) == 0
    assert place.take(2, "small", 1) is None
    place.leave(1)
    assert place.take(2, "small", 1) == 0


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    """Killed without a word, a run holds no room; and a damaged book is begun anew."""
    dead: set[int] = set()
    place = placement(tmp_path, (GPU(0, GIB),), dead)
    assert place.take(1, "huge", 5 * GIB) == 0
    dead.add(1)
    assert place.take(2, "huge", 5 * GIB) == 0
    for damaged in ("", "{}", "[1]", '{"claims": {"x": 1}, "measured": {}}'):
        place.path.write_text(damaged)
        assert place.take(3, "small", 1) == 0
    assert devices.is_alive(os.getpid())
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    assert not devices.is_alive(process.pid)


def test_waiting_ends_with_room_or_with_the_word_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`placed` holds the room inside `with`, whatever happens there."""
    monkeypatch.setattr(devices, "POLL", 0.01)
    between_threads(monkeypatch)
    place = placement(tmp_path, (GPU(0, GIB),))

    def broken() -> None:
        with place.placed(1, "huge", 5 * GIB) as index:
            assert index == 0
            with pytest.raises(KeyboardInterrupt), place.placed(2, "huge", 5 * GIB, should_stop=lambda: True):
                pass
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    place.take(1, "huge", 5 * GIB)
    timer = threading.Timer(0.1, place.leave, [1])
    timer.start()
    with place.placed(2, "huge", 5 * GIB) as index:
        assert index == 0
    timer.join()


def test_many_processes_never_claim_more_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims taken at the same time by many are counted one after another: three of 3 GiB at most in 10."""
    monkeypatch.setattr(devices, "POLL", 0.001)
    seen: list[int] = []
    most = 0
    lock = threading.Lock()

    def run(owner: int) -> None:
        nonlocal most
        with placement(tmp_path, (GPU(0, 10 * GIB),)).placed(owner, "run", 3 * GIB):
            with lock:
                seen.append(owner)
                most = max(most, len(seen))
            time.sleep(0.005)
            with lock:
                seen.remove(owner)

    between_threads(monkeypatch)
    threads = [threading.Thread(target=run, args=[owner]) for owner in range(1, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 3


def test_a_run_trains_on_the_gpu_where_it_was_placed_and_claims_what_its_steps_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run of a kind claims by its counts; after a few steps what was measured is claimed by it and by the next."""
    from sepconv_lab.training import placement as placing

    chosen: list[int] = []
    monkeypatch.setattr(placing, "gpus", lambda: TWO)
    monkeypatch.setattr(placing, "taken", lambda: GIB)
    monkeypatch.setattr(placing, "book_of_this_machine", lambda: tmp_path / "book.json")
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    config = compose(["train.batch_size=32"])
    counts = Complexity((), params=10**6, head_params=0, macs=0, field=0, activation_bytes=10**8)

    def claims() -> list[dict[str, int]]:
        return list(json.loads((tmp_path / "book.json").read_text())["claims"].values())

    for number in range(2):
        with placing.placed(config, counts, torch.device("cuda"), lambda: False) as stop:
            (claim,) = claims()
            assert (claim["bytes"] > GIB) is (number == 0)
            assert not any(stop() for _ in range(placing.STEPS))
            assert claims() == [{"gpu": 0, "bytes": GIB}]
        assert claims() == []
    assert chosen == [0, 0]
    with placing.placed(config, counts, torch.device("cpu"), lambda: True) as stop:
        assert stop()
    assert chosen == [0, 0], "on the CPU there is nothing to place"
