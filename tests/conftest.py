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
        path = GOLDENS / f"{name}.json"
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


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests render into a cache of their own, never into the user's."""
    os.environ["SEPCONV_LAB_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a count, whatever is captured: how many processes were killed, how many overrides were tried."""
    totals: dict[str, int] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":  # set-up and teardown repeat the properties
                continue
            for name, value in report.user_properties:
                if name.startswith("count "):
                    totals[name.removeprefix("count ")] = totals.get(name.removeprefix("count "), 0) + int(value)
    for name, total in totals.items():
        terminalreporter.write_line(f"{name}: {total}")
