"""The import directions of the design stay true, for imports inside functions too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
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


def imported_names(path: Path, *, types: bool = True) -> set[tuple[str, ...]]:
    """What a file imports from the package, at the top or inside functions: ("config", "fields", "setting").

    types: also what only a type checker imports.
    """
    package = path.parts[len(path.parts) - path.parts[::-1].index("sepconv_lab") : -1]
    names: set[tuple[str, ...]] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if types else _executed(tree):
        if isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                module = (*package[: len(package) - node.level + 1], *module)
            elif module[:1] == ("sepconv_lab",):
                module = module[1:]
            else:
                continue
            names |= {(*module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {tuple(a.name.split(".")[1:]) for a in node.names if a.name.startswith("sepconv_lab.")}
    return names


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one, without `if TYPE_CHECKING:`."""
    yield node
    if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from _executed(child)


def imported_entries(path: Path) -> set[str]:
    """The package's entries that a file imports."""
    return {name[0] for name in imported_names(path)}


def imported_files(path: Path) -> set[Path]:
    """The package's files that a file imports; a package's `__init__.py` where a name of that file is imported."""
    found = set()
    for name in imported_names(path, types=False):
        for parts in (name, name[:-1]):
            place = PACKAGE.joinpath(*parts)
            file = next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()), None)
            if file is not None:
                found.add(file)
                break
    return found - {path}


def circle(imports: dict[Path, set[Path]]) -> list[Path]:
    """Files that import each other in a circle; empty where there is none."""
    done: set[Path] = set()

    def visit(file: Path, way: list[Path]) -> list[Path]:
        if file in way:
            return way[way.index(file) :]
        if file not in done:
            for other in sorted(imports[file]):
                if around := visit(other, [*way, file]):
                    return around
            done.add(file)
        return []

    return next((around for file in sorted(imports) if (around := visit(file, []))), [])


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


def test_files_import_each_other_in_no_circle() -> None:
    """Inside a room too: each file can be read with those below it alone."""
    files = sorted(PACKAGE.rglob("*.py"))
    imports = {path: imported_files(path) for path in files}
    assert [str(p.relative_to(PACKAGE)) for p in circle(imports)] == []
    low, high = PACKAGE / "training" / "optim.py", PACKAGE / "training" / "job.py"
    planted = {**imports, low: imports[low] | {high}}
    assert {low, high} <= set(circle(planted)), "a circle that is planted is found"


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
