"""From runs to a verdict on a claim: the contrasts at their looks, what stands beside them, and the rules on top."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import pandas as pd

from ...config import BadInput
from ..stats import checks, outcomes
from ..stats.effects import Effect, Method, contrast, strata_of
from .contrasts import Claim, Contrast
from .design import ERROR, Design
from .rules import Ruling, decide, errors, rule, still_open
from .warnings import warnings
from .where import training, where
from .wording import MEANINGLESS, SEEDS_FOR_A_VERDICT, Part, Verdict, refusal

__all__ = ["MEANINGLESS", "PLACE", "SEEDS_FOR_A_VERDICT", "Part", "Verdict", "judge", "refused"]

PLACE = ("scale", "data.name")
"""What a verdict is for: one of each."""
LEVEL = 1 - ERROR


def judge(
    claim: Claim,
    runs: pd.DataFrame,
    *,
    method: Method = "paired",
    allow_partial: bool = False,
    test_examples: int | None = None,
    design: Design | None = None,
) -> Verdict:
    """The verdict on one claim from a runs frame of one scale and one data set; rows of other studies are ignored.

    design: the looks and strata that the study declared before its first run; by default one look at all seeds of the frame.
    method: `pooled` only where the study declared it. With looks, a contrast's first verdict stands, whatever later seeds say.
    Raises BadInput for whatever `checks` refuses, and for claims on speed, which `speed` judges.
    """
    if claim.kind == "speed":
        raise BadInput(
            f"{claim.id} is judged from results of `bench step`, never from the records of runs: see `claims.speed`"
        )
    plan = design or Design(method=method)

    def effect(c: Contrast, rows: pd.DataFrame, sides: tuple[float, float], partial: bool = allow_partial) -> Effect:
        level, against = map(plan.level, sides)
        found = contrast(
            rows, c.weights, study=c.study, name=c.name, metric=c.metric, level=level, against=against,
            strata=plan.strata, method=plan.method, allow_partial=partial, arms=c.arms or None, test_examples=test_examples,
        )  # fmt: skip
        return replace(found, overall=1 - sides[0]) if plan.sequential else found

    parts, ruling = _at_looks(claim, runs, plan, effect)
    last = max((p.look for p in parts), default=0)
    seeds = set(plan.seeds[: plan.looks[last - 1]]) if last else set(plan.seeds)
    used = _used(claim, runs)
    rows = runs[runs["seed"].isin(seeds)] if seeds else runs
    used = used[used["seed"].isin(seeds)] if seeds else used
    beside, also, not_run = _as_placed(rows, used), [], []
    for c in claim.also:
        try:
            e = effect(c, beside, (ERROR, ERROR), True if plan.looks else allow_partial)
        except BadInput as error:
            not_run.append((c.name, str(error)))
        else:
            also.append(Part(c, e, rule(e.low, e.high, claim.smallest_effect, c.asks, e.estimate)))
    return Verdict(
        claim, ruling, tuple(parts), tuple(also), tuple(not_run), *where(used), diverged=_diverged(parts, used),
        training=training(used), mix=_mix(parts, used, plan), design=plan,
        warnings=warnings(claim, used), beside=tuple(_second(parts, rows, plan, effect)),
    )  # fmt: skip


Measure = Callable[..., Effect]


def _at_looks(claim: Claim, runs: pd.DataFrame, plan: Design, effect: Measure) -> tuple[list[Part], Ruling]:
    """Every contrast at the look at which it was decided, or at the last complete one; and the ruling on the claim."""
    d, node = claim.smallest_effect, claim.decides
    shares = errors(node, ERROR, shared=plan.shared)
    if not plan.looks:
        effects = [effect(c, runs, share) for c, share in zip(claim.contrasts, shares, strict=True)]
        return [_part(c, e, d) for c, e in zip(claim.contrasts, effects, strict=True)], decide(node, effects, d)
    effects = [_before(c, runs, plan) for c in claim.contrasts]
    at = [0] * len(effects)
    ended = _ended(runs)
    for number, size in enumerate(plan.looks, 1):
        seeds = plan.seeds[:size]
        rows = runs[runs["seed"].isin(seeds)]
        undecided = still_open(node, effects, d, when_supported=plan.stop_when_supported)
        moved = False
        for i, c in enumerate(claim.contrasts):
            done = rule_of(effects[i], c, d).stops(plan.stop_when_supported)
            there = all((c.study, v, s) in ended for v, w in c.weights.items() if w for s in seeds)
            if undecided[i] and not done and there and at[i] == number - 1:
                effects[i], at[i], moved = effect(c, rows, shares[i], False), number, True
        if not moved:
            break
    last = max(at) == len(plan.looks)
    waiting = still_open(node, effects, d, when_supported=plan.stop_when_supported or last)
    parts = [
        replace(_part(c, e, d), look=look, open=is_open)
        for c, e, look, is_open in zip(claim.contrasts, effects, at, waiting, strict=True)
    ]
    return parts, decide(node, effects, d)


def rule_of(e: Effect, c: Contrast, smallest: float) -> Ruling:
    """What an effect's own interval says."""
    return rule(e.low, e.high, smallest, c.asks, e.estimate, e.against)


def _part(c: Contrast, e: Effect, smallest: float) -> Part:
    return Part(c, e, rule_of(e, c, smallest))


def _ended(runs: pd.DataFrame) -> set[tuple[str, str, int]]:
    rows = runs[runs["status"].isin(checks.USABLE)]
    return set(zip(rows["study"], rows["variant"], rows["seed"], strict=True))


def _before(c: Contrast, runs: pd.DataFrame, plan: Design) -> Effect:
    """A contrast before its first look: an estimate without an interval, so that nobody looks earlier than declared."""
    mine = checks.of_variants(checks.of_study(runs, c.study), [v for v, w in c.weights.items() if w])
    rows = mine[mine["seed"].isin(plan.seeds[: plan.looks[0]])]
    usable = rows[rows["status"].isin(checks.USABLE)]
    whole = usable.groupby("seed")["variant"].nunique() == rows["variant"].nunique()
    waits = f"before the first look, at {plan.looks[0]} seeds"
    if not whole.any():
        return Effect(c.name, math.nan, math.nan, math.nan, math.nan, 0, plan.looks[0], math.nan, math.nan, plan.method,
                      c.metric, not_yet=waits)  # fmt: skip
    checks.comparable(usable, c.arms or None)
    alone = contrast(
        rows[rows["seed"].isin(whole[whole].index)], c.weights, study=c.study, name=c.name, metric=c.metric,
        arms=c.arms or None,
    )  # fmt: skip
    return replace(alone, planned=plan.looks[0], low=math.nan, high=math.nan, se=math.nan, not_yet=waits)


def _second(parts: list[Part], rows: pd.DataFrame, plan: Design, effect: Measure) -> Iterable[Part]:
    """The declared second line: each contrast in the other measure, over the same seeds."""
    for part in parts if plan.beside is not None else ():
        assert plan.beside is not None
        c = replace(part.contrast, metric=str(plan.beside["metric"]), paper=None)
        if part.effect.not_yet:
            continue
        seeds = plan.seeds[: plan.looks[part.look - 1]] if part.look else rows["seed"].unique()
        e = effect(c, rows[rows["seed"].isin(seeds)], (ERROR, ERROR), part.look == 0)
        yield replace(_part(c, e, float(plan.beside["smallest_effect"])), look=part.look)


def _diverged(parts: list[Part], used: pd.DataFrame) -> tuple[str, ...]:
    """Where a run diverged: the rate of every arm, and every contrast of it among the seeds in which all runs converged."""
    ended = outcomes.divergence(used)
    said = [
        f"{row.variant} diverged in {row.diverged} of {row.n} runs (95 % [{row.low:.2f}, {row.high:.2f}])"
        + (": chance." if row.diverged else ".")
        for row in ended.itertuples()
        if ended["diverged"].any()
    ]
    for p in parts:
        mine = used[used["variant"].isin([v for v, w in p.contrast.weights.items() if w])]
        out = mine.loc[mine["status"] == "diverged", "seed"].unique()
        if not len(out) or p.effect.not_yet:
            continue
        rest = mine[~mine["seed"].isin(out)]
        try:
            among = contrast(rest, p.contrast.weights, name=p.contrast.name, metric=p.contrast.metric, allow_partial=True,
                             arms=p.contrast.arms or None).text()  # fmt: skip
        except BadInput:
            among = "no seed in which all converged"
        said.append(f"Among converged seeds, {p.contrast.name}: {among}.")
    return tuple(said)


def _mix(parts: list[Part], used: pd.DataFrame, plan: Design) -> tuple[str, ...]:
    """Where seeds ran on several kinds of machines: which, and every contrast on each. Refuses kinds that stand for strata."""
    ended = used[used["status"].isin(checks.USABLE)]
    kinds = checks.kinds(ended)
    if not kinds:
        return ()
    if plan.strata is not None:
        checks.not_aligned(kinds, dict(zip(kinds, strata_of(ended, plan.strata, kinds), strict=True)))
    groups: dict[str, list[int]] = {}
    for seed, kind in kinds.items():
        groups.setdefault(kind, []).append(seed)
    said = [f"Seeds ran on several kinds of machines: {'; '.join(f'{k} (n={len(s)})' for k, s in groups.items())}."]
    for p in parts:
        each = []
        for kind, seeds in groups.items():
            rows = ended[ended["seed"].isin(seeds)]
            try:
                e = contrast(
                    rows, p.contrast.weights, metric=p.contrast.metric, allow_partial=True, arms=p.contrast.arms or None
                )
            except BadInput:
                continue
            each.append(f"{kind} {e.estimate:+.3f} (n={e.n})")
        said.append(f"By kind, {p.contrast.name}: {'; '.join(each)}.")
    return tuple(said)


def _used(claim: Claim, runs: pd.DataFrame) -> pd.DataFrame:
    keys = {(c.study, v) for c in claim.contrasts for v in c.variants}
    rows = runs[[pair in keys for pair in zip(runs["study"], runs["variant"], strict=True)]]
    checks.uniform(rows[rows["status"].isin(checks.USABLE)], "scale")
    return rows


def _as_placed(runs: pd.DataFrame, used: pd.DataFrame) -> pd.DataFrame:
    """The runs at the scale and on the data of those that decide; others do not stand beside them."""
    keep = pd.Series(True, index=runs.index)
    for column in PLACE:
        if column in runs.columns:
            keep &= runs[column].isin(used[column].dropna()) | runs[column].isna()
    return runs[keep]


def refused(claim: Claim, runs: pd.DataFrame, reason: str) -> Verdict:
    """The verdict on runs that cannot be compared, with the reason."""
    return refusal(claim, reason, *where(runs))
