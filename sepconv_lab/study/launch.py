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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import compose as composing
from ..compose import CONF
from ..config import BadInput
from ..config.identity import quoted
from ..disk import write_atomically
from ..launch.cluster import Launching, Queue, time_limit
from ..launch.stopping import StopSign
from ..record.record import Busy, Record
from .plan import Plan, PlannedRun, from_json

POLL = 1.0
"""Seconds between looks at the records while a cluster works; of many records, longer: `LOOK` a record."""
LOOK = 0.01
GRACE = 20.0
"""Seconds that a run may be without an owner, an end and a place in the queue before its job counts as dead."""
ARRAY = 1000
"""Jobs of one launch on a cluster: Slurm takes 1001 in an array unless it is told otherwise."""


class Stopped(Exception):
    """Somebody asked the study to stop."""


# --- one job, perhaps in another process or on another machine --------------------------------------------------------


def carry_out(launch: str | Path, job: int) -> None:
    """Carry out one run of a launch from the frozen plan alone; whatever goes wrong ends in its record or in a note.

    A run that was told to stop stops the launch too; on a cluster, where each is a job of its own, it raises
    KeyboardInterrupt instead.
    """
    path = Path(launch)
    told = json.loads(path.read_text())
    if told["alone"]:
        with time_limit():
            _carry_out(path, told, job, lambda: False)
        return
    sign = _sign(path, told["launcher"])
    with sign.around_job():
        if not sign.is_up():
            _carry_out(path, told, job, sign.is_up)


def _sign(path: Path, launcher: int) -> StopSign:
    return StopSign(path.with_suffix(".stop"), launcher)


def _carry_out(path: Path, told: Mapping[str, Any], job: int, told_to_stop: Callable[[], bool]) -> None:
    plan = from_json((path.parent / "plan.json").read_bytes(), str(path.parent / "plan.json"))
    planned = plan.runs[told["runs"][job]]
    note = Note(path.parent, planned)
    note.clear()
    try:
        summary = _run(plan, planned, told, told_to_stop)
    except Busy:
        return  # another process is at it
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: one job never stops the others
        words = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        note.write(words, traceback.format_exc())
        return
    if summary.get("stopped"):
        raise KeyboardInterrupt


def _run(plan: Plan, planned: PlannedRun, told: Mapping[str, Any], told_to_stop: Callable[[], bool]) -> dict[str, Any]:
    from ..run import record_of, run

    config = plan.config(planned, told["runs_dir"], told["execution"])
    record, _ = record_of(config)
    if record.run_id != planned.run_id:
        raise BadInput(
            f"{planned.name} was planned as {planned.run_id} and has become {record.run_id}: its data, initial weights or code "
            "changed since the plan was frozen; `study run --replan` plans anew"
        )
    claim = plan.claim["id"] if plan.claim else ""
    context = {
        "study": plan.study,
        "variant": planned.variant,
        "claim": claim,
        "plan": plan.plan_id,
        "scale": plan.scale,
        "stage": plan.stage,
        "label": plan.label,
    }
    return run(config, name=planned.name, context=context, told_to_stop=told_to_stop)


class Note:
    """What went wrong with a run that could not even begin its record."""

    def __init__(self, folder: Path, planned: PlannedRun):
        self.path = folder / "notes" / f"{planned.run_id}.txt"

    def read(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.path.read_text()
        return ""

    def write(self, words: str, trace: str) -> None:
        self.path.parent.mkdir(exist_ok=True)
        write_atomically(self.path, f"{words}\n\n{trace}".encode())

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


# --- all jobs ---------------------------------------------------------------------------------------------------------


@dataclass
class Supervisor:
    """Launches runs of a plan until each has ended, was killed, or cannot be started."""

    plan: Plan
    runs_dir: str
    hydra: Sequence[str] = ()
    """Hydra's own overrides, such as hydra/launcher=joblib."""
    execution: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.folder = self.plan.folder(self.runs_dir)
        choice = next((w.split("=", 1)[1] for w in self.hydra if w.split("=")[0] == "hydra/launcher"), "basic")
        self.kind = _kind(choice)
        self.on_cluster = self.kind.startswith("submitit")

    def go(self, runs: Sequence[int]) -> None:
        """Launch runs (indices into the plan's). Raises Stopped when told to stop."""
        waiting, struck = list(runs), set[int]()
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
            if len(untouched) == len(waiting):
                break  # this launcher starts nothing
            waiting = untouched
        for i in sorted(struck):  # one of them broke the pool; alone, each shows whether it was the one
            self._launch([i], {i: self._attempts(i)})

    def _launch(self, runs: Sequence[int], before: Mapping[int, int]) -> bool:
        """One launch; whether the launcher broke down. Raises Stopped, or BadInput if a cluster takes no jobs."""
        number = sum(1 for _ in self.folder.glob("launch-*.json")) + 1
        told = {"runs": list(runs), "runs_dir": self.runs_dir, "execution": dict(self.execution or {}),
                "launcher": os.getpid(), "alone": self.on_cluster}  # fmt: skip
        path = self.folder / f"launch-{number}.json"
        sign = _sign(path, os.getpid())
        write_atomically(path, json.dumps(told).encode())
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
                    multirun(words)
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
        with Launching(words, folder) as launching:
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
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self._record(i).path / "attempts").read_text())
        return 0

    def _note(self, i: int) -> str:
        return Note(self.folder, self.plan.runs[i]).read()


def _refresh(folder: Path) -> None:
    """Make a network file system look again: it may remember for a minute that a file was not there."""
    with contextlib.suppress(OSError):
        folder.chmod(folder.stat().st_mode)


def _kind(launcher: str) -> str:
    """The plugin behind a launcher's name: a preset of conf/hydra/launcher names it in its defaults."""
    import yaml

    preset = CONF / "hydra" / "launcher" / f"{launcher}.yaml"
    if not preset.exists():
        return launcher
    defaults = (yaml.safe_load(preset.read_text()) or {}).get("defaults", [])
    return next((d for d in defaults if isinstance(d, str) and d != "_self_"), launcher)


def check_hydra(words: Sequence[str]) -> None:
    """Raises BadInput for a launcher that does not exist, or settings that it does not have."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        with composing.initialised() as loader:
            launchers = loader.get_group_options("hydra/launcher")
            for word in words:
                key, _, name = word.partition("=")
                if key == "hydra/launcher" and name not in launchers:
                    raise BadInput(composing.unknown(word, name, launchers))
                if key == "hydra/launcher" and _kind(name) not in launchers:
                    raise BadInput(f"{word}: {_kind(name)} is not installed; pip install '.[launchers]' brings it")
            composed = hydra.compose("study_job", ["launch=x", "job=0", *words], return_hydra_config=True)
            if composed.hydra.launcher.get("n_jobs", 1) == 0:
                raise BadInput("hydra.launcher.n_jobs=0: at least one worker; -1: as many as there are cores")
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInput(" ".join(str(error).split())) from error


def multirun(words: list[str]) -> None:
    """Hand over to Hydra. Raises what the launcher raises, and BadInput where Hydra refuses its own settings."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig

    def main(cfg: DictConfig) -> None:
        from sepconv_lab.study.launch import carry_out

        carry_out(cfg.launch, int(cfg.job))

    with _argv([sys.argv[0], *words]), _full_errors():
        try:
            hydra.main(config_path=str(CONF), config_name="study_job", version_base="1.3")(main)()
        except HydraException as error:
            raise BadInput(" ".join(str(error).split())) from error


@contextlib.contextmanager
def _argv(words: list[str]) -> Iterator[None]:
    saved, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = saved


@contextlib.contextmanager
def _full_errors() -> Iterator[None]:
    """Hydra raises instead of printing and exiting: the kind of the error tells a broken pool from a failed job."""
    saved = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if saved is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = saved
