"""From runs to effects, figures, tables and verdicts. Never trains; imports neither torch nor wandb.

Frames in, numbers or drawings out. The runs frame has one row a run: `run_id`, `study`, `variant`, `seed`, `scale`,
`status`, the dotted configuration columns, metrics `<split>/<metric>` (accuracies are fractions), sizes, cost,
provenance. The history frame has one row a run and event.

checks      what may be compared, and the messages for what may not
outcomes    a run's one number: ln(test error) of the averaged weights
intervals   t, pooled, exact binomial, bootstrap: arrays in
effects     contrasts with intervals; how many seeds would settle them
factorial   main effects, interactions, leave-one-out
convergence curves, steps to a threshold, area, budgets
pareto      accuracy against cost
contrasts   the vocabulary of claims
claims      the paper's claims C1-C9
rules       from an interval to a word
verdicts    from runs to a verdict
where       scale, data and hardware in words
aa          the baseline against itself
paper       the paper's own curves and tables
tables      the paper's tables from one's own runs
figures     one function a figure: frame in, Axes out
"""

from . import (
    aa,
    checks,
    claims,
    contrasts,
    convergence,
    effects,
    factorial,
    figures,
    intervals,
    outcomes,
    paper,
    pareto,
    rules,
    tables,
    verdicts,
)

__all__ = [
    "aa", "checks", "claims", "contrasts", "convergence", "effects", "factorial", "figures", "intervals", "outcomes",
    "paper", "pareto", "rules", "tables", "verdicts",
]  # fmt: skip
