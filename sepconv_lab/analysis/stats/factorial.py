"""Studies with several factors: main effects, two-way interactions, analysis of variance, leave-one-out tables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...config import BadInput
from ...config.messages import did_you_mean
from . import checks, outcomes
from .effects import Effect, Method, bonferroni, contrast, effect_table
from .outcomes import PRIMARY

Cell = tuple[object, ...]


def cells(runs: pd.DataFrame, factors: Sequence[str]) -> dict[Cell, str]:
    """Which variant stands at each combination of levels: (level, ...) in the order of `factors` -> variant.

    Raises BadInput where a variant has several values of a factor, or two variants have the same combination.
    """
    checks.columns(runs, factors)
    known: dict[Cell, str] = {}
    for variant, rows in runs.groupby("variant", sort=False):
        combinations = rows[list(factors)].drop_duplicates()
        if len(combinations) > 1:
            raise BadInput(f"variant {variant!r} has several values of {', '.join(factors)}: one is needed")
        cell = tuple(combinations.iloc[0].tolist())
        if any(pd.isna(level) for level in cell):
            without = ", ".join(f for f, level in zip(factors, cell, strict=True) if pd.isna(level))
            raise BadInput(f"variant {variant!r} has no {without}: not a factor of all; leave out the one or the other")
        if cell in known:
            same = ", ".join(f"{f}={v}" for f, v in zip(factors, cell, strict=True))
            raise BadInput(
                f"variants {known[cell]!r} and {variant!r} both have {same}: name the factor in which they differ"
            )
        known[cell] = str(variant)
    return known


def _levels(known: Mapping[Cell, str], position: int) -> list[object]:
    return list(dict.fromkeys(cell[position] for cell in known))


def _signed(known: Mapping[Cell, str], signs: Sequence[Mapping[object, float] | None]) -> dict[str, float]:
    """Weights that apply `signs` at each factor (None: average over it, where every signed combination exists)."""
    held = [i for i, s in enumerate(signs) if s is None]
    moved = [i for i, s in enumerate(signs) if s is not None]
    weights: dict[str, float] = {}
    others = list(dict.fromkeys(tuple(cell[i] for i in held) for cell in known))
    whole = 0
    for other in others:
        at = dict(zip(held, other, strict=True))
        signed: dict[str, float] = {}
        for combination in itertools.product(*(list((signs[i] or {}).items()) for i in moved)):
            at.update(zip(moved, (level for level, _ in combination), strict=True))
            variant = known.get(tuple(at[i] for i in range(len(signs))))
            if variant is None:
                break
            weight = 1.0
            for _, sign in combination:
                weight *= sign
            signed[variant] = weight
        else:
            whole += 1
            weights |= signed
    return {v: w / whole for v, w in weights.items()} if whole else {}


def factor_effects(
    runs: pd.DataFrame,
    factors: Sequence[str],
    *,
    reference: Mapping[str, object] | None = None,
    metric: str = PRIMARY,
    level: float = 0.95,
    method: Method = "paired",
    joint: bool = True,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """Main effects and two-way interactions of a factorial study, one row each, with intervals.

    A main effect is level minus reference, averaged over the combinations of the other factors at which both exist; an
    interaction the difference of two such differences. reference: factor -> level (default: the first in the frame).
    joint: Bonferroni intervals over the whole table. Columns: `kind` (main, interaction), `factor`, `level_of`, then
    those of `effect_table`. The average over a full mid_act x act factorial of an order effect is zero by construction
    (claim C5): judge order at equal `after_depthwise` and `after_pointwise`.
    """
    chosen = checks.of_study(runs)
    known = cells(chosen, factors)
    for factor, level_of in (reference or {}).items():
        if factor not in factors:
            raise BadInput(f"reference: {factor!r} is none of the factors.{did_you_mean(factor, factors)}")
        there = _levels(known, list(factors).index(factor))
        if level_of not in there:
            raise BadInput(f"reference: no variant has {factor}={level_of}; there are: {', '.join(map(str, there))}."
                           f"{did_you_mean(str(level_of), there)}")  # fmt: skip
    base = [(reference or {}).get(f, _levels(known, i)[0]) for i, f in enumerate(factors)]
    wanted: list[tuple[str, str, str, dict[str, float]]] = []
    steps = [[(i, lv) for lv in _levels(known, i) if lv != base[i]] for i in range(len(factors))]
    for i, level_of in itertools.chain(*steps):
        signs: list[Mapping[object, float] | None] = [None] * len(factors)
        signs[i] = {level_of: 1.0, base[i]: -1.0}
        wanted.append(("main", factors[i], f"{level_of} - {base[i]}", _signed(known, signs)))
    for left, right in itertools.combinations(range(len(factors)), 2):
        for (i, a), (j, b) in itertools.product(steps[left], steps[right]):
            signs = [None] * len(factors)
            signs[i], signs[j] = {a: 1.0, base[i]: -1.0}, {b: 1.0, base[j]: -1.0}
            levels = f"({a} - {base[i]}) x ({b} - {base[j]})"
            wanted.append(("interaction", f"{factors[i]} x {factors[j]}", levels, _signed(known, signs)))
    possible = [w for w in wanted if w[3]]
    if not possible:
        raise BadInput(f"{', '.join(factors)} never vary while the others stay equal: there is no factorial to judge")
    each = bonferroni(level, len(possible)) if joint else level
    effects = [
        contrast(chosen, w, name=f"{f}: {lv}", metric=metric, level=each, method=method, allow_partial=allow_partial)
        for _, f, lv, w in possible
    ]
    table = effect_table(effects)
    for position, (column, key) in enumerate((("kind", 0), ("factor", 1), ("level_of", 2))):
        table.insert(position, column, [p[key] for p in possible])
    return table


def anova(
    runs: pd.DataFrame, factors: Sequence[str], *, metric: str = PRIMARY, allow_partial: bool = False
) -> pd.DataFrame:
    """Analysis of variance of the outcome: seed as a block, the factors and their two-way interactions (type II: each term
    against the model of all terms that do not contain it).

    One row a term: `sum_sq`, `df`, `F`, `p`. Beside the intervals, never instead of them: it knows no smallest effect.
    """
    from scipy.stats import f as f_distribution

    chosen = checks.of_study(runs)
    good, _ = checks.usable(chosen, chosen["variant"].unique(), allow_partial=allow_partial)
    if good["seed"].nunique() < 2:
        raise BadInput("an analysis of variance takes two seeds or more: with one there is no spread to compare with")
    y = outcomes.outcome(good, metric).to_numpy()
    terms = [("seed",), *((f,) for f in factors), *itertools.combinations(factors, 2)]
    columns = {t: pd.get_dummies(good[list(t)].astype(str).agg("/".join, axis=1)).to_numpy(float) for t in terms}

    def residual(model: Sequence[tuple[str, ...]]) -> tuple[float, int]:
        """The sum of squares that a model leaves, and its rank."""
        design = np.column_stack([np.ones(len(y)), *(columns[t] for t in model)])
        fit, _, rank, _ = np.linalg.lstsq(design, y)
        return float(((y - design @ fit) ** 2).sum()), int(rank)

    left, rank = residual(terms)
    free = len(y) - rank
    rows: list[tuple[str, float, int, float, float]] = []
    for term in terms:
        rest = [t for t in terms if not set(term) <= set(t)]
        (without, low), (explained, high) = residual(rest), residual([*rest, term])
        ratio = (without - explained) / (high - low) / (left / free)
        rows.append(
            (" x ".join(term), without - explained, high - low, ratio, f_distribution.sf(ratio, high - low, free))
        )
    rows.append(("residual", left, free, np.nan, np.nan))
    return pd.DataFrame(rows, columns=["term", "sum_sq", "df", "F", "p"]).set_index("term")


def leave_one_out(
    runs: pd.DataFrame,
    baseline: str,
    *,
    metric: str = PRIMARY,
    level: float = 0.95,
    method: Method = "paired",
    allow_partial: bool = False,
) -> pd.DataFrame:
    """Every other variant of the study minus the baseline, the costliest removal first; Bonferroni over the table.

    Columns: `variant`, `accuracy` and `baseline_accuracy` (mean of the metric over its finished runs), `params_total`
    where the frame has it, then those of `effect_table`. Positive estimates: without the part the network errs more.
    """
    chosen = checks.of_study(runs)
    checks.of_variants(chosen, [baseline])
    variants = [v for v in dict.fromkeys(chosen["variant"]) if v != baseline]
    if not variants:
        raise BadInput(f"there is nothing beside the baseline {baseline!r}")
    each = bonferroni(level, len(variants))
    effects: list[Effect] = [
        contrast(
            chosen, {v: 1.0, baseline: -1.0}, name=f"{v} - {baseline}", metric=metric, level=each, method=method,
            allow_partial=allow_partial,
        )
        for v in variants
    ]  # fmt: skip
    finished = chosen[chosen["status"] == "finished"].groupby("variant")
    table = effect_table(effects)
    table.insert(0, "variant", variants)
    if metric in chosen.columns:
        accuracy = finished[metric].mean()
        table.insert(1, "accuracy", [accuracy.get(v) for v in variants])
        table.insert(2, "baseline_accuracy", accuracy.get(baseline))
    if "params_total" in chosen.columns:
        sizes = finished["params_total"].first()
        table.insert(1, "params_total", [sizes.get(v) for v in variants])
    return table.sort_values("estimate", ascending=False, ignore_index=True)
