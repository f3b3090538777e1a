"""A frozen plan as one page to publish before the first run: what is asked, how it is judged, what would be left out, its hash."""

from __future__ import annotations

import shlex

from ...record.metrics import PRIMARY
from ...record.plan import Plan
from . import frames

EXCLUSIONS = (
    "No run is left out by its result. A diverged run counts as chance level; its rate and the effect among converged seeds stand "
    "beside.",
    "A missing, failed or altered run is named in the verdict. No seed is drawn again; a run done again on another kind of machine "
    "stands beside the first, and a seed counts on the first kind on which all its variants ended.",
    "The test split is read once a run, after its last step.",
)


def page(plan: Plan) -> str:
    """The page, as Markdown. The same plan gives the same page."""
    lines = [f"# {plan.study}, {plan.label}: the plan", "", f"Plan `{plan.plan_id}`"
             + (f", frozen {plan.frozen}" if plan.frozen else ", not frozen yet")
             + (f", code {plan.git['commit']}" if plan.git.get("commit") else "") + ".", "",
             f"**Question.** {plan.question}", ""]  # fmt: skip
    claim = plan.claim
    if claim is None:
        lines += ["**Claim.** None: nothing is decided.", ""]
    else:
        lines += [f"**Claim.** {claim['id']}: {claim['statement']}", "", "**Decided by.**", "",
                  *(f"- {contrast}" for contrast in claim["contrasts"]), "",
                  f"**Outcome.** ln(1 - `{PRIMARY}`), differences of variants of the same seed. The smallest effect that "
                  f"matters is {claim['smallest_effect']:g}.", ""]  # fmt: skip
        if plan.beside:
            lines += [f"**Beside it**, deciding nothing: `{plan.beside['metric']}`, smallest effect "
                      f"{plan.beside['smallest_effect']:g}.", ""]  # fmt: skip
    lines += [f"**Seeds.** {_seeds(plan)}", "", f"**Looks.** {_looks(plan)}", ""]
    if plan.strata:
        levels = list(dict.fromkeys(map(str, plan.stratum.values())))
        lines += [f"**Strata.** `{plan.strata}`: {', '.join(levels)}, equally often at every look. The estimate is the mean "
                  "of their means, with Welch and Satterthwaite's interval.", ""]  # fmt: skip
    lines += ["**Exclusions.** " + " ".join(EXCLUSIONS), "", "## Variants", "",
              "| variant | its own overrides | parameters | MACs an image | steps |", "|---|---|---|---|---|"]  # fmt: skip
    for name, v in plan.variants.items():
        own = shlex.join(map(frames.portable, v.own)) or "(as all)"
        what = f"{name} (baseline)" if name == plan.baseline else name
        lines.append(f"| {what} | `{own}` | {v.params:,} | {v.macs:,} | {v.steps or '?'} |")
    common = [
        w for w in next(iter(plan.variants.values())).overrides if all(w in v.overrides for v in plan.variants.values())
    ]
    lines += ["", f"All: `{shlex.join(map(frames.portable, common)) or 'the defaults'}`", "",
              "The plan's id hashes question, claim, contrasts, smallest effects, looks, strata, seeds and all "
              f"{len(plan.runs)} run ids, each of which hashes a run's configuration and data. "
              "`plan.json` holds them; whoever changes it changes the id."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _seeds(plan: Plan) -> str:
    first, last = plan.seeds[0], plan.seeds[-1]
    row = plan.seeds == tuple(range(first, last + 1))
    which = f"{first} to {last}" if row and len(plan.seeds) > 1 else ", ".join(map(str, plan.seeds))
    keys = list(plan.runs[0].block) if plan.runs else []
    blocks = f" Each sets {', '.join(f'`{k}`' for k in keys)} too, for all variants alike." if keys else ""
    return f"{which}, each a block: initialisation, order and augmentation.{blocks}"


def _looks(plan: Plan) -> str:
    if len(plan.looks) == 1:
        return f"One, after {plan.looks[0]} seeds; 95 % intervals, over all parts of the claim."
    stop = "ends it too" if plan.stop_when_supported else "does not end it before the last look"
    return (
        f"After {', '.join(map(str, plan.looks))} seeds, at intervals that hold 95 % over all of them. A contrast ends with its "
        f'first verdict, "negligible" included; "supported, not materially" {stop}. Later seeds are trained for what is open.'
    )
