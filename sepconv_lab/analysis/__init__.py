"""From runs to effects, figures, tables and verdicts. Never trains; imports neither torch nor wandb.

Frames in, numbers or drawings out. The runs frame has one row a run: `run_id`, `study`, `variant`, `seed`, `scale`,
`status`, the dotted configuration columns, metrics `<split>/<metric>` (accuracies are fractions), sizes, cost,
provenance. The history frame has one row a run and event.

load        the two frames from records or committed results: `load_runs`, `load_history`
frames      every column of the two, its type and meaning
wandb_files the same frames from offline W&B files
export      results small enough to commit
board       every study judged by what its plan froze; `python -m sepconv_lab.analysis verdicts`
checks      what may be compared, and the messages for what may not
outcomes    a run's one number: ln(test error) of the averaged weights
intervals   t, pooled, exact binomial, bootstrap: arrays in
effects     contrasts with intervals; how many seeds would settle them
decisions   what an interval decides
looks       several looks at a study that hold one error together
strata      fixed strata: the mean of their means, with its interval
power       what a design can find, and what it takes
variance    where the variance of an effect comes from, and what reduces it
factorial   main effects, interactions, leave-one-out
convergence curves, steps to a threshold, area, budgets
pareto      accuracy against cost
contrasts   the vocabulary of claims
claims      the paper's claims C1-C9
design      how a plan is judged: looks, strata, error
rules       from intervals to a word
verdicts    from runs to a verdict; wording, where, warnings: its words
family      several verdicts together
speed       claim C8 from timings
spread      where a study's variance comes from; cost: what its verdict costs
publish     verdicts as JSON and LaTeX
aa          the baseline against itself
paper       the paper's own curves and tables
tables      the paper's tables from one's own runs
figures     one function a figure: frame in, Axes out
shelf       committed results as the notebooks show them
"""

from . import figures, paper
from .claims import board, contrasts, of_the_paper as claims, rules, verdicts
from .notebook import shelf
from .paper import tables
from .read import export, frames, load
from .read.load import load_history, load_plans, load_runs
from .stats import (
    aa,
    checks,
    convergence,
    decisions,
    effects,
    factorial,
    intervals,
    looks,
    outcomes,
    pareto,
    power,
    strata,
    variance,
)

__all__ = [
    "aa", "board", "checks", "claims", "contrasts", "convergence", "decisions", "effects", "export", "factorial", "figures",
    "frames", "intervals", "load", "load_history", "load_plans", "load_runs", "looks", "outcomes", "paper", "pareto",
    "power", "rules", "shelf", "strata", "tables", "variance", "verdicts",
]  # fmt: skip
