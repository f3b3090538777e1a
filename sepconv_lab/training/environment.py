"""What a run ran on: versions, code, hardware, precision, threads. Never a host name, a user or a key."""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ..config import BadInput, Device, Precision, TrainConfig

_DEFAULT_THREADS = torch.get_num_threads()


def resolve_device(config: TrainConfig) -> torch.device:
    """The device to train on. Raises BadInput for a GPU that is not there."""
    if config.device is Device.cuda and not torch.cuda.is_available():
        raise BadInput("train.device=cuda: no CUDA device here; allowed: auto, cpu")
    gpu = config.device is not Device.cpu and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bf16 natively."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def resolve_precision(config: TrainConfig, device: torch.device) -> Precision:
    """What `train.precision` means here. Raises BadInput for bf16 where there is none."""
    if config.precision is Precision.bf16 and not has_bf16(device):
        raise BadInput(f"train.precision=bf16: this {device.type} has no native bf16; allowed here: auto, fp32")
    if config.precision is Precision.auto:
        return Precision.bf16 if has_bf16(device) else Precision.fp32
    return config.precision


def set_threads(config: TrainConfig) -> int:
    """Set and return the number of CPU threads; what they free stays with the process (`keep_memory`)."""
    keep_memory()
    torch.set_num_threads(config.threads or _DEFAULT_THREADS)
    return torch.get_num_threads()


def set_deterministic(device: torch.device) -> None:
    """On a GPU, only algorithms that give the same bits again, and float32 that is float32; those of the CPU do anyway."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # a kernel more for every tensor
        torch.backends.cudnn.allow_tf32 = False  # a convolution's factors would be rounded to 10 bits


def begin_measuring(device: torch.device) -> None:
    """Give back what an earlier run of this process left on the GPU; `peak_memory` counts from here."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Names of glibc's malloc.h."""


def keep_memory() -> bool:
    """Ask the C library to keep freed memory for the next step instead of giving it back; whether it does (glibc alone can).

    By default every large tensor is mapped anew, and its pages are zeroed by the kernel at first touch: a third of a step.
    """
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(M_MMAP_MAX, 0)) and bool(library.mallopt(M_TRIM_THRESHOLD, -1))
    except (AttributeError, OSError, TypeError):
        return False


def hardware_class(device: torch.device) -> str:
    """Processor or GPU model and instruction set, e.g. 'AMD EPYC, AVX2'."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute."""
    names = ("sepconv_lab", "torch", "numpy", "hydra-core", "omegaconf", "wandb", "pillow", "matplotlib")
    by_name = {"python": platform.python_version()}
    for name in names:
        try:
            by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return by_name


@functools.cache
def git_state() -> dict[str, Any]:
    """Commit and dirtiness of the checkout that this package runs from; empty when it runs from an installed wheel.

    A copy without its history, as some clusters take, is told its commit by `SEPCONV_LAB_COMMIT`.
    """

    def git(*words: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        told = os.environ.get("SEPCONV_LAB_COMMIT", "")
        return {"commit": told, "dirty": False} if re.fullmatch("[0-9a-f]{40}", told) else {}


def peak_memory(device: torch.device) -> int:
    """Largest memory so far, bytes: of the GPU's tensors, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
