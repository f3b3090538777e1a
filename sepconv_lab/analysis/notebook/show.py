"""The board of verdicts as text: a table for the terminal, one in Markdown, or paragraphs."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence

from ..claims.board import Board, Judged
from ..claims.contrasts import AllOf, AnyOf
from ..claims.verdicts import Verdict

HEADER = ("claim", "verdict", "effect", "seeds", "data and scale", "does not show")
WIDTHS = (34, 18, 31, 6, 23)
"""Characters of each column but the last, which stands below the others, in a terminal of 120."""


def cells(judged: Judged) -> tuple[str, ...]:
    """One row of the table, under `HEADER`. Of several parts each bound is the least, or the greatest where any decides."""
    v = judged.verdict
    number = "" if v.outcome == "refused" else _effect(v)
    most = max((p.effect.n for p in v.parts), default=0)
    seeds = (
        "-" if not v.parts else f"{v.n} of {v.planned}" if v.partial else f"{v.n} to {most}" if v.n < most else str(v.n)
    )
    seeds += f", look {v.look} of {len(v.design.looks)}" if v.design.sequential else ""
    trained = f"; after {v.training}" if v.training else ""
    where = f"{v.data}; {judged.place}{trained}" + ("" if v.outcome == "refused" else f"; {v.hardware}")
    return (
        f"{v.claim.id} {v.claim.statement}", judged.label, number or v.reason, seeds, where, v.claim.not_shown,
    )  # fmt: skip


def _effect(v: Verdict) -> str:
    """E.g. "least of 2, bound by bound: +0.051 [+0.030, +0.072], 95 %, ln test error, smallest effect 0.02"."""
    first, ruling = v.parts[0].effect, v.ruling
    count, whose = len(v.parts), ""
    if v.claim.contrasts[0].asks == "equivalent" and count > 1:
        whose = f"hull of {count}: "
    elif isinstance(v.claim.decides, (AllOf, AnyOf)):
        whose = f"{'least' if isinstance(v.claim.decides, AllOf) else 'greatest'} of {count}, bound by bound: "
    if math.isnan(ruling.low):
        return first.text() if len(v.parts) == 1 else "; ".join(p.text() for p in v.parts)
    bounds = f"{ruling.estimate:+.3f} [{ruling.low:+.3f}, {ruling.high:+.3f}]"
    unit = v.claim.contrasts[0].unit.partition(" (")[0]
    return f"{whose}{bounds}, {first.how_sure}, {unit}; smallest effect {v.claim.smallest_effect:g}"


def as_text(board: Board) -> str:
    """The table for a terminal of 120 columns, what each verdict does not show below it; then where there is none."""
    lines = [*_wrapped(HEADER[:-1]), "-" * 120] if board.judged else []
    for judged in board.judged:
        *row, not_shown = cells(judged)
        lines += [*_wrapped(row), *_below(f"{HEADER[-1]}: {not_shown}"), ""]
    return "\n".join([*lines, *(textwrap.fill(note, 120, subsequent_indent="  ") for note in board.notes)])


def _below(words: str) -> list[str]:
    return textwrap.wrap(words, 120, initial_indent="  ", subsequent_indent="  ")


def _wrapped(row: Sequence[str]) -> list[str]:
    """One row of cells as the lines that it takes."""
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, WIDTHS, strict=True)]
    lines = itertools.zip_longest(*columns, fillvalue="")
    return ["  ".join(c.ljust(w) for c, w in zip(line, WIDTHS, strict=True)).rstrip() for line in lines]


BRIEF = ("claim", "verdict", "effect", "data and scale")
"""The columns of the README's table."""


WHOLE = ("claim", "the paper", "verdict", "every part", "seeds", "data and scale", "report")
"""The columns of the page of all results."""


def as_markdown(board: Board, columns: Sequence[str] = HEADER) -> str:
    """The table in Markdown, some of its columns or all, then a list of what there is no verdict for."""
    rows = [list(columns), ["---"] * len(columns)]
    for judged in board.judged:
        values = dict(zip(HEADER, cells(judged), strict=True)) | _beside(judged)
        rows.append([values[column] for column in columns])
    table = ["| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in row) + " |" for row in rows]
    notes = ["", *(f"- {note}" for note in board.notes)] if board.notes else []
    return "\n".join([*(table if board.judged else []), *notes])


def _beside(judged: Judged) -> dict[str, str]:
    """What the page of all results says more: the paper's words and effects, every part, and where the report is."""
    v, plan = judged.verdict, judged.plan
    parts = []
    for part in v.parts:
        paper = "" if part.contrast.paper is None else f" (the paper: {part.contrast.paper:+.3f})"
        parts.append(f"{part.contrast.name}: {part.effect.text()}{paper}: {part.ruling.label}")
    report = "" if plan is None else f"[{plan.label}]({plan.study}/results/{plan.label}/report.html)"
    return {"the paper": v.claim.paper_says or "–", "every part": "<br>".join(parts), "report": report}


def as_paragraphs(board: Board) -> str:
    """Every verdict whole: each part with its interval, what is absent, what it does not show."""
    paragraphs = [f"{j.name}{'' if j.frozen else ', not stated in the plan'}\n{j.verdict.text()}" for j in board.judged]
    return "\n\n".join([*paragraphs, *board.notes])
