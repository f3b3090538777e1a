"""One run, from a configuration to its record."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..compose import match_record
from ..config import RECIPE, BadInput, RunConfig, bounded, flat, placements, plain
from ..config.identity import command, identity, run_id
from ..console.say import say
from ..record.record import Record
from ..record.wandb_mirror import settled

if TYPE_CHECKING:
    import torch

    from ..config import Precision
    from ..data import ImageData
    from ..models.complexity import Complexity
    from .loop import Training


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
    from .. import data

    weights_digest = None
    if config.model.weights:
        from ..weights import digest

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
    from .. import data, models
    from . import environment

    key = os.environ.get("WANDB_API_KEY")
    if key and any(key in str(value) for value in flat(config).values()):
        raise BadInput("a setting holds the key of W&B (WANDB_API_KEY), which never goes into a record")
    settled(config.wandb)
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
    from .. import data
    from ..models.complexity import complexity
    from . import environment

    classes = check(config)
    device = environment.resolve_device(config.train)
    precision = environment.resolve_precision(config.train, device)
    threads = environment.set_threads(config.train)
    loaded = data.load(config.data)
    environment.set_deterministic(device)
    environment.begin_measuring(device)
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
    from .. import models

    network = models.build_model(config, classes)
    if config.model.weights:
        from ..weights import load_weights

        load_weights(network, config.model.weights)
    return network


def _carry_out(
    job: _Job, record: Record, name: str, context: Mapping[str, str], told_to_stop: Callable[[], bool]
) -> dict[str, Any]:
    from ..record import checkpoint
    from ..record.wandb_mirror import WandbMirror
    from . import environment
    from .loop import Diverged, Interrupted, Training, fit, logged_rate, total_steps

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
            summary["wandb"] = {"id": mirror.id, "mode": mirror.mode, "error": mirror.error}
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
    try:
        before = int(bounded.read_text(path))
    except (OSError, ValueError):
        before = 0
    attempt = max(0, before) + 1
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
