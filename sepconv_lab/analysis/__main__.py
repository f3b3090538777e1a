"""`python -m sepconv_lab.analysis verdicts|variance|cost|figure|export`: what the studies say, drawn, small enough to commit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..config import BadInput
from ..config.messages import did_you_mean
from ..console.streams import exit_with
from .claims import board, cost, family, spread
from .claims.of_the_paper import CLAIMS, FIGURE06, FIGURE07_08, FIGURE09, FIGURE10
from .notebook import publish, show
from .read import committed, frames
from .read.export import export
from .read.load import load_history, load_runs, results
from .read.sources import taken
from .stats import checks

RUNS, EXPERIMENTS = Path("runs"), Path("experiments")
FIGURES = {6: FIGURE06, 7: FIGURE07_08, 8: FIGURE07_08, 9: FIGURE09, 10: FIGURE10}
"""Number in the paper -> the study that makes it again."""


OPEN = 3
"""Exit code of verdicts on named claims, where one is not decided."""


def _verdicts(args: argparse.Namespace) -> int:
    if args.until is not None:
        return _until_decided(args)
    named = [w for w in args.source if w in CLAIMS or not Path(w).exists()]
    sources = [Path(w) for w in (*(s for s in args.source if s not in named), *args.runs_dir)] or _usual()
    found = board.judge_plans(sources, study=args.study, label=args.label)
    known = list(dict.fromkeys([*CLAIMS, *(j.verdict.claim.id for j in found.judged)]))
    for word in named:
        if word not in known:
            raise BadInput(
                f"{word}: neither a folder nor a claim; claims: {', '.join(known)}.{did_you_mean(word, known)}"
            )
    if named:
        mine = tuple(j for j in found.judged if j.verdict.claim.id in named)
        absent = [c for c in named if c not in {j.verdict.claim.id for j in mine}]
        found = board.Board(mine, (*(f"{c}: no results yet, so it is open" for c in absent),))
        _print(found, args)
        return OPEN if absent or not all(j.verdict.decided for j in mine) else 0
    if not found.judged and not found.notes:
        raise BadInput(f"no study of that name and label in {', '.join(map(str, sources))}" if args.study or args.label
                       else f"no study in {', '.join(map(str, sources))}: runs without one have no claim to judge")  # fmt: skip
    _print(found, args)
    return 0


def _print(found: board.Board, args: argparse.Namespace) -> None:
    members = family.family(found.judged) if args.family else None
    if args.json:
        print(publish.as_json(found, members))
        return
    if args.latex:
        print(publish.as_latex(found))
    elif args.markdown or args.brief or args.page:
        print(show.as_markdown(found, show.BRIEF if args.brief else show.WHOLE if args.page else show.HEADER))
    else:
        print(show.as_paragraphs(found) if args.verbose else show.as_text(found))
    if members is not None:
        together = f"A family of {len(members)} verdicts, Holm's correction, 5 % together:"
        lines = ["", together, *(f"  {m.text}" for m in members), *family.shared(found.judged)]
        print("\n".join(f"% {line}" if args.latex else line for line in lines))


def _until_decided(args: argparse.Namespace) -> int:
    """`study run` of the study, which trains to the next look while a contrast is open; then its verdicts."""
    from ..study.__main__ import main as study

    if len([w for w in args.source if "=" not in w]) != 1:
        raise BadInput("--until decided takes one study, and overrides as `study run` does")
    code = study(["run", *args.source])
    if code == 0:
        name = Path(next(w for w in args.source if "=" not in w)).name
        found = board.judge_plans(_usual(), study=name)
        _print(found, args)
        return 0 if all(j.verdict.decided for j in found.judged if j.frozen) else OPEN
    return code


def _usual() -> list[Path]:
    """Records and committed results in their usual places, whichever there are. Raises BadInput for neither."""
    found = [RUNS] if any(RUNS.glob("studies/*/*/plan.json")) else []
    found += [EXPERIMENTS] if committed.folders(EXPERIMENTS) else []
    if not found:
        raise BadInput(f"no study in {RUNS} and no results below {EXPERIMENTS}: run one (`python -m sepconv_lab.study "
                       "run NAME`), or name the folder")  # fmt: skip
    return found


def _export(args: argparse.Namespace) -> None:
    folder = export(
        args.study, args.runs_dir, label=args.label, plan=args.plan, to=args.to, allow_partial=args.allow_partial
    )
    runs = frames.runs_frame(committed.read(folder).rows)
    ended, files = int(runs["status"].isin(checks.USABLE).sum()), [p for p in folder.rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in files if p.suffix != ".html")
    partial = f", partial: {len(runs) - ended} of {len(runs)} not ended" if ended < len(runs) else ""
    print(f"{folder}: {ended} runs{partial}, {size / 2**10:,.0f} KiB")


def _variance(args: argparse.Namespace) -> None:
    found = [r for r in results(args.source, study=args.study, label=args.label) if r.plan is not None]
    for r in found:
        assert r.plan is not None
        print(r.plan.name)
        try:
            told = spread.spreads(r.plan, frames.runs_frame(r.rows()), taken(r.plan, r.sources))
        except BadInput as error:
            if len(found) == 1:
                raise
            print(f"  {error}")
            continue
        print("\n".join(f"  {line}" for s in told for line in s.text.splitlines()))


def _cost(args: argparse.Namespace) -> None:
    rows = [cost.HEADER, tuple("---" for _ in cost.HEADER)]
    for r in results(args.source):
        if r.plan is not None and r.plan.claim is not None:
            rows += [found.cells for found in cost.costs(r.plan, frames.runs_frame(r.rows()))]
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


def _figure(args: argparse.Namespace) -> None:
    from . import figures

    chosen = {"study": FIGURES[args.number], "label": args.label, "allow_partial": args.allow_partial}
    runs, history = load_runs(args.source, **chosen), load_history(args.source, **chosen)
    drawn = figures.beside_paper(args.number, runs, history, allow_partial=args.allow_partial)
    try:
        print(figures.save(drawn, args.to))
    except (OSError, ValueError) as error:  # no such folder, or a format that matplotlib does not write
        raise BadInput(f"--to {args.to}: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 2 for bad input; of verdicts on named claims 3 where one is open."""
    parser = argparse.ArgumentParser(prog="python -m sepconv_lab.analysis", description=__doc__)
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("verdicts", help="one table over all studies with results")
    sub.add_argument("source", nargs="*", help="runs_dir or folder of results (default: runs and experiments); claims, such "
                     "as C3 C4: these alone, and exit code 3 where one is open")  # fmt: skip
    sub.add_argument("--runs-dir", action="append", default=[], help="a source too")
    sub.add_argument("--study", help="this study alone")
    sub.add_argument("--label", help="results of this name alone, e.g. lab")
    shape = sub.add_mutually_exclusive_group()
    shape.add_argument("--markdown", action="store_true", help="as a Markdown table")
    shape.add_argument("--brief", action="store_true", help="the same without seeds and what is not shown")
    shape.add_argument(
        "--page", action="store_true", help="as the table of experiments/README.md: every part, and the paper's words"
    )
    shape.add_argument("--verbose", action="store_true", help="every verdict as a paragraph, with all its parts")
    shape.add_argument("--json", action="store_true", help="for programs")
    shape.add_argument("--latex", action="store_true", help="as a LaTeX table (booktabs, tabularx)")
    sub.add_argument("--family", action="store_true", help="with Holm's correction over all that are shown")
    sub.add_argument("--until", choices=["decided"], help="run the study that is named to its next look first")
    sub.set_defaults(do=_verdicts)
    sub = commands.add_parser(
        "variance", help="where the variance of a study's effects comes from, and what reduces it cheapest"
    )
    sub.add_argument("study")
    sub.add_argument("source", nargs="?", default=RUNS, help="runs_dir or folder of results (default: runs)")
    sub.add_argument("--label", help="results of this name alone")
    sub.set_defaults(do=_variance)
    sub = commands.add_parser(
        "cost", help="what a verdict costs with one look and with several, from the spread of earlier runs"
    )
    sub.add_argument(
        "source", nargs="?", default=EXPERIMENTS, help="runs_dir or folder of results (default: experiments)"
    )
    sub.set_defaults(do=_cost)
    sub = commands.add_parser("figure", help="draw a figure of the paper from your own runs, the paper's beside it")
    sub.add_argument("number", type=int, choices=sorted(FIGURES), help="the paper's number")
    sub.add_argument(
        "source", nargs="?", default=EXPERIMENTS, help="runs_dir or folder of results (default: experiments)"
    )
    sub.add_argument("--label", help="which results, where the study has several, e.g. cifar10")
    sub.add_argument("--to", type=Path, required=True, help="file to write; its suffix decides the format")
    sub.add_argument("--allow-partial", action="store_true", help="although runs have not ended")
    sub.set_defaults(do=_figure)
    sub = commands.add_parser("export", help="add what has ended of a study to its results, small enough to commit")
    sub.add_argument("study")
    sub.add_argument("--runs-dir", default=str(RUNS), help="folder of the records (default: runs)")
    sub.add_argument("--label", help="which results, where a study has several, e.g. lab_cifar10")
    sub.add_argument("--plan", help="which plan, by id; a superseded one too")
    sub.add_argument("--to", help="folder to write (default: experiments/STUDY/results/LABEL)")
    sub.add_argument(
        "--allow-partial", action="store_true", help="although runs have not ended: the results grow run by run"
    )
    sub.set_defaults(do=_export)
    args = parser.parse_args(argv)
    try:
        return args.do(args) or 0
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    exit_with(main)
