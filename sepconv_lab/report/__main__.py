"""`python -m sepconv_lab.report STUDY`: the study as one HTML page, from its records or from committed results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..analysis.read import committed, load
from ..analysis.read.load import Place
from ..config import BadInput
from ..console.drawing import into_files
from ..console.streams import exit_with
from ..record.plan import Plan

EXPERIMENTS = Path("experiments")


def source(study: str, runs_dir: str | None, results: str | None) -> list[Path]:
    """Where to read: what is named, else `runs` if it knows the study, and its committed results. Raises BadInput."""
    if runs_dir or results:
        return [Path(runs_dir or str(results))]
    committed = EXPERIMENTS / study / "results"
    usual = ((Path("runs"), f"studies/{study}/*/plan.json"), (committed, "*/export.json"))
    places = [place for place, there in usual if any(place.glob(there))]
    if places:
        return places
    raise BadInput(f"neither runs/studies/{study} nor {committed} has a frozen plan: run the study (`python -m "
                   f"sepconv_lab.study run {study}`), or say where it is with --runs-dir or --results")  # fmt: skip


def chosen(study: str, place: Place, label: str | None, plan: str | None) -> Plan:
    """The one plan that is meant. Raises BadInput where there are several."""
    plans = load.load_plans(place, study=study, label=label, plan=plan)
    if len(plans) != 1:
        there = "; ".join(f"--label {p.label}" if label is None else f"--plan {p.plan_id}" for p in plans)
        where = place if isinstance(place, (str, Path)) else ", ".join(map(str, place))
        raise BadInput(f"{study} has {len(plans)} results in {where}; choose one: {there}")
    return plans[0]


def write(study: str, place: Place, label: str | None = None, plan: str | None = None, to: str | None = None) -> Path:
    """Read one plan's results and write its page; returns where: `to`, or report.html beside the plan. Raises BadInput."""
    into_files()
    from .page import page

    one = chosen(study, place, label, plan)
    runs = load.load_runs(place, study=study, label=one.label, plan=one.plan_id, allow_partial=True)
    history = load.load_history(place, study=study, label=one.label, plan=one.plan_id, allow_partial=True)
    text = page(runs, history, one.values())
    return _written(text, Path(to) if to else Path(one.path or "plan.json").parent / "report.html")


def write_all(to: str | None = None) -> Path:
    """Write the page of all committed results; returns where: `to`, or experiments/report.html. Raises BadInput."""
    into_files()
    from .page import page_of_all

    results = []
    for folder in committed.folders(EXPERIMENTS):
        for one in load.load_plans(folder):
            runs = load.load_runs(folder, study=one.study, label=one.label, plan=one.plan_id, allow_partial=True)
            history = load.load_history(folder, study=one.study, label=one.label, plan=one.plan_id, allow_partial=True)
            results.append((runs, history, one.values()))
    return _written(page_of_all(results), Path(to) if to else EXPERIMENTS / "report.html")


def _written(text: str, target: Path) -> Path:
    from ..disk import write_atomically

    if target.is_dir():
        target /= "report.html"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, text.encode())
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m sepconv_lab.report", description=__doc__)
    parser.add_argument("study", nargs="?")
    parser.add_argument(
        "--all", action="store_true", help="one page of all committed results (experiments/report.html)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--runs-dir", help="folder of the records (default: runs, if the study has a plan there)")
    where.add_argument("--results", help="folder of committed results (default: experiments/STUDY/results)")
    parser.add_argument("--label", help="which results, where a study has several, e.g. lab_cifar10")
    parser.add_argument("--plan", help="which plan, by id; a superseded one too")
    parser.add_argument("--to", help="file or folder to write (default: report.html beside the plan)")
    args = parser.parse_args(argv)
    if (args.study is None) != args.all or (args.all and (args.runs_dir or args.results or args.label or args.plan)):
        parser.error("name one study, or --all alone")
    try:
        if args.all:
            print(write_all(args.to))
            return 0
        print(write(args.study, source(args.study, args.runs_dir, args.results), args.label, args.plan, args.to))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    exit_with(main)
