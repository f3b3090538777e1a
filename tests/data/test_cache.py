"""Decoded images in the user's cache: whole, or made again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sepconv_lab.data import cache as cache_module
from sepconv_lab.data.cache import CachedImages

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 4), dtype=np.uint8)


class Builder:
    """Gives IMAGES in chunks and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Iterator[np.ndarray]:
        self.calls += 1
        yield from (IMAGES[:8], IMAGES[8:16], IMAGES[16:])


def stored(build: Builder) -> CachedImages:
    """As another process would open it: nothing remembered as verified."""
    cache_module._verified.clear()
    return CachedImages("key", "train", 20, 4, build)


def test_images_are_built_once() -> None:
    """The second time they come from the file, with the same bytes and the sha256 of the pixels."""
    build = Builder()
    first = stored(build)
    assert first.sha256 == hashlib.sha256(IMAGES.tobytes()).hexdigest()
    assert np.array_equal(first.array, IMAGES)
    again = stored(build)
    assert again.sha256 == first.sha256
    assert np.array_equal(again.array, IMAGES)
    assert build.calls == 1


def test_the_file_is_an_ordinary_array() -> None:
    """Anyone can open it with numpy."""
    path = stored(Builder()).path
    assert stored(Builder()).sha256
    assert np.array_equal(np.load(path, allow_pickle=False), IMAGES)


def test_large_arrays_are_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the pixels stay on disk, with the same values."""
    monkeypatch.setattr(cache_module, "IN_MEMORY", 100)
    array = stored(Builder()).array
    assert isinstance(array, np.memmap)
    assert np.array_equal(array, IMAGES)


@pytest.mark.parametrize("damage", ["truncated", "altered", "extended", "emptied", "other shape", "trailer"])
def test_a_damaged_file_is_made_again(damage: str) -> None:
    """Whatever happened to the file, the images are right afterwards."""
    build = Builder()
    images = stored(build)
    assert images.sha256
    data = bytearray(images.path.read_bytes())
    if damage == "truncated":
        data = data[:-300]
    elif damage == "altered":
        data[500] ^= 1
    elif damage == "extended":
        data += b"x"
    elif damage == "emptied":
        data = bytearray()
    elif damage == "other shape":
        np.save(images.path, IMAGES[:10])
        data = bytearray(images.path.read_bytes())
    else:
        data[-1] ^= 1
    images.path.write_bytes(data)
    assert np.array_equal(stored(build).array, IMAGES)
    assert build.calls == 2
    assert np.array_equal(stored(build).array, IMAGES)
    assert build.calls == 2


@pytest.mark.parametrize("where", [0, 60, 200, -1, -64])
def test_a_damaged_file_has_no_digest_of_its_own(where: int) -> None:
    """The digest that a record notes is of the pixels, not of what the file says of them."""
    images = stored(Builder())
    assert images.sha256
    data = bytearray(images.path.read_bytes())
    data[where] ^= 1
    images.path.write_bytes(data)
    assert stored(Builder()).sha256 == hashlib.sha256(IMAGES.tobytes()).hexdigest()


def test_a_planted_pickle_is_not_executed(bomb: tuple[Any, bytes, Path]) -> None:
    """An object array under the cache's name is replaced, not loaded."""
    thing, _, mark = bomb
    images = stored(Builder())
    images.path.parent.mkdir(parents=True)
    np.save(images.path, np.array([thing], dtype=object), allow_pickle=True)
    assert np.array_equal(images.array, IMAGES)
    assert not mark.exists()
    np.load(images.path, allow_pickle=False)


def test_without_a_writable_cache_it_works_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so; the images are built in memory, once."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEPCONV_LAB_CACHE", str(tmp_path / "file" / "below"))
    build = Builder()
    images = stored(build)
    assert np.array_equal(images.array, IMAGES)
    assert images.sha256 == hashlib.sha256(IMAGES.tobytes()).hexdigest()
    assert build.calls == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_full_disk_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """No space left while writing: the images are there, and nothing is left under any name."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    images = stored(Builder())
    monkeypatch.setattr(os, "fsync", full)
    assert np.array_equal(images.array, IMAGES)
    assert [path.name for path in images.path.parent.iterdir()] == ["train.lock"]


def test_leftovers_of_killed_writers_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones only: a young one may belong to a living process."""
    images = stored(Builder())
    images.path.parent.mkdir(parents=True)
    old, young = (images.path.with_name(f".train.npy.{name}.tmp") for name in ("1-a", "2-b"))
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    assert images.sha256
    assert not old.exists()
    assert young.exists()


KILLS = """
import os, signal, sys, time
import numpy as np
from sepconv_lab.data import cache

images = np.arange(20 * 48, dtype=np.uint32).astype(np.uint8).reshape(20, 3, 4, 4)
log = sys.argv[1]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def build(at=None, slowly=False):
    with open(log, "a") as file:
        file.write("build\\n")
    for i in range(0, 20, 4):
        if i == at:
            die()
        time.sleep(0.1 * slowly)
        yield images[i : i + 4]

def child(what):
    pid = os.fork()
    if not pid:
        what()
        os._exit(0)
    return pid

def stored(**how):
    return cache.CachedImages("key", "train", 20, 4, lambda: build(**how))

def killed_in(name):
    setattr(os, name, die)
    stored().array

path = stored().path
points = [lambda at=at: stored(at=at).array for at in range(0, 20, 4)]
points += [lambda name=name: killed_in(name) for name in ("fsync", "replace")]
for point in points:
    _, status = os.waitpid(child(point), 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert not path.exists(), "a half file has the final name"
open(log, "w").close()
def check():
    assert np.array_equal(stored(slowly=True).array, images)
for pid in [child(check) for _ in range(3)]:
    assert os.waitpid(pid, 0)[1] == 0
print(len(points), "kills;", open(log).read().count("build"), "build")
"""


def test_killed_writers_and_writers_at_once(tmp_path: Path) -> None:
    """SIGKILL at seven points of writing leaves no half file; then three processes at once build it once and agree."""
    command = [sys.executable, "-c", KILLS, str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "7 kills; 1 build", done.stderr
