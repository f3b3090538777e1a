"""Optimisation, evaluation and hardware."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .fields import setting


class Optimizer(Enum):
    sgd = "sgd"
    rmsprop = "rmsprop"
    adamw = "adamw"


class Schedule(Enum):
    constant = "constant"
    cosine = "cosine"
    onecycle = "onecycle"
    exponential = "exponential"


class DecayUnit(Enum):
    epochs = "epochs"
    samples = "samples"
    steps = "steps"


class Precision(Enum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass
class TrainConfig:
    """One run's optimisation, evaluation and hardware."""

    epochs: float = setting(3, "passes over the training split", above=0, high=1e6)
    max_steps: int = setting(
        0, "end after this many steps, the schedule fitted to them; 0: no limit", low=0, high=10**12
    )
    batch_size: int = setting(32, "examples a step", low=1, high=1_000_000)
    accumulate: int = setting(
        1, "parts into which a step's batch is split, their gradients summed", low=1, high=1_000_000
    )
    optimizer: Optimizer = setting(Optimizer.sgd, "`rmsprop` has TensorFlow's semantics: epsilon inside the root")
    lr: float = setting(0.2, "highest learning rate", above=0, high=1e38)
    momentum: float = setting(0.9, "momentum", low=0, high=0.9999, needs="optimizer=sgd|rmsprop")
    nesterov: bool = setting(True, "Nesterov's form of momentum", needs="optimizer=sgd,momentum=!0")
    rmsprop_decay: float = setting(
        0.9, "decay of the squared gradients' average", low=0, high=0.9999, needs="optimizer=rmsprop"
    )
    rmsprop_eps: float = setting(
        1.0, "epsilon, added to the average inside the root", above=0, high=1e6, needs="optimizer=rmsprop"
    )
    beta1: float = setting(0.9, "AdamW's first decay", low=0, high=0.9999, needs="optimizer=adamw")
    beta2: float = setting(0.999, "AdamW's second decay", low=0, high=0.99999, needs="optimizer=adamw")
    weight_decay: float = setting(
        5e-4, "coefficient w of w * weight added to the gradient (AdamW: decoupled)", low=0, high=1e6
    )
    decay_norms: bool = setting(False, "weight decay on normalisation scales and shifts", needs="weight_decay=!0")
    decay_biases: bool = setting(False, "weight decay on biases", needs="weight_decay=!0")
    decay_depthwise: bool = setting(True, "weight decay on depthwise kernels", needs="weight_decay=!0")
    schedule: Schedule = setting(Schedule.onecycle, "course of the learning rate")
    warmup_epochs: float = setting(
        0.0, "epochs of linear rise from zero", low=0, high=1e6, needs="schedule=constant|cosine|exponential"
    )
    onecycle_peak: float = setting(
        0.1, "share of the run at which one-cycle peaks", above=0, high=0.99, needs="schedule=onecycle"
    )
    decay_rate: float = setting(0.94, "factor of each staircase step", above=0, high=1, needs="schedule=exponential")
    decay_every: float = setting(2.0, "length of a staircase step", above=0, high=1e15, needs="schedule=exponential")
    decay_unit: DecayUnit = setting(DecayUnit.epochs, "unit of `decay_every`", needs="schedule=exponential")
    label_smoothing: float = setting(0.0, "label smoothing", low=0, high=0.99)
    clip_norm: float = setting(0.0, "largest gradient norm; 0: no clipping", low=0, high=1e30)
    average: bool = setting(True, "Polyak average of the weights, evaluated beside the raw ones")
    average_span: float = setting(
        0.05, "averaging time constant as a share of the run; decay = 1 - 1 / (span * steps)", above=0, high=1,
        needs="average=true",
    )  # fmt: skip
    eval_every: int = setting(1, "epochs between evaluations on the validation split", low=1, high=1_000_000)
    eval_images: int = setting(0, "at most this many images of each evaluated split; 0: all", low=0, high=10**9)
    test: bool = setting(True, "evaluate the test split, once, after the last step; tuning does without", neutral=True)
    precision: Precision = setting(Precision.auto, "`auto`: bf16 autocast where the hardware has it natively")
    device: Device = setting(Device.auto, "`auto`: a GPU if there is one", identity=False)
    graph: bool = setting(
        False, "on a GPU with the images in its memory, each step is one CUDA graph: same bits, faster for small networks",
        identity=False,
    )  # fmt: skip
    threads: int = setting(0, "CPU threads; 0: as many as torch chooses", low=0, high=1024, identity=False)
    workers: int = setting(2, "processes that decode large images", low=0, high=1024, identity=False)
    checkpoint_every: float = setting(
        60.0, "seconds between checkpoints within an epoch", above=0, high=1e9, identity=False
    )
    log_every: int = setting(20, "steps between training events", low=1, high=10**9, identity=False)
