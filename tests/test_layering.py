"""The import directions of the design stay true, for imports inside functions too."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sepconv_lab"

FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(floor.split())
    for floor in (
        "disk console",
        "config",
        "registry launch models data",
        "compose",
        "lineage record weights",
        "analysis training",
        "report",
        "run runs study bench",
        "evaluate",
    )
)
"""From what imports nothing to the commands. An entry imports from lower floors and from itself."""


def entries() -> dict[str, list[Path]]:
    """Entry directly below the package -> its files."""
    files: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if top not in ("__init__", "conf"):
            files.setdefault(top, []).append(path)
    return files


def imported_entries(path: Path) -> set[str]:
    """The package's entries that a file imports anywhere in it, at the top or inside functions."""
    package = path.parts[len(path.parts) - path.parts[::-1].index("sepconv_lab") : -1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
            names |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sepconv_lab"):
            parts = (node.module or "").split(".")[1:]
            names |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("sepconv_lab.")}
    return names


def upward(files: dict[str, list[Path]]) -> set[tuple[str, str]]:
    """(entry, entry that it may not import), commands (`__main__.py`) aside."""
    floors = {entry: number for number, floor in enumerate(FLOORS) for entry in floor}
    return {
        (entry, other)
        for entry, paths in files.items()
        for path in paths
        if path.name != "__main__.py"
        for other in imported_entries(path) - {entry}
        if floors[other] >= floors[entry]
    }


def test_every_entry_has_a_floor() -> None:
    """Whoever adds a room says where it stands."""
    assert set(entries()) == {entry for floor in FLOORS for entry in floor}


def test_imports_run_downwards_only() -> None:
    """Configuration knows no torch, layers know no models, analysis knows no training; and there is no circle."""
    assert upward(entries()) == set()


def test_a_planted_circle_is_seen(tmp_path: Path) -> None:
    """The test above finds an import inside a function that runs up."""
    planted = PACKAGE / "config" / "identity.py"
    text = planted.read_text() + "\n\ndef _planted():\n    from ..training import loop\n"
    (tmp_path / "sepconv_lab" / "config").mkdir(parents=True)
    copy = tmp_path / "sepconv_lab" / "config" / "identity.py"
    copy.write_text(text)
    files = entries()
    assert ("config", "training") in upward({**files, "config": [copy]})


@pytest.mark.parametrize(
    "module",
    ["config", "registry", "compose", "config.identity", "record.record", "runs", "run", "analysis", "report", "data"],
)
def test_light_modules_do_not_import_heavy_packages(module: str) -> None:
    """A typo is answered without waiting for torch; W&B and the data-set library load when they are used."""
    heavy = {"wandb", "huggingface_hub", "datasets"}
    heavy |= {"torch"} if module != "data" else set()
    heavy |= {"pyarrow"} if module not in ("analysis", "report") else set()  # pandas brings it
    code = f"import sys, sepconv_lab.{module}; print(*({heavy!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
