"""The study file, `experiments/<name>/study.yaml`: what is asked, of which variants, with which seeds.

```yaml
question: Does a non-linearity between the two operations help?
claim: {id: C4, smallest_effect: 0.02}    # or an own one: {id: mine, contrasts: [relu better than none]}; a second outcome
                                          # stands beside it: {..., beside: {metric: test_ema/loss, smallest_effect: 0.02}}
base: [model=xception]                    # overrides for all; schedules only through a train= preset
baseline: none
variants:                                 # name -> what you would type after `python -m sepconv_lab.run`
  none: []
  relu: [block.mid_act=relu]
  literal: {overrides: [model=inception_v3], scales: [paper], at: {paper: [train=paper_imagenet_inception]}}
factors: {block.order: [depthwise_first, pointwise_first]}   # every combination is a variant; `exclude` drops some
leave_one_out: {residual: block.residual=false}              # variant `without_residual`
match: {count: params, to: none, features: published}   # widths solved so that all are as large as that variant, before a
                                          # classifier of the same size; `except` names those left as they are
seeds: {looks: [5, 10, 20], first: 1000, at: {lab: [6, 12, 24]}}   # judged after so many; or 6 for 0 to 5, or a list
stop_when_supported: true                 # whether "supported, not materially" ends a contrast before the last look
strata: data.fold                         # a key of `blocks`, whose values every look has equally often
blocks: {lab: {data.seed: {first: 1000, count: 26}, data.fold: [serif, sans, mono]}}   # what else a seed sets, for all
                                          # variants: no two seeds share a combination, tuning seeds neither
tune: {lr_points: 3, seeds: [100, 101]}   # for stage=tuned
scales: {smoke: [train=smoke], lab: [], paper: [data=imagenet, train=paper_imagenet]}
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import BadInput
from ..config.messages import unknown
from ..config.presets import CONF

EXPERIMENTS = "experiments"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=, -]*")


@dataclass(frozen=True)
class ClaimPart:
    """What the study is to decide: a claim of the paper by its id, or one of its own with its contrasts in words."""

    id: str
    statement: str
    contrasts: tuple[str, ...]
    smallest_effect: float
    interval: str = "paired"
    beside: Mapping[str, Any] | None = None
    """metric and smallest_effect of a second outcome, which decides nothing."""

    def plain(self) -> dict[str, Any]:
        values = vars(self) | {"contrasts": list(self.contrasts)}
        return {k: v for k, v in values.items() if k != "beside"}


@dataclass(frozen=True)
class MatchPart:
    """Solve every variant's width so that its `count` meets the variant `to` on the same data."""

    count: str
    to: str
    but: tuple[str, ...] = ()
    features: str | None = None
    """`model.features` of all but the excepted variants: widths differ, what feeds the classifier does not."""


@dataclass(frozen=True)
class TunePart:
    """The learning rates tried for each variant, half a decade apart around the scale's own, on seeds of their own."""

    lr_points: int
    seeds: tuple[int, ...]
    metric: str = "val_ema/top1"


@dataclass(frozen=True)
class Study:
    """A study file, checked as far as it can be without composing configurations."""

    name: str
    path: Path
    question: str
    claim: ClaimPart | None
    base: tuple[str, ...]
    baseline: str
    variants: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    """All that any scale may come to."""
    scales: Mapping[str, tuple[str, ...]]
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    blocks: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Scale -> setting of the data -> values that the seeds go through: each block of runs then has data of its own."""
    looks_at: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Scale -> numbers of seeds after which it is judged."""
    strata: str | None = None
    """The key of `blocks` that is a fixed stratum at the scales that have it."""
    match: MatchPart | None = None
    tune: TunePart | None = None
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Variants that exist at some scales only: name -> scales."""
    more: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Overrides that a variant has at one scale only: name -> scale -> overrides."""
    stop_when_supported: bool = True
    """Whether "supported, not materially" ends a contrast before the last look."""

    def at(self, scale: str) -> dict[str, tuple[str, ...]]:
        """The variants of a scale, each with its own overrides. Raises BadInput for an unknown scale."""
        if scale not in self.scales:
            raise BadInput(unknown(f"scale={scale}", scale, self.scales))
        return {
            name: (*own, *self.more.get(name, {}).get(scale, ()))
            for name, own in self.variants.items()
            if scale in self.only.get(name, (scale,))
        }

    def looks(self, scale: str) -> tuple[int, ...]:
        """The numbers of seeds after which a scale is judged, ascending: one, all of them, unless the study declares more."""
        return self.looks_at.get(scale, (len(self.seeds),))

    def seeds_at(self, scale: str) -> tuple[int, ...]:
        """The seeds up to a scale's last look."""
        return self.seeds[: self.looks(scale)[-1]]

    def strata_at(self, scale: str) -> str | None:
        """The fixed stratum of a scale, a key of its blocks."""
        return self.strata if self.strata in self.blocks.get(scale, {}) else None


def find(name: str) -> Path:
    """The study file of a name or a path: a file, its folder, or a folder below `experiments/`. Raises BadInput."""
    for place in _places(name):
        if place.is_file():
            return place
    raise BadInput(unknown(f"study {name}", name, [p.parent.name for p in shipped()]))


def is_study(word: str) -> bool:
    """Whether a word of the command line names a study, also one whose name looks like an override, such as `lr=0.1`."""
    try:
        return any(place.is_file() for place in _places(word))
    except OSError:  # too long for a name
        return False


def _places(name: str) -> list[Path]:
    given = Path(name)
    return [given, given / "study.yaml", *(root / name / "study.yaml" for root in _roots())]


def _roots() -> list[Path]:
    return [Path(EXPERIMENTS), CONF.parent / EXPERIMENTS]


def shipped() -> list[Path]:
    """The study files below `experiments/`, of the working directory or else of the checkout."""
    for root in _roots():
        found = sorted(root.glob("*/study.yaml"))
        if found:
            return found
    return []
