"""The page's tables as text, cell by cell."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..analysis import figures, paper
from ..analysis.paper import tables
from ..analysis.stats import convergence, effects, outcomes
from ..config import BadInput
from ..record import metrics
from ..record.metrics import Metric
from . import text
from .subject import Subject

LINE = 18
"""Letters of a variant's name before it may break."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a header. kinds: of each column `word`, `number` or `code`."""

    key: str
    title: str
    header: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def table(
    key: str, title: str, columns: Sequence[tuple[str, str]], rows: Sequence[tuple[str, ...]], note: str = ""
) -> Table:
    """columns: (header, kind)."""
    return Table(key, title, tuple(h for h, _ in columns), tuple(k for _, k in columns), rows, note)


def swatch(variant: str) -> Markup:
    """A variant's name behind a stroke of its line, as the figures draw it."""
    dashes = figures.linestyle(variant)
    pattern = "" if dashes == "solid" else ' stroke-dasharray="{}"'.format(" ".join(f"{2 * d:g}" for d in dashes[1]))
    line = Markup('<svg class="swatch" viewBox="0 0 24 4" aria-hidden="true"><path d="M0 2H24" stroke="{}"{}/></svg>')
    rows = textwrap.wrap(figures.style.label(variant), LINE)
    return line.format(figures.colour(variant), Markup(pattern)) + " ".join(r.replace(" ", "\u00a0") for r in rows)


# --- results ----------------------------------------------------------------------------------------------------------


def results(g: Subject) -> Table:
    """One row a variant: accuracies with their spread over seeds, the difference to its reference, size, cost."""
    compared = len(g.variants) - len(g.groups)
    level = effects.bonferroni(0.95, max(1, compared))
    rows, why = [], dict[str, None]()
    for group in g.groups:
        for variant in group:
            reference, difference = g.reference(variant), "reference"
            if variant != reference:
                try:
                    e = effects.difference(g.runs, variant, reference, level=level, allow_partial=True)
                    difference = text.estimate(e.estimate, e.low, e.high, e.why_no_interval)
                except BadInput as error:
                    difference, why[str(error)] = text.NONE, None
            rows.append((swatch(variant), *_measured(g, variant, why), difference, *_sizes(g, variant)))
    note = (
        "Test accuracy of the averaged weights (raw: of the last ones), per cent, mean ± standard deviation over seeds."
    )
    note += "".join(
        f" {m.short}: {m.label}." for m in metrics.shown("variants") if m in _shown(g) and not m.is_accuracy
    )
    if compared:
        to = g.reference(g.variants[0]).replace("_", " ") if len(g.groups) == 1 else "the reference on the same data"
        note += f" Difference: to {to}, paired over seeds; negative errs less; {100 * level:.4g} % intervals"
        note += ", which hold together (Bonferroni)." if compared > 1 else "."
    if (g.ended["status"] == "diverged").any():
        note += " Diverged runs count at chance."
    measured = [*map(_heading, _shown(g)), f"{_heading(metrics.BY_NAME['top1'])}, raw"]
    measures = ("n", *measured, "difference of ln error", "parameters", "MACs", "images/s")
    columns = [("variant", "word"), *((m, "number") for m in measures)]
    return table("results", "Results by variant", columns, rows, " ".join([note, *why]))


TEST = metrics.PRIMARY.rpartition("/")[0]
"""The split and weights whose metrics are shown."""


def _shown(g: Subject) -> list[Metric]:
    """The metrics of the table of variants; others than accuracies where some run has them."""
    return [m for m in metrics.shown("variants") if m.is_accuracy or f"{TEST}/{m.name}" in g.runs.columns]


def _heading(metric: Metric) -> str:
    return metric.short.replace("-", "\u2011") if metric.is_accuracy else f"test {metric.short}"


def _measured(g: Subject, variant: str, why: dict[str, None]) -> tuple[str, ...]:
    """n, then each metric with its spread."""
    runs = g.ended[g.ended["variant"] == variant]
    diverged = int((runs["status"] == "diverged").sum())
    n = figures.style.seeds(len(runs), g.planned).removeprefix("n=") + (f", {diverged} diverged" if diverged else "")
    cells = []
    for metric in (*(f"{TEST}/{m.name}" for m in _shown(g)), metrics.PRIMARY_RAW):
        try:
            row = tables.summary(g.runs, [metric], [variant], allow_partial=True).iloc[0]
            cells.append(text.spread(row[metric], row[f"{metric} sd"]))
        except BadInput as error:
            cells.append(text.NONE)
            if len(runs) and metric == outcomes.PRIMARY:
                why[str(error)] = None
    return n, *cells


def _sizes(g: Subject, variant: str) -> tuple[str, str, str]:
    planned = g.plan.variants[variant]
    done = g.runs[(g.runs["variant"] == variant) & (g.runs["status"] == "finished")]
    speed = done["images_per_second"].mean() if "images_per_second" in done.columns and len(done) else math.nan
    return f"{planned.params:,}", text.millions(planned.macs), text.number(speed)


def seeds(g: Subject) -> Table:
    """One row a seed: the primary accuracy of each variant, or what became of the run."""
    values = g.runs.to_dict("records")
    at = {(r["variant"], r["seed"]): r for r in values}

    def cell(variant: str, seed: int) -> str:
        run = at.get((variant, seed))
        if run is None:
            return "–"  # what it is compared in was decided before this look
        return text.percent(run[outcomes.PRIMARY], 2) if run["status"] == "finished" else str(run["status"])

    rows = [(str(seed), *(cell(v, seed) for v in g.variants)) for seed in sorted({s for _, s in at})]
    columns = [("seed", "word"), *((figures.style.label(v), "number") for v in g.variants)]
    return table("seeds", "Every seed", columns, rows, "Top-1 test accuracy of the averaged weights, per cent.")


def speed_of_learning(g: Subject) -> Table:
    """How fast, beside how far: the mean height of the validation curve, and the steps to a common threshold.

    Raises BadInput where no group of variants on the same data has curves that compare.
    """
    by_group = [
        convergence.speed(g.runs, g.history, shown, reference=g.reference(shown[0]), allow_partial=True)
        for shown in ([v for v in group if v in g.shown] for group in g.groups)
        if shown
    ]
    thresholds = [f"{text.percent(measured['threshold'].iloc[0])} %" for measured in by_group]
    rows = [_speed(str(variant), row) for measured in by_group for variant, row in measured.iterrows()]
    note = f"Validation top-1 of the averaged weights, per cent; threshold {' and '.join(thresholds)}, the lowest mean end. " \
           "95 % intervals, paired over seeds, each for itself. All runs anneal at the end of one budget, which makes " \
           "speed partly a matter of the schedule: where the curves end is the result."  # fmt: skip
    columns = [("variant", "word"), ("n", "number"), ("mean height of the curve", "number"), ("difference", "number"),
               ("steps to the threshold", "number")]  # fmt: skip
    return table("speed", "How fast they learn", columns, rows, note)


def _speed(variant: str, row: pd.Series) -> tuple[str, ...]:
    steps = text.number(row["steps_to"])
    steps += "" if row["reached"] == row["n"] else f" (reached by {row['reached']} of {row['n']})"
    gap = "reference"
    if text.known(row["difference"]):
        estimate, low, high = (100 * row[c] for c in ("difference", "low", "high"))
        gap = text.estimate(estimate, low, high, row["why_no_interval"], 2)
    return swatch(variant), text.number(row["n"]), text.spread(row["area"], row["area sd"]), gap, steps


PAPER_TABLES: dict[str, tuple[int, ...]] = {"figure06_inception_vs_xception": (1, 3), "figure07_08_many_classes": (2,)}


def of_the_paper(g: Subject) -> list[Table]:
    """The paper's own tables, as printed, for the studies that rebuild them."""
    printed_tables = []
    for n in PAPER_TABLES.get(g.study, ()):
        printed = paper.table(n)
        rows = [(str(model), *(f"{v:,g}" if v < 1e5 else f"{v:,.0f}" for v in row)) for model, row in
                zip(printed.index, printed.to_numpy(float), strict=True)]  # fmt: skip
        columns = [("model", "word"), *((str(c).replace("_", " "), "number") for c in printed.columns)]
        printed_tables.append(table(f"paper-table{n}", f"The paper’s Table {n}, as printed", columns, rows))
    return printed_tables


# --- what was run -----------------------------------------------------------------------------------------------------


def variants(g: Subject) -> Table:
    """What each variant is: its own overrides, and its size."""
    rows = []
    for name, v in g.plan.variants.items():
        overrides = " ".join(v.own) or "(as all)"
        steps = text.number(v.steps) if v.steps else text.NONE
        rows.append((swatch(name), overrides, f"{v.params:,}", f"{v.body_params:,}", text.millions(v.macs), steps))
    common = set.intersection(*(set(v.overrides) for v in g.plan.variants.values()))
    first = next(iter(g.plan.variants.values())).overrides
    shared = " ".join(w for w in first if w in common) or "the defaults"
    columns = [("variant", "word"), ("its own overrides", "code"), ("parameters", "number"), ("without the head", "number"),
               ("MACs an image", "number"), ("steps", "number")]  # fmt: skip
    return table("variants", "Variants", columns, rows, f"All: {shared}.")


def runs(g: Subject) -> Table:
    """Every run, in the plan's order."""
    columns: list[tuple[str, str, Callable[[pd.Series], str]]] = [
        ("variant", "word", lambda r: swatch(r["variant"])),
        ("seed", "number", lambda r: str(r["seed"])),
        ("status", "word", lambda r: str(r["status"])),
        *((_heading(m), "number", functools.partial(_value, m)) for m in metrics.shown("runs")),
        ("steps", "number", lambda r: text.number(_of(r, "steps"))),
        ("time", "number", lambda r: text.time(_of(r, "wall_time"))),
        ("images/s", "number", lambda r: text.number(_of(r, "images_per_second"))),
        ("attempts", "number", lambda r: text.number(_of(r, "attempts"))),
        ("run", "code", lambda r: str(r["run_id"]) if text.known(r["run_id"]) else text.NONE),
    ]
    rows = [tuple(read(row) for _, _, read in columns) for _, row in g.runs.iterrows()]
    note = "Top-1 and loss: test, averaged weights. A run’s id is a hash of everything that decides its result."
    return table("runs", "Every run", [(h, k) for h, k, _ in columns], rows, note)


def _value(metric: Metric, row: pd.Series) -> str:
    """A run's test figure: fractions in per cent."""
    value = _of(row, f"{TEST}/{metric.name}")
    return text.percent(value, 2) if metric.unit == "fraction" else text.number(value, 3)


def failures(g: Subject) -> Table | None:
    """What did not finish, and its first line of explanation; None where all did."""
    bad = g.runs[g.runs["status"] != "finished"]
    if bad.empty:
        return None
    rows = [
        (swatch(r["variant"]), str(r["seed"]), str(r["status"]), str(_of(r, "error") or text.NONE), str(r["run_id"]))
        for _, r in bad.iterrows()
    ]
    columns = [("variant", "word"), ("seed", "number"), ("status", "word"), ("what happened", "long"), ("run", "code")]
    return table("failures", "Runs that did not finish", columns, rows)


def _of(row: pd.Series, column: str) -> Any:
    value = row.get(column)
    return value if text.known(value) else None


def commands(g: Subject) -> list[tuple[Markup, list[tuple[int, str]]]]:
    """Variant -> (seed, command) of its runs that have begun."""
    if "command" not in g.runs.columns:
        return []
    started = g.runs[g.runs["command"].notna()]
    by_variant = [(v, started[started["variant"] == v]) for v in g.variants]
    return [
        (swatch(v), list(zip(rows["seed"].tolist(), rows["command"].tolist(), strict=True)))
        for v, rows in by_variant
        if len(rows)
    ]


ENVIRONMENT = {
    "hardware_class": "hardware", "device": "device", "precision": "precision", "threads": "threads",
    "git.commit": "code, git commit", "git.dirty": "changed since then", "recipe": "recipe", "data.name": "data",
    "data_digest": "its description, digest", "data_content": "its content, digest", "weights_digest": "weights, digest",
    "train.lr": "learning rate", "train.epochs": "epochs", "train.batch_size": "batch size",
}  # fmt: skip


def environment(g: Subject) -> list[tuple[str, list[str]]]:
    """Label -> the value that all runs which ended share, or each value with its number of runs. Versions come last."""
    entries = []
    for column, label in ENVIRONMENT.items():
        if column in g.ended.columns and (values := _shared(g.ended[column])):
            entries.append((label, values))
    versions = {c.removeprefix("versions."): _shared(g.ended[c]) for c in g.ended.columns if c.startswith("versions.")}
    spelled = [f"{name} {' or '.join(values)}" for name, values in versions.items() if values]
    return [*entries, ("versions", spelled)] if spelled else entries


def _shared(column: pd.Series) -> list[str]:
    counts = column.dropna().value_counts()
    values = [_plain(v) for v in counts.index]
    if len(values) < 2:
        return values
    return [f"{v} ({text.plural(int(n), 'run')})" for v, n in zip(values, counts, strict=True)]


def _plain(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    letters = str(value)
    return letters[:12] if len(letters) >= 40 and letters.isalnum() else letters
