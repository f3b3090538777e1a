"""What a page is about: one plan, its runs, and what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from ..analysis.claims import board
from ..analysis.claims.board import Judged
from ..analysis.claims.contrasts import Claim, Contrast
from ..analysis.read.frames import DTYPES
from ..analysis.stats import checks
from ..config import BadInput
from ..record.plan import Plan, from_values

MOST_CURVES = 6
"""Variants in one panel of learning curves; more cannot be told apart."""


@dataclass(frozen=True)
class Subject:
    """One plan with its runs and history; the rest follows from them."""

    plan: Plan
    runs: pd.DataFrame
    history: pd.DataFrame

    @property
    def study(self) -> str:
        return self.plan.study

    @property
    def variants(self) -> list[str]:
        """In the plan's order."""
        return list(self.plan.variants)

    @property
    def baseline(self) -> str:
        return self.plan.baseline

    @property
    def planned(self) -> int:
        """Seeds up to the look under way."""
        return int(self.runs["seed"].nunique())

    @property
    def look(self) -> str:
        """How far the study has come, e.g. "look 1 of 3 (5, 10, 20 seeds)"; empty for a plan of one look."""
        looks = self.plan.looks
        if len(looks) == 1:
            return ""
        number = next((i for i, seeds in enumerate(looks, 1) if seeds >= self.planned), len(looks))
        return f"look {number} of {len(looks)} ({', '.join(map(str, looks))} seeds)"

    @cached_property
    def ended(self) -> pd.DataFrame:
        """The finished and the diverged runs."""
        return self.runs[self.runs["status"].isin(checks.USABLE)]

    @cached_property
    def open(self) -> pd.DataFrame:
        """The others: missing, failed, altered, interrupted, running."""
        return self.runs[~self.runs["status"].isin(checks.USABLE)]

    @cached_property
    def claim(self) -> tuple[Claim | None, str]:
        """The claim that the plan states, None for none; or why it cannot be judged."""
        try:
            return board.frozen_claim(self.plan), ""
        except BadInput as error:
            return None, str(error)

    @cached_property
    def judged(self) -> tuple[Judged, ...]:
        """The verdict on the claim that the plan states, first; then on claims of the paper that its runs decide too."""
        try:
            stated = board.judge_plan(self.plan, self.runs)
        except BadInput:
            stated = None  # `claim` says why
        return (*(() if stated is None else (stated,)), *board.also_decided(self.plan, self.runs))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(variant, reference) of the comparisons that decide; without any, every variant with its reference."""
        stated = [j.verdict.claim for j in self.judged if j.frozen]
        compared = [p for claim in stated for c in claim.contrasts for p in pairs(c)]
        return compared or [(v, self.reference(v)) for v in self.variants if v != self.reference(v)]

    @cached_property
    def groups(self) -> list[list[str]]:
        """The variants that share their data, in the plan's order: only they compare."""
        by_data: dict[str, list[str]] = {}
        for name, variant in self.plan.variants.items():
            by_data.setdefault(json.dumps(variant.config.get("data"), sort_keys=True), []).append(name)
        return list(by_data.values())

    def reference(self, variant: str) -> str:
        """What a variant is compared with: the baseline, or where that has other data the reference of a pair, or the first."""
        (group,) = (group for group in self.groups if variant in group)
        stated = [p for j in self.judged if j.frozen for c in j.verdict.claim.contrasts for p in pairs(c)]
        return next((v for v in (self.baseline, *(base for _, base in stated)) if v in group), group[0])

    @property
    def deciding(self) -> list[str]:
        """The variants that decide, the baseline first; without a claim, all of them."""
        used = {v for j in self.judged if j.frozen for c in j.verdict.claim.contrasts for v in c.variants}
        chosen = [v for v in self.variants if v in used or v == self.baseline] if used else self.variants
        return sorted(chosen, key=lambda v: v != self.baseline)

    @property
    def shown(self) -> list[str]:
        """The variants whose curves are looked at: all of them, or those that decide where all are too many."""
        return self.variants if len(self.variants) <= MOST_CURVES else self.deciding[:MOST_CURVES]


def subject(runs: pd.DataFrame, history: pd.DataFrame, plan: Mapping[str, Any]) -> Subject:
    """The frames as `analysis.load` gives them and the content of plan.json; planned runs without a row get one."""
    frozen = from_values(plan, "plan.json")
    rows = checks.of_study(runs, frozen.study) if len(runs) else runs
    there = set(zip(rows["variant"], rows["seed"], strict=True)) if len(rows) else set()
    absent = [r for r in frozen.runs if (r.variant, r.seed) not in there]
    if absent:
        keys = {"study": frozen.study, "scale": frozen.staged_scale, "stage": frozen.stage, "plan_id": frozen.plan_id,
                "status": "missing"}  # fmt: skip
        more = pd.DataFrame([{"variant": r.variant, "seed": r.seed, "run_id": r.run_id, **keys} for r in absent])
        more = more.astype({c: rows[c].dtype for c in more.columns if c in rows.columns} if len(rows) else {})
        rows = pd.concat([rows, more], ignore_index=True) if len(rows) else more.astype({"seed": DTYPES["key"]})
    return Subject(frozen, _due(frozen, rows), history)


def _due(plan: Plan, rows: pd.DataFrame) -> pd.DataFrame:
    """The runs that there are, and of the others those whose look has come.

    The first look has all variants; a later one those of contrasts that were open, which are the variants with a run in it.
    """
    begun = rows[rows["status"] != "missing"]
    due = {(v, s) for v in plan.variants for s in plan.seeds_of_look(0)}
    for look in range(1, len(plan.looks)):
        seeds = plan.seeds_of_look(look)
        due |= {(v, s) for v in set(begun.loc[begun["seed"].isin(seeds), "variant"]) for s in seeds}
    keep = [s != "missing" or pair in due for s, pair in
            zip(rows["status"], zip(rows["variant"], rows["seed"], strict=True), strict=True)]  # fmt: skip
    return rows[keep].reset_index(drop=True)


def pair(contrast: Contrast) -> tuple[str, str] | None:
    """(variant, the one it is compared with) of a comparison of two variants' errors; None for any other contrast."""
    signs = sorted((w, v) for v, w in contrast.weights.items())
    plain = [w for w, _ in signs] == [-1.0, 1.0] and contrast.unit.startswith("ln test error")
    return (signs[0][1], signs[1][1]) if plain else None


def pairs(contrast: Contrast) -> list[tuple[str, str]]:
    """The comparisons of two variants that a contrast is made of: itself, or the arms of a difference of differences."""
    whole = pair(contrast)
    return [whole] if whole is not None else [(arm[0], arm[1]) for arm in contrast.arms if len(arm) == 2]
