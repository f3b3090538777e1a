"""Tests that need a GPU: `python -m sepconv_lab.bench gpu` runs them, and without one each is skipped by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="needs a GPU")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def as_a_run_sets_it() -> None:
    """Deterministic algorithms and float32 that is float32, as every run asks for them."""
    from sepconv_lab.training import environment

    if torch.cuda.is_available():
        environment.set_deterministic(torch.device("cuda"))
