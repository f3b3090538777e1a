"""Every study's verdict in one table: each plan judged by the claim, the smallest effect and the interval that it froze."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...config import BadInput
from ...config.messages import did_you_mean
from ...record.plan import Plan, current
from ..read import load
from ..read.frames import runs_frame
from ..read.sources import Source
from ..stats import checks
from ..stats.effects import Method, contrast
from . import speed
from .contrasts import CONTRAST, AllOf, Claim, Contrast, Kind, better, same
from .design import Design
from .of_the_paper import CLAIMS
from .verdicts import PLACE, Verdict, judge, refused


@dataclass(frozen=True)
class Judged:
    """What one plan's runs say about a claim, or one timing. `frozen`: the plan itself states the claim."""

    plan: Plan | None
    """None for a timing."""
    verdict: Verdict
    frozen: bool = True
    timing: str = ""
    """The name of the timing."""

    @property
    def name(self) -> str:
        """E.g. "figure10_mid_activation (lab, plan 0123456789ab)"."""
        return f"bench step ({self.timing})" if self.plan is None else self.plan.name

    @property
    def place(self) -> str:
        """The label of the results."""
        return self.timing if self.plan is None else self.plan.label

    @property
    def label(self) -> str:
        """The verdict; with what limits it: pilot, partial, or a claim that the plan did not state."""
        v = self.verdict
        return v.label + (", partial" if v.partial else "") + ("" if self.frozen else ", not stated in the plan")


@dataclass(frozen=True)
class Board:
    """All verdicts, and what there is none for, in words."""

    judged: tuple[Judged, ...]
    notes: tuple[str, ...]


def frozen_claim(plan: Plan) -> Claim | None:
    """The claim that a plan states, with the smallest effect that it froze; None where it states none.

    A claim of the paper keeps its type and its parts; one of the study's own is decided by its contrasts, "a better than
    b" or "a same as b", all of them. Raises BadInput where the plan's contrasts are not this version's.
    """
    stated = plan.claim
    if stated is None:
        return None
    name, effect = str(stated["id"]), float(stated["smallest_effect"])
    words = tuple(map(str, stated["contrasts"]))
    if name in CLAIMS:
        known = tuple(c.name for c in CLAIMS[name].contrasts)
        if known != words:
            raise BadInput(f"{plan.name} froze {name} as {'; '.join(words)}, which this version decides by "
                           f"{'; '.join(known)}: judge it with the version that froze it")  # fmt: skip
        return replace(CLAIMS[name], smallest_effect=effect)
    contrasts = tuple(parsed(text, plan.study) for text in words)
    if not contrasts:
        raise BadInput(f"{plan.name}: claim {name} has no contrast to be decided by")
    if len({c.asks for c in contrasts}) > 1:
        raise BadInput(f"{plan.name}: claim {name} asks for a direction and for an equivalence: two studies")
    equal = contrasts[0].asks == "equivalent"
    single: Kind = "equivalent" if equal else "superior"
    return Claim(
        id=name, statement=str(stated.get("statement") or "; ".join(words)), place=f"study {plan.study}",
        kind=single if len(contrasts) == 1 or equal else "all_of",
        decides=contrasts[0] if len(contrasts) == 1 else AllOf(contrasts),
        not_shown="other data, scales and settings than this study's", smallest_effect=effect,
    )  # fmt: skip


def parsed(text: str, study: str) -> Contrast:
    """A contrast in words, "a better than b" or "a same as b", of a study. Raises BadInput for other words."""
    found = CONTRAST.fullmatch(text)
    if found is None:
        raise BadInput(f"contrast {text!r} of study {study}: not of the form 'A better than B' or 'A same as B'")
    variant, than = found["variant"], found["than"]
    return better(study, variant, than=than) if found["how"] == "better than" else same(study, variant, as_=than)


def judge_plans(sources: Sequence[str | Path], *, study: str | None = None, label: str | None = None) -> Board:
    """The verdict of every plan with results in the sources, partial ones too, in the order of the claims.

    A plan found in several sources has the runs of all of them. A study whose plans or records cannot be read is a note.
    Raises BadInput for a study or label that there is not, and where nothing can be read.
    """
    found: dict[str, Read] = {}
    unread: dict[str, str | None] = {}
    """What is wrong -> the study that it is wrong with, where there are several."""
    for source in sources:
        for name in _studies(Path(source)):
            try:
                reads = [
                    Read(r.plan, r.rows(), r.sources) for r in load.results(source, study=name) if r.plan is not None
                ]
            except BadInput as error:
                unread[str(error)] = name
                continue
            for read in reads:
                before = found.get(read.plan.plan_id)
                found[read.plan.plan_id] = read if before is None else before.joined(read)
    reasons = [why for why, name in unread.items() if name == study]
    timed = _timings(sources) if study is None and label is None else []
    if (unread and not found and not timed) or (reasons and study is not None):
        raise BadInput("\n".join(reasons or unread))
    live = {p.plan_id for p in current(r.plan for r in found.values())}
    every = sorted((r for r in found.values() if r.plan.plan_id in live), key=lambda r: r.order)
    for what, wanted in (("study", study), ("label", label)):
        known = sorted({str(getattr(r.plan, what)) for r in every})
        if wanted is not None and wanted not in known:
            raise BadInput(f"no {what} {wanted!r} in {', '.join(map(str, sources))}; there are: {', '.join(known)}."
                           f"{did_you_mean(wanted, known)}")  # fmt: skip
    judged: list[Judged] = []
    notes: list[str] = list(unread) if study is None and found else []
    for read in every:
        if study not in (None, read.plan.study) or label not in (None, read.plan.label):
            continue
        if not read.ended:
            notes.append(f"{read.plan.name}: no run of {len(read.rows)} has ended yet")
            continue
        verdicts, refusals = _judge(read, every)
        judged += verdicts
        notes += refusals
        if not verdicts and not refusals:
            notes.append(f"{read.plan.name}: states no claim; {read.ended} of {len(read.rows)} runs have ended")
    for timing in timed:
        judged += [
            Judged(None, speed.judge(c, timing), timing=timing.name) for c in CLAIMS.values() if c.kind == "speed"
        ]
    return Board(tuple(sorted(judged, key=_claim_order)), tuple(notes))


def _claim_order(judged: Judged) -> tuple[bool, str]:
    name = judged.verdict.claim.id
    return name not in CLAIMS, name if name in CLAIMS else ""


def _timings(sources: Sequence[str | Path]) -> list[speed.Timing]:
    """Every timing in the sources once, by name."""
    return list({t.name: t for source in sources for t in map(speed.read, speed.timings(Path(source)))}.values())


def _studies(root: Path) -> list[str | None]:
    """The studies of a runs_dir, which are read one by one; of committed results, all at once (None)."""
    names = sorted({p.parent.parent.name for p in root.glob("studies/*/*/plan.json")})
    return list(names) or [None]


@dataclass(frozen=True)
class Read:
    """A plan and the rows of its runs."""

    plan: Plan
    rows: list[dict[str, Any]]
    sources: tuple[Source, ...] = ()
    """Where its runs lie."""

    def joined(self, other: Read) -> Read:
        """With the runs of the same plan in another place."""
        sources = (*self.sources, *other.sources)
        return Read(self.plan, load.pooled(self.plan, sources).rows(), sources)

    @property
    def ended(self) -> int:
        """Runs that are finished or diverged."""
        return sum(row["status"] in checks.USABLE for row in self.rows)

    @property
    def order(self) -> tuple[Any, ...]:
        name = str((self.plan.claim or {}).get("id", ""))
        return name not in CLAIMS, name, self.plan.study, self.plan.label, self.plan.plan_id


def judge_plan(plan: Plan, runs: pd.DataFrame) -> Judged | None:
    """The verdict on the claim that a plan states, by the looks, strata and measures that it froze; None where it states none.

    runs: the plan's, missing ones too, and those of other studies that stand beside. Runs that cannot be compared give a verdict
    `refused`. Raises BadInput where the plan's contrasts are not this version's.
    """
    stated = frozen_claim(plan)
    return None if stated is None else Judged(plan, _verdict(plan, stated, runs))


def also_decided(plan: Plan, runs: pd.DataFrame) -> list[Judged]:
    """The verdicts on further claims of the paper that a plan's runs decide without its stating them."""
    stated = str((plan.claim or {}).get("id", ""))
    variants = set(runs.loc[runs["study"] == plan.study, "variant"])
    found = []
    for claim in CLAIMS.values():
        needed = {v for c in claim.contrasts for v in c.variants}
        if claim.id != stated and claim.kind != "speed" and claim.studies == (plan.study,) and needed <= variants:
            found.append(Judged(plan, _verdict(plan, claim, runs), frozen=False))
    return found


def open_contrasts(judged: Judged) -> tuple[Contrast, ...]:
    """The contrasts that are not decided after the last complete look, while the claim is not either."""
    return tuple(p.contrast for p in judged.verdict.parts if p.open)


def design_of(plan: Plan) -> Design:
    """How a plan said that it would be judged. Plans of schema 1 knew neither looks nor strata, nor a shared contradiction."""
    method: Method = "pooled" if (plan.claim or {}).get("interval") == "pooled" else "paired"
    if plan.schema < 2:
        return Design(method=method, shared=False)
    groups = len(set(plan.stratum.values())) or 1
    return Design(
        plan.seeds, plan.looks, plan.strata, groups, plan.stop_when_supported, plan.beside, method, len(plan.variants)
    )


def _verdict(plan: Plan, claim: Claim, runs: pd.DataFrame) -> Verdict:
    try:
        design = design_of(plan)
        found = judge(claim, runs, allow_partial=True, design=design)
        return found if design.looks else replace(found, post_hoc=post_hoc(found, plan, runs))
    except BadInput as error:
        return refused(claim, runs[runs["study"] == plan.study], str(error))


def post_hoc(verdict: Verdict, plan: Plan, runs: pd.DataFrame) -> tuple[str, ...]:
    """Readings in strata that the plan could not declare: of each setting of its blocks whose values repeat evenly."""
    found = []
    for key in dict.fromkeys(k for run in plan.runs for k in run.block):
        for part in verdict.parts:
            try:
                e = contrast(runs, part.contrast.weights, study=plan.study, metric=part.contrast.metric, strata=key,
                             arms=part.contrast.arms or None)  # fmt: skip
            except BadInput:
                continue
            if e.strata is not None and len(e.strata.means) > 1:
                found.append(f"Post hoc, one look, in strata not declared before the first run: {part.contrast.name}: "
                             f"{e.text()}, {e.strata.text()}.")  # fmt: skip
    return tuple(found)


def _judge(read: Read, every: Sequence[Read]) -> tuple[list[Judged], list[str]]:
    """The plan's own claim, then claims of the paper that its variants decide without the plan stating them; refusals.

    Beside it stand runs of other studies at the same place, under the same label: variants of one plan each.
    """
    places = {_place(row) for row in read.rows}
    others = [r for r in every if r.plan.study != read.plan.study and r.plan.label == read.plan.label]
    beside = [row for other in others for row in other.rows if _place(row) in places]
    runs = runs_frame(read.rows + beside)
    try:
        stated = judge_plan(read.plan, runs)
    except BadInput as error:
        return [], [str(error)]
    return [*([] if stated is None else [stated]), *also_decided(read.plan, runs)], []


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(k) for k in PLACE)
