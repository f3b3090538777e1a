"""Claim C8 from committed results of `bench step`: Xception beside the literal Inception V3, timed in turn in one sitting.

Never from the records of runs: those know neither what else the machine did nor whether two of them had the same threads.
`<source>/bench/<name>.json`, as `python -m sepconv_lab.bench step --json FILE` writes it: the seconds of every round, and on what.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config import BadInput
from ..stats.effects import Effect
from ..stats.intervals import t_interval
from .contrasts import Claim, Contrast
from .design import ERROR
from .rules import decide, rule
from .wording import Part, Verdict

SCHEMA = 1
NEEDED = (
    "device", "hardware_class", "precision", "threads", "image_size", "batch_size", "classes", "seconds", "macs", "params",
)  # fmt: skip
FEWEST = 3
"""Rounds below which a timing is not judged."""


@dataclass(frozen=True)
class Timing:
    """What `bench step` measured on one machine: contender -> seconds of a step, round by round; MACs of an image."""

    name: str
    about: Mapping[str, Any]
    seconds: Mapping[str, list[float]]
    macs: Mapping[str, int]


def timings(root: Path) -> list[Path]:
    """The committed timings at or below a folder."""
    return sorted(root.glob("bench/*.json"))


def read(path: Path) -> Timing:
    """The timing in a file. Raises BadInput for another schema, for what is absent, and for rounds that do not pair."""
    try:
        raw = json.loads(path.read_bytes())
        schema = raw.get("schema")
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput(f"{path}: not what `bench step --json` writes ({type(error).__name__}: {error})") from error
    absent = [k for k in NEEDED if k not in raw]
    if schema != SCHEMA or absent:
        why = f"without {', '.join(absent)}" if schema == SCHEMA else f"schema {schema}, this version reads {SCHEMA}"
        raise BadInput(f"{path}: not what `bench step --json` writes: {why}")
    seconds = {name: [float(s) for s in rounds] for name, rounds in raw["seconds"].items()}
    counts = {len(rounds) for rounds in seconds.values()}
    if len(counts) != 1 or not all(s > 0 for rounds in seconds.values() for s in rounds):
        raise BadInput(f"{path}: every contender takes the same rounds, each of more than 0 seconds")
    return Timing(path.stem, {k: v for k, v in raw.items() if k not in ("seconds", "macs")}, seconds, raw["macs"])


def judge(claim: Claim, timing: Timing) -> Verdict:
    """The verdict on a claim about speed. Raises BadInput for a contender that was not timed, and for fewer than three rounds."""
    parts = tuple(_part(c, timing, claim.smallest_effect) for c in claim.contrasts)
    also = tuple(_part(c, timing, claim.smallest_effect) for c in claim.also)
    about = timing.about
    data = f"{about['image_size']} pixels, batch {about['batch_size']}, {about['classes']:,} classes (no images are learned)"
    hardware = f"{about['hardware_class']}, {about['precision']}, threads {about['threads']}"
    sizes = ", ".join(f"{name} {count:,} parameters" for name, count in about["params"].items())
    ruling = decide(claim.decides, [p.effect for p in parts], claim.smallest_effect)
    mix = (f"Timed: {sizes}.",)
    return Verdict(claim, ruling, parts, also, (), "bench step", data, hardware, mix=mix)


def _part(c: Contrast, timing: Timing, smallest: float) -> Part:
    absent = [v for v in c.variants if v not in timing.seconds]
    if absent:
        raise BadInput(f"{timing.name}: {', '.join(absent)} was not timed; there are: {', '.join(timing.seconds)}")
    n = len(timing.seconds[c.variants[0]])
    if n < FEWEST:
        raise BadInput(f"{timing.name}: {n} rounds; a verdict on speed takes {FEWEST}")
    divisor = {v: timing.macs[v] if c.metric == "seconds_per_mac" else 1 for v in c.variants}
    rounds = [sum(w * math.log(timing.seconds[v][i] / divisor[v]) for v, w in c.weights.items()) for i in range(n)]
    mean, low, high, se = map(float, t_interval(rounds, 1 - ERROR))
    e = Effect(c.name, mean, low, high, 1 - ERROR, n, n, se, n - 1, metric=c.metric)
    return Part(c, e, rule(low, high, smallest, c.asks, mean))
