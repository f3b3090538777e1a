"""One contender of the step table in a process of its own, answering on stdout to what is asked on stdin.

Run as a file, perhaps by another interpreter where other frameworks are installed, so it imports nothing of this package:
`python worker.py '{"framework": "keras", "backend": "tensorflow", "size": 299, "batch": 8, "classes": 1000, "bf16": false, ...}'`.
First answer: {"versions": {...}} once it is warm, or {"absent": why}. Then a line of input is a turn: {"seconds": of one step}.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

WARM_UP = 3
"""Untimed steps: kernels are chosen, graphs traced, and the heap grows to its size."""
TURN = 0.5
"""Seconds that a turn lasts at least; it is one step where a step takes longer."""

Step = Callable[[], object]
"""One training step, finished when it returns."""
Built = tuple[Step, list[str], dict[str, Callable[[], Any]]]
"""The step, the packages whose versions matter, and what else can be asked by name."""


def serve(build: Callable[[dict[str, Any]], Built]) -> None:
    """Build the contender that the command line describes, warm it up, and answer until stdin ends.

    Where `build` fails to import, the contender is absent.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # frameworks print to stdout; answers are kept apart

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        step, packages, more = build(json.loads(sys.argv[1]))
    except (ImportError, RuntimeError) as error:  # torchvision fails to import with a RuntimeError
        answer(absent=str(error).splitlines()[0])
        return
    for _ in range(WARM_UP):
        step()
    answer(versions={name: importlib.metadata.version(name) for name in packages})
    for line in sys.stdin:
        if line.strip() in more:
            answer(result=more[line.strip()]())
            continue
        steps, began = 0, time.perf_counter()
        while not steps or time.perf_counter() - began < TURN:
            step()
            steps += 1
        answer(seconds=(time.perf_counter() - began) / steps)


def keras(job: dict[str, Any]) -> Built:
    """keras.applications.Xception, compiled, with train_on_batch."""
    backend = job["backend"]
    os.environ |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
    else:
        import torch

        torch.set_num_threads(job["threads"])
    import keras
    import numpy as np

    if job["bf16"]:
        keras.config.set_dtype_policy("mixed_bfloat16")
    shape = (job["size"], job["size"], 3)
    network = keras.applications.Xception(weights=None, input_shape=shape, classes=job["classes"])
    optimizer = keras.optimizers.SGD(job["lr"], momentum=job["momentum"])
    network.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    generator = np.random.default_rng(0)
    images = generator.standard_normal((job["batch"], *shape), np.float32)
    labels = generator.integers(0, job["classes"], job["batch"])

    def step() -> None:
        network.train_on_batch(images, labels)  # returns the loss as a number, which ends the step on a GPU too
        if backend == "torch" and torch.cuda.is_available():
            torch.cuda.synchronize()

    package = "torch" if backend == "torch" else tensorflow_package()
    return step, ["keras", package], {}


def tensorflow_package() -> str:
    """The distribution that TensorFlow came in."""
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow_cpu", "tensorflow-macos"):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return name
    raise ImportError("no TensorFlow distribution")


def timm(job: dict[str, Any]) -> Built:
    """timm's port of the same network in the usual loop."""
    import timm
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(job["threads"])
    device = torch.device(job["device"])
    layout = torch.channels_last if job["channels_last"] else torch.contiguous_format
    network = timm.create_model("legacy_xception", num_classes=job["classes"])
    network = network.to(device, memory_format=layout).train()
    optimizer = torch.optim.SGD(network.parameters(), job["lr"], momentum=job["momentum"])
    images = torch.randn(job["batch"], 3, job["size"], job["size"]).to(device, memory_format=layout)
    labels = torch.randint(0, job["classes"], (job["batch"],)).to(device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=job["bf16"]):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step, ["timm", "torch"], {}


if __name__ == "__main__":
    sys.path[:] = [
        p for p in sys.path if p != os.path.dirname(os.path.abspath(__file__))
    ]  # its neighbours are no packages
    serve({"keras": keras, "timm": timm}[json.loads(sys.argv[1])["framework"]])
