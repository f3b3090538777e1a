"""One run of a launch, perhaps in another process or on another machine, from the frozen plan alone."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import BadInput, bounded, registry
from ..disk import write_atomically
from ..launch.cluster import time_limit
from ..launch.stopping import StopSign
from ..record.plan import Plan, PlannedRun, read_plan
from ..record.record import Busy

if TYPE_CHECKING:
    from omegaconf import DictConfig


def task(cfg: DictConfig) -> None:
    """What a launcher calls for each job."""
    carry_out(cfg.launch, int(cfg.job))


def carry_out(launch: str | Path, job: int) -> None:
    """Carry out one run of a launch from the frozen plan alone; whatever goes wrong ends in its record or in a note.

    A run that was asked to stop stops the launch too; on a cluster, where each is a job of its own, it raises
    KeyboardInterrupt instead.
    """
    path = Path(launch)
    settings = bounded.parse_json(bounded.read_bytes(path, bounded.LARGE))
    if settings["alone"]:
        with time_limit():
            _carry_out(path, settings, job, lambda: False)
        return
    sign = sign_of(path, settings["launcher"])
    with sign.around_job():
        if not sign.is_up():
            _carry_out(path, settings, job, sign.is_up)


def sign_of(path: Path, launcher: int) -> StopSign:
    return StopSign(path.with_suffix(".stop"), launcher)


def _carry_out(path: Path, settings: Mapping[str, Any], job: int, should_stop: Callable[[], bool]) -> None:
    plan = read_plan(path.parent / "plan.json")
    planned = plan.runs[settings["runs"][job]]
    note = Note(path.parent, planned)
    note.clear()
    try:
        summary = _run(plan, planned, settings, settings["threads"][job], should_stop)
    except Busy:
        return  # another process is at it
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: one job never stops the others
        words = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        note.write(words, traceback.format_exc())
        return
    if settings["export"]:
        _export(settings["export"], settings["runs_dir"], str(planned.run_id))
    if summary.get("stopped"):
        raise KeyboardInterrupt


def _export(folder: str, runs_dir: str, run_id: str) -> None:
    """Add an ended run to the results. What goes wrong is said: the run itself is whole, and can be exported later."""
    from ..analysis.read.export import add_run
    from ..console.say import say

    try:
        add_run(Path(folder), runs_dir, run_id)
    except BadInput as error:
        say(f"{run_id} was not exported: {error}")


def _run(
    plan: Plan, planned: PlannedRun, settings: Mapping[str, Any], threads: int | None, should_stop: Callable[[], bool]
) -> dict[str, Any]:
    from ..training.job import record_of, run

    registry.import_user_modules(
        settings["imports"]
    )  # of the study file and the command line, which the plan agreed with
    execution = settings["execution"] | ({"train.threads": threads} if threads else {})
    config = plan.config(planned, settings["runs_dir"], execution)
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
    return run(config, name=planned.name, context=context, should_stop=should_stop)


class Note:
    """What went wrong with a run that could not even begin its record."""

    def __init__(self, folder: Path, planned: PlannedRun):
        self.path = folder / "notes" / f"{planned.run_id}.txt"

    def read(self) -> str:
        with contextlib.suppress(OSError, bounded.Malformed):
            return bounded.read_text(self.path)
        return ""

    def write(self, words: str, trace: str) -> None:
        self.path.parent.mkdir(exist_ok=True)
        write_atomically(self.path, f"{words}\n\n{trace}".encode())

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
