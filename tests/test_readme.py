"""What the README and docs/ show is what the commands print and accept. `make docs` prints it anew."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
from pathlib import Path

import pytest
import yaml

from sepconv_lab.analysis import load_runs
from sepconv_lab.analysis.read import committed
from sepconv_lab.compose import compose_sweep
from sepconv_lab.report import __main__ as report
from sepconv_lab.study import load, make_plan
from sepconv_lab.training.job import record_of

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "experiments" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TEXT = "\n".join(path.read_text() for path in PAGES)
COMMITTED = committed.folders(ROOT / "experiments")
PRINTED = re.compile(r"<!-- (python -m [^\n]*) -->\n(.*?)<!-- /python -->", re.S)
"""A block that a command prints: the command, what it prints."""
TYPED = re.compile(r"^(?:\$ )?python -m (sepconv_lab[\w.]*)((?:[^\n#\\]|\\\n)*)", re.M)


def printed(command: str) -> str:
    """What `python -m MODULE ARGUMENTS` prints, run in this process."""
    module, *arguments = shlex.split(command)[2:]
    name = module if importlib.util.find_spec(f"{module}.__main__") is None else f"{module}.__main__"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert importlib.import_module(name).main(arguments) == 0
    return out.getvalue().strip()


@pytest.mark.parametrize(
    ("command", "shown"),
    [(m[1], m[2].strip()) for m in PRINTED.finditer(TEXT)],
    ids=[m[1].removeprefix("python -m sepconv_lab.") for m in PRINTED.finditer(TEXT)],
)
def test_a_table_is_what_its_command_prints(command: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdicts are those of the committed results, the axes those of the declarations."""
    monkeypatch.chdir(ROOT)
    assert printed(command) == shown


def test_the_figure_is_drawn_from_the_committed_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command below it makes the same file again."""
    command = re.search(r"(python -m sepconv_lab.analysis figure .*docs/figure10.svg)", TEXT)
    assert command
    monkeypatch.chdir(ROOT)
    printed(command[1].replace("docs/figure10.svg", str(tmp_path / "figure10.svg")))
    assert (tmp_path / "figure10.svg").read_bytes() == (ROOT / "docs" / "figure10.svg").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("folder", COMMITTED, ids=lambda p: f"{p.parts[-3]}, {p.name}")
def test_a_committed_report_is_that_of_the_results_beside_it(folder: Path, tmp_path: Path) -> None:
    made = report.write(folder.parts[-3], folder, to=str(tmp_path / "report.html"))
    assert made.read_text() == (folder / "report.html").read_text()


def test_every_command_that_is_shown_exists() -> None:
    modules = {m[1].rstrip(".") for m in TYPED.finditer(TEXT)}
    assert {"sepconv_lab.run", "sepconv_lab.study", "sepconv_lab.report"} <= modules
    assert [m for m in modules if importlib.util.find_spec(m) is None] == []


def test_every_run_that_is_shown_composes() -> None:
    """`python -m sepconv_lab.run ...`, in the README and in docs/: every override is one, and the combination is allowed."""
    shown = {" ".join(m[2].split()) for m in TYPED.finditer(TEXT) if m[1] == "sepconv_lab.run"}
    taken = [words for words in shown if not re.search(r"DIR|imports=|hydra|wandb", words)]
    assert len(taken) >= 3
    for words in taken:
        compose_sweep([word for word in shlex.split(words.replace("\\", " ")) if word not in ("-m", "--test")])


def test_the_runs_of_the_sweep_are_those_that_its_table_names() -> None:
    command, *rows = re.findall(r"run (-m data.num_classes=20 .*)|^(block.mid_act=\w+) .*runs/(\w{16})$", TEXT, re.M)
    jobs = compose_sweep([word for word in command[0].split() if word not in ("-m", "--test")])
    assert {run[1]: run[2] for run in rows} == {job[0][-1]: record_of(job[1])[0].run_id for job in jobs}


def test_the_run_of_the_readme_ended_as_it_says() -> None:
    """Its id is that of the command, and a committed run of that id has these accuracies."""
    typed = r"run (model=xception block.mid_act=none .*)\n"
    finished = r"runs/(\w{16}): finished, .* (0.\d+), .* (0.\d+)"
    shown = re.search(typed + r"(?:.*\n)*?" + finished, TEXT)
    assert shown
    (_, config), *_ = compose_sweep(shown[1].split())
    assert record_of(config)[0].run_id == shown[2]
    runs = load_runs(ROOT / "experiments" / "figure10_mid_activation" / "results" / "lab").set_index("run_id")
    raw, averaged = runs.loc[shown[2], ["test/top1", "test_ema/top1"]]
    assert (f"{raw:.4f}", f"{averaged:.4f}") == (shown[3], shown[4])


def test_the_study_of_the_readme_is_the_shipped_one() -> None:
    """What is shown of it stands in its file, word for word."""
    shown = re.search(r"study.yaml`.*?```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert shown
    whole = yaml.safe_load((ROOT / "experiments" / "figure10_mid_activation" / "study.yaml").read_text())
    for key, value in yaml.safe_load(shown[1]).items():
        assert whole[key] == value or {k: whole[key][k] for k in value} == value


def test_the_example_study_can_be_planned(tmp_path: Path) -> None:
    text = re.search(r"```yaml\n(question: .*?)```", (ROOT / "docs" / "studies.md").read_text(), re.S)
    assert text
    path = tmp_path / "mine" / "study.yaml"
    path.parent.mkdir()
    path.write_text(text[1])
    plan, _ = make_plan(load(path), "lab")
    assert {"none", "relu", "without_residual", "order=pointwise_first mid_norm=true"} <= set(plan.variants)


def test_links_between_the_pages_lead_somewhere() -> None:
    """Files that the pages link or name in `docs/`, `tests/`, `conf/`, `experiments/` exist."""
    for path in PAGES:
        text = path.read_text()
        targets = [path.parent / t.partition("#")[0] for t in re.findall(r"\]\((?!https?:)([^)#][^)]*)\)", text)]
        named = [ROOT / t for t in re.findall(r"`((?:docs|tests|conf|experiments|sepconv_lab)/[\w./]+\.\w+)`", text)]
        assert [str(t) for t in (*targets, *named) if not t.exists()] == [], path.name


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(PRINTED.sub(lambda m: f"<!-- {m[1]} -->\n{printed(m[1])}\n<!-- /python -->", page.read_text()))
