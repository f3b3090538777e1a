"""One run, from a configuration to its record: `run`, and below it what it does, in order.

prepare  everything that can be refused, each thing made once
opening  the part of the summary that is known before the first step
resumed  the newest checkpoint that fits
outcome  how it ended
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
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
from ..config.messages import first_line
from ..console.say import say
from ..console.streams import lossy
from ..record.metrics import PRIMARY_RAW
from ..record.record import Record
from ..record.wandb_mirror import settled

if TYPE_CHECKING:
    import torch

    from ..config import Precision
    from ..data import ImageData
    from ..models.complexity import Complexity
    from ..record.wandb_mirror import WandbMirror
    from .loop import Training


@lossy()
def run(
    config: RunConfig,
    *,
    name: str = "",
    context: Mapping[str, str] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Carry out one run and return its summary; a finished one is returned as it is, an unfinished one resumes.

    context: what W&B shows of the run beside its configuration, such as study and variant. should_stop: asked after every
    step, beside the signals. `stopped` in what is returned: whether the run was to stop, were it only in its end.
    Raises BadInput before anything is written, and Busy when another process owns the record.
    """
    from .placement import placed

    record, weights_digest = record_of(config)
    if (summary := ended(record, config)) is not None:
        return summary
    record.check_writable()
    job = prepare(config, weights_digest)
    with placed(config, job.counts, job.device, should_stop) as stop, record.owned():
        if (summary := ended(record, config)) is not None:  # it may have ended while we came to own it
            return summary
        return _carry_out(job, record, name, context or {}, stop)


def _carry_out(
    job: Job, record: Record, name: str, context: Mapping[str, str], should_stop: Callable[[], bool]
) -> dict[str, Any]:
    from ..record.wandb_mirror import WandbMirror
    from .loop import Interrupted, fit

    before = record.summary()
    if job.config.force and before is not None and before["status"] != "interrupted":
        say(f"archived the old record: {record.archive()}")  # an unfinished one, perhaps forced itself, goes on
    record.begin(plain(job.config), identity(job.config, job.data.digest, job.weights_digest))
    say(f"{record.path}: {job.headline}")
    summary, training, mirror = opening(job, record), job.training(job.network), None
    began, stopped = time.monotonic(), False
    try:
        with _signals() as signals:
            summary["attempts"] = _next_attempt(record)
            training = resumed(job, training, record, summary)
            began -= training.seconds
            mirror = WandbMirror(
                job.config, record.run_id, record.path, summary["attempts"], name or record.run_id, context
            )
            for event in record.events():
                mirror.log(event)
            summary["metrics"] = fit(training, record, mirror, should_stop=lambda: bool(signals) or should_stop())
        summary |= outcome(None, training, record)
        stopped = bool(signals) or should_stop()  # too late for this run, in its last evaluation, but not for the next
    except BaseException as error:
        summary |= outcome(error, training, record)
        stopped = isinstance(error, Interrupted)
        if not isinstance(error, (Exception, SystemExit)):
            raise
    finally:
        summary |= {"steps": training.step, "epochs": training.step / training.epoch_steps,
                    "wall_time": time.monotonic() - began}  # fmt: skip
        _close(job, record, mirror, summary)
    say(f"{record.path}: {summary['status']}{_result(summary)}")
    return summary | {"stopped": stopped}


def _close(job: Job, record: Record, mirror: WandbMirror | None, summary: dict[str, Any]) -> None:
    """End the mirror, then write the summary, the last act of every run."""
    from . import environment

    summary["peak_memory"] = environment.peak_memory(job.device)
    if mirror is not None:
        last = record.path / "checkpoints" / "last.pt" if job.config.wandb.log_checkpoint else None
        mirror.finish({k: v for k, v in summary.items() if k != "traceback"}, last)
        summary["wandb"] = {"id": mirror.id, "mode": mirror.mode, "error": mirror.error}
    record.finish(summary)


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


# --- before the first step --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """What a configuration comes to on this machine and its data."""

    device: torch.device
    precision: Precision
    classes: int


SECRET = re.compile(r"(^|_)(TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY|PRIVATE_KEY)$")
SHORTEST_SECRET = 20
"""Letters; what is shorter, such as `WANDB_API_KEY=offline`, is a word that may stand in a setting by itself."""


def secrets() -> list[tuple[str, str]]:
    """The variables of the environment that hold a secret by their names, with their values."""
    return [(k, v) for k, v in os.environ.items() if SECRET.search(k) and len(v) >= SHORTEST_SECRET]


def check(config: RunConfig) -> Checked:
    """Whether hardware and data allow the run, without decoding images or building the network. Raises BadInput."""
    from .. import data
    from . import environment

    for name, secret in secrets():
        if any(re.search(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", str(value)) for value in flat(config).values()):
            raise BadInput(f"a setting holds what {name} holds, a secret, which never goes into a record")
    settled(config.wandb)
    device = environment.resolve_device(config.train)
    precision = environment.resolve_precision(config.train, device)
    images, _, _, classes = data.sizes(config.data)
    if config.train.batch_size > images:
        raise BadInput(f"train.batch_size={config.train.batch_size}: the training split has {images} images")
    if config.train.accumulate > config.train.batch_size:
        raise BadInput(
            f"train.accumulate={config.train.accumulate}: more parts than train.batch_size={config.train.batch_size}"
        )
    return Checked(device, precision, classes)


@dataclass(frozen=True)
class Job:
    """A run that can start: nothing about its input is left to be refused."""

    config: RunConfig
    device: torch.device
    precision: Precision
    threads: int
    data: ImageData
    network: torch.nn.Module
    counts: Complexity
    weights_digest: str | None

    @property
    def headline(self) -> str:
        """The run in a line, for the person at the terminal."""
        from .loop import total_steps

        config, counts, images = self.config, self.counts, len(self.data.train)
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"model={config.model.name}"
            + (f" size={config.model.size.name}" if hasattr(config.model, "size") else "")  # type: ignore[attr-defined]
            + (f" block={config.block.name}" if config.block else "")
            + f", {counts.params:,} parameters ({counts.head_params:,} in the head), {counts.macs / 1e6:,.1f} M MACs an image; "
            f"data={config.data.name}: {images:,} images, {self.data.num_classes} classes; "
            f"{total_steps(config, images):,} steps on {self.device.type} in {self.precision.name} with {threads}"
        )

    def training(self, network: torch.nn.Module) -> Training:
        """At step 0."""
        from .loop import Training

        return Training(self.config, network, self.data, self.device, self.precision)


def prepare(config: RunConfig, weights_digest: str | None) -> Job:
    """Everything that can be refused, before anything is written; each thing is made once. Raises BadInput."""
    from .. import data, models
    from ..models.complexity import measure
    from . import environment

    checked = check(config)
    threads = environment.set_threads(config.train)
    network = _network(config, checked.classes)
    counts = measure(models.on_meta(network), config.data.image_size)
    images = data.load(config.data)
    environment.set_deterministic(checked.device)
    environment.begin_measuring(checked.device)
    return Job(config, checked.device, checked.precision, threads, images, network, counts, weights_digest)


def _network(config: RunConfig, classes: int) -> torch.nn.Module:
    """The network as it begins: initialised, or with the weights that the configuration names. Raises BadInput."""
    from .. import models

    network = models.build_checked(config, classes)
    if config.model.weights:
        from ..weights import load_weights

        load_weights(network, config.model.weights)
    return network


def opening(job: Job, record: Record) -> dict[str, Any]:
    """The part of the summary that is known before the first step; `failed`, until the run has ended otherwise."""
    from . import environment

    config, counts, data = job.config, job.counts, job.data
    return {
        "status": "failed",
        "run_id": record.run_id,
        "recipe": RECIPE,
        "metrics": {},
        "params": {"total": counts.params, "body": counts.body_params, "head": counts.head_params},
        "macs": counts.macs,
        "receptive_field": counts.field,
        "activation_bytes": counts.activation_bytes,
        **placements(config.block),
        "match": match_record(config, data.num_classes),
        "num_classes": data.num_classes,
        "images": {"train": len(data.train), "val": len(data.val), "test": len(data.test)},
        "data_digest": data.digest,
        "data_content": data.content,
        "weights_digest": job.weights_digest,
        "git": environment.git_state(),
        "versions": environment.versions(),
        "hardware_class": environment.hardware_class(job.device),
        "device": job.device.type,
        "threads": job.threads,
        "precision": job.precision.name,
        "command": _command(config, job.threads),
        "attempts": None,
        "error": None,
    }


def resumed(job: Job, training: Training, record: Record, summary: dict[str, Any]) -> Training:
    """The training at the newest checkpoint that fits, the events after it cut off; at step 0 without one.

    Settles in the summary what this attempt computes on.
    """
    from ..record import checkpoint

    for state in checkpoint.candidates(record.path / "checkpoints", record.run_id, record.metrics_size()):
        try:
            training.load_state(state)
        except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            say(f"a checkpoint does not fit this run and is left aside: {first_line(error)}")
            training = job.training(_network(job.config, job.data.num_classes))
            continue
        record.cut_metrics(state["metrics_bytes"])
        say(f"going on from step {training.step} of {training.total}")
        break
    else:
        record.cut_metrics(0)
    _note_environment(training, summary, job.config)
    return training


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


# --- its end ----------------------------------------------------------------------------------------------------------

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def outcome(error: BaseException | None, training: Training, record: Record) -> dict[str, Any]:
    """How a run ended, from what ended it (None: its last step): status and error, and its speed where it ended by itself."""
    from .loop import Diverged, Interrupted, logged_rate

    if error is None:
        return {"status": "finished", "images_per_second": logged_rate(record)}
    if isinstance(error, Diverged):
        return {"status": "diverged", "error": str(error), "diverged_step": error.step,
                "images_per_second": logged_rate(record)}  # fmt: skip
    if isinstance(error, Interrupted):
        return {"status": "interrupted", "error": f"stopped by a signal after step {training.step}"}
    if not isinstance(error, (Exception, SystemExit)):
        return {"status": "interrupted", "error": type(error).__name__}
    if (full := no_room(error)) is not None:
        return {"status": "interrupted", "error": f"no room to write: {full}"}
    text = "".join(traceback.format_exception(error))
    return {"status": "failed", "error": f"{type(error).__name__}: {error}", "traceback": text}


def no_room(error: BaseException | None) -> OSError | None:
    """The full disk, quota or file limit behind an error: torch hides it behind one of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


def _result(summary: dict[str, Any]) -> str:
    metrics = summary.get("metrics") or {}
    if summary["status"] != "finished":
        return f" ({summary.get('error')})"
    split = "test" if PRIMARY_RAW in metrics else "val"  # a run without the test split
    shown = [f"{label} {metrics[key]:.4f}" for label, key in
             (("raw", f"{split}/top1"), ("averaged", f"{split}_ema/top1")) if key in metrics]  # fmt: skip
    return f", {split} accuracy {', '.join(shown)}"


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
