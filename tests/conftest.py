"""Options and settings of the whole suite."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

GOLDENS = Path(__file__).parent / "goldens"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-goldens", action="store_true", help="write tests/goldens anew; the commit explains the difference"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """`golden(name, value)`: the value equals what tests/goldens/name holds."""

    def check(name: str, value: Any) -> None:
        path = GOLDENS / name
        if request.config.getoption("--regenerate-goldens"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(_one_line_an_entry(value))
        assert json.loads(json.dumps(value)) == json.loads(path.read_text())

    return check


def _one_line_an_entry(value: Any) -> str:
    """JSON in which a difference is a line."""
    if isinstance(value, dict):
        lines, ends = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()], "{}"
    else:
        lines, ends = [json.dumps(v) for v in value], "[]"
    return ends[0] + "\n" + ",\n".join(lines) + "\n" + ends[1] + "\n"
