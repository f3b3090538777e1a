"""The import directions of the design stay true."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sepconv_lab"

# module -> what it may import from the package when it is imported (imports inside functions are later, and free)
ALLOWED = {
    "config": set(),
    "registry": {"config"},
    "compose": {"config", "registry"},
    "identity": {"config", "registry"},
    "faults": set(),
    "tracking": {"config", "faults"},
    "layers": {"config"},
    "blocks": {"config", "layers", "registry"},
    "models": {"config", "layers", "registry", "blocks"},
    "data": {"config", "faults"},
    "optim": {"config", "layers"},
    "wandb_mirror": {"config"},
    "analysis": {"config"},
    "report": {"config", "progress", "analysis"},
}


def imported(path: Path) -> set[str]:
    """Names of the package's modules that a file imports at import time."""
    found = set()
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found |= {node.module.split(".")[0]} if node.module else {a.name for a in node.names}
    return found


@pytest.mark.parametrize("module", sorted(ALLOWED))
def test_a_module_imports_only_what_it_may(module: str) -> None:
    """Configuration knows no torch, layers know no models, analysis knows no training."""
    path = PACKAGE / module
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    for file in files:
        if file.name != "__main__.py":
            assert imported(file) - {module} <= ALLOWED[module], file


@pytest.mark.parametrize(
    "module", ["config", "registry", "compose", "identity", "tracking", "runs", "run", "analysis", "report", "data"]
)
def test_light_modules_do_not_import_heavy_packages(module: str) -> None:
    """A typo is answered without waiting for torch; W&B and the data-set library load when they are used."""
    heavy = {"wandb", "huggingface_hub", "datasets"}
    heavy |= {"torch"} if module != "data" else set()
    heavy |= {"pyarrow"} if module not in ("analysis", "report") else set()  # pandas brings it
    code = f"import sys, sepconv_lab.{module}; print(*({heavy!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
