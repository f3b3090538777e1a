"""Our figures are ours: no matplotlibrc and no MPLBACKEND of the machine changes them or ends a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepconv_lab.analysis.figures import style

from .analysis import generated as made
from .helpers import cli

STRANGE = "text.usetex: True\nfont.size: 40\naxes.facecolor: red\nsavefig.dpi: 3\nfigure.dpi: 3\nlines.linewidth: 30\n"


@pytest.mark.slow
def test_what_the_machine_sets_up_for_others_changes_no_figure(tmp_path: Path) -> None:
    """The same bytes as without: a report and the picture of a run."""
    found = []
    for name, env in (("plain", {}), ("strange", {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(tmp_path / "rc")})):
        (tmp_path / "rc").write_text(STRANGE)
        folder = tmp_path / name
        made.figure10(folder / "runs", seeds=range(2), claim=None)
        made.write_record(folder / "one", "a" * 16, made.config(imports=["x"]), made.summary("a" * 16))
        page = cli(made.FIGURE10, "--to", "page.html", cwd=folder, module="report", **env)
        assert page.returncode == 0, page.stderr
        drawn = cli("--runs-dir", "one", "plot", "a" * 16, cwd=folder, module="runs", **env)
        assert drawn.returncode == 0, drawn.stderr
        text = (folder / "page.html").read_text()
        found.append(
            (text.count("<svg"), text[text.index("<svg") :], (folder / "one" / ("a" * 16) / "curves.png").read_bytes())
        )
    assert found[0] == found[1]


def test_what_was_set_before_comes_back() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 33}):
        with style.drawing() as ax:
            assert matplotlib.rcParams["font.size"] == style.RC["font.size"]
            ax.set_title("a $b^c$")
        assert matplotlib.rcParams["font.size"] == 33
