"""Studies: a question declared once, run anywhere, never lost or repeated.

definition  the study: question, claim, variants, seeds, scales
reader      the study file, with all its problems at once
planning    what it comes to: every run with its id
frozen      plans on disk before the first run starts
supervisor  handing runs to one of Hydra's launchers; the end is judged from the records
job         one run of a launch
status      the state of every run of a plan, from the records alone
tuning      a learning rate for each variant, on validation, before the evaluation
"""

from ..record.plan import Plan
from .definition import Study
from .planning import make_plan
from .reader import load

__all__ = ["Plan", "Study", "load", "make_plan"]
