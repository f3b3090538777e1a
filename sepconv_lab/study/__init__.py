"""Studies: a question declared once, run anywhere, never lost or repeated.

definition  the study file: question, claim, variants, seeds, scales
plan        what it comes to: every run with its id, frozen before the first one starts
launch      handing runs to one of Hydra's launchers; the end is judged from the records
status      the state of every run of a plan, from the records alone
tuning      a learning rate for each variant, on validation, before the evaluation
"""

from .definition import Study, load
from .plan import Plan, make_plan

__all__ = ["Plan", "Study", "load", "make_plan"]
