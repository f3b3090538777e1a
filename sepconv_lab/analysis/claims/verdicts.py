"""From runs to a verdict on a claim, in words that never say more than the interval does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from ...config import BadInput
from ..stats import checks, outcomes
from ..stats.effects import Effect, Method, contrast
from .contrasts import AllOf, AnyOf, Claim, Contrast
from .of_the_paper import CLAIMS
from .rules import Outcome, Ruling, decide, levels, rule
from .where import where

PLACE = ("scale", "data.name")
"""What a verdict is for: one of each."""
SEEDS_FOR_A_VERDICT = 6
LEVEL = 0.95
METHODS = {"paired": "paired over seeds", "pooled": "spread pooled over variants and seeds"}
MEANINGLESS = "smoke"
"""The scale whose numbers mean nothing; whatever its seeds, it is a pilot."""


@dataclass(frozen=True)
class Part:
    """One contrast with its effect and what its own interval says."""

    contrast: Contrast
    effect: Effect
    ruling: Ruling

    def text(self) -> str:
        return f"{self.contrast.name}: {self.effect.text()}: {self.ruling.label}"


@dataclass(frozen=True)
class Verdict:
    """What a set of runs says about a claim. `refused`: the runs cannot be compared, `reason` says why."""

    claim: Claim
    ruling: Ruling
    parts: tuple[Part, ...]
    """The contrasts that decide."""
    also: tuple[Part, ...]
    """Contrasts beside it, each at 95 %, that decide nothing."""
    not_run: tuple[tuple[str, str], ...]
    """Of those, the ones that could not be computed, with the reason."""
    scale: str
    data: str
    hardware: str
    diverged: tuple[str, ...] = ()
    """Per variant with diverged runs: their rate with its exact interval, in words."""
    reason: str = ""

    @property
    def outcome(self) -> Outcome:
        return self.ruling.outcome

    @property
    def n(self) -> int:
        """Seeds: the fewest among the parts."""
        return min((p.effect.n for p in self.parts), default=0)

    @property
    def planned(self) -> int:
        return max((p.effect.planned for p in self.parts), default=0)

    @property
    def pilot(self) -> bool:
        return self.n < SEEDS_FOR_A_VERDICT or self._meaningless

    @property
    def _meaningless(self) -> bool:
        return self.scale.partition("_")[0] == MEANINGLESS  # smoke_tuned too

    @property
    def label(self) -> str:
        """E.g. "supported (materially), pilot"."""
        return self.ruling.label + (", pilot" if self.pilot and self.outcome != "refused" else "")

    @property
    def absent(self) -> tuple[str, ...]:
        """Runs that were planned and could not be used, by name."""
        return tuple(dict.fromkeys(name for p in self.parts for name in p.effect.absent))

    def text(self) -> str:
        """A paragraph: verdict, every effect with its interval, data and scale, and what it does not show."""
        claim = self.claim
        lines = [f"{claim.id} {self.label}. {claim.statement} ({claim.place})."]
        if self.outcome == "refused":
            return lines[0] + f"\n  {self.reason}"
        lines += ["  " + p.text() for p in self.parts]
        lines += ["  " + words for words in self.reading]
        lines += [f"  Not deciding: {p.contrast.name}: {p.effect.text()}" for p in self.also]
        lines += [f"  Not compared: {'; '.join(self.not_compared)}."] if self.not_run else []
        lines += [f"  {words}" for words in self.diverged]
        if self.absent:
            lines.append(f"  Partial, without: {', '.join(self.absent)}.")
        lines.append(f"  On {self.data}; scale {self.scale}; {self.hardware}.")
        lines += ["  " + c for c in self.caveats]
        return "\n".join(lines)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The contrasts beside the verdict that could not be computed; with the reason, unless they were not run."""
        unrun = ("no run of study", "no run of variant")
        return tuple(name if why.startswith(unrun) else f"{name} ({why})" for name, why in self.not_run)

    @property
    def reading(self) -> tuple[str, ...]:
        """How to read the numbers, in sentences: their sign and unit, what the interval says, how many seeds would settle it."""
        first = self.parts[0]
        basis = f"smallest effect {self.claim.smallest_effect:g}; {METHODS[first.effect.method]}"
        found = [f"Positive is as claimed; in {first.contrast.unit}; {basis}.", _meaning(self.ruling, self.claim)]
        if self.outcome == "inconclusive":
            known = self.ruling.seeds_to_settle
            seeds = "more than 1000" if known is None else f"about {known}"
            found.append(f"Seeds that would likely settle it, if estimate and spread stay: {seeds}.")
        return tuple(found)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What keeps the verdict small: pilot, scale, what a lab-scale result does not show."""
        found = []
        if self._meaningless:
            found.append("Pilot: at the smoke scale the numbers mean nothing.")
        elif self.pilot:
            found.append(
                f"Pilot: {self.n} {'seed' if self.n == 1 else 'seeds'}, a verdict takes {SEEDS_FOR_A_VERDICT}."
            )
        return (*found, f"Does not show: {self.claim.not_shown}.")


def _meaning(ruling: Ruling, claim: Claim) -> str:
    d = f"{claim.smallest_effect:g}"
    if ruling.outcome == "not judged":
        return "Nothing can be said: there is no interval."
    if claim.contrasts[0].asks == "equivalent":
        said = {"supported": f"Every interval lies within ±{d}.", "contradicted": f"An interval lies beyond ±{d}."}
        return said.get(ruling.outcome, f"Not every interval lies within ±{d}, and none beyond it.")
    whole: dict[type, dict[str, str]] = {AllOf: _OF_ALL, AnyOf: _OF_ANY}
    words = whole.get(type(claim.decides), _OF_ONE)[ruling.outcome]
    if ruling.outcome == "supported":
        return words.format(f"at {d} or above" if ruling.materially else f"above zero, not at {d} or above")
    if ruling.outcome == "inconclusive":
        return f"{words} gains of {d} or more are {'excluded' if ruling.material_gain_excluded else 'possible'}."
    return words.format(d)


_OF_ONE = {
    "supported": "The interval lies {}.", "contradicted": "The interval lies below zero.",
    "negligible": "The interval lies within ±{}.", "inconclusive": "The interval holds zero;",
}  # fmt: skip
_OF_ALL = {
    "supported": "Every part's interval lies above zero, the least bound {}.",
    "contradicted": "A part's interval lies below zero.",
    "negligible": "A part's interval lies within ±{0} or ends below {0}, and no part's goes down to -{0}.",
    "inconclusive": "Not every part's interval lies above zero, and none lies below; for all parts at once,",
}
_OF_ANY = {
    "supported": "A part's interval lies above zero, the greatest bound {}.",
    "contradicted": "Every part's interval lies below zero.",
    "negligible": "Every part's interval ends below {0}, and one begins above -{0}.",
    "inconclusive": "No part's interval lies above zero, and not all lie below;",
}


def judge(
    claim: Claim,
    runs: pd.DataFrame,
    *,
    method: Method = "paired",
    allow_partial: bool = False,
    test_examples: int | None = None,
) -> Verdict:
    """The verdict on one claim from a runs frame of one scale and one data set; rows of other studies are ignored.

    method: `pooled` only where the study declared it before its first run. Raises BadInput for whatever `checks`
    refuses.
    """

    def effect(c: Contrast, level: float, rows: pd.DataFrame = runs) -> Effect:
        return contrast(
            rows, c.weights, study=c.study, name=c.name, metric=c.metric, level=level, method=method,
            allow_partial=allow_partial, arms=c.arms or None, test_examples=test_examples,
        )  # fmt: skip

    d = claim.smallest_effect
    effects = [effect(c, level) for c, level in zip(claim.contrasts, levels(claim.decides, LEVEL), strict=True)]
    parts = [
        Part(c, e, rule(e.low, e.high, d, c.asks, e.estimate)) for c, e in zip(claim.contrasts, effects, strict=True)
    ]
    used = _used(claim, runs)
    beside = _as_placed(runs, used)
    also, not_run = [], []
    for c in claim.also:
        try:
            e = effect(c, LEVEL, beside)
        except BadInput as error:
            not_run.append((c.name, str(error)))
        else:
            also.append(Part(c, e, rule(e.low, e.high, d, c.asks, e.estimate)))
    scale, data, hardware = where(used)
    ended = outcomes.divergence(used)
    lost = [
        f"{row.variant} diverged in {row.diverged} of {row.n} runs (95 % [{row.low:.2f}, {row.high:.2f}]): chance."
        for row in ended[ended["diverged"] > 0].itertuples()
    ]
    ruling = decide(claim.decides, effects, d)
    return Verdict(claim, ruling, tuple(parts), tuple(also), tuple(not_run), scale, data, hardware, tuple(lost))


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


def judge_all(
    runs: pd.DataFrame,
    claims: Mapping[str, Claim] | Iterable[Claim] = CLAIMS,
    *,
    method: Method = "paired",
    allow_partial: bool = False,
) -> list[Verdict]:
    """One verdict for each claim, scale and data set that has runs of a deciding study.

    Runs without a scale or data set (such as missing ones) belong to every one of their study.
    Runs that cannot be compared give a verdict `refused` with the reason, so that one bad study hides no other.
    """
    checks.columns(runs, ("study", "variant", "seed", "status", "scale"))
    every = list(claims.values()) if isinstance(claims, Mapping) else list(claims)
    keys = [c for c in PLACE if c in runs.columns]
    found = []
    for claim in every:
        own = runs[runs["study"].isin(claim.studies)]
        unplaced = own[own[keys].isna().any(axis=1)]
        for _, placed in own.groupby(keys):
            rows = pd.concat([placed, unplaced]) if len(unplaced) else placed
            beside = runs[~runs["study"].isin(claim.studies)].merge(placed[keys].drop_duplicates(), on=keys)
            try:
                found.append(
                    judge(
                        claim, pd.concat([rows, beside], ignore_index=True), method=method, allow_partial=allow_partial
                    )
                )
            except BadInput as error:
                found.append(refused(claim, rows, str(error)))
    return found


def refused(claim: Claim, runs: pd.DataFrame, reason: str) -> Verdict:
    """The verdict on runs that cannot be compared, with the reason."""
    return Verdict(claim, Ruling("refused", math.nan, math.nan, math.nan), (), (), (), *where(runs), reason=reason)


TABLE = (
    "claim", "statement", "verdict", "effect", "low", "high", "level", "unit", "smallest_effect", "seeds", "planned",
    "seeds_to_settle", "scale", "data", "hardware", "parts", "paper", "does_not_show", "reason",
)  # fmt: skip


def verdict_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One row a verdict, columns `TABLE`. Of several contrasts, effect, low and high are each the least of the parts'
    (all-of; equivalences: their hull) or the greatest (any-of); `level` is that of each contrast's interval."""
    rows = []
    for v in verdicts:
        numbers = ", ".join(
            f"{p.what} {p.value:,g}" if p.value < 1e5 else f"{p.what} {p.value:,.0f}" for p in v.claim.paper
        )
        rows.append({
            "claim": v.claim.id, "statement": v.claim.statement, "verdict": v.label, "effect": v.ruling.estimate,
            "low": v.ruling.low, "high": v.ruling.high, "level": v.parts[0].effect.level if v.parts else math.nan,
            "unit": v.claim.contrasts[0].unit, "smallest_effect": v.claim.smallest_effect, "seeds": v.n,
            "planned": v.planned, "seeds_to_settle": v.ruling.seeds_to_settle, "scale": v.scale, "data": v.data,
            "hardware": v.hardware, "parts": "; ".join(p.text() for p in v.parts),
            "paper": numbers or v.claim.paper_says, "does_not_show": v.claim.not_shown, "reason": v.reason,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(TABLE))
