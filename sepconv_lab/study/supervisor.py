"""Runs of a frozen plan through one of Hydra's launchers. The launcher's word is not trusted: records are read.

A launcher may stop at the first dead worker (joblib), wait for ever for a job that was killed (submitit on a Slurm without
accounting), or leave at the first error while other jobs are at work (submitit). So the records say what ended, what was
never attempted is launched again, and what a collapsing pool took with it is launched once more, alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import BadInput, bounded, plain
from ..config.identity import quoted
from ..console.say import say
from ..disk import write_atomically
from ..launch import cluster
from ..launch.cluster import Launching, Queue
from ..launch.hydra import multirun, plugin
from ..record.plan import Plan
from ..record.record import Record
from .job import Note, sign_of, task

POLL = 1.0
"""Seconds between looks at the records while a cluster works; of many records, longer: `LOOK` a record."""
LOOK = 0.01
GRACE = 20.0
"""Seconds that a run may be without an owner, an end and a place in the queue before its job counts as dead."""
IN_VAIN = 4
"""Launches in a row that break down before any run has begun, after which no further one is tried."""
ARRAY = 1000
"""Jobs of one launch on a cluster: Slurm takes 1001 in an array unless it is configured otherwise."""


class Stopped(Exception):
    """Somebody asked the study to stop."""


@dataclass
class Supervisor:
    """Launches runs of a plan until each has ended, was killed, or cannot be started."""

    plan: Plan
    runs_dir: str
    hydra: Sequence[str] = ()
    """Hydra's own overrides, such as hydra/launcher=joblib."""
    execution: Mapping[str, Any] | None = None
    export: Path | None = None
    """Folder of results to which each run is added as it ends."""
    threads: Mapping[int, int] = field(default_factory=dict)
    """Run -> its CPU threads, where nobody has set them: those that the rest of its seed had."""

    def __post_init__(self) -> None:
        self.folder = self.plan.folder(self.runs_dir)
        choice = next((w.split("=", 1)[1] for w in self.hydra if w.split("=")[0] == "hydra/launcher"), "basic")
        self.kind = plugin(choice)
        self.on_cluster = self.kind.startswith("submitit")

    def go(self, runs: Sequence[int]) -> None:
        """Launch runs (indices into the plan's). Raises Stopped when asked to stop."""
        waiting, struck, in_vain = list(runs), set[int](), 0
        while waiting:
            before = {i: self._attempts(i) for i in waiting}
            size, collapsed = ARRAY if self.on_cluster else len(waiting), False
            for start in range(0, len(waiting), size):
                collapsed |= self._launch(waiting[start : start + size], before)
            attempted = {i for i in waiting if self._attempts(i) > before[i]}
            if collapsed:
                struck |= {i for i in attempted if not self._end(i, before)}
            untouched = [
                i
                for i in waiting
                if i not in attempted and not self._end(i, before) and not self._record(i).is_locked()
            ]
            in_vain = in_vain + 1 if len(untouched) == len(waiting) else 0
            if in_vain and (not collapsed or in_vain == IN_VAIN):
                break  # this launcher starts nothing
            if in_vain:
                say(f"a worker died before any run began; launching again ({in_vain} of {IN_VAIN - 1} times)")
            waiting = untouched
        for i in sorted(struck):  # one of them broke the pool; alone, each shows whether it was the one
            self._launch([i], {i: self._attempts(i)})

    def _launch(self, runs: Sequence[int], before: Mapping[int, int]) -> bool:
        """One launch; whether the launcher broke down. Raises Stopped, or BadInput if a cluster takes no jobs."""
        number = sum(1 for _ in self.folder.glob("launch-*.json")) + 1
        settings = {
            "runs": list(runs), "threads": [self.threads.get(i) for i in runs], "imports": list(self.plan.imports),
            "runs_dir": plain(self.runs_dir), "execution": dict(self.execution or {}), "launcher": os.getpid(),
            "alone": self.on_cluster, "export": str(self.export.absolute()) if self.export else None,
        }  # fmt: skip
        path = self.folder / f"launch-{number}.json"
        sign = sign_of(path, os.getpid())
        write_atomically(path, json.dumps(settings).encode())
        jobs = ",".join(map(str, range(len(runs))))
        mine = path.with_suffix("")
        collapsed = False
        words = [
            "-m",
            f"launch={quoted(str(path))}",
            f"job={jobs}",
            f"hydra.sweep.dir={quoted(str(mine))}",
            *self.hydra,
        ]
        try:
            if self.on_cluster:
                self._watched(words, runs, before, mine)
            else:
                with contextlib.nullcontext() if self.kind == "basic" else sign.on_interrupt():
                    multirun(words, task)
        except BadInput:
            raise
        except Exception as error:  # a broken pool, a worker that Ray lost, a time-out
            if not isinstance(error, BrokenExecutor):
                mine.mkdir(exist_ok=True)
                (mine / "launcher.log").write_text(traceback.format_exc())
                print(f"{self.kind} broke down ({type(error).__name__}), see {mine / 'launcher.log'}", flush=True)
            collapsed = True
        except KeyboardInterrupt as error:
            if self.kind == "submitit_slurm":
                print("what was submitted goes on by itself: `study status` follows it, scancel ends it", flush=True)
            raise Stopped from error
        except SystemExit:
            pass
        if sign.is_up():
            raise Stopped
        return collapsed

    def _watched(self, words: list[str], runs: Sequence[int], before: Mapping[int, int], folder: Path) -> None:
        """Let the launcher submit, and look at the records and the queue until each run has ended or nobody has it."""
        jobs = {i: number for number, i in enumerate(runs)}
        left, lost, alone_since = set(runs), 0, dict[int, float]()
        with Launching(words, folder, __name__) as launching:
            queue = Queue(launching) if self.kind == "submitit_slurm" else None
            while left:
                time.sleep(max(POLL, LOOK * len(left)))
                if refused := launching.refused():
                    raise BadInput(f"{self.kind} took no jobs: {refused}")
                queued = queue.jobs() if queue else None
                for i in sorted(left):
                    if self._record(i).is_locked():
                        alone_since.pop(i, None)
                        continue
                    if i in alone_since:
                        _refresh(self._record(i).path)
                    end = self._end(i, before)
                    if end in ("", "interrupted"):  # put back into the queue, it may come again
                        if queued is not None:
                            awaited = jobs[i] in queued
                        else:  # submitit sees the death of its own processes; of a Slurm that cannot be asked it sees nothing
                            awaited = launching.works() and (queue is None or self._attempts(i) == before[i])
                        if awaited:
                            alone_since.pop(i, None)
                            continue
                        if time.monotonic() - alone_since.setdefault(i, time.monotonic()) < GRACE:
                            continue
                    left.discard(i)
                    lost += not end
                    done = f"{len(runs) - len(left)}/{len(runs)}"
                    silent = (
                        "died without a word" if self._attempts(i) > before[i] else "left the queue before it began"
                    )
                    print(f"{done} {self.plan.runs[i].name}: {end or silent}", flush=True)
        if lost:
            print(f"what the jobs printed: {folder / '.submitit'}/*/*_log.err", flush=True)

    def _record(self, i: int) -> Record:
        return Record(self.runs_dir, str(self.plan.runs[i].run_id))

    def _end(self, i: int, before: Mapping[int, int]) -> str:
        """How a run has ended since a launch, before which it had so many attempts; empty: it has not, or without a word."""
        try:
            status = str((self._record(i).summary() or {}).get("status", ""))
        except BadInput:  # damaged: `states` says so, and the others go on
            return "failed"
        if status and (self._attempts(i) > before[i] or status in ("finished", "diverged")):
            return status
        return "failed" if self._note(i) else ""  # another status on record is an earlier attempt's

    def _attempts(self, i: int) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int(bounded.read_text(self._record(i).path / "attempts"))
        return 0

    def _note(self, i: int) -> str:
        return Note(self.folder, self.plan.runs[i]).read()


def _refresh(folder: Path) -> None:
    """Make a network file system look again: it may remember for a minute that a file was not there."""
    with contextlib.suppress(OSError):
        folder.chmod(folder.stat().st_mode)


if __name__ == "__main__":
    sys.exit(cluster.main(Path(sys.argv[1]), sys.argv[2:], task))
