"""Study files made for a test."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ..helpers import SMALL

TINY = f"[{', '.join([*SMALL, 'train.epochs=1', 'wandb.mode=disabled'])}]"
"""The overrides of a scale whose runs take a second."""

PLAIN = f"""
question: Does it?
claim: {{id: own, contrasts: [relu better than none]}}
base: [model=xception]
baseline: none
variants:
  none: []
  relu: [block.mid_act=relu]
seeds: 2
scales: {{lab: [], tiny: {TINY}}}
"""

Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """`write(text)`: a study file with this text, in a folder of its own."""

    def written(text: str = PLAIN, name: str = "mine") -> Path:
        path = tmp_path / "experiments" / name / "study.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return written
