"""One run, or a sweep of runs: `python -m sepconv_lab.run [-m] [group=choice] [key=value] ...`

Exit codes: 0 done, 1 a run failed, 2 bad input, which is refused before anything is trained or written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .compose import compose, compose_sweep
from .config import BadInput, RunConfig
from .config.identity import quoted
from .config.messages import unknown
from .config.overrides import check_given_once
from .config.presets import register_schema
from .console.say import refuse, say
from .console.streams import exit_with
from .console.tables import print_table
from .launch.hydra import check_hydra, hand_over
from .record.metrics import PRIMARY, PRIMARY_RAW, SELECTION, SELECTION_RAW
from .record.record import Busy, Record
from .training.job import check, ended, record_of, run

if TYPE_CHECKING:
    from omegaconf import DictConfig

TEST = "--test"
"""Of a sweep: its table shows accuracy on the test split."""
HYDRA_FLAGS = ("-m", "--multirun", "-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-p", "--package",
               "--resolve", "-i", "--info")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    test = TEST in words and bool({"-m", "--multirun"} & set(words))
    flags = [w for w in words if w.startswith("-") and not (test and w == TEST)]
    overrides = [w for w in words if not w.startswith("-")]
    try:
        if set(flags) <= {"-m", "--multirun"}:
            check_given_once(overrides)
            return _sweep(overrides, test) if flags else _single(overrides)
        for flag in flags:
            if flag.split("=")[0] not in HYDRA_FLAGS:
                hint = " It goes with a sweep, -m." if flag == TEST else ""
                raise BadInput(unknown(flag, flag, HYDRA_FLAGS) + hint)
        _check_flags({f.split("=")[0] for f in flags}, [w for w in overrides if "=" in w])
        register_schema()
        hand_over(words, lambda cfg: None, "config")  # --cfg, --help and the like
        return 0
    except BadInput as error:
        return refuse(error)


def _check_flags(flags: set[str], overrides: list[str]) -> None:
    """Whether Hydra's own flags do something here, on overrides that a run would take. Raises BadInput."""
    if flags & {"-h", "--help", "--hydra-help", "--version"}:
        return
    if flags & {"-m", "--multirun"}:
        raise BadInput(f"{', '.join(sorted(flags - {'-m', '--multirun'}))}: shows one job; leave -m out")
    if not flags & {"-c", "--cfg", "-i", "--info"}:
        raise BadInput(f"{', '.join(sorted(flags))}: goes with --cfg job, which shows the configuration")
    check_given_once(overrides)
    compose([w for w in overrides if not w.lstrip("+~").startswith("hydra")])


def _single(overrides: list[str]) -> int:
    try:
        summary = run(compose(overrides), name=" ".join(overrides))
    except Busy as busy:
        say(f"run {busy} is under way in another process; nothing to do here")
        return 1
    except KeyboardInterrupt:
        say("stopped; the same command goes on from the last checkpoint")
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        say(f"the run failed: {error}; the same command goes on from the last checkpoint when there is room")
        return 1
    return 0 if summary["status"] == "finished" else 1


def _sweep(overrides: list[str], test: bool) -> int:
    jobs = compose_sweep(overrides)
    hydra = [o for o in overrides if o.lstrip("+~").startswith("hydra")]
    if hydra:
        check_hydra(hydra)
    records = _check_all([config for _, config in jobs])
    # What has ended is not handed to a launcher: Hydra composes each job twice, which takes half a second.
    waiting = [
        i for i, (record, (_, config)) in enumerate(zip(records, jobs, strict=True)) if ended(record, config) is None
    ]
    errors: dict[int, str] = {}
    if waiting:
        found = _launch([jobs[i][0] for i in waiting], hydra, records[waiting[0]].runs_dir / ".sweep")
        errors = {i: found[number] for number, i in enumerate(waiting) if number in found}
    code = _table(jobs, records, errors, test)
    refused = dict.fromkeys(e.removeprefix("BadInput: ") for e in errors.values() if e.startswith("BadInput: "))
    if refused:  # images that turned out to be unreadable, for one
        return refuse(BadInput("\n".join(refused)))
    return code


def _check_all(configs: list[RunConfig]) -> list[Record]:
    """Each job's record, after every job that would train was checked, each kind once. Raises BadInput with all problems."""
    checked: set[str] = set()
    problems: dict[str, None] = {}
    found: list[Record] = []
    for config in configs:
        try:
            record, _ = record_of(config)
            found.append(record)
            if (record.summary() or {}).get("status") == "finished" and not config.force:
                continue
            kind = repr((config.block, config.model, config.data, config.train, config.runs_dir))
            if kind not in checked:
                from .models import build_checked

                checked.add(kind)
                record.check_writable()
                build_checked(config, check(config).classes, device="meta")
        except BadInput as error:
            problems |= dict.fromkeys(str(error).splitlines())
    if problems:
        raise BadInput("\n".join(problems))
    return found


def _launch(tasks: list[list[str]], hydra: list[str], folder: Path) -> dict[int, str]:
    """Carry the jobs out through Hydra's launcher, perhaps in other processes: {job: what kept it from beginning its record}.

    Whatever the launcher says, the end is judged from the records and from what the jobs themselves left in `folder`.
    """
    from .launch.cluster import time_limit
    from .launch.stopping import StopSign

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="errors-", dir=folder.absolute()) as errors:

        def job(cfg: DictConfig) -> None:
            on_its_own = os.getpid() != sign.launcher and "SUBMITIT_EXECUTOR" in os.environ
            if on_its_own:  # others go on when this one is stopped
                with contextlib.suppress(KeyboardInterrupt), time_limit():
                    carry_out(cfg.job, lambda: False)
                return
            with sign.around_job():
                if not sign.is_up():
                    carry_out(cfg.job, sign.is_up)

        def carry_out(number: int, should_stop: Callable[[], bool]) -> None:
            task = tasks[number]
            try:
                if run(compose(task), name=" ".join(task), should_stop=should_stop).get("stopped"):
                    raise KeyboardInterrupt
            except (Busy, BadInput) as error:
                (Path(errors) / str(number)).write_text(f"{type(error).__name__}: {error}")

        sign = StopSign(Path(errors) / "stop", os.getpid())
        workers = any(o.startswith("hydra/launcher=") and o != "hydra/launcher=basic" for o in hydra)
        numbers = ",".join(map(str, range(len(tasks))))
        words = ["-m", "launch=sweep", f"job={numbers}", f"hydra.sweep.dir={quoted(str(folder))}", *hydra]
        with (
            contextlib.suppress(SystemExit, KeyboardInterrupt),
            sign.on_interrupt() if workers else contextlib.nullcontext(),
        ):
            hand_over(words, job)
        return {int(path.name): path.read_text() for path in Path(errors).iterdir() if path != sign.path}


def _table(jobs: list[tuple[list[str], RunConfig]], records: list[Record], errors: dict[int, str], test: bool) -> int:
    """Print what varied, accuracy, parameters and where each record is; 1 if any run did not finish.

    test: the accuracy on the test split, which is out of sight while anything is chosen, instead of that on validation.
    """
    named = (PRIMARY_RAW, PRIMARY) if test else (SELECTION_RAW, SELECTION)
    common = set.intersection(*(set(o) for o, _ in jobs)) if len(jobs) > 1 else set()
    rows, failed = [], False
    for i, ((overrides, _), record) in enumerate(zip(jobs, records, strict=True)):
        summary = record.summary() or {"status": record.status(), "metrics": {}, "params": {}}
        finished = summary["status"] == "finished"
        failed |= not finished
        metrics = summary["metrics"]
        shown = [f"{metrics[k]:.4f}" if k in metrics else "-" for k in named]
        varied = " ".join(o for o in overrides if o not in common) or "(one run)"
        error = "" if finished else errors.get(i) or str(summary.get("error") or "")
        parameters = f"{summary['params'].get('total', 0):,}"
        rows.append([varied, summary["status"], *shown, parameters, str(record.path), error])
    say("")
    print_table(["varied", "status", f"{'test' if test else 'val'} top1", "averaged", "parameters", "record", ""], rows)
    return 1 if failed else 0


if __name__ == "__main__":
    exit_with(main)
