"""Studies from the command line: `python -m sepconv_lab.study list|plan|run|status|retry NAME_OR_PATH [overrides]`

  list                    the studies that there are
  plan   NAME [...]       the runs, their sizes, time and disk, what is finished; starts nothing
  run    NAME [...]       freezes the plan and runs what is neither finished nor committed; the same command again goes on,
                          and so does `run NAME` alone, with the plan frozen last
  status NAME [...]       done, running, failed and waiting, from the records alone
  retry  NAME [...]       failed and diverged runs of a frozen plan again

Overrides: scale=smoke|lab|paper (lab), seeds=3 or seeds=[0,1], stage=fixed|tuned, any override of a run (for all of them),
Hydra's launcher (hydra/launcher=joblib hydra.launcher.n_jobs=2). A run goes to the study's next look, and there only for what
is still open; until=decided: on through the looks. A plan says what the design can find, at the SD of earlier runs or of sd=0.03;
page=FILE writes it down as a page to publish before the first run. --export: add each run to the study's committed results as
it ends. plan=ID: that frozen plan. --replan: freeze a study that has changed since, or that other words ask for.
Exit codes: 0 all runs up to the look finished, 1 some did not, 2 bad input, refused before anything is trained or written.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..analysis.read.export import published, write_page
from ..compose import compose
from ..config import BadInput
from ..config.identity import is_execution
from ..config.messages import unknown
from ..config.overrides import check_given_once, values
from ..console.progress import duration
from ..console.say import refuse, say
from ..console.streams import exit_with
from ..console.tables import print_table
from ..launch.hydra import check_hydra
from ..record.plan import Plan
from ..record.record import Record
from . import definition, estimate, tuning
from .advance import How, advance
from .current import Wanted, check_imports, described, fitting, planned_now, study_name
from .definition import Study, is_study
from .frozen import freeze, frozen_plans
from .planning import STAGES, make_plan
from .power import print_power
from .reader import load, seed_list
from .status import DONE, State, print_status, states
from .supervisor import Stopped

UNTIL = ("look", "decided")
COMMANDS = ("list", "plan", "run", "status", "retry")


@dataclass
class Request:
    """What the command line asks for."""

    command: str
    name: str
    plan_id: str = ""
    scale: str = ""
    stage: str = ""
    seeds: tuple[int, ...] | None = None
    replan: bool = False
    export: bool = False
    until: str = "look"
    sd: float | None = None
    page: str = ""
    runs_dir: str = "runs"
    hydra: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)

    @property
    def execution(self) -> dict[str, Any]:
        """Where and how to carry runs out: what no result depends on."""
        return values([w for w in self.overrides if is_execution(w)])

    @property
    def wanted(self) -> Wanted:
        """What was said of the plan."""
        overrides = tuple(w for w in self.overrides if not is_execution(w))
        return Wanted(self.name, self.runs_dir, self.plan_id, self.scale, self.stage, self.seeds, overrides)


def parse(words: Sequence[str]) -> Request:
    """The request in command-line words. Raises BadInput."""
    command, *rest = words
    if command not in COMMANDS:
        raise BadInput(unknown(command, command, COMMANDS))
    named = [w for w in rest if not w.startswith("-") and ("=" not in w or is_study(w))]
    if command != "list" and len(named) != 1:
        raise BadInput(f"study {command} takes one study: a name as in `study list`, or a path; got {named or 'none'}")
    found = Request(command, named[0] if named else "")
    check_given_once([w for w in rest if "=" in w and not w.startswith("-") and w not in named])
    for word in rest:
        key, _, value = word.partition("=")
        if word in named:
            continue
        if word == "--replan" and command == "run":
            found.replan = True
        elif word == "--export" and command in ("run", "retry"):
            found.export = True
        elif word.startswith("-"):
            flags = {"run": ["--replan", "--export"], "retry": ["--export"]}.get(command, [])
            raise BadInput(unknown(word, word, flags))
        elif value == "":
            raise BadInput(f"{word}: a value is missing")
        elif key == "plan" and command in ("run", "status", "retry"):
            found.plan_id = value
        elif key == "scale":
            found.scale = value
        elif key == "stage":
            if value not in STAGES:
                raise BadInput(unknown(word, value, STAGES))
            found.stage = value
        elif key == "sd" and command == "plan":
            found.sd = _positive(word, value)
        elif key == "page" and command == "plan":
            found.page = value
        elif key == "until":
            if value not in UNTIL:
                raise BadInput(unknown(word, value, UNTIL))
            found.until = value
        elif key == "seeds":
            found.seeds = seed_list(value)
        elif key == "runs_dir":
            found.runs_dir = compose([word]).runs_dir
        elif key.lstrip("+~").startswith("hydra"):
            found.hydra.append(word)
        else:
            found.overrides.append(word)
    if found.plan_id and found.replan:
        raise BadInput(
            f"plan={found.plan_id} goes on with a frozen plan, --replan freezes another; leave one of them out"
        )
    return found


def _positive(word: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise BadInput(f"{word} is not allowed: the SD of a paired difference in ln error, such as 0.03")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        request = parse(words)
        return {"list": _list, "plan": _plan, "run": _run, "status": _status, "retry": _run}[request.command](request)
    except BadInput as error:
        return refuse(error)
    except (Stopped, KeyboardInterrupt):
        say("stopped; the same command goes on from the last checkpoints")
        return 1


# --- commands ---------------------------------------------------------------------------------------------------------


def _list(request: Request) -> int:
    rows, problems = [], []
    for path in definition.shipped():
        try:
            study = load(path)
            frozen = frozen_plans(request.runs_dir, study.name)
        except BadInput as error:
            problems.append(str(error))
            continue
        done = "; ".join(f"{p.label}: {_done(states(p, request.runs_dir))}" for p in frozen)
        claim = study.claim.id if study.claim else "-"
        rows.append([study.name, claim, f"{len(study.variants)} x {len(study.seeds)}", done or "-", study.question])
    if not rows and not problems:
        raise BadInput(f"no study here: none in {definition.EXPERIMENTS}/*/study.yaml")
    if rows:
        print_table(["study", "claim", "variants x seeds", "finished", "question"], rows)
    if problems:
        raise BadInput("\n".join(problems))
    return 0


def _done(found: Sequence[State]) -> str:
    return f"{sum(s.status in DONE for s in found)}/{len(found)}"


def _plan(request: Request) -> int:
    study = load(request.name)
    plan, notes = _made(study, request)
    found = states(plan, request.runs_dir)
    seconds, source = estimate.seconds_per_run(plan, found, request.runs_dir)
    disk = {name: estimate.bytes_per_run(plan, name) for name in plan.variants}
    print(f"{study.name}, {plan.label}, plan {plan.plan_id}: {study.question}")
    if plan.claim:
        print(f"claim {plan.claim['id']}: {plan.claim['statement']}\n  decided by: {'; '.join(plan.claim['contrasts'])}; "
              f"smallest effect {plan.claim['smallest_effect']:g} in ln error; {plan.claim['interval']} intervals")  # fmt: skip
    print(f"seeds {', '.join(map(str, plan.seeds))}; baseline {plan.baseline}")
    for key in plan.runs[0].block:
        print(
            f"  with each seed {key}: {', '.join(str(r.block[key]) for r in plan.runs if r.variant == plan.runs[0].variant)}"
        )
    common = set.intersection(*(set(v.overrides) for v in plan.variants.values()))
    print(f"all: {shlex.join(sorted(common)) or '(the defaults)'}\n")
    mine: dict[str, list[State]] = {name: [] for name in plan.variants}
    for state in found:
        mine[state.run.variant].append(state)
    rows = []
    for name, v in plan.variants.items():
        words = shlex.join(w for w in v.overrides if w not in common) or "(all)"
        sizes = [f"{v.params:,}", f"{v.macs / 1e6:,.1f} M", f"{v.steps:,}" if v.steps else "?"]
        rows.append([name, words, *sizes, _time(seconds[name]), f"{disk[name] / 1e6:.1f} MB", _done(mine[name])])
    print_table(["variant", "overrides", "parameters", "MACs", "steps", "a run", "disk", "finished"], rows)
    left = [s.run for s in found if s.status not in DONE]
    cost, room = sum(seconds[r.variant] for r in left), sum(disk[r.variant] for r in left)
    print(
        f"\n{len(found)} runs, all variants of a seed before the next seed: {len(found) - len(left)} finished, {len(left)} to do, "
        f"{_time(cost)} one after another on this machine (from {source}), {room / 1e6:,.0f} MB"
    )
    print_power(plan, request.runs_dir, seconds, request.sd)
    for line in notes:
        print(f"note: {line}")
    if request.page:
        write_page(plan, Path(request.page))
        print(f"page: {request.page}")
    frozen = [p for p in frozen_plans(request.runs_dir, study.name) if p.label == plan.label]
    if frozen and plan.plan_id not in [p.plan_id for p in frozen]:
        changed = frozen[-1].selection == plan.selection
        why = "the study has changed since" if changed else "these words ask for another"
        print(f"note: {described(frozen[-1])} is frozen, and {why}; `study run --replan` freezes this one")
    if request.stage == "tuned":
        print("note: this is the tuning stage; the tuned runs follow it, at the rates that it chooses on validation")
    print("nothing was started")
    return 0


def _time(seconds: float) -> str:
    return "?" if math.isnan(seconds) else duration(seconds)


def _made(study: Study, request: Request, fetch: bool = False) -> tuple[Plan, list[str]]:
    """The plan of the stage that a request begins with."""
    scale = request.scale or "lab"
    if request.stage in ("", "fixed"):
        return make_plan(study, scale, overrides=request.overrides, seeds=request.seeds, fetch=fetch)
    study.at(scale)
    rates = tuning.base_rates(study, scale, request.overrides)
    return _tuning_plan(study, request, rates, tuning.grid(study), fetch)


def _tuning_plan(
    study: Study, request: Request, rates: Mapping[str, float], exponents: Sequence[int], fetch: bool
) -> tuple[Plan, list[str]]:
    assert study.tune is not None
    scale = request.scale or "lab"
    candidates = tuning.candidates(study, scale, rates, exponents)
    return make_plan(
        study, scale, overrides=request.overrides, seeds=study.tune.seeds, stage="tune", fetch=fetch,
        variants={name: c.overrides for name, c in candidates.items()},
        origins={name: c.origin for name, c in candidates.items()},
    )  # fmt: skip


def _status(request: Request) -> int:
    found = []
    for number, plan in enumerate(fitting(request.wanted)):
        print("\n" * bool(number), end="")
        found += print_status(plan, request.runs_dir)
    return 0 if all(s.status in DONE for s in found) else 1


def _run(request: Request) -> int:
    check_hydra(request.hydra)
    if (frozen := _frozen(request)) is not None:
        return _advance(frozen, request)
    study = load(request.name)
    if request.stage in ("", "fixed"):
        plan, notes = _made(study, request, fetch=True)
        for line in notes:
            say(f"note: {line}")
        return _carry_out(plan, request)
    scale = request.scale or "lab"
    rates = tuning.base_rates(study, scale, request.overrides)
    below = above = 0
    while True:
        exponents = tuning.grid(study, below, above)
        plan, _ = _tuning_plan(study, request, rates, exponents, fetch=True)
        request.replan |= bool(below or above)  # the grid grew by its own rule
        code = _carry_out(plan, request)
        if code:
            bad = [s for s in states(plan, request.runs_dir) if s.status not in ("finished", "diverged")]
            if bad:
                return code  # at a rate that is too high, diverging is an answer
        best = tuning.choose(study, tuning.candidates(study, scale, rates, exponents), states(plan, request.runs_dir))
        down, up = tuning.extension(exponents, best)
        down, up = down * (below < tuning.EXTENSIONS), up * (above < tuning.EXTENSIONS)
        if not (down or up):
            break
        below, above = below + down, above + up
        say(f"some variant's best rate is at the grid's edge: {len(tuning.grid(study, below, above))} points for all")
    chosen = tuning.tuned(study, scale, rates, best)
    for name in chosen:
        say(
            f"{name}: {chosen[name][-1]}"
            + (" (still at the edge)" if best[name] in (exponents[0], exponents[-1]) else "")
        )
    if request.stage == "tune":
        return 0
    plan, _ = make_plan(
        study, scale, overrides=request.overrides, seeds=request.seeds, stage="tuned", variants=chosen, fetch=True
    )
    return _carry_out(plan, request)


def _frozen(request: Request) -> Plan | None:
    """The frozen plan that a command goes on with; None where it is to plan: `run` with words, or before any plan."""
    wanted = request.wanted
    by_words = request.command == "run" and not wanted.plan_id
    if by_words and (request.replan or not wanted.nothing or not frozen_plans(request.runs_dir, study_name(wanted))):
        return None
    plan = fitting(wanted)[-1]
    now, note = planned_now(plan, request.name) if plan.imports or wanted.nothing else (None, "")
    check_imports(plan, now)
    if not wanted.plan_id:
        say(f"{plan.study}: {described(plan)} was frozen last, {plan.frozen}")
    if note:
        words = shlex.join([request.name, f"scale={plan.scale}", *plan.overrides])
        say(f"note: {note}; `python -m sepconv_lab.study run {words} --replan` freezes it as it is now")
    return plan


def _carry_out(plan: Plan, request: Request) -> int:
    """Freeze a plan and carry it on to its next look; the exit code."""
    Record(request.runs_dir, "0").check_writable()
    return _advance(freeze(published(plan), request.runs_dir, replan=request.replan), request)


def _advance(plan: Plan, request: Request) -> int:
    how = How(
        request.name, request.runs_dir, request.hydra, request.execution, retry=request.command == "retry",
        export=request.export and plan.stage != "tune", until_decided=request.until == "decided",
    )  # fmt: skip
    return advance(plan, how)


if __name__ == "__main__":
    exit_with(main)
