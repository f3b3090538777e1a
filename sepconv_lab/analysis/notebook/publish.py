"""The board of verdicts for programs and for papers: JSON, and a LaTeX table (booktabs)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from ..claims.board import Board, Judged
from ..claims.family import Member
from ..claims.verdicts import Part

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "×": r"$\times$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def as_json(board: Board, members: Sequence[Member] | None = None) -> str:
    """One object: `verdicts`, in the order of the board, and `notes`; with members `family` too. A number that there is not is
    null."""
    found: dict[str, Any] = {"verdicts": [values(j) for j in board.judged], "notes": list(board.notes)}
    if members is not None:
        found["family"] = [
            {"claim": m.judged.verdict.claim.id, "results": m.judged.place, "p": _number(m.p),
             "adjusted": _number(m.adjusted), "holds": m.holds}
            for m in members
        ]  # fmt: skip
    return json.dumps(found, indent=1)


def values(judged: Judged) -> dict[str, Any]:
    """A verdict as plain values. `decided`: nothing that further seeds could change; else `open` names what is not."""
    v = judged.verdict
    return {
        "claim": v.claim.id, "statement": v.claim.statement, "kind": v.claim.kind, "verdict": v.outcome,
        "materially": v.ruling.materially, "label": judged.label, "decided": v.decided, "pilot": v.pilot,
        "stated_in_plan": judged.frozen, "open": [p.contrast.name for p in v.parts if p.open], "look": v.look or None,
        "looks": list(v.design.looks), "next_look": v.next_look, "seeds": v.n, "planned": v.planned,
        "estimate": _number(v.ruling.estimate), "low": _number(v.ruling.low), "high": _number(v.ruling.high),
        "smallest_effect": v.claim.smallest_effect, "unit": v.claim.contrasts[0].unit,
        "parts": [_part(p) for p in v.parts], "beside": [_part(p) for p in v.beside], "also": [_part(p) for p in v.also],
        "study": judged.plan.study if judged.plan else None, "plan_id": judged.plan.plan_id if judged.plan else None,
        "results": judged.place, "scale": v.scale, "data": v.data, "hardware": v.hardware, "training": v.training,
        "warnings": list(v.warnings), "notes": list(v.notes), "does_not_show": v.claim.not_shown, "reason": v.reason or None,
    }  # fmt: skip


def _part(p: Part) -> dict[str, Any]:
    e = p.effect
    strata = None
    if e.strata is not None:
        pooled = list(map(_number, e.strata.pooled))
        strata = {"key": e.strata.key, "means": dict(e.strata.means), "pooled": pooled, "p": _number(e.strata.p)}
    return {
        "contrast": p.contrast.name, "metric": e.metric, "verdict": p.ruling.outcome, "materially": p.ruling.materially,
        "estimate": _number(e.estimate), "low": _number(e.low), "high": _number(e.high), "level": _number(e.level),
        "level_over_all_looks": _number(e.overall), "against": list(map(_number, e.far)), "against_level":
        _number(e.against_level), "standard_error": _number(e.se), "degrees_of_freedom": _number(e.df), "seeds": e.n,
        "look": p.look or None, "open": p.open, "strata": strata, "paper": p.contrast.paper, "absent": list(e.absent),
        "diverged": list(e.diverged),
    }  # fmt: skip


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def as_latex(board: Board) -> str:
    """A booktabs table, one row a deciding contrast; the preamble needs the packages booktabs and tabularx."""
    rows = []
    for j in board.judged:
        v = j.verdict
        for i, p in enumerate(v.parts):
            e = p.effect
            number = f"${e.estimate:+.3f}$" + (f" $[{e.low:+.3f}, {e.high:+.3f}]$" if e.has_interval else "")
            name, where = (latex(v.claim.id), latex(f"{v.data.partition(' (')[0]}; {j.place}")) if i == 0 else ("", "")
            says = latex(j.label if len(v.parts) == 1 else p.ruling.label)
            rows.append(f"{name} & {latex(p.contrast.name)} & {where} & {number} & {e.n} & {says} \\\\")
        if len(v.parts) > 1:
            rows.append(rf" & \multicolumn{{4}}{{l}}{{all together}} & {latex(j.label)} \\")
        if not v.parts:
            rows.append(f"{latex(v.claim.id)} & \\multicolumn{{4}}{{l}}{{{latex(v.reason)}}} & {latex(j.label)} \\\\")
    head = r"claim & contrast & data & effect (ln error, interval) & seeds & verdict \\"
    return "\n".join([r"\begin{tabularx}{\linewidth}{lXlrrl}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule",
                      r"\end{tabularx}"])  # fmt: skip


def latex(text: str) -> str:
    """Text with everything escaped that LaTeX reads as a command."""
    return re.sub("|".join(map(re.escape, LATEX)), lambda m: LATEX[m[0]], text)
