"""One run, or a sweep of runs: `python -m sepconv_lab.run [-m] [group=choice] [key=value] ...`

Exit codes: 0 done, 1 a run failed, 2 bad input, which is refused before anything is trained or written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compose import CONF, check_given_once, compose, compose_sweep, match_record, register_schema, unknown
from .config import RECIPE, BadInput, RunConfig, flat, placements, plain
from .config.identity import command, identity, quoted, run_id
from .console.say import refuse, say
from .console.tables import print_table
from .record.metrics import PRIMARY, PRIMARY_RAW
from .record.record import Busy, Record

if TYPE_CHECKING:
    import torch
    from omegaconf import DictConfig

    from .config import Precision
    from .data import ImageData
    from .models.complexity import Complexity
    from .training.loop import Training


def run(
    config: RunConfig,
    *,
    name: str = "",
    context: Mapping[str, str] | None = None,
    told_to_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Carry out one run and return its summary; a finished one is returned as it is, an unfinished one resumes.

    context: what W&B shows of the run beside its configuration, such as study and variant. told_to_stop: asked after every
    step, beside the signals. `stopped` in what is returned: whether the run was told to stop, were it only in its end.
    Raises BadInput before anything is written, and Busy when another process owns the record.
    """
    record, weights_digest = record_of(config)
    done = ended(record, config)
    if done is not None:
        return done
    record.check_writable()
    job = _prepare(config, weights_digest)
    with record.owned():
        done = ended(record, config)  # it may have ended while we came to own it
        if done is not None:
            return done
        return _carry_out(job, record, name, context or {}, told_to_stop)


def record_of(config: RunConfig) -> tuple[Record, str | None]:
    """The record that a run has or will have, and the digest of its initial weights. Raises BadInput."""
    from . import data

    weights_digest = None
    if config.model.weights:
        from .weights import digest

        weights_digest = digest(config.model.weights)
    return Record(config.runs_dir, run_id(config, data.fingerprint(config.data), weights_digest)), weights_digest


def ended(record: Record, config: RunConfig) -> dict[str, Any] | None:
    """The summary of a run that would not be run again: finished, or diverged, which it would do again."""
    summary = record.summary()
    if summary is None or config.force or summary["status"] not in ("finished", "diverged"):
        return None
    say(
        f"{record.path}: {summary['status']} already{_result(summary)}; force=true runs it again and archives this record"
    )
    return summary


@dataclass
class _Job:
    """A run that can start: nothing about its input is left to be refused."""

    config: RunConfig
    device: torch.device
    precision: Precision
    threads: int
    data: ImageData
    network: torch.nn.Module
    counts: Complexity
    weights_digest: str | None


def check(config: RunConfig, *, network: bool = True) -> int:
    """Whether hardware, data and network allow the run, without decoding images; the number of classes. Raises BadInput.

    network: False where the caller has built it already.
    """
    from . import data, models
    from .training import environment

    key = os.environ.get("WANDB_API_KEY")
    if key and any(key in str(value) for value in flat(config).values()):
        raise BadInput("a setting holds the key of W&B (WANDB_API_KEY), which never goes into a record")
    environment.resolve_precision(config.train, environment.resolve_device(config.train))
    images, _, _, classes = data.sizes(config.data)
    if network:
        models.check_buildable(config, classes)
    if config.train.batch_size > images:
        raise BadInput(f"train.batch_size={config.train.batch_size}: the training split has {images} images")
    if config.train.accumulate > config.train.batch_size:
        raise BadInput(
            f"train.accumulate={config.train.accumulate}: more parts than train.batch_size={config.train.batch_size}"
        )
    return classes


def _prepare(config: RunConfig, weights_digest: str | None) -> _Job:
    """Everything that can be refused, before anything is written. Raises BadInput."""
    from . import data
    from .models.complexity import complexity
    from .training import environment

    classes = check(config)
    device = environment.resolve_device(config.train)
    precision = environment.resolve_precision(config.train, device)
    threads = environment.set_threads(config.train)
    loaded = data.load(config.data)
    environment.set_deterministic(device)
    return _Job(
        config,
        device,
        precision,
        threads,
        loaded,
        _network(config, classes),
        complexity(config, classes),
        weights_digest,
    )


def _network(config: RunConfig, classes: int) -> torch.nn.Module:
    """The network as it begins: initialised, or with the weights that the configuration names."""
    from . import models

    network = models.build_model(config, classes)
    if config.model.weights:
        from .weights import load_weights

        load_weights(network, config.model.weights)
    return network


def _carry_out(
    job: _Job, record: Record, name: str, context: Mapping[str, str], told_to_stop: Callable[[], bool]
) -> dict[str, Any]:
    from .record import checkpoint
    from .record.wandb_mirror import WandbMirror
    from .training import environment
    from .training.loop import Diverged, Interrupted, Training, fit, logged_rate, total_steps

    config, device, counts, threads = job.config, job.device, job.counts, job.threads
    images, classes = len(job.data.train), job.data.num_classes
    before = record.summary()
    if config.force and before is not None and before["status"] != "interrupted":
        say(f"archived the old record: {record.archive()}")  # an unfinished one, perhaps forced itself, goes on
    record.begin(plain(config), identity(config, job.data.digest, job.weights_digest))
    say(
        f"{record.path}: model={config.model.name}"
        + (f" size={config.model.size.name}" if hasattr(config.model, "size") else "")  # type: ignore[attr-defined]
        + (f" block={config.block.name}" if config.block else "")
        + f", {counts.params:,} parameters ({counts.head_params:,} in the head), {counts.macs / 1e6:,.1f} M MACs an image; "
        f"data={config.data.name}: {images:,} images, {classes} classes; "
        f"{total_steps(config, images):,} steps on {device.type} in {job.precision.name} with {threads} threads"
    )
    summary: dict[str, Any] = {
        "status": "failed",
        "run_id": record.run_id,
        "recipe": RECIPE,
        "metrics": {},
        "params": {"total": counts.params, "body": counts.body_params, "head": counts.head_params},
        "macs": counts.macs,
        "receptive_field": counts.field,
        "activation_bytes": counts.activation_bytes,
        **placements(config.block),
        "match": match_record(config, classes),
        "num_classes": classes,
        "images": {"train": images, "val": len(job.data.val), "test": len(job.data.test)},
        "data_digest": job.data.digest,
        "data_content": job.data.content,
        "weights_digest": job.weights_digest,
        "git": environment.git_state(),
        "versions": environment.versions(),
        "hardware_class": environment.hardware_class(device),
        "device": device.type,
        "threads": threads,
        "precision": job.precision.name,
        "command": _command(config, threads),
        "attempts": None,
        "error": None,
    }
    training, mirror = Training(config, job.network, job.data, device, job.precision), None
    began, stopped = time.time(), False
    try:
        with _signals() as stop:
            summary["attempts"] = _next_attempt(record)
            for state in checkpoint.candidates(record.path / "checkpoints", record.run_id, record.metrics_size()):
                try:
                    training.load_state(state)
                except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
                    say(f"a checkpoint does not fit this run and is left aside: {checkpoint.first_line(error)}")
                    training = Training(config, _network(config, classes), job.data, device, job.precision)
                    continue
                record.cut_metrics(state["metrics_bytes"])
                say(f"going on from step {training.step} of {training.total}")
                break
            else:
                record.cut_metrics(0)
            _note_environment(training, summary, config)
            began -= training.seconds
            mirror = WandbMirror(
                config, record.run_id, record.path, summary["attempts"], name or record.run_id, context
            )
            for event in record.events():
                mirror.log(event)
            summary["metrics"] = fit(training, record, mirror, should_stop=lambda: bool(stop) or told_to_stop())
        summary |= {"status": "finished", "images_per_second": logged_rate(record)}
        stopped = (
            bool(stop) or told_to_stop()
        )  # too late for this run, in its last evaluation, but not for what would follow it
    except Interrupted:
        summary |= {"status": "interrupted", "error": f"stopped by a signal after step {training.step}"}
        stopped = True
    except Diverged as error:
        summary |= {"status": "diverged", "error": str(error), "diverged_step": error.step,
                    "images_per_second": logged_rate(record)}  # fmt: skip
    except (Exception, SystemExit) as error:
        summary |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    except BaseException as error:
        summary |= {"status": "interrupted", "error": type(error).__name__}
        raise
    finally:
        summary |= {
            "steps": training.step,
            "epochs": training.step / training.epoch_steps,
            "wall_time": time.time() - began,
        }
        summary["peak_memory"] = environment.peak_memory(device)
        if mirror is not None:
            mirror.finish(
                {k: v for k, v in summary.items() if k != "traceback"},
                record.path / "checkpoints" / "last.pt" if config.wandb.log_checkpoint else None,
            )
            summary["wandb"] = {"id": mirror.id, "mode": config.wandb.mode.name, "error": mirror.error}
        record.finish(summary)
    say(f"{record.path}: {summary['status']}{_result(summary)}")
    return summary | {"stopped": stopped}


def _note_environment(training: Training, summary: dict[str, Any], config: RunConfig) -> None:
    """Settle on what this attempt computes, and say so where an earlier one computed on something else.

    Threads that nobody set are those of the checkpoint. Otherwise the record names every environment; precision and hardware
    of a mixed run are no run's that was not, so comparisons refuse it.
    """
    import torch

    earlier = training.environments
    if earlier and not config.train.threads and earlier[-1]["threads"] != summary["threads"]:
        torch.set_num_threads(earlier[-1]["threads"])
        summary |= {"threads": earlier[-1]["threads"], "command": _command(config, earlier[-1]["threads"])}
    now = {k: summary[k] for k in ("threads", "precision", "device", "hardware_class")} | {
        "torch": str(torch.__version__)
    }
    changed = [f"{k} {earlier[-1][k]} -> {now[k]}" for k in now if earlier[-1][k] != now[k]] if earlier else []
    if changed:
        say(
            f"the earlier attempt computed with something else ({', '.join(changed)}): the command will not give the same bits"
        )
    if changed or not earlier:
        training.environments = [*earlier, now]
    if len(training.environments) > 1:
        summary["environments"] = training.environments
        for key in ("precision", "hardware_class"):
            summary[key] = " + ".join(dict.fromkeys(str(e[key]) for e in training.environments))


def _command(config: RunConfig, threads: int) -> str:
    """What to type for the same bits, the number of threads spelled out."""
    with_threads = dataclasses.replace(config, train=dataclasses.replace(config.train, threads=threads))
    return "python -m sepconv_lab.run " + " ".join(shlex.quote(o) for o in command(with_threads))


def _next_attempt(record: Record) -> int:
    path = record.path / "attempts"
    before = path.read_text().strip() if path.exists() else ""
    attempt = int(before) + 1 if before.isdecimal() else 1
    path.write_text(str(attempt))
    return attempt


def _result(summary: dict[str, Any]) -> str:
    metrics = summary.get("metrics") or {}
    if summary["status"] != "finished":
        return f" ({summary.get('error')})"
    words = [f"{label} {metrics[key]:.4f}" for label, key in
             (("raw", "test/top1"), ("averaged", "test_ema/top1")) if key in metrics]  # fmt: skip
    return f", test accuracy {', '.join(words)}"


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are noted, and the loop stops after its step; a second Ctrl-C stops at once."""
    got: list[int] = []

    def note(number: int, _: Any) -> None:
        if got and number == signal.SIGINT:
            raise KeyboardInterrupt
        got.append(number)

    old: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not the main thread: the signals are somebody else's
                old[number] = signal.signal(number, note)
        yield got
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


# --- command line -----------------------------------------------------------------------------------------------------


HYDRA_FLAGS = ("-m", "--multirun", "-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-p", "--package",
               "--resolve", "-i", "--info")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    flags = [w for w in words if w.startswith("-")]
    overrides = [w for w in words if not w.startswith("-")]
    try:
        if set(flags) <= {"-m", "--multirun"}:
            check_given_once(overrides)
            return _sweep(overrides) if flags else _single(overrides)
        for flag in flags:
            if flag.split("=")[0] not in HYDRA_FLAGS:
                raise BadInput(unknown(flag, flag, HYDRA_FLAGS))
        _check_flags({f.split("=")[0] for f in flags}, [w for w in overrides if "=" in w])
        register_schema()
        _hydra(words, "config", lambda cfg: None)  # --cfg, --help and the like
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


def _sweep(overrides: list[str]) -> int:
    jobs = compose_sweep(overrides)
    hydra = [o for o in overrides if o.lstrip("+~").startswith("hydra")]
    if hydra:
        from .study.launch import check_hydra

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
    code = _table(jobs, records, errors)
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
                checked.add(kind)
                record.check_writable()
                check(config)
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

        def carry_out(number: int, told_to_stop: Callable[[], bool]) -> None:
            task = tasks[number]
            try:
                if run(compose(task), name=" ".join(task), told_to_stop=told_to_stop).get("stopped"):
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
            _hydra(words, "study_job", job)
        return {int(path.name): path.read_text() for path in Path(errors).iterdir() if path != sign.path}


def _hydra(words: list[str], config_name: str, task: Callable[[DictConfig], None]) -> None:
    """Hand over to Hydra, whose launcher calls the task for each job."""
    import hydra

    saved = sys.argv
    sys.argv = [saved[0], *words]
    try:
        hydra.main(config_path=str(CONF), config_name=config_name, version_base="1.3")(task)()
    finally:
        sys.argv = saved


def _table(jobs: list[tuple[list[str], RunConfig]], records: list[Record], errors: dict[int, str]) -> int:
    """Print what varied, test accuracy, parameters and where each record is; 1 if any run did not finish."""
    common = set.intersection(*(set(o) for o, _ in jobs)) if len(jobs) > 1 else set()
    rows, failed = [], False
    for i, ((overrides, _), record) in enumerate(zip(jobs, records, strict=True)):
        summary = record.summary() or {"status": record.status(), "metrics": {}, "params": {}}
        finished = summary["status"] == "finished"
        failed |= not finished
        metrics = summary["metrics"]
        shown = [f"{metrics[k]:.4f}" if k in metrics else "-" for k in (PRIMARY_RAW, PRIMARY)]
        varied = " ".join(o for o in overrides if o not in common) or "(one run)"
        error = "" if finished else errors.get(i) or str(summary.get("error") or "")
        parameters = f"{summary['params'].get('total', 0):,}"
        rows.append([varied, summary["status"], *shown, parameters, str(record.path), error])
    say("")
    print_table(["varied", "status", "test top1", "averaged", "parameters", "record", ""], rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
