"""Which frozen plan a command is about: the one that its words name, or without any the last one frozen. Never plans anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config import BadInput
from ..config.messages import first_line, unknown
from ..record.plan import Plan
from .definition import find
from .frozen import changes, frozen_plans
from .planning import make_plan
from .reader import load


@dataclass(frozen=True)
class Wanted:
    """What a command line says of the plan that it means; all empty: nothing."""

    name: str
    """Of the study, as it was typed."""
    runs_dir: str = "runs"
    plan_id: str = ""
    """Or its beginning."""
    scale: str = ""
    stage: str = ""
    seeds: tuple[int, ...] | None = None
    overrides: tuple[str, ...] = ()
    """Those that results depend on."""

    @property
    def nothing(self) -> bool:
        return not (self.plan_id or self.scale or self.stage or self.seeds or self.overrides)

    def fits(self, plan: Plan) -> bool:
        """Whether nothing that was typed speaks against a plan; the tuned stage begins with the tuning."""
        return (
            plan.plan_id.startswith(self.plan_id)
            and self.scale in ("", plan.scale)
            and (self.stage in ("", plan.stage) or (self.stage, plan.stage) == ("tuned", "tune"))
            and self.seeds in (None, plan.seeds)
            and set(self.overrides) <= set(plan.overrides)
        )


def study_name(wanted: Wanted) -> str:
    """The study's name; its file need not be there where plans of it are frozen. Raises BadInput."""
    name = wanted.name
    if Path(name).name == name and any((Path(wanted.runs_dir) / "studies" / name).glob("*/plan.json")):
        return name
    return find(name).resolve().parent.name


def fitting(wanted: Wanted) -> list[Plan]:
    """The frozen plans that were meant, oldest first; replaced ones only by their id. Raises BadInput for none."""
    study = study_name(wanted)
    plans = frozen_plans(wanted.runs_dir, study, superseded=bool(wanted.plan_id))
    if not plans:
        raise BadInput(f"no plan of {study} in {wanted.runs_dir}: `study run {wanted.name}` freezes one")
    found = [p for p in plans if wanted.fits(p)]
    if wanted.plan_id and not any(p.plan_id.startswith(wanted.plan_id) for p in plans):
        raise BadInput(unknown(f"plan={wanted.plan_id}", wanted.plan_id, [p.plan_id for p in plans]))
    if not found:
        raise BadInput(f"no plan of {study} is like that; there are: {'; '.join(map(described, plans))}")
    return found


def described(plan: Plan) -> str:
    """E.g. "plan=0123456789ab (lab, train.epochs=4)"."""
    return f"plan={plan.plan_id} ({', '.join((plan.label, *plan.overrides))})"


def check_imports(plan: Plan, now: Plan | None) -> None:
    """Raises BadInput for a plan that would run modules which the study file, as planned `now`, does not name."""
    if plan.imports and (now is None or now.imports != plan.imports):
        named = ", ".join(now.imports) if now and now.imports else "nothing"
        raise BadInput(
            f"plan {plan.plan_id} imports {', '.join(plan.imports)}, and the study {named}: a plan alone runs no code; restore the "
            "study, or the plan"
        )


def planned_now(plan: Plan, name: str) -> tuple[Plan | None, str]:
    """A frozen plan as its study file would be planned today, and what has changed since; None where it cannot be."""
    if plan.stage != "fixed":
        return None, ""
    try:
        study = load(name)
        seeds = None if plan.looks == study.looks(plan.scale) else plan.seeds
        now, _ = make_plan(study, plan.scale, overrides=plan.overrides, seeds=seeds)
    except BadInput as error:
        return None, f"the study file cannot be planned any more ({first_line(error)})"
    return now, "" if now.plan_id == plan.plan_id else f"the study has changed since: {'; '.join(changes(plan, now))}"
