"""Everything that a machine with a GPU is to show: `python -m sepconv_lab.bench gpu [--seconds N] [--out DIR] [key=value ...]`

tests    the tests marked `gpu`
step     a step of the default network at 32 pixels: eager and as a CUDA graph, in kernels and in time
packing  images/s of the whole device with 1 to 16 runs on it, with and without MPS
study    a small study on glyphs, its runs packed onto the device

Each part has its share of the time that is left. Results are written as they come, as one page, DIR/gpu.md. Without a GPU what
needs one is named as skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ..compose import compose
from ..config import BadInput, TrainConfig
from ..config.messages import unknown
from ..console.say import refuse
from ..record.record import records
from ..training import environment
from . import packing
from .packed import Stepper, steppers
from .timing import Deadline

SHARES = {"tests": 0.3, "step": 0.12, "packing": 0.43, "study": 0.15}
"""Of the whole time."""
ROOT = Path(__file__).parents[2]
STUDY = """
question: Does a GPU full of small runs train them?
baseline: none
variants: {none: [], relu: [block.mid_act=relu]}
seeds: SEEDS
scales: {smoke: [WORDS]}
"""


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit code: 1 where a part failed."""
    parser = argparse.ArgumentParser(
        prog="python -m sepconv_lab.bench gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.add_argument("words", nargs="*", metavar="key=value", help="overrides of the runs that are timed")
    parser.add_argument("--seconds", type=float, default=400, help="for all parts together (default: 400)")
    parser.add_argument("--out", default="gpu", metavar="DIR", help="where the results go (default: gpu)")
    parser.add_argument("--parts", default=",".join(SHARES), help=f"some of {', '.join(SHARES)} (default: all)")
    args = parser.parse_intermixed_args(argv)
    parts = args.parts.split(",")
    try:
        for part in parts:
            if part not in SHARES:
                raise BadInput(unknown(part, part, SHARES))
        if args.seconds <= 0:
            raise BadInput(f"--seconds {args.seconds:g} is not allowed: float > 0")
        compose(args.words)
    except BadInput as error:
        return refuse(error)
    page = Page(Path(args.out))
    _header(page)
    whole = Deadline(args.seconds)
    failed = False
    for number, part in enumerate(parts):
        share = SHARES[part] / sum(SHARES[p] for p in parts[number:])  # what a part leaves, the others have
        with page.part(part) as outcome:
            {"tests": _tests, "step": _step, "packing": _packing, "study": _study}[part](
                page, Deadline(whole.left() * share), args.words
            )
        failed |= bool(outcome)
    return int(failed)


class Page:
    """DIR/gpu.md, written as it grows, and printed."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.path = folder, folder / "gpu.md"
        self.path.write_text("")

    def add(self, line: str = "") -> None:
        print(line, flush=True)
        with self.path.open("a") as file:
            file.write(line + "\n")

    def row(self, *cells: object) -> None:
        self.add("| " + " | ".join(map(str, cells)) + " |")

    def head(self, *cells: str) -> None:
        self.row(*cells)
        self.row(*["---"] * len(cells))

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[list[BaseException]]:
        """A part that fails says so and leaves the others their turn."""
        outcome: list[BaseException] = []
        self.add(f"\n### {name}\n")
        began = time.monotonic()
        try:
            yield outcome
        except Exception as error:
            outcome.append(error)
            self.add(f"\nfailed: {type(error).__name__}: {error}")
        self.add(f"\n{name}: {time.monotonic() - began:.0f} s")


def _device() -> torch.device:
    return environment.resolve_device(TrainConfig())


def _header(page: Page) -> None:
    device = _device()
    versions = environment.versions()
    page.add(f"## {environment.hardware_class(device)}\n")
    commit = str(environment.git_state().get("commit", ""))[:12]
    page.add(
        f"{os.cpu_count()} cores; Python {versions['python']}, torch {torch.__version__}"
        + (f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if device.type == "cuda" else "")
        + (f", commit {commit}" if commit else "")
    )
    if device.type != "cuda":
        page.add("no GPU here: what needs one is skipped")


# --- the parts --------------------------------------------------------------------------------------------------------


def _tests(page: Page, deadline: Deadline, words: Sequence[str]) -> None:
    """pytest in a process of its own; its words are kept in DIR/tests.txt."""
    if not (ROOT / "tests" / "gpu").is_dir():
        page.add("skipped: the tests are in the repository, not in an installed package")
        return
    if _device().type != "cuda":
        page.add("skipped: they need a GPU")
        return
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-p", "no:cacheprovider", "-W", "default", "--durations=8",
               "tests/gpu"]  # fmt: skip
    path = page.folder / "tests.txt"
    code = _ended(command, path, deadline)
    said = path.read_text().splitlines()
    for line in (line for line in said if line.startswith(("FAILED", "ERROR"))):
        page.add(f"- {line}")
    page.add(said[-1].strip("= ") if said and code >= 0 else "out of time")
    if code:
        raise RuntimeError(f"the tests ended with {code}; see tests.txt")


def _step(page: Page, deadline: Deadline, words: Sequence[str]) -> None:
    """Times of a step on noise that lies on the device, and how much of it the device is at work."""
    device = _device()
    page.head("width", "batch", "", "ms/step", "images/s", "kernels", "ms of kernels")
    kinds: list[list[str]] = [[]]
    if device.type == "cuda":
        kinds += [["train.precision=fp32"]]
    for kind in kinds:
        for width, batch in packing.SHAPES[:4] if device.type == "cuda" else packing.SHAPES[2:3]:
            if deadline.left() < 2:
                return
            built, failed = steppers(width, batch, [*words, *kind], device)
            for graph, stepper in built.items():
                label = " ".join(["graph" if graph else "eager", *kind])
                kernels = _kernels(stepper) if device.type == "cuda" and not graph else ("", "")
                _row(page, width, batch, label, stepper.seconds_a_step(0.4), kernels)
            if failed:
                page.row(width, batch, "graph", "-", "-", "-", failed)
            if device.type == "cuda" and not kind:
                torch.use_deterministic_algorithms(False)
                built[False].take(5)
                _row(
                    page, width, batch, "eager, any algorithm", built[False].seconds_a_step(0.4), _kernels(built[False])
                )
                torch.use_deterministic_algorithms(True, warn_only=True)


def _row(page: Page, width: float, batch: int, label: str, each: float, kernels: tuple[str, str]) -> None:
    page.row(width, batch, label, f"{1000 * each:.2f}", f"{batch / each:,.0f}", *kernels)


def _kernels(stepper: Stepper) -> tuple[str, str]:
    """How many kernels a step starts, and the milliseconds that they run."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        stepper.take(1)
    gpu = torch.autograd.DeviceType.CUDA
    kernels = [
        e for e in profile.events() or [] if e.device_type == gpu and not getattr(e, "is_user_annotation", False)
    ]
    return str(len(kernels)), f"{sum(e.time_range.elapsed_us() for e in kernels) / 1000:.2f}"


def _packing(page: Page, deadline: Deadline, words: Sequence[str]) -> None:
    """A row a measurement, and what is best for each shape."""
    gpu = _device().type == "cuda"
    if not gpu:
        page.add("skipped: CUDA graphs and MPS need a GPU\n")
    counts = (1, 4, 8, 16) if gpu else (1, 2)
    page.head("width", "batch", "MPS", "step", "runs", "images/s of all")
    rates = []
    path = page.folder / "packing.jsonl"
    path.write_text("")
    try:
        for rate in packing.measure(counts, deadline, gpu=gpu, words=words):
            rates.append(rate)
            page.row(rate.width, rate.batch, "yes" if rate.mps else "no", "graph" if rate.graph else "eager", rate.runs,
                     f"{rate.images_per_second:,.0f}")  # fmt: skip
            with path.open("a") as file:
                file.write(json.dumps(vars(rate)) + "\n")
    finally:
        page.add()
        for shape in dict.fromkeys((r.width, r.batch) for r in rates):
            there = [r for r in rates if (r.width, r.batch) == shape]
            best, alone = max(there, key=lambda r: r.images_per_second), there[-1]
            alone = min(there, key=lambda r: (r.runs, r.graph, r.mps))
            page.add(
                f"- width {shape[0]}, batch {shape[1]}: best {best.images_per_second:,.0f} images/s with {best.runs} runs, "
                f"{'graph' if best.graph else 'eager'}, {'with' if best.mps else 'without'} MPS: "
                f"{best.images_per_second / alone.images_per_second:.1f} times one eager run"
            )


def _study(page: Page, deadline: Deadline, words: Sequence[str]) -> None:
    """`study run` with the workers launcher: wall time of all runs beside what they trained."""
    gpu = _device().type == "cuda"
    jobs, seeds = (8, 8) if gpu else (2, 1)
    scale = ["data.num_classes=50", "model.width=0.5", "train.epochs=3"] if gpu else [
        "data.num_classes=4", "data.images_per_class=16", "data.eval_images_per_class=4", "model.width=0.25", "train.epochs=1",
        "train.batch_size=16"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "packed").mkdir()
        path = Path(folder) / "packed" / "study.yaml"
        path.write_text(STUDY.replace("SEEDS", str(seeds)).replace("WORDS", ", ".join([*scale, *words])))
        command = [
            sys.executable, "-m", "sepconv_lab.study", "run", str(path), "scale=smoke", f"runs_dir={folder}/runs",
            "wandb.mode=disabled", "train.threads=1", "hydra/launcher=workers", f"hydra.launcher.n_jobs={jobs}",
            *(["train.graph=true"] if gpu else []),
        ]  # fmt: skip
        began = time.monotonic()
        ended = _ended(command, page.folder / "study.txt", deadline)
        wall = time.monotonic() - began
        there = list(records(f"{folder}/runs")) if Path(folder, "runs").exists() else []
        summaries = [s for record in there if (s := record.summary()) is not None]
    done = [s for s in summaries if s["status"] == "finished"]
    page.add(f"{len(done)} of {2 * seeds} runs finished in {wall:.1f} s, {jobs} at a time, planning and start included")
    if done:
        rates = [s["images_per_second"] for s in done if s["images_per_second"]]
        page.add(
            f"each: {statistics.median(s['wall_time'] for s in done):.1f} s in the median, "
            f"{statistics.median(rates):,.0f} images/s, {max(s['peak_memory'] for s in done) / 2**20:,.0f} MiB"
        )
    if ended or len(done) < 2 * seeds:
        raise RuntimeError(f"the study ended with {ended}; see study.txt")


def _ended(command: Sequence[str], log: Path, deadline: Deadline) -> int:
    """A command's exit code, what it prints in `log`; -1 when the time was over, and then none of its processes is left."""
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)
        try:
            return process.wait(deadline.left())
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return -1
