"""A frozen plan carried on to its next look: what is launched, what is said before and after, and how the command ends."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..analysis.read import export
from ..analysis.read.kinds import Candidate, complete, kind_of, tag, words
from ..analysis.read.sources import KINDS, Records, Source, candidates
from ..config.fields import as_typed
from ..console.progress import duration
from ..console.say import say
from ..launch.hydra import plugin
from ..record.plan import Plan
from ..record.record import Record
from .job import Note
from .looks import Need, frame_of, needed
from .status import DONE, STUCK, State, print_status, sources_of, states
from .supervisor import Stopped, Supervisor


@dataclass(frozen=True)
class How:
    """How the command line wants a plan carried out."""

    name: str
    """Of the study, as it was typed."""
    runs_dir: str = "runs"
    hydra: Sequence[str] = ()
    execution: Mapping[str, Any] = field(default_factory=dict)
    retry: bool = False
    """Run failed and diverged runs again."""
    export: bool = False
    """Add each run to the study's committed results as it ends."""
    until_decided: bool = False
    """Go on through the looks until no contrast is open."""

    def command(self, command: str, plan: Plan) -> str:
        """What to type for another launch of a plan."""
        where = [] if self.runs_dir == "runs" else [f"runs_dir={self.runs_dir}"]
        settings = [f"{key}={as_typed(value)}" for key, value in self.execution.items()]
        return f"python -m sepconv_lab.study {command} " + shlex.join(
            [self.name, f"plan={plan.plan_id}", *where, *self.hydra, *settings]
        )


def _states(plan: Plan, need: Need, runs_dir: str) -> dict[int, State]:
    every = states(plan, runs_dir)
    return {i: every[i] for i in need.so_far}


def advance(plan: Plan, how: How) -> int:
    """Carry a frozen plan to its next look; the exit code: 0 where all runs up to it are finished, else 1. Raises Stopped."""
    first = True
    while True:
        sources = sources_of(how.runs_dir)
        need = needed(plan, frame_of(plan, sources))
        code = _to_look(plan, need, how, sources, first)
        if need.over or code or not how.until_decided:
            return code
        first = False


def _to_look(plan: Plan, need: Need, how: How, sources: Sequence[Source], first: bool) -> int:
    found = _states(plan, need, how.runs_dir)
    todo = _todo(plan, need, found, how, sources)
    if how.retry and first:
        stuck = [i for i, s in found.items() if s.status in STUCK]
        for i in stuck:
            _clear(found[i], plan, how.runs_dir)
        todo |= dict.fromkeys(stuck)
        if not todo:
            say(f"{plan.study}, {plan.label}: nothing to retry: {_done(found)} finished")
            return 0 if all(s.status in DONE for s in found.values()) else 1
    if not todo and need.over:
        whole = all(s.status in DONE for s in found.values())
        what = (
            f"all {len(found)} runs are finished"
            if whole
            else f"{_done(found)} finished, the others have ended otherwise"
        )
        say(f"{plan.study}, {plan.label}, plan {plan.plan_id}: {what}; nothing to do")
        _tell(plan, need, how, sources)
        return 0 if whole else 1
    look = (
        f", look {need.look + 1} of {len(plan.looks)} at {plan.looks[need.look]} seeds" if len(plan.looks) > 1 else ""
    )
    say(
        f"{plan.study}, {plan.label}, plan {plan.plan_id}{look}: {len(found)} runs, {_done(found)} finished, {len(todo)} to run"
    )
    began, stopped = time.time(), False
    folder = export.begin(plan) if how.export else None
    _make_way(plan, todo, found, how.runs_dir)
    try:
        Supervisor(
            plan, how.runs_dir, how.hydra, how.execution, export=folder, threads={i: n for i, n in todo.items() if n}
        ).go(sorted(todo))
    except Stopped:
        stopped = True
    say("")
    if folder is not None:
        export.export_plan(plan, sources_of(how.runs_dir), folder, allow_partial=True)
    sources = sources_of(how.runs_dir)
    found = _states(plan, need, how.runs_dir)
    print_status(plan, how.runs_dir, found=list(found.values()))
    if stopped:
        raise Stopped
    say(f"\n{_done(found)} finished" + (f" in {duration(time.time() - began)}" if todo else ""))
    if any(s.status in STUCK for s in found.values()):
        say(f"`{how.command('retry', plan)}` runs failed and diverged runs again")
    if any(s.status in ("waiting", "interrupted") for s in found.values()):
        say(f"`{how.command('run', plan)}` goes on with what has not ended")
    _tell(plan, needed(plan, frame_of(plan, sources)), how, sources)
    return 0 if all(s.status in DONE for s in found.values()) else 1


def _done(found: Mapping[int, State]) -> str:
    return f"{sum(s.status in DONE for s in found.values())}/{len(found)}"


# --- which runs, on which machine -------------------------------------------------------------------------------------


def _todo(
    plan: Plan, need: Need, found: Mapping[int, State], how: How, sources: Sequence[Source]
) -> dict[int, int | None]:
    """Index of a run to launch -> the threads that the rest of its seed had, where nobody has set any.

    A seed that has not ended on one kind of machine is completed on this kind; what it has on another stays beside.
    """
    here = this_machine(plan, how)
    have = candidates((plan.runs[i].run_id for i in found), sources)
    out: dict[int, int | None] = {}
    for seed in dict.fromkeys(plan.runs[i].seed for i in found):
        mine = [i for i in found if plan.runs[i].seed == seed]
        if complete([plan.runs[i] for i in mine], have) is not None:
            continue
        alike = {i: _of_kind(have.get(str(plan.runs[i].run_id), ()), here) for i in mine}
        threads = next((dict(c.kind).get("threads") for several in alike.values() for c in several), None)
        lacking = [i for i in mine if not alike[i] and found[i].status not in ("failed", "running")]
        elsewhere = [plan.runs[i].name for i in lacking if found[i].status in ("finished", "diverged")]
        if elsewhere:
            say(
                f"seed {seed}: {', '.join(elsewhere)} ended on another kind of machine; a seed is of one kind, so run again here"
            )
        if not lacking and not any(found[i].status in ("failed", "running") for i in mine):
            kinds = dict.fromkeys(words(c.kind) for several in alike.values() for c in several)
            say(
                f"seed {seed} is mixed ({'; '.join(kinds)}) and cannot be judged: give train.threads, or one kind of machine"
            )
        out |= dict.fromkeys(lacking, None if "threads" in here else threads)
    return out


def _of_kind(have: Sequence[Candidate], here: Mapping[str, Any]) -> list[Candidate]:
    """The results of this kind of machine."""
    return [c for c in have if c.usable and here.items() <= dict(c.kind).items()]


def this_machine(plan: Plan, how: How) -> dict[str, Any]:
    """What is known of the kind of machine that runs will be carried out on: nothing where a cluster chooses it."""
    launcher = next((w.split("=", 1)[1] for w in how.hydra if w.startswith("hydra/launcher=")), "basic")
    if plugin(launcher) == "submitit_slurm":
        return {}
    from ..training import environment

    config = plan.config(plan.runs[0], how.runs_dir, how.execution)
    device = environment.resolve_device(config.train)
    row = {
        "hardware_class": environment.hardware_class(device), "device": device.type,
        "precision": environment.resolve_precision(config.train, device).name, "threads": config.train.threads or None,
        **{f"versions.{k}": v for k, v in environment.versions().items()},
    }  # fmt: skip
    return dict(kind_of(row))


def _make_way(plan: Plan, todo: Mapping[int, Any], found: Mapping[int, State], runs_dir: str) -> None:
    """Put records of another kind of machine aside, where every study still reads them."""
    for i in todo:
        record = Record(runs_dir, str(plan.runs[i].run_id))
        if found[i].status not in ("finished", "diverged") or record.summary() is None:
            continue
        (candidate,) = (c for c in Records(runs_dir).candidates(record.run_id) if c.where == record.path)
        target = Path(runs_dir) / KINDS / tag(candidate.kind) / record.run_id
        with record.owned():
            if target.exists():
                record.archive()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(record.path, target)


def _clear(state: State, plan: Plan, runs_dir: str) -> None:
    """Make way for another attempt: a diverged record is put aside, a failed one goes on from its last checkpoint."""
    record = Record(runs_dir, str(state.run.run_id))
    if state.status == "diverged":
        with record.owned():
            say(f"{state.run.name}: archived {record.archive()}")
    Note(plan.folder(runs_dir), state.run).clear()


# --- what is said -----------------------------------------------------------------------------------------------------


def _tell(plan: Plan, need: Need, how: How, sources: Sequence[Source]) -> None:
    """What the looks have decided, what the next one would cost, and where the report comes from."""
    if need.judged is not None and len(plan.looks) > 1:
        verdict = need.judged.verdict
        say(
            f"\nafter {plan.looks[need.look if need.over else need.look - 1]} seeds, {verdict.claim.id}: {need.judged.label}"
        )
        for part in verdict.parts:
            say(f"  {part.text()}" + (": open" if part.contrast.name in need.open else ""))
    if need.refused:
        say(f"the runs cannot be compared: {need.refused}")
    elif need.open and need.over:
        say("open after the last look: no further seeds were declared")
    elif need.open:
        say(f"open: {'; '.join(need.open)}. {cost(plan, need, sources)}; `{how.command('run', plan)}` goes on with it")
    if plan.stage != "tune":
        where = "" if how.runs_dir == "runs" else f" --runs-dir {shlex.quote(how.runs_dir)}"
        say(f"report: python -m sepconv_lab.report {plan.study} --label {plan.label}{where}")


def cost(plan: Plan, need: Need, sources: Sequence[Source]) -> str:
    """What the look under way takes, from the wall time of the runs before it."""
    runs = frame_of(plan, sources)
    times = runs.groupby("variant")["wall_time"].mean()
    seeds = plan.seeds_of_look(need.look)
    seconds = len(seeds) * float(sum(times.get(v, math.nan) for v in need.variants))
    known = f", about {duration(seconds)} one after another" if math.isfinite(seconds) else ""
    return (f"The next look takes {len(seeds) * len(need.variants)} runs (seeds {seeds[0]} to {seeds[-1]} of "
            f"{', '.join(need.variants)}){known}")  # fmt: skip
