"""What the README shows is what the commands print and accept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sepconv_lab.analysis.read import committed
from sepconv_lab.report import __main__ as report
from sepconv_lab.study import load, make_plan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMITTED = committed.folders(ROOT / "experiments")


def test_the_verdict_table_is_that_of_the_committed_results(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sepconv_lab.analysis.__main__ import main

    monkeypatch.chdir(ROOT)
    shown = re.search(
        r"<!-- verdicts: python -m sepconv_lab.analysis (.*?) -->\n(.*?)\n<!-- /verdicts -->", README, re.S
    )
    assert shown
    assert main(shown[1].split()) == 0
    assert capsys.readouterr().out.strip() == shown[2]


def test_the_figure_is_drawn_from_the_committed_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command below it makes the same file again."""
    from sepconv_lab.analysis.__main__ import main

    command = re.search(r"python -m sepconv_lab.analysis (figure .*docs/figure10.svg)", README)
    assert command
    monkeypatch.chdir(ROOT)
    assert main(command[1].replace("docs/figure10.svg", str(tmp_path / "figure10.svg")).split()) == 0
    assert (tmp_path / "figure10.svg").read_bytes() == (ROOT / "docs" / "figure10.svg").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("folder", COMMITTED, ids=lambda p: f"{p.parts[-3]}, {p.name}")
def test_a_committed_report_is_that_of_the_results_beside_it(folder: Path, tmp_path: Path) -> None:
    made = report.write(folder.parts[-3], folder, to=str(tmp_path / "report.html"))
    assert made.read_text() == (folder / "report.html").read_text()


def test_the_study_of_the_readme_can_be_planned(tmp_path: Path) -> None:
    text = re.search(r"```yaml\n(question: .*?)```", README, re.S)
    assert text
    path = tmp_path / "mine" / "study.yaml"
    path.parent.mkdir()
    path.write_text(text[1])
    plan, _ = make_plan(load(path), "lab")
    assert {"none", "relu", "without_residual", "order=pointwise_first mid_norm=true"} <= set(plan.variants)
