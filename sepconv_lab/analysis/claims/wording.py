"""A verdict and its words, which never say more than the interval does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..stats.decisions import Outcome
from ..stats.effects import Effect
from .contrasts import AllOf, AnyOf, Claim, Contrast
from .design import Design
from .rules import Ruling

SEEDS_FOR_A_VERDICT = 5
METHODS = {"paired": "paired over seeds", "pooled": "spread pooled over variants and seeds"}
MEANINGLESS = "smoke"
"""The scale whose numbers mean nothing; whatever its seeds, it is a pilot."""


@dataclass(frozen=True)
class Part:
    """One contrast with its effect and what its own interval says."""

    contrast: Contrast
    effect: Effect
    ruling: Ruling
    look: int = 0
    """At which look, counted from 1; 0: before the first, or without looks."""
    open: bool = False
    """Whether further seeds could still decide it."""

    def text(self) -> str:
        return f"{self.contrast.name}: {self.effect.text()}{self._against()}: {self.ruling.label}"

    def _against(self) -> str:
        """The interval that a contradiction is judged by, where it could matter that it is a wider one."""
        e = self.effect
        if e.against is None or not e.has_interval or e.low > 0:
            return ""
        return f" (against it, at {100 * e.against_level:.4g} %: up to {e.against[1]:+.3f})"

    @property
    def paper(self) -> str:
        """The paper's own effect beside ours, in words; empty where it has none."""
        if self.contrast.paper is None:
            return ""
        e = self.effect
        inside = e.low <= self.contrast.paper <= e.high
        says = f"which our interval {'holds' if inside else 'excludes'}" if e.has_interval else "we have no interval"
        return f"{self.contrast.name}: the paper has {self.contrast.paper:+.3f} in the same measure, {says}."


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
    """Where a run diverged: per variant the rate with its exact interval, then the effects among converged seeds, in words."""
    reason: str = ""
    training: str = ""
    """How long and how large, e.g. "3 epochs, width 0.5, 47,562 to 50,314 parameters"."""
    mix: tuple[str, ...] = ()
    """Where seeds ran on several kinds of machines: which, and the effects on each, in words."""
    beside: tuple[Part, ...] = ()
    """The declared second line: the same contrasts in another measure."""
    warnings: tuple[str, ...] = ()
    """To be read before it: next to nothing learned, unequal sizes."""
    post_hoc: tuple[str, ...] = ()
    """Readings that were not declared before the first run, labelled as such."""
    design: Design = field(default=Design())

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
    def partial(self) -> bool:
        """Whether a part lacks seeds that it was planned with, or that its look takes."""
        return any(p.effect.n < p.effect.planned for p in self.parts)

    @property
    def pilot(self) -> bool:
        return self.claim.kind != "speed" and (self.n < SEEDS_FOR_A_VERDICT or self._meaningless)

    @property
    def _meaningless(self) -> bool:
        return self.scale.partition("_")[0] == MEANINGLESS  # smoke_tuned too

    @property
    def label(self) -> str:
        """E.g. "supported (materially), pilot"."""
        return self.ruling.label + (", pilot" if self.pilot and self.outcome != "refused" else "")

    @property
    def decided(self) -> bool:
        """Supported, contradicted or negligible, by enough seeds, with no part whose further seeds could change it."""
        return self.ruling.stops() and not self.pilot and not any(p.open for p in self.parts)

    @property
    def look(self) -> int:
        """The last look that a part rests on, counted from 1; 0: before the first, or without looks."""
        return max((p.look for p in self.parts), default=0)

    @property
    def next_look(self) -> int | None:
        """Seeds at the next look, where a part is open and there is one."""
        looks = self.design.looks
        return looks[self.look] if any(p.open for p in self.parts) and self.look < len(looks) else None

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
        lines += [f"  Warning: {words}" for words in self.warnings]
        lines += ["  " + p.text() for p in self.parts]
        lines += ["  " + words for words in self.reading]
        lines += [f"  Not deciding: {p.contrast.name}: {p.effect.text()}" for p in self.also]
        lines += [f"  Not compared: {'; '.join(self.not_compared)}."] if self.not_run else []
        lines += ["  " + words for words in self.notes]
        if self.absent:
            lines.append(f"  Partial, without: {', '.join(self.absent)}.")
        lines.append(
            f"  On {self.data}; scale {self.scale}; {self.hardware}.".replace("scale bench step", "bench step")
        )
        lines += ["  " + c for c in self.caveats]
        return "\n".join(lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """What stands beside the verdict, in sentences: how long and how large, divergence, machines, readings of afterwards."""
        trained = (f"After {self.training}.",) if self.training else ()
        return (*trained, *self.diverged, *self.mix, *self.post_hoc)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The contrasts beside the verdict that could not be computed; with the reason, unless they were not run."""
        unrun = ("no run of study", "no run of variant")
        return tuple(name if why.startswith(unrun) else f"{name} ({why})" for name, why in self.not_run)

    @property
    def reading(self) -> tuple[str, ...]:
        """How to read the numbers, in sentences: their sign and unit, what the interval says, what stands beside it."""
        first = self.parts[0]
        paired = (
            "paired over rounds in turn on one machine" if self.claim.kind == "speed" else METHODS[first.effect.method]
        )
        basis = f"smallest effect {self.claim.smallest_effect:g}; {paired}"
        said = [f"Positive is as claimed; in {first.contrast.unit}; {basis}.", _meaning(self.ruling, self.claim)]
        said += [f"{p.contrast.name}: {p.effect.strata.text()}." for p in self.parts if p.effect.strata is not None]
        said += self._looks()
        if self.outcome == "inconclusive" and not self.design.looks and self.claim.kind != "speed":
            known = self.ruling.seeds_to_settle
            seeds = "more than 1000" if known is None else f"about {known}"
            said.append(f"A study of its own with {seeds} seeds would likely settle it, if estimate and spread stay; seeds "
                        "added to this one now would not hold its error.")  # fmt: skip
        said += [f"Beside it, in {p.contrast.unit}: {p.text()}." for p in self.beside]
        said += [
            f"The signs are opposite: {p.contrast.name} in {p.contrast.unit} and in {b.contrast.unit}."
            for p, b in zip(self.parts, self.beside, strict=False)
            if p.effect.estimate * b.effect.estimate < 0
        ]
        return (*said, *(p.paper for p in self.parts if p.paper))

    def _looks(self) -> list[str]:
        looks = self.design.looks
        if not looks:
            return []
        said = []
        if self.design.sequential:
            said.append(f"Looks at {', '.join(map(str, looks))} seeds hold the error together: each interval is at "
                        f"{100 * self.parts[0].effect.level:.4g} %.")  # fmt: skip
            said += [
                f"{p.contrast.name}: {'open after' if p.open else 'at'} look {p.look}, {p.effect.n} seeds."
                for p in self.parts
                if p.look
            ]
        if self.next_look is not None:
            said.append(f"The next look is at {self.next_look} seeds.")
        return said

    @property
    def caveats(self) -> tuple[str, ...]:
        """What keeps the verdict small: pilot, scale, what a lab-scale result does not show."""
        said = []
        if self._meaningless:
            said.append("Pilot: at the smoke scale the numbers mean nothing.")
        elif self.pilot:
            said.append(f"Pilot: {self.n} {'seed' if self.n == 1 else 'seeds'}, a verdict takes {SEEDS_FOR_A_VERDICT}.")
        return (*said, f"Does not show: {self.claim.not_shown}.")


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
    if ruling.outcome == "contradicted" and ruling.materially:
        words = words.replace("below zero", f"at -{d} or below")
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


def refusal(claim: Claim, reason: str, scale: str, data: str, hardware: str) -> Verdict:
    """The verdict on runs that cannot be compared, with the reason."""
    return Verdict(
        claim, Ruling("refused", math.nan, math.nan, math.nan), (), (), (), scale, data, hardware, reason=reason
    )
