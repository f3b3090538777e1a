"""`python -m sepconv_lab.analysis verdicts|figure|export`: what the studies say, drawn, and small enough to commit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..config import BadInput
from .claims import board
from .claims.of_the_paper import FIGURE06, FIGURE07_08, FIGURE09, FIGURE10
from .notebook import show
from .read import committed, frames
from .read.export import export
from .read.load import load_history, load_runs
from .stats import checks

RUNS, EXPERIMENTS = Path("runs"), Path("experiments")
FIGURES = {6: FIGURE06, 7: FIGURE07_08, 8: FIGURE07_08, 9: FIGURE09, 10: FIGURE10}
"""Number in the paper -> the study that makes it again."""


def _verdicts(args: argparse.Namespace) -> None:
    sources = [Path(s) for s in (*args.source, *args.runs_dir)] or _usual()
    found = board.judge_plans(sources, study=args.study, label=args.label)
    if not found.judged and not found.notes:
        raise BadInput(f"no study of that name and label in {', '.join(map(str, sources))}" if args.study or args.label
                       else f"no study in {', '.join(map(str, sources))}: runs without one have no claim to judge")  # fmt: skip
    if args.markdown or args.brief:
        print(show.as_markdown(found, show.BRIEF if args.brief else show.HEADER))
    else:
        print(show.as_paragraphs(found) if args.verbose else show.as_text(found))


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
    """Entry point; returns the exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m sepconv_lab.analysis", description=__doc__)
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("verdicts", help="one table over all studies with results")
    sub.add_argument("source", nargs="*", help="runs_dir or folder of results (default: runs and experiments)")
    sub.add_argument("--runs-dir", action="append", default=[], help="a source too")
    sub.add_argument("--study", help="this study alone")
    sub.add_argument("--label", help="results of this name alone, e.g. lab")
    shape = sub.add_mutually_exclusive_group()
    shape.add_argument("--markdown", action="store_true", help="as a Markdown table")
    shape.add_argument("--brief", action="store_true", help="the same without seeds and what is not shown")
    shape.add_argument("--verbose", action="store_true", help="every verdict as a paragraph, with all its parts")
    sub.set_defaults(do=_verdicts)
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
        args.do(args)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
