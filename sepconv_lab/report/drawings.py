"""Which figures belong to which study, and what is said below each. Figures themselves are drawn by `analysis.figures`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..analysis import figures, paper
from ..analysis.claims import of_the_paper as claims
from ..analysis.figures.curves import FIGURES
from ..analysis.stats import factorial
from ..config import BadInput
from .subject import Subject
from .svg import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SLOPES = 4
COSTS_DIFFER = 0.1
"""Relative difference in MACs from which accuracy is shown against them, of three variants or more."""


@dataclass(frozen=True)
class Drawing:
    """A figure before it is drawn. `caption` says how to read it."""

    key: str
    title: str
    caption: str
    draw: Callable[[Subject], Axes]


@dataclass(frozen=True)
class Panel:
    """A figure on the page; without an image, `missing` says why."""

    key: str
    title: str
    caption: str
    image: Markup | None
    missing: str = ""


def panel(drawing: Drawing, g: Subject) -> Panel:
    """The figure drawn, or why it cannot be."""
    try:
        image = svg(drawing.draw(g), drawing.key, drawing.title)
    except BadInput as error:
        return Panel(drawing.key, drawing.title, "", None, str(error))
    return Panel(drawing.key, drawing.title, drawing.caption, image)


# --- effects ----------------------------------------------------------------------------------------------------------

FOREST = "Dots are estimates, lines their intervals, one row a comparison; right is as claimed. Where a line leaves the " \
    "shaded band, the effect is larger than the smallest one that matters."  # fmt: skip


def effect_drawings(g: Subject) -> list[Drawing]:
    """The forest plot of each verdict (of all variants against the baseline where nothing is claimed), and the slopes."""
    drawings = []
    for judged in g.judged:
        v = judged.verdict
        if v.parts:
            hollow = " Grey and hollow: shown beside it, deciding nothing." if v.also else ""
            drawings.append(Drawing(
                f"forest-{v.claim.id}", f"Effects behind the verdict on {v.claim.id}", FOREST + hollow,
                lambda g, v=v: figures.forest_of([v]),  # type: ignore[misc]
            ))  # fmt: skip
    factors = [f if f in g.runs.columns else f"{f}.name" for f in g.plan.factors]
    if len(factors) > 1:
        drawings.append(Drawing(
            "factors", "Main effects and interactions", "Averaged over the levels of the other factors; the intervals "
            "hold together. Left: smaller error.", lambda g: _factors(g, factors),
        ))  # fmt: skip
    elif not g.judged and len(g.variants) > 1:
        drawings.append(Drawing(
            "forest", f"Every variant against {g.baseline}", "Right: the variant errs more than the baseline. The "
            "intervals hold together (Bonferroni); shaded: too small to matter.", _against_baseline,
        ))  # fmt: skip
    for variant, base in g.pairs[:MOST_SLOPES]:
        title = f"{figures.style.label(variant)} against {figures.style.label(base)}, seed by seed"
        drawings.append(Drawing(
            f"slopes-{variant}-{base}".replace(" ", "_"), title, "Each thin line joins the two runs of one seed; dashed "
            "where the error rises. Black: the mean.",
            lambda g, v=variant, b=base: figures.slopes(g.runs, v, b, allow_partial=True),  # type: ignore[misc]
        ))  # fmt: skip
    return drawings


def _against_baseline(g: Subject) -> Axes:
    table = factorial.leave_one_out(g.runs, g.baseline, allow_partial=True)
    return figures.forest(table, unit="difference of ln test error to the baseline's")


def _factors(g: Subject, factors: Sequence[str]) -> Axes:
    table = factorial.factor_effects(g.runs, factors, allow_partial=True)
    return figures.forest(table, unit="difference of ln test error")


# --- curves, the study's beside the paper's ---------------------------------------------------------------------------

PAPERS: dict[str, tuple[int, ...]] = {
    claims.FIGURE06: (6,), claims.FIGURE07_08: (7, 8), claims.FIGURE09: (9,), claims.FIGURE10: (10,),
}  # fmt: skip
"""The paper's figures that a study rebuilds."""
CURVES = "Thin: one seed each. Thick: their mean."


def curve_drawings(g: Subject) -> list[Drawing]:
    """The learning curves, each beside the paper's own figure on axes of its own where the paper has one."""
    drawings = []
    for number in PAPERS.get(g.study, ()):
        drawings.append(Drawing(
            f"figure{number}", f"This study’s Figure {number}", CURVES,
            lambda g, n=number: FIGURES[n](g.runs, g.history, allow_partial=True),  # type: ignore[misc]
        ))  # fmt: skip
        drawings.append(Drawing(
            f"paper{number}", f"The paper’s Figure {number}", f"{paper.DATA[number]}, 299 pixels, one run a curve, read "
            f"off the printed figure (±{paper.ACCURACY[number]:g}). Another task at another scale: compare the order of "
            "the curves, not their heights.", lambda _, n=number: figures.paper_figure(n),  # type: ignore[misc]
        ))  # fmt: skip
    if not drawings:
        shown = [v for v in g.shown if g.reference(v) == g.baseline]
        rest = "" if len(shown) == len(g.variants) else f" {len(shown)} of {len(g.variants)} variants."
        drawings.append(Drawing(
            "curves", "Learning curves", CURVES + rest,
            lambda g: figures.learning_curves(g.runs, g.history, shown, allow_partial=True),
        ))  # fmt: skip
    return drawings


# --- figures of one study, and accuracy against cost ------------------------------------------------------------------

OF_STUDY: dict[str, tuple[Drawing, ...]] = {
    claims.ORDER: (Drawing(
        "order", "Order at equal placements", "Orders compare only where norm and activation after each operation are "
        "equal. Thin lines join the two runs of a seed; bars are means.",
        lambda g: figures.order_at_placements(g.runs, allow_partial=True),
    ), Drawing(
        "order_no_residual", "The same without shortcuts", "The chain is the same, bracketed differently: what differs are its two "
        "ends, pools and strides.", lambda g: figures.order_at_placements(g.runs, residual=False, allow_partial=True),
    )),
    claims.MID_NORM: (Drawing(
        "grid", "Norm × activation", "Darker is more accurate. Below the accuracy: ln error against the baseline; the "
        "half-widths hold together; * where zero is left out.",
        lambda g: figures.norm_activation_grid(g.runs, baseline=g.baseline, allow_partial=True),
    ),),
    claims.SPECTRUM: (Drawing(
        "spectrum", "From regular to depthwise", "Bars: 95 % intervals of each mean, unpaired; read differences in the "
        "forest plot. Dots: seeds.", lambda g: figures.spectrum(g.runs, allow_partial=True),
    ),),
    claims.SEGMENTS_X_MID_ACT: (Drawing(
        "grid", "Segments × activation", "Darker is more accurate. Below the accuracy: ln error against the baseline; the "
        "half-widths hold together; * where zero is left out.",
        lambda g: figures.norm_activation_grid(
            g.runs, study=claims.SEGMENTS_X_MID_ACT, baseline=g.baseline, factors=("block.segments", "block.mid_act"),
            allow_partial=True,
        ),
    ),),
}  # fmt: skip
PARETO = Drawing(
    "pareto", "Accuracy against compute", "Vertical lines: from the worst to the best seed. Filled: no other variant is "
    "both cheaper and more accurate, by the means.",
    lambda g: figures.pareto_front(g.runs, "macs", allow_partial=True),
)  # fmt: skip


def study_drawings(g: Subject) -> list[Drawing]:
    """What only this study has, and accuracy against MACs where its variants differ in them on the same data."""
    macs = [v.macs for v in g.plan.variants.values()]
    costs_differ = len(g.groups) == 1 and len(macs) > 2 and max(macs) > (1 + COSTS_DIFFER) * min(macs)
    return [*OF_STUDY.get(g.study, ()), *([PARETO] if costs_differ else [])]
