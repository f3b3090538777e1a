"""The page's sentences: what it is only a part of, the verdict in plain words, what it does not show."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from ..analysis import figures
from ..analysis.claims.board import Judged
from ..analysis.claims.contrasts import Claim
from ..analysis.claims.verdicts import MEANINGLESS, SEEDS_FOR_A_VERDICT, Part
from ..analysis.stats import checks
from ..analysis.stats.outcomes import divergence
from . import text
from .subject import Subject, pair

Banner = tuple[str, str]
"""A word, and the sentence that explains it."""


def banners(g: Subject) -> list[Banner]:
    """What must be read before any number, most important first."""
    shown = []
    if g.plan.scale == MEANINGLESS:
        shown.append(("Smoke", "A handful of steps that show that everything runs. The numbers mean nothing."))
    if len(g.open):
        kinds = g.open["status"].value_counts().sort_index()
        counts = ", ".join(f"{n} {status}" for status, n in kinds.items())
        shown.append(("Partial", f"{len(g.ended)} of {text.plural(len(g.runs), 'run')} have ended ({counts}). Every figure "
                      "and table shows its n; the verdict may change."))  # fmt: skip
    if g.plan.stage == "tune":
        shown.append(("Tuning", "Learning rates tried on validation. There is nothing to judge here."))
    elif 0 < _fewest(g) < SEEDS_FOR_A_VERDICT and g.plan.claim is not None:
        shown.append(("Pilot", f"{text.plural(_fewest(g), 'seed')}; a verdict takes {SEEDS_FOR_A_VERDICT}."))
    return shown


def _fewest(g: Subject) -> int:
    """Seeds that the verdict on the stated claim rests on."""
    stated = [j.verdict for j in g.judged if j.frozen]
    if stated and stated[0].parts:
        return stated[0].n
    ended = g.ended.groupby("variant")["seed"].nunique()
    return int(min((ended.get(v, 0) for v in g.deciding), default=0))


# --- verdict ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One comparison: what, its effect with the interval, what the interval says, and the same as a change of the error."""

    what: str
    effect: str
    says: str
    plainly: str = ""


def line(part: Part) -> Line:
    """A comparison in words."""
    e = part.effect
    effect = text.estimate(e.estimate, e.low, e.high, e.why_no_interval)
    effect += f", n={e.n}" + (f" of {e.planned}" if e.n < e.planned else "")
    both = pair(part.contrast)
    plainly = ""
    if both is not None and e.has_interval:
        variant, than = map(figures.style.label, both)
        plainly = f"{variant}’s test error is {text.change(e.estimate)} than {than}’s"
        plainly += f" ({100 * e.level:.4g} % interval: {text.between(e.low, e.high)})"
    return Line(part.contrast.name.replace("_", " "), effect, part.ruling.label, plainly)


TONES = {"supported": "yes", "contradicted": "no", "negligible": "none", "inconclusive": "open"}


def tone(judged: Judged) -> str:
    """A class of the page's style: how the verdict looks."""
    return TONES.get(judged.verdict.outcome, "void")


def chips(judged: Judged) -> list[str]:
    """What limits a verdict, in a word each."""
    rest = judged.label.removeprefix(judged.verdict.ruling.label)
    return [word.strip() for word in rest.split(",") if word.strip()]


def paper_numbers(claim: Claim) -> list[tuple[str, str, str]]:
    """What, value, and whether it is printed or read off a figure."""
    accuracy = {"printed": "printed", "read": "read off the figure"}
    return [
        (_named(p.what), f"{p.value:,.{3 if p.value < 1 else 2 if p.value % 1 else 0}f}", accuracy[p.how])
        for p in claim.paper
    ]


SPELLED = {
    "imagenet": "on ImageNet:", "top1": "top-1", "map at 100": "MAP@100", "inception v3": "Inception V3", "relu": "ReLU",
    "xception": "Xception", "elu": "ELU", "no fc": "without FC layers:", "fc": "with FC layers:",
}  # fmt: skip


def _named(what: str) -> str:
    words = what.replace("_", " ")
    return re.sub(rf"\b({'|'.join(SPELLED)})\b", lambda match: SPELLED[match[1]], words)


def diverged(runs: pd.DataFrame) -> list[str]:
    """A sentence for each variant with diverged runs."""
    table = divergence(runs)
    return [
        f"{figures.style.label(str(row['variant']))} diverged in {row['diverged']} of {text.plural(row['n'], 'run')} "
        f"(95 % interval of the rate: {row['low']:.2f} to {row['high']:.2f}). A diverged run counts at chance level."
        for row in table[table["diverged"] > 0].to_dict("records")
    ]


# --- limits -----------------------------------------------------------------------------------------------------------


def limits(g: Subject) -> list[str]:
    """What the result does not show, from the particular to the general."""
    sentences = []
    for judged in g.judged:
        v = judged.verdict
        about = "" if len(g.judged) == 1 else f" ({v.claim.id})"
        sentences.append(f"It does not show{about}: {v.claim.not_shown}.")
        if v.not_run:
            sentences.append(f"Not compared here{about}: {'; '.join(v.not_compared)}.")
    sentences += _design(g)
    if len(g.open):
        sentences.append(f"Without: {checks.names(g.open, 12)}.")
    truncated = g.history.attrs.get("truncated", ())
    if truncated:
        sentences.append(f"The last line of {text.plural(len(truncated), 'log')} was cut short and left out.")
    if "git.dirty" in g.ended.columns and (dirty := int(g.ended["git.dirty"].fillna(False).sum())):
        sentences.append(f"{text.plural(dirty, 'run')} came from code with uncommitted changes: the commit alone does not "
                     "identify it.")  # fmt: skip
    return sentences


def _design(g: Subject) -> list[str]:
    """Limits that follow from how the study was set up."""
    sentences = []
    if g.plan.stage == "tuned":
        sentences.append("Each variant has the learning rate that did best for it on validation, from one grid, chosen on seeds "
                     "of their own; other settings are the same for all.")  # fmt: skip
    elif len(g.variants) > 1:
        sentences.append(
            "One learning rate for all variants favours the one that it suits; the study’s tuned stage gives each its own."
        )
    if "model.width" in g.ended.columns and g.ended["model.width"].nunique() > 1:
        sentences.append("Variants of different widths are paired by data and order only: few of their initial weights, or none, "
                     "are the same.")  # fmt: skip
    if "data.seed" in g.ended.columns and g.ended["data.seed"].nunique() == 1 and g.planned > 1:
        sentences.append("All seeds share one split of one data set: the intervals hold for these images, over initialisation, "
                     "order and augmentation; not for other images.")  # fmt: skip
    return sentences
