"""What a study's design can find before it starts: the chance of each verdict, the runs and the hours that it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..analysis.claims.board import frozen_claim
from ..analysis.claims.contrasts import Contrast
from ..analysis.read import committed, export, frames, load
from ..analysis.read.load import Results
from ..analysis.stats import effects, power
from ..config import BadInput
from ..console.progress import duration
from ..console.tables import print_table
from ..record.plan import Plan

ASSUMED = (0.015, 0.03, 0.05)
"""SDs of paired differences in ln error that committed studies had, where a study has no earlier runs."""
BLIND = 0.9
"""The chance of ending inconclusive at its own smallest effect from which a study is told that it cannot see it."""


@dataclass(frozen=True)
class Spread:
    """The SD over seeds of a contrast, and where it comes from."""

    contrast: Contrast
    sd: float
    source: str


def spreads(plan: Plan, runs_dir: str) -> list[Spread]:
    """The SD of each deciding contrast from the nearest runs there are: of this plan, of its label, of its data, of any."""
    claim = frozen_claim(plan)
    if claim is None:
        return []
    earlier = sorted(_earlier(plan, runs_dir), key=lambda r: _distance(plan, r))
    found = []
    for contrast in claim.contrasts:
        spread = next(filter(None, (_spread(contrast, r, plan.strata) for r in earlier)), None)
        found += [spread] if spread else []
    return found


def _earlier(plan: Plan, runs_dir: str) -> Iterable[Results]:
    for source in (runs_dir, *committed.folders(export.EXPERIMENTS / plan.study / "results")):
        try:
            yield from load.results(source, study=plan.study)
        except BadInput:  # nothing there, or nothing that can be read: `verdicts` says what
            continue


def _distance(plan: Plan, results: Results) -> tuple[bool, bool, bool]:
    other = results.plan
    assert other is not None
    data = [next(iter(p.variants.values())).config.get("data", {}).get("name") for p in (plan, other)]
    return other.plan_id != plan.plan_id, other.label != plan.label, data[0] != data[1]


def _spread(contrast: Contrast, results: Results, strata: str | None) -> Spread | None:
    assert results.plan is not None
    try:
        runs = frames.runs_frame(results.rows())
        e = effects.contrast(
            runs, contrast.weights, metric=contrast.metric, arms=contrast.arms or None, allow_partial=True,
            strata=strata if strata in runs.columns else None,
        )  # fmt: skip
    except BadInput:
        return None
    sd = e.se * math.sqrt(e.n) if e.n >= 3 else math.nan
    return Spread(contrast, sd, f"{e.n} seeds of {results.plan.label}") if sd > 0 else None


def print_power(plan: Plan, runs_dir: str, seconds: Mapping[str, float], sd: float | None = None) -> None:
    """Print the chance of each verdict at true effects of 0, d, 2d and 5d.

    seconds: variant -> those of a run. sd: of a paired difference, instead of that of earlier runs.
    """
    claim = frozen_claim(plan)
    if claim is None or plan.stage == "tune" or plan.looks[0] < 2:
        return
    d, contrasts = claim.smallest_effect, claim.contrasts
    claimed = 0.0 if contrasts[0].asks == "equivalent" else d
    known = [] if sd else spreads(plan, runs_dir)
    widest = max(known, key=lambda s: s.sd, default=None)
    at = {sd: "given"} if sd else {widest.sd: f"the widest, of {widest.contrast.name}: {widest.source}"} if widest else {
        s: "assumed, no earlier runs; sd=... sets one" for s in ASSUMED}  # fmt: skip
    variants = dict.fromkeys(v for c in contrasts for v in c.variants)
    a_seed = sum(seconds.get(v, math.nan) for v in variants)
    print(f"\nwhat it can find, looks at {', '.join(map(str, plan.looks))} seeds"
          + (f" in {len(set(plan.stratum.values()))} strata" if plan.strata else "")
          + (f"; one of {len(contrasts)} contrasts that must all hold" if claim.kind == "all_of" else ""))  # fmt: skip
    verdicts = ("supported", "materially", "contradicted", "negligible", "inconclusive")
    rows, blind = [], []
    for size in at:
        for c in power.chances(
            size, plan.looks, smallest=d, strata=len(set(plan.stratum.values())) or 1, asks=contrasts[0].asks,
            parts=len(contrasts), stop_when_supported=plan.stop_when_supported, draws=8000,
        ):  # fmt: skip
            hours = "?" if math.isnan(a_seed) else duration(c.expected_seeds * a_seed)
            rows.append([f"{size:.3f}", f"{c.effect:+g}", *(f"{100 * getattr(c, v):.0f} %" for v in verdicts),
                         f"{c.expected_seeds:.1f}", f"{c.expected_seeds * len(variants):.0f}", hours])  # fmt: skip
            blind += [size] if abs(c.effect - claimed) < 1e-12 and c.inconclusive >= BLIND else []
    print_table(["SD", "true effect", *verdicts, "seeds", "runs", "time"], rows)
    print("SD of a paired difference in ln error: " + "; ".join(dict.fromkeys(at.values())))
    where = "where there is no difference" if claimed == 0 else f"at its own smallest effect, {d:g}"
    for size in blind:
        print(f"note: at SD {size:.3f} it ends inconclusive nine times in ten {where}: more seeds, a larger smallest effect, or "
              "less noise (more test images) would have to come first")  # fmt: skip
