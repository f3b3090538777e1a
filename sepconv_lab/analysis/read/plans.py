"""Frozen plans as analysis needs them: what was asked, by which rule it is judged, and which runs were planned.

`sepconv_lab.study` writes them; reading one needs neither it nor Hydra.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config import BadInput

SCHEMA = 1


def fingerprint(raw: Mapping[str, Any]) -> str:
    """The id of a plan: 12 hexadecimal digits of what is asked and of what will be computed, from the content of plan.json."""
    asked = [raw[k] for k in ("study", "scale", "stage", "question", "baseline", "claim", "seeds")]
    own = {name: variant["own"] for name, variant in raw["variants"].items()}
    runs = [[run[k] for k in ("variant", "seed", "run_id")] for run in raw["runs"]]
    return hashlib.sha256(json.dumps([asked, own, runs], sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Plan:
    """One frozen plan. `raw` is the whole of plan.json."""

    raw: Mapping[str, Any]
    path: Path
    """Where it was read."""

    @property
    def study(self) -> str:
        return str(self.raw["study"])

    @property
    def plan_id(self) -> str:
        return str(self.raw["plan_id"])

    @property
    def label(self) -> str:
        """The name of its results, e.g. "lab_cifar10"."""
        return str(self.raw["label"])

    @property
    def stage(self) -> str:
        """fixed, tune (learning rates on validation; nothing to judge), or tuned."""
        return str(self.raw["stage"])

    @property
    def scale(self) -> str:
        """The scale as frames and verdicts name it: with the stage, where it is not `fixed`."""
        return staged(str(self.raw["scale"]), self.stage)

    @property
    def claim(self) -> Mapping[str, Any] | None:
        """id, statement, contrasts, smallest_effect, interval; None where the study claims nothing."""
        claim: Mapping[str, Any] | None = self.raw.get("claim")
        return claim

    @property
    def runs(self) -> list[dict[str, Any]]:
        """variant, seed, run_id (None where the data was not there), block-major."""
        return list(self.raw["runs"])

    @property
    def name(self) -> str:
        """E.g. "figure10_mid_activation (lab, plan 0123456789ab)"."""
        return f"{self.study} ({self.label}, plan {self.plan_id})"


def staged(scale: str, stage: str) -> str:
    """The scale as frames name it: lab, or lab_tuned where rates were tuned."""
    return scale if stage in ("", "fixed") else f"{scale}_{stage}"


NEEDED = ("study", "plan_id", "label", "scale", "stage", "question", "baseline", "claim", "seeds", "variants", "runs")


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises BadInput for what is no plan, one of another schema, or one changed since it was frozen."""
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a plan ({error})") from error
    found = raw.get("schema") if isinstance(raw, dict) else None
    if found != SCHEMA:
        raise BadInput(f"{path}: schema {found}; this version reads plans of schema {SCHEMA}")
    absent = [k for k in NEEDED if k not in raw]
    if absent:
        raise BadInput(f"{path}: not a whole plan, without {', '.join(absent)}")
    try:
        found = fingerprint(raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a plan ({type(error).__name__}: {error})") from error
    if found != raw["plan_id"]:
        raise BadInput(
            f"{path}: changed since plan {raw['plan_id']} was frozen: what is judged has to be what was asked before the first "
            "run; restore the file"
        )
    return Plan(raw, path)


def current(plans: Iterable[Plan]) -> list[Plan]:
    """Without those that another of them replaces."""
    every = list(plans)
    gone = {(p.study, old) for p in every for old in p.raw.get("replaces", ())}
    return [p for p in every if (p.study, p.plan_id) not in gone]
