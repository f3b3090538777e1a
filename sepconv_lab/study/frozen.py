"""Plans frozen on disk before the first run starts, and what a study that has changed since would change.

The plan id hashes what was asked (question, claim, smallest effect, baseline, seeds) and every run id, so a changed study has
another plan, and jobs never read the study file.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

from ..config import BadInput
from ..config.fields import dotted
from ..config.identity import is_execution
from ..disk import write_atomically
from ..record.plan import DECIDING, Plan, current, read_plan


def freeze(plan: Plan, runs_dir: str | Path, *, replan: bool = False) -> Plan:
    """Write the plan down, or find it frozen already; returns it as it stands on disk.

    A study has one current plan a label. Raises BadInput, unless `replan`, where another one is frozen under this label: because
    the study has changed since, with what has changed, or because it was asked for in other words.
    """
    from ..training import environment

    if any(run.run_id is None for run in plan.runs):
        raise BadInput(f"{plan.study}: the data of scale={plan.scale} is not here; give data.path=DIR")
    siblings = [p for p in frozen_plans(runs_dir, plan.study, superseded=True) if p.label == plan.label]
    others = [p for p in siblings if p.plan_id != plan.plan_id]
    now = next((p for p in siblings if p.plan_id == plan.plan_id), None)
    live = [p for p in current(siblings) if p.plan_id != plan.plan_id]
    if now is not None and now.imports != plan.imports:
        raise BadInput(
            f"{now.path}: imports {', '.join(now.imports) or 'nothing'}, and the study {', '.join(plan.imports) or 'nothing'}: the "
            "plan was changed since it was frozen; restore the file"
        )
    before = [p for p in live if p.selection == plan.selection]
    if now is not None and (not live or (now in current(siblings) and not before)):
        return now
    if before and not replan:
        lines = "\n".join(f"  {line}" for p in before for line in changes(p, plan))
        raise BadInput(
            f"{plan.study} has changed since plan {before[0].plan_id} was frozen ({before[0].frozen}):\n{lines}\n"
            "--replan freezes it as it is now; records of runs that both have are kept and used"
        )
    if live and not replan:
        there = live[-1]
        raise BadInput(
            f"{plan.study} has plan {there.plan_id} at {plan.label}, frozen {there.frozen} with {_typed(there)}; these words "
            f"({_typed(plan)}) ask for another: `study run {plan.study} plan={there.plan_id}` goes on with that one, --replan "
            "freezes this one in its place"
        )
    for other in others:  # going back to an earlier plan: it is no longer the replaced one
        if plan.plan_id in other.replaces:
            kept = tuple(r for r in other.replaces if r != plan.plan_id)
            _write(dataclasses.replace(other, replaces=kept), runs_dir)
    made = dataclasses.replace(
        now or plan,
        frozen=(now or plan).frozen or datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        git=(now or plan).git or environment.git_state(),
        replaces=tuple(sorted(p.plan_id for p in others)),
    )
    _write(made, runs_dir)
    return made


def _typed(plan: Plan) -> str:
    return " ".join(plan.overrides) or "no overrides"


def _write(plan: Plan, runs_dir: str | Path) -> None:
    folder = plan.folder(runs_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "plan.json", plan.to_json())
    except PermissionError as error:
        raise BadInput(f"runs_dir={runs_dir} is not writable: {error.strerror}") from error


def frozen_plans(runs_dir: str | Path, study: str, *, superseded: bool = False) -> list[Plan]:
    """The plans of a study, oldest first; without those that a later one replaces. Raises BadInput for an unreadable one."""
    paths = sorted((Path(runs_dir) / "studies" / study).glob("*/plan.json"))
    plans = [read_plan(p) for p in sorted(paths, key=lambda p: p.stat().st_mtime_ns)]
    plans.sort(key=lambda p: p.frozen)
    return plans if superseded else current(plans)


def changes(old: Plan, new: Plan) -> list[str]:
    """What differs between two plans of one study, in lines a person can read."""
    lines = []
    for name in ("question", "baseline", "claim", "seeds", *DECIDING):
        a, b = getattr(old, name), getattr(new, name)
        if a != b and not (name == "looks" and len(a) == len(b) == 1):  # one look at all seeds
            lines.append(f"{name}: {_short(a)} -> {_short(b)}")
    a, b = ({r.seed: r.block for r in p.runs} for p in (old, new))
    if any(a[s] != b[s] for s in a if s in b):
        lines.append("blocks: the seeds set other data than before")
    lines += [f"variant {name}: gone" for name in old.variants if name not in new.variants]
    for name, variant in new.variants.items():
        before = old.variants.get(name)
        if before is None:
            lines.append(f"variant {name}: new ({' '.join(variant.own)})")
        elif before.config != variant.config:
            a, b = dotted(before.config), dotted(variant.config)
            lines += [
                f"variant {name}: {k}: {_short(a.get(k))} -> {_short(b.get(k))}"
                for k in {**a, **b}
                if a.get(k) != b.get(k) and not is_execution(k)
            ]
        elif before.own != variant.own:
            lines.append(f"variant {name}: written {' '.join(before.own)} -> {' '.join(variant.own)}")
    return lines or ["the data, the initial weights or the code that computes (RECIPE, imports): run ids differ"]


def _short(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, (dict, tuple, list)) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
