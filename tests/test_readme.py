"""What the README shows is what the commands print and accept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sepconv_lab.study import load, make_plan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


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


def test_the_study_of_the_readme_can_be_planned(tmp_path: Path) -> None:
    text = re.search(r"```yaml\n(question: .*?)```", README, re.S)
    assert text
    path = tmp_path / "mine" / "study.yaml"
    path.parent.mkdir()
    path.write_text(text[1])
    plan, _ = make_plan(load(path), "lab")
    assert {"none", "relu", "without_residual", "order=pointwise_first mid_norm=true"} <= set(plan.variants)
