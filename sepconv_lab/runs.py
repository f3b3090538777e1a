"""Records, from the command line and from Python: `python -m sepconv_lab.runs list|show|verify|diff|archive|plot`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import BadInput, bounded
from .config.fields import as_typed
from .config.messages import unknown
from .config.overrides import check_given_once
from .console.drawing import into_files, styled
from .console.streams import exit_with
from .console.tables import print_table
from .record.manifest import MARK, SEALED
from .record.metrics import PRIMARY, PRIMARY_RAW, SELECTION, SELECTION_RAW, shown
from .record.record import Busy, records
from .record.runs import Run, chosen, differences, find, listed, load, load_all

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Run", "differences", "find", "load", "load_all", "plot"]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if value is None:
        return "-"
    text = as_typed(value)
    return text[:12] if len(text) >= 40 and " " not in text else text  # a digest, a commit


def _varies(columns: Sequence[Mapping[str, Any]], key: str) -> bool:
    values = [c.get(key) for c in columns]
    return values.count(values[0]) < len(values) and len({as_typed(v) for v in values}) > 1


def _list(args: argparse.Namespace) -> None:
    for word in args.where:
        if "=" not in word:
            raise BadInput(f"{word}: not a filter; write column=value, e.g. block.mid_act=relu")
    check_given_once(args.where)
    runs, problems = listed(args.runs_dir)
    found = chosen(runs, dict(w.split("=", 1) for w in args.where))
    if not found and not problems:
        print(f"no records in {args.runs_dir} match")
        return
    columns = [run.columns for run in found]
    varied = [k for k in (columns[0] if columns else ()) if not k.startswith("wandb.") and _varies(columns, k)]
    if args.columns:
        varied = args.columns.split(",")
        for key in varied:
            if not any(key in run.columns for run in found):
                raise BadInput(unknown(key, key, found[0].columns))
    rows = []
    for run in found:
        metrics = run.summary.get("metrics") or {}
        named = (PRIMARY, PRIMARY_RAW) if args.test else (SELECTION, SELECTION_RAW)
        accuracy = next((metrics[k] for k in named if k in metrics), None)
        rows.append([run.record.run_id, run.summary["status"], "-" if accuracy is None else f"{accuracy:.4f}",
                     *(as_typed(run.columns.get(k)) for k in varied)])  # fmt: skip
    if rows:
        print_table(["run", "status", f"{'test' if args.test else 'val'} top1", *varied], rows)
    early = sum(r.summary["status"] in SEALED and MARK not in r.summary for r in found)
    if early:
        print(
            f"{early} of {len(found)} records have no manifest (an earlier version wrote none): nothing vouches for them"
        )
    if problems:
        raise BadInput("\n".join(problems))


def _show(args: argparse.Namespace) -> None:
    run = load(args.run, args.runs_dir)
    print(run.record.path)
    print(bounded.read_text(run.record.path / "config.yaml"))
    print(json.dumps(run.summary, indent=1))
    if run.summary["status"] in SEALED and MARK not in run.summary:
        print("no manifest: an earlier version wrote none, and nothing vouches for this record")


def _verify(args: argparse.Namespace) -> int:
    """Compare records with their manifests, events and predictions, to the byte; 1 where one does not agree."""
    chosen = [find(word, args.runs_dir) for word in args.runs] or list(records(args.runs_dir))
    counts = {"as their runs left them": 0, "without a manifest, so that nothing vouches for them": 0, "not ended": 0}
    whole, early, open_ = counts
    bad = 0
    for record in chosen:
        try:
            summary = load(record.path).record.summary(full=True)
            record.check_results()
        except BadInput as error:
            bad += 1
            print(error)
            continue
        ended = summary is not None and summary["status"] in SEALED
        counts[open_ if not ended else whole if record.has_manifest() else early] += 1
    said = [f"{n} {words}" for words, n in counts.items() if n] + ([f"{bad} altered or damaged"] if bad else [])
    print(f"{len(chosen)} records: {', '.join(said) or 'none'}")
    return 1 if bad else 0


def _diff(args: argparse.Namespace) -> None:
    a, b = load(args.a, args.runs_dir), load(args.b, args.runs_dir)
    found = differences(a, b)
    if not args.all:
        found, hidden = _worth_reading(found)
    rows: list[list[str]] = []
    for part, changed in found.items():
        rows += [
            [part, key, *map(_short, pair), _change(*pair) if part == "result" else ""] for key, pair in changed.items()
        ] or [[part, "the same", "", "", ""]]
    print_table(["", "", a.record.run_id, b.record.run_id, ""], rows)
    if not args.all and hidden:
        values = "1 further value differs" if hidden == 1 else f"{hidden} further values differ"
        print(f"{values} (time, speed, memory, further metrics, what follows from the above): --all")


MAIN_RESULTS = ("status", "error", *(f"metrics.{s}/{m.name}" for m in shown("diff") for s in ("test_ema", "test")),
                "params.total", "macs", "steps")  # fmt: skip


def _worth_reading(found: dict[str, dict[str, tuple[Any, Any]]]) -> tuple[dict[str, dict[str, tuple[Any, Any]]], int]:
    """The differences that explain one run against another, and how many are left out."""
    result = {k: found["result"][k] for k in MAIN_RESULTS if k in found["result"]}
    derived = ("after_", "wandb.")
    config = {k: v for k, v in found["config"].items() if not k.startswith(derived)}
    kept = {"config": config, "environment": found["environment"], "result": result}
    return kept, sum(map(len, found.values())) - sum(map(len, kept.values()))


def _change(a: Any, b: Any) -> str:
    """B - A for fractions such as accuracies and losses, the ratio for counts."""
    if isinstance(a, float) and isinstance(b, float):
        return f"{b - a:+.4g}"
    if isinstance(a, int) and isinstance(b, int) and not isinstance(a, bool) and a:
        return f"x {b / a:.3f}"
    return ""


def _archive(args: argparse.Namespace) -> None:
    for word in args.runs:
        record = find(word, args.runs_dir)
        with record.owned():
            print(f"{record.path} -> {record.archive()}")


def _plot(args: argparse.Namespace) -> None:
    if args.latest:
        found = [r for r in records(args.runs_dir) if (r.path / "metrics.jsonl").exists()]
        if not found:
            raise BadInput(f"{args.runs_dir}: no records with metrics")
        run = load(max(found, key=lambda r: (r.path / "metrics.jsonl").stat().st_mtime).path)
    else:
        if not args.run:
            raise BadInput("name a run, or use --latest")
        run = load(args.run, args.runs_dir)
    print(f"record:  {run.record.path}")
    print(f"picture: {plot(run, run.record.path / 'curves.png')}")


def plot(run: Run, path: Path) -> Path:
    """Draw a run's curves, accuracy and loss, over its epochs into an image file."""
    into_files()
    history = run.history()
    if history.empty:
        raise BadInput(f"{run.record.path} has no metrics yet")
    with styled({"text.parse_math": False}):
        _draw(run, history, path)
    return path


def _draw(run: Run, history: pd.DataFrame, path: Path) -> None:
    from matplotlib.figure import Figure

    drawn = shown("curves")
    figure = Figure(figsize=(4.5 * len(drawn), 3.4), layout="constrained")
    axes = figure.subplots(1, len(drawn))
    styles = {
        "train": ("0.6", "-"),
        "val": ("#0072B2", "-"),
        "val_ema": ("#D55E00", "-"),
        "test": ("#0072B2", "*"),
        "test_ema": ("#D55E00", "*"),
    }
    labels = {
        "train": "training",
        "val": "validation",
        "val_ema": "validation, averaged",
        "test": "test",
        "test_ema": "test, averaged",
    }
    for axis, metric in zip(axes, drawn, strict=True):
        for split, (colour, style) in styles.items():
            key = f"{split}/{metric.name}"
            if key in history:
                points = history[["epoch", key]].dropna()
                marker = style if style == "*" else ("" if split == "train" else "o")
                line = "" if style == "*" else "-"
                axis.plot(points["epoch"], points[key].astype(float), color=colour, marker=marker, linestyle=line,
                          markersize=11 if style == "*" else 4, label=labels[split])  # fmt: skip
        axis.set(xlabel="epoch", title=metric.label)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    block = run.columns.get("block.name")
    figure.suptitle(
        f"{run.columns['model.name']}{f', block {block}' if block else ''}, {run.columns['data.name']}, run {run.record.run_id}",
        fontsize=10,
    )
    figure.savefig(path, dpi=150)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sepconv_lab.runs", description=__doc__)
    parser.add_argument("--runs-dir", default="runs", help="folder of the records (default: runs)")
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("list", help="one line a record; filter by any config column")
    sub.add_argument("where", nargs="*", metavar="column=value")
    sub.add_argument(
        "--test", action="store_true", help="accuracy on the test split, out of sight until then, not on validation"
    )
    sub.add_argument("--columns", help="comma-separated columns to show instead of those that vary")
    sub.set_defaults(do=_list)
    sub = commands.add_parser("show", help="configuration and summary of one record")
    sub.add_argument("run")
    sub.set_defaults(do=_show)
    sub = commands.add_parser("verify", help="compare records with their manifests and predictions, to the byte")
    sub.add_argument("runs", nargs="*", metavar="run", help="default: every record")
    sub.set_defaults(do=_verify)
    sub = commands.add_parser("diff", help="what differs between two runs")
    sub.add_argument("a")
    sub.add_argument("b")
    sub.add_argument("--all", action="store_true", help="every value that differs, time and speed too")
    sub.set_defaults(do=_diff)
    sub = commands.add_parser("archive", help="move records aside, so that their runs can run again")
    sub.add_argument("runs", nargs="+")
    sub.set_defaults(do=_archive)
    sub = commands.add_parser("plot", help="draw a run's curves")
    sub.add_argument("run", nargs="?")
    sub.add_argument("--latest", action="store_true", help="the record written last")
    sub.set_defaults(do=_plot)
    args = parser.parse_args(argv)
    try:
        return args.do(args) or 0
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except Busy as busy:
        print(f"run {busy} is under way in another process; stop it first", file=sys.stderr)
        return 1


if __name__ == "__main__":
    exit_with(main)
