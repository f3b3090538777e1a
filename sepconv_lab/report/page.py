"""Frames and a plan in, HTML out. Reads and writes nothing; the same input gives the same bytes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..analysis.claims.of_the_paper import CLAIMS
from ..analysis.claims.where import where
from ..analysis.stats import aa
from ..config import BadInput
from . import prose, tables, text
from .drawings import Drawing, Panel, curve_drawings, effect_drawings, panel, study_drawings
from .subject import Subject, subject
from .svg import characters, font

A_A_DRAWS = 0
"""Seed of the generator that splits an A/A study's runs."""


def page(runs: pd.DataFrame, history: pd.DataFrame, plan: Mapping[str, Any]) -> str:
    """The report on one plan as a self-contained page.

    runs, history: as `analysis.load` gives them with `allow_partial=True`. plan: the content of plan.json. What cannot be
    drawn or compared is said in its place. Raises BadInput for frames of another study, or without their columns.
    """
    g = subject(runs, history, plan)
    began = len(g.ended) > 0
    groups = [
        ("effects", "How large the effects are", effect_drawings(g)),
        ("learning", "How they learn", curve_drawings(g)),
        ("more", "A closer look", study_drawings(g)),
    ]
    drawn = [(key, title, _panels(drawings, g)) for key, title, drawings in groups if began and drawings]
    images = [p.image for _, _, panels in drawn for p in panels if p.image is not None]
    return str(_template().render(
        g=g, plan=g.plan, text=text, prose=prose, css=Markup(_style()),
        font=font(characters(images)) if images else "",
        banners=prose.banners(g), where=where(g.runs), began=began,
        seconds=_seconds(g),
        aa=_false_differences(g), groups=drawn, speed=_speed(g) if began and len(g.variants) > 1 else None,
        results=tables.results(g), seeds=tables.seeds(g), paper_tables=tables.of_the_paper(g), limits=prose.limits(g),
        variants=tables.variants(g), failures=tables.failures(g), all_runs=tables.runs(g),
        environment=tables.environment(g), commands=tables.commands(g),
    ))  # fmt: skip


Frames = tuple[pd.DataFrame, pd.DataFrame, Mapping[str, Any]]
"""Runs, history and plan of one study's results, as `page` takes them."""


@dataclass(frozen=True)
class Part:
    """One plan on the page of all results."""

    key: str
    g: Subject
    where: tuple[str, str, str]
    seconds: float
    panels: list[Panel]


def page_of_all(results: Iterable[Frames]) -> str:
    """All results as one self-contained page: questions, methods, verdicts with their figures, what contradicts, limits."""
    parts = []
    for runs, history, plan in results:
        g = subject(runs, history, plan)
        key = f"{g.plan.study}-{g.plan.label}"
        stated = any(j.frozen for j in g.judged)
        drawings = [*(effect_drawings(g)[:1] if stated else ()), *study_drawings(g)[:1], *curve_drawings(g)[:1]]
        drawings = drawings if len(g.ended) else []
        unique = {d.key: dataclasses.replace(d, key=f"{key}-{d.key}") for d in drawings}
        panels = [panel(d, g) for d in unique.values()]
        parts.append(Part(key, g, where(g.runs), _seconds(g), panels))
    parts.sort(key=lambda p: not any(j.frozen for j in p.g.judged))  # what states no claim comes last
    if not parts:
        raise BadInput("no committed results to make a page of")
    ended = pd.concat([p.g.ended for p in parts]).drop_duplicates("run_id")
    images = [p.image for part in parts for p in part.panels if p.image is not None]
    judged = [(part, j) for part in parts for j in part.g.judged if j.frozen]
    against = [(part, j) for part, j in judged if j.verdict.outcome == "contradicted" and j.verdict.claim.id in CLAIMS]
    limits = dict.fromkeys(sentence for part in parts for sentence in prose.limits(part.g))
    return str(_template("all.html.j2").render(
        parts=parts, text=text, prose=prose, css=Markup(_style()), font=font(characters(images)) if images else "",
        claims=len({j.verdict.claim.id for _, j in judged}), against=against, runs=len(ended),
        seconds=float(ended["wall_time"].sum()), machines=list(dict.fromkeys(p.where[2] for p in parts)), limits=list(limits),
    ))  # fmt: skip


def _seconds(g: Subject) -> float:
    return float(g.runs["wall_time"].sum()) if "wall_time" in g.runs.columns else 0.0


def _panels(drawings: list[Drawing], g: Subject) -> list[Panel]:
    return [panel(d, g) for d in drawings]


def _speed(g: Subject) -> tables.Table | str:
    """The table, or why there is none."""
    try:
        return tables.speed_of_learning(g)
    except BadInput as error:
        return f"How fast the variants learn cannot be compared: {error}"


def _false_differences(g: Subject) -> pd.Series | str | None:
    """For a study of one variant, how often its own halves would differ; or why that cannot be said. None for others."""
    if len(g.variants) != 1:
        return None
    import numpy as np

    try:
        return aa.a_a(g.runs, np.random.default_rng(A_A_DRAWS), allow_partial=True)
    except BadInput as error:
        return str(error)


@functools.cache
def _style() -> str:
    return (resources.files(__package__) / "page.css").read_text()


@functools.cache
def _template(name: str = "page.html.j2") -> Any:
    environment = Environment(
        loader=PackageLoader("sepconv_lab.report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["typeset"] = text.typeset
    return environment.get_template(name)
