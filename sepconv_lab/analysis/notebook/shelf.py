"""A study's committed results as notebooks show them, data set by data set; where there are none, what would make them.

```python
study = shelf.study("figure10_mid_activation")
study                                          # which results there are, from which plans
study.draw(figures.figure10, paper=10)         # a panel for each, and the paper's own on axes of its own
study.table(tables.summary, ["test_ema/top1"], ["none", "elu", "relu"])
study.verdicts()
```
"""

from __future__ import annotations

import base64
import html
import inspect
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...config import BadInput
from ...console.drawing import styled
from ...record.plan import Plan
from .. import figures
from ..claims import board
from ..claims.of_the_paper import STUDIES
from ..claims.where import where
from ..read import committed, load
from . import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXPERIMENTS = "experiments"
WIDTH = 26
"""Of a panel on the screen, in ems."""


@dataclass(frozen=True)
class Result:
    """What one plan gave: its runs and history, unfinished runs among them."""

    plan: Plan
    folder: Path
    runs: pd.DataFrame
    history: pd.DataFrame


class Markdown(str):
    """Text that a notebook shows as Markdown."""

    def _repr_markdown_(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Panels:
    """Drawings side by side, as a notebook shows them: vectors, each as wide as half a page."""

    drawn: tuple[Axes, ...]
    sentence: str = ""
    """What is said above them."""

    def _repr_html_(self) -> str:
        images = "".join(f'<img style="width:{WIDTH}em;max-width:100%" src="{_data(ax)}">' for ax in self.drawn)
        paragraph = f"<p>{html.escape(self.sentence, quote=False)}</p>" if self.sentence else ""
        return f'{paragraph}<div style="display:flex;flex-wrap:wrap;gap:1em;background:white">{images}</div>'


@dataclass(frozen=True)
class Study:
    """The committed results of one study, by label; none is a possibility."""

    name: str
    results: tuple[Result, ...]

    @property
    def none(self) -> str:
        """Says that there are no results, in a sentence."""
        return f"No results of {self.name} are committed yet."

    def _repr_markdown_(self) -> str:
        if not self.results:
            return f"**{self.none}** These commands would make them:\n\n```\n{commands(self.name)}\n```"
        lines = [f"Results of `{self.name}`:", ""]
        for r in self.results:
            scale, data, machine = where(r.runs)
            ended = int(r.runs["status"].isin(("finished", "diverged")).sum())
            seeds = len(r.plan.seeds)
            partial = " **(partial)**" if ended < len(r.runs) else ""
            lines.append(f"- `{r.plan.label}`: {data}; {scale} scale; {ended} of {len(r.runs)} runs{partial}, {seeds} "
                         f"seeds; {machine}; plan `{r.plan.plan_id}`, frozen {r.plan.frozen or '?'}")  # fmt: skip
        return "\n".join(lines)

    def draw(self, figure: Callable[..., Axes], *arguments: Any, paper: int | None = None, **options: Any) -> Panels:
        """One panel a result, drawn by a function of `figures`; then the paper's figure of that number, by itself.

        figure: takes runs, history where it has such a parameter, then `arguments` and `options`.
        """
        drawn = [_called(figure, r, arguments, options) for r in self.results]
        drawn += [figures.paper_figure(paper)] if paper is not None else []
        alone = f"{self.none} The paper's own figure:" if paper is not None else self.none
        return Panels(tuple(drawn), "" if self.results else alone)

    def table(self, make: Callable[..., pd.DataFrame], *arguments: Any, **options: Any) -> pd.DataFrame | Markdown:
        """The tables that a function makes of each result, under each other, the label in front. Called as in `draw`.

        Numbers are rounded to four significant digits.
        """
        if not self.results:
            return Markdown(self.none)
        tables = {r.plan.label: _called(make, r, arguments, options) for r in self.results}
        whole: pd.DataFrame = pd.concat(tables, names=["results"])
        return whole.map(lambda cell: float(f"{cell:.4g}") if isinstance(cell, float) else cell)

    def verdicts(self) -> Markdown:
        """What the results say on each claim that they decide, and what they do not show."""
        if not self.results:
            return Markdown(self.none)
        paragraphs = [show.as_paragraphs(self._board(r)) for r in self.results]
        return Markdown("```text\n" + "\n\n".join(paragraphs) + "\n```")

    def forest(self) -> Panels:
        """The effects behind the verdicts on the claims that the plans state, with their intervals."""
        judged = [j.verdict for r in self.results for j in self._board(r).judged if j.frozen and j.verdict.parts]
        return Panels(tuple(figures.forest_of([v]) for v in judged), "" if self.results else self.none)

    def _board(self, result: Result) -> board.Board:
        return board.judge_plans([result.folder])


def study(name: str, experiments: str | Path | None = None) -> Study:
    """The committed results of a study, `experiments/<name>/results/*`, complete or not. Raises BadInput for an unknown one.

    experiments: by default the folder of that name in the working directory or the one above, else in the checkout.
    """
    root = Path(experiments) if experiments is not None else _experiments(name)
    folder = root / name
    if not folder.is_dir():
        raise BadInput(f"no study {name!r} in {root}; there are: {', '.join(p.name for p in sorted(root.iterdir()))}")
    results = []
    for place in committed.folders(folder):
        (plan,) = load.load_plans(place, study=name)
        runs = load.load_runs(place, study=name, allow_partial=True)
        results.append(Result(plan, place, runs, load.load_history(place, study=name, allow_partial=True)))
    return Study(name, tuple(results))


def claims(experiments: str | Path | None = None) -> Markdown:
    """One table of the verdicts of all committed results, and the shipped studies that there are none of."""
    root = Path(experiments) if experiments is not None else _experiments(STUDIES[0])
    there = committed.folders(root)
    absent = [name for name in STUDIES if not any(name in folder.parts for folder in there)]
    table = [show.as_markdown(board.judge_plans([root]))] if there else []
    return Markdown(
        "\n\n".join([*table, *([f"No results are committed yet of: {', '.join(absent)}."] if absent else [])])
    )


def commands(name: str) -> str:
    """What to type to make a study's results at the lab scale, and to keep them."""
    return f"python -m sepconv_lab.study run {name} scale=lab\npython -m sepconv_lab.analysis export {name} --label lab"


def _experiments(name: str) -> Path:
    places = [Path.cwd() / EXPERIMENTS, Path.cwd().parent / EXPERIMENTS, Path(__file__).parents[3] / EXPERIMENTS]
    return next((p for p in places if (p / name).is_dir()), next((p for p in places if p.is_dir()), places[-1]))


def _called(make: Callable[..., Any], result: Result, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    parameters = inspect.signature(make).parameters
    frames = [result.runs, *([result.history] if "history" in parameters else [])]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    partial = {"allow_partial": True} if open_ended or "allow_partial" in parameters else {}
    return make(*frames, *arguments, **partial, **options)


def _data(ax: Axes) -> str:
    """A `data:` address of the drawing as SVG; letters as outlines, for an image sees no fonts of the page."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    out = io.BytesIO()
    with styled({**figures.style.RC, "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()
