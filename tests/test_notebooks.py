"""The notebooks: short, without training or stored output, and right with and without results.

`make test` executes them on the committed results (`pytest --nbmake notebooks`); here they run on planted ones.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from sepconv_lab.analysis import figures
from sepconv_lab.analysis.claims import of_the_paper as claims
from sepconv_lab.analysis.notebook import shelf
from sepconv_lab.analysis.paper import tables
from sepconv_lab.analysis.read import export
from sepconv_lab.analysis.read.kinds import Candidate
from sepconv_lab.config import BadInput
from sepconv_lab.record.plan import from_values

from .planned import planned

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
NAMES = {"quickstart", "convergence", "residual", "intermediate_activation", "order_norm_spectrum", "tables"}
STUDIES = {
    "quickstart": [claims.FIGURE10], "intermediate_activation": [claims.FIGURE10], "residual": [claims.FIGURE09],
    "convergence": [claims.FIGURE06, claims.FIGURE07_08], "tables": [claims.FIGURE06, claims.FIGURE07_08],
    "order_norm_spectrum": [claims.ORDER, claims.MID_NORM, claims.SPECTRUM],
}  # fmt: skip
PLANTED = (claims.FIGURE06, claims.FIGURE07_08, claims.FIGURE09, claims.FIGURE10, claims.ORDER, claims.MID_NORM,
           claims.SPECTRUM)  # fmt: skip


def plant(name: str, experiments: Path, seeds: int = 3, **changes: Any) -> Path:
    """Committed results of a shipped study with planted outcomes; the folder."""
    runs, history, plan = planned(name, seeds, **changes)
    folder = export.begin(from_values(plan), experiments / name / "results" / plan["label"])
    columns = ["step", "epoch", "time", *(c for c in history.columns if "/" in c)]
    for row in runs.astype(object).where(runs.notna(), None).to_dict("records"):
        events = history.loc[history["run_id"] == row["run_id"], columns]
        arrays = {c: events[c].to_numpy(float) for c in columns}
        own = {k: v for k, v in row.items() if k not in ("study", "variant", "scale", "stage", "plan_id")}
        export._add(folder, Candidate(own, 1.0, lambda arrays=arrays: (arrays, False)))  # type: ignore[misc]
    return folder


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clone") / "experiments"
    for name in PLANTED:
        plant(name, root)
    return root


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_loads_tabulates_and_draws(path: Path) -> None:
    """A dozen cells at most, the study and its command first, no output stored, no code but calls of the library."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= 12
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    for study in STUDIES[path.stem]:
        assert f"python -m sepconv_lab.study run {study} " in first.source
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            for node in ast.walk(ast.parse(cell.source)):
                assert not isinstance(node, (ast.For, ast.While, ast.If, ast.FunctionDef, ast.Compare)), cell.source
                if isinstance(node, ast.ImportFrom):
                    assert node.module == "sepconv_lab.analysis"
                assert not isinstance(node, ast.Import)


def test_the_notebooks_are_those_that_the_tests_know() -> None:
    assert {p.stem for p in NOTEBOOKS} == NAMES == set(STUDIES)


def _executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """A copy of the notebook executed in the clone's notebooks/."""
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder)
    notebook = nbformat.read(folder / path.name, as_version=4)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def _shown(notebook: nbformat.NotebookNode) -> list[dict[str, str]]:
    """What each code cell shows, by kind."""
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    return [{k: v for o in c.outputs for k, v in o.get("data", {}).items()} for c in cells]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.*:ResourceWarning"
)  # of the kernel's sockets, when the garbage collector finds them
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_cell_shows_something_where_there_are_results(path: Path, experiments: Path) -> None:
    shown = _shown(_executed(path, experiments.parent / "notebooks"))
    assert all(shown)
    whole = str(shown)
    assert "are committed yet" not in whole.replace("No results are committed yet of: ", "")
    assert "n=3" in whole or path.stem == "tables"
    images = [html for html in (cell.get("text/html", "") for cell in shown) if "data:image/svg+xml" in html]
    assert len(images) >= (0 if path.stem == "tables" else 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [p for p in NOTEBOOKS if p.stem in ("convergence", "quickstart")], ids=lambda p: p.stem
)
def test_without_results_a_notebook_says_so_and_shows_the_papers_curves(path: Path, tmp_path: Path) -> None:
    for name in STUDIES[path.stem]:
        (tmp_path / "experiments" / name).mkdir(parents=True)
    shown = _shown(_executed(path, tmp_path / "notebooks"))
    assert all(shown)
    about = shown[0]["text/markdown"]
    assert about.startswith(f"**No results of {STUDIES[path.stem][0]} are committed yet.**")
    assert "python -m sepconv_lab.study run" in about
    pictures = [c["text/html"] for c in shown if "data:image" in c.get("text/html", "")]
    assert len(pictures) == (3 if path.stem == "convergence" else 0)
    assert all("The paper's own figure" in html and html.count("<img") == 1 for html in pictures)


# --- the shelf --------------------------------------------------------------------------------------------------------


def test_each_result_has_its_own_panel_and_the_paper_another(tmp_path: Path) -> None:
    plant(claims.FIGURE10, tmp_path)
    plant(claims.FIGURE10, tmp_path, label="lab_cifar10")
    study = shelf.study(claims.FIGURE10, tmp_path)
    panels, again = (study.draw(figures.figure10, paper=10) for _ in range(2))
    titles = [ax.get_title(loc="left") for ax in panels.drawn]
    assert len(titles) == 3
    assert ["paper" in title for title in titles] == [False, False, True]
    html = panels._repr_html_()
    assert html.count("data:image/svg+xml;base64,") == 3
    assert html == again._repr_html_()
    table = study.table(tables.summary, ["test_ema/top1"], ["none", "relu"])
    assert list(table.index) == [(label, v) for label in ("lab", "lab_cifar10") for v in ("none", "relu")]
    about = study._repr_markdown_()
    assert "- `lab`: glyphs, 300 classes, 32 pixels (not ImageNet); lab scale; 9 of 9 runs, 3 seeds;" in about
    assert study.verdicts().count("C4 ") == 2


def test_partial_results_are_marked(tmp_path: Path) -> None:
    folder = plant(claims.FIGURE10, tmp_path)
    study = shelf.study(claims.FIGURE10, tmp_path)
    lost = study.results[0].runs.assign(status=["failed", *["finished"] * 8])
    partial = shelf.Study(study.name, (shelf.Result(study.results[0].plan, folder, lost, study.results[0].history),))
    assert "8 of 9 runs **(partial)**" in partial._repr_markdown_()
    assert any(
        "n=2 of 3" in str(t.get_text()) for t in partial.draw(figures.figure10).drawn[0].get_legend().get_texts()
    )


def test_without_results_there_is_a_sentence_and_a_command_never_a_number(tmp_path: Path) -> None:
    (tmp_path / claims.FIGURE06).mkdir()
    study = shelf.study(claims.FIGURE06, tmp_path)
    said = f"No results of {claims.FIGURE06} are committed yet."
    assert study._repr_markdown_().startswith(f"**{said}**")
    assert f"python -m sepconv_lab.study run {claims.FIGURE06} scale=lab" in study._repr_markdown_()
    assert study.verdicts() == study.table(tables.table1) == said
    assert study.forest() == study.draw(figures.figure06) == shelf.Panels((), said)
    (alone,) = study.draw(figures.figure06, paper=6).drawn
    assert "paper, Figure 6" in alone.get_title(loc="left")
    with pytest.raises(BadInput, match=r"no study 'figure6' in .*figure06_inception_vs_xception"):
        shelf.study("figure6", tmp_path)


def test_the_commands_of_the_shelf_exist() -> None:
    """What is printed can be typed: the commands parse, and every shipped study has the scale that they name."""
    from sepconv_lab.study import load
    from sepconv_lab.study.__main__ import parse

    for name in claims.STUDIES:
        run, exported = shelf.commands(name).splitlines()
        assert parse(re.sub(r"^python -m sepconv_lab\.study ", "", run).split()).name == name
        assert load(Path(__file__).parent.parent / "experiments" / name).at("lab")
        assert exported == f"python -m sepconv_lab.analysis export {name} --label lab"


def test_all_claims_stand_in_one_table_with_what_is_missing(experiments: Path) -> None:
    found = shelf.claims(experiments)
    assert found.startswith("| claim |")
    assert all(f"| {c} " in found for c in ("C1", "C2", "C3", "C4", "C5", "C6"))
    assert "No results are committed yet of: segments_x_mid_act, vgg_sep, budget, a_a." in found
