"""Progress of training and of data: a bar on a terminal, plain lines elsewhere, training's with an honest time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


def duration(seconds: float) -> str:
    """'45 s', '12:30', '3 h 05', '12 days'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    if seconds < 48 * 3600:
        return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d}"
    return f"{seconds / 86400:.0f} days"


class Progress:
    """Steps done, with loss, accuracy, images/s and the time left, evaluations and the final test included."""

    LINE_EVERY = 10.0
    """Seconds between lines where there is no terminal."""

    def __init__(self, start: int, total: int, batch_size: int, evaluations: list[int]):
        """evaluations: images of each evaluation still to come."""
        from tqdm import tqdm

        self.total, self.batch_size = total, batch_size
        self.images_to_evaluate = sum(evaluations)
        self._step, self._trained, self._train_seconds = start, 0, 0.0
        self._evaluated, self._eval_seconds = 0, 0.0
        self._last = self._last_line = time.perf_counter()
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=start, disable=not terminal, unit="step", dynamic_ncols=True, leave=True,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {postfix}",
        )  # fmt: skip
        self.terminal = terminal

    def stepped(self) -> None:
        now = time.perf_counter()
        # The first step of a process pays for allocations and kernel selection; it would spoil the estimate.
        if self._trained or self._step + 1 == self.total:
            self._train_seconds += now - self._last
        self._last = now
        self._step += 1
        self._trained += 1
        self._bar.update()

    def evaluated(self, images: int, seconds: float) -> None:
        self._evaluated += images
        self._eval_seconds += seconds
        self.images_to_evaluate -= images
        self._last = time.perf_counter()

    @property
    def images_per_second(self) -> float:
        """Training throughput so far, without the first step and without evaluations."""
        steps = self._trained - 1 if self._trained > 1 else self._trained
        return steps * self.batch_size / self._train_seconds if self._train_seconds else 0.0

    def left(self) -> float:
        """Seconds to the end, from the time of the steps and evaluations so far."""
        if not self.images_per_second:
            return float("nan")
        per_image = 1 / self.images_per_second
        # Until one has been timed, an evaluated image is taken as a third of a trained one.
        per_evaluated = self._eval_seconds / self._evaluated if self._evaluated else per_image / 3
        return (self.total - self._step) * self.batch_size * per_image + max(0, self.images_to_evaluate) * per_evaluated

    def show(self, loss: float, top1: float, force: bool = False) -> None:
        left = self.left()
        line = f"loss {loss:.3f}, accuracy {top1:.3f}, {self.images_per_second:.0f} images/s"
        line += f", {duration(left)} left" if left == left else ""
        self._bar.set_postfix_str(line)
        now = time.perf_counter()
        if not self.terminal and (force or now - self._last_line > self.LINE_EVERY):
            self._last_line = now
            self.say(f"step {self._step}/{self.total}: {line}")

    def say(self, line: str) -> None:
        if self.terminal:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, flush=True)

    def close(self) -> None:
        self._bar.close()


class Bar(Protocol):
    def update(self, n: int, /) -> object: ...


class _Line:
    def __init__(self) -> None:
        self.count = 0

    def update(self, n: int, /) -> None:
        self.count += n


@contextmanager
def progress(what: str, total: int, unit: str = "images") -> Iterator[Bar]:
    """A bar on stderr to `update(n)`; without a terminal, one line at the end if it took longer than a second."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=what, unit=f" {unit}", unit_scale=unit == "B", leave=False) as bar:
            yield bar
        return
    start, line = time.monotonic(), _Line()
    yield line
    seconds = time.monotonic() - start
    if seconds > 1:
        amount = f"{total / 1e6:,.0f} MB" if unit == "B" else f"{total:,} {unit}"
        print(f"{what}: {amount} in {seconds:.1f} s", file=sys.stderr, flush=True)
