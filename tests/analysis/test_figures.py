"""Figures: what is on the axes, not pixels. Every seed visible, one colour a variant, n where partial, vectors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sepconv_lab.analysis import figures
from sepconv_lab.analysis.claims import of_the_paper as claims, speed, verdicts
from sepconv_lab.analysis.figures import curves, style
from sepconv_lab.analysis.stats import effects
from sepconv_lab.config import Activation, BadInput

from .test_speed import timed

Builder = Callable[..., pd.DataFrame]


def legend(ax) -> list[str]:  # type: ignore[no-untyped-def]
    return [t.get_text() for t in ax.get_legend().get_texts()]


def test_every_seed_is_a_line_and_the_mean_another(figure10_runs: pd.DataFrame, make_history: Builder) -> None:
    ax = figures.figure10(figure10_runs, make_history(figure10_runs))
    lines = [line for line in ax.get_lines() if line.get_label() == "_seed"]
    assert len(lines) == 18
    (mean,) = (line for line in ax.get_lines() if line.get_gid() == "mean none")
    own = [line for line in lines if line.get_color() == mean.get_color()]
    assert np.allclose(mean.get_ydata(), np.mean([line.get_ydata() for line in own], axis=0))
    assert mean.get_linewidth() > 2 * own[0].get_linewidth()
    assert legend(ax) == ["none, n=6", "elu, n=6", "relu, n=6"]
    assert "cifar10, 10 classes, 32 pixels, lab scale" in ax.get_title(loc="left")


def test_partial_and_diverged_runs_show(figure10_runs: pd.DataFrame, make_history: Builder) -> None:
    runs = figure10_runs
    runs.loc[(runs["variant"] == "relu") & (runs["seed"] == 5), "status"] = "diverged"
    runs.loc[(runs["variant"] == "elu") & (runs["seed"] == 2), "status"] = "failed"
    with pytest.raises(BadInput, match="elu/seed 2"):
        figures.figure10(runs, make_history(runs))
    ax = figures.figure10(runs, make_history(runs), allow_partial=True)
    assert legend(ax) == ["none, n=6", "elu, n=5 of 6", "relu, n=6, 1 diverged"]
    assert [line.get_marker() for line in ax.get_lines()].count("x") == 1


def test_the_cross_of_a_diverged_run_stands_at_its_own_last_event(
    figure10_runs: pd.DataFrame, make_history: Builder
) -> None:
    """Two variants that diverge at one seed, one early, one late: neither is drawn beyond what it measured."""
    runs = figure10_runs
    runs.loc[runs["variant"].isin(["elu", "relu"]) & (runs["seed"] == 0), "status"] = "diverged"
    history = make_history(runs)
    early = (history["variant"] == "relu") & (history["seed"] == 0) & (history["step"] > 500)
    ax = figures.figure10(runs, history[~early])
    crosses = {line.get_color(): line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() == "x"}
    assert crosses == {style.colour("relu"): 500, style.colour("elu"): 2000}


def test_every_activation_looks_different() -> None:
    names = [a.name for a in Activation]
    assert len({(style.colour(n), str(style.linestyle(n))) for n in names}) == len(names)


def test_points_of_diverged_runs_are_said(figure10_runs: pd.DataFrame) -> None:
    runs = figure10_runs
    runs.loc[(runs["variant"] == "relu") & (runs["seed"] == 0), "status"] = "diverged"
    assert figures.slopes(runs, "relu", "none").get_xlabel().endswith("n=6, 1 diverged")
    assert "relu, 1 diverged" in legend(figures.pareto_front(runs, "macs"))


def test_figures_of_the_paper_take_their_own_study(make_runs: Builder, make_history: Builder) -> None:
    for number, study, names in (
        (6, claims.FIGURE06, ("xception", "inception")),
        (7, claims.FIGURE07_08, ("xception_many", "inception_many")),
        (8, claims.FIGURE07_08, ("xception_many_fc", "inception_many_fc")),
        (9, claims.FIGURE09, ("residual", "no_residual")),
    ):
        runs = make_runs(study, dict(zip(names, (-1.5, -1.2), strict=True)), seeds=3)
        page = figures.beside_paper(number, runs, make_history(runs))
        own, paper = page.get_axes()
        assert legend(own) == [f"{style.label(n)}, n=3" for n in names]
        assert f"Figure {number}" in paper.get_title(loc="left")
        assert not own.get_shared_y_axes().joined(own, paper)
    with pytest.raises(BadInput, match="not 5"):
        figures.beside_paper(5, runs, runs)


def test_a_mixed_figure_is_refused(figure10_runs: pd.DataFrame, make_history: Builder) -> None:
    figure10_runs.loc[0, "scale"] = "paper"
    with pytest.raises(BadInput, match="mixed scale"):
        figures.figure10(figure10_runs, make_history(figure10_runs))


def test_variants_of_one_study_look_different_and_the_same_everywhere() -> None:
    for study in claims.STUDIES:
        variants = claims.needed_variants(study)
        looks = {(style.colour(v), str(style.linestyle(v))) for v in variants}
        assert len(looks) == len(variants), study
    assert style.colour("my_own_block") == style.colour("my_own_block") in style.PALETTE
    assert style.colour("xception_non_residual") == style.colour("no_residual")


def test_known_variants_are_those_of_the_claims() -> None:
    used = {v for s in claims.STUDIES for v in claims.needed_variants(s)}
    assert used <= set(style.KNOWN)


def test_forest_draws_each_interval_and_the_band(figure10_runs: pd.DataFrame) -> None:
    table = effects.effect_table(effects.family(figure10_runs, {v: {v: 1, "none": -1} for v in ("elu", "relu")}))
    ax = figures.forest(table, smallest=0.05)
    (band,) = ax.patches
    assert band.get_x() == -0.05
    assert band.get_width() == pytest.approx(0.1)
    spans = [tuple(line.get_xdata()) for line in ax.get_lines() if len(set(line.get_xdata())) == 2]
    assert spans == [(row.low, row.high) for row in table.itertuples()]
    assert "97.5 % intervals" in ax.get_xlabel()
    one = effects.effect_table([effects.difference(figure10_runs[figure10_runs["seed"] == 0], "relu", "none")])
    assert "one seed: no interval" in figures.forest(one).get_xlabel()


def test_forest_of_verdicts_keeps_units_apart(figure10_runs: pd.DataFrame) -> None:
    c4 = verdicts.judge(claims.C4, figure10_runs)
    assert len(figures.forest_of([c4]).texts) == 3
    c8 = speed.judge(claims.C8, timed())
    with pytest.raises(BadInput, match="do not share an axis"):
        figures.forest_of([c4, c8])


@pytest.fixture(scope="module")
def drawn(make_runs: Builder, make_history: Builder) -> dict[str, object]:
    figure10_runs = make_runs(claims.FIGURE10, {"none": -1.5, "elu": -1.4, "relu": -1.25})
    acts = {"none": -1.5, "relu": -1.3, "norm": -1.5, "norm_relu": -1.4}
    cells = {v: {"block.mid_norm": "norm" in v, "block.mid_act": "relu" if "relu" in v else "none"} for v in acts}
    inner = {"segments_1": 1, "segments_4": "4", "segments_channels": "channels"}
    spectrum = {v: {"block.segments": s} for v, s in inner.items()} | {
        "conv": {"block.name": "conv", "block.segments": None}
    }
    order, placed = {}, {}
    for after, (d, p) in {"after_pointwise": ("none", "norm+relu"), "after_depthwise": ("norm+relu", "none")}.items():
        for first in ("depthwise_first", "pointwise_first"):
            order[f"{first}_{after}"] = -1.4
            placed[f"{first}_{after}"] = {"after_depthwise": d, "after_pointwise": p, "block.order": first}
    return {
        "grid": figures.norm_activation_grid(make_runs("mid_norm", acts, config=cells)),
        "spectrum": figures.spectrum(make_runs("spectrum", dict.fromkeys(spectrum, -1.4), config=spectrum)),
        "order": figures.order_at_placements(make_runs("order", order, config=placed)),
        "pareto": figures.pareto_front(figure10_runs, "macs"),
        "slopes": figures.slopes(figure10_runs, "relu", "none"),
        "paper": figures.paper_figure(7),
        "curves": figures.figure10(figure10_runs, make_history(figure10_runs)),
        "forest": figures.forest_of([verdicts.judge(claims.C4, figure10_runs)]),
    }


def test_studies_are_drawn(drawn: dict[str, object]) -> None:
    texts = [t.get_text() for t in drawn["grid"].texts]  # type: ignore[attr-defined]
    assert len(texts) == 4
    assert sum("baseline" in t for t in texts) == 1
    assert sum("*" in t for t in texts) == 2
    ticks = [t.get_text() for t in drawn["spectrum"].get_xticklabels()]  # type: ignore[attr-defined]
    assert ticks == ["conv", "1", "4", "channels"]
    assert len(drawn["order"].get_xticks()) == 2  # type: ignore[attr-defined]
    slopes = [line.get_gid() for line in drawn["slopes"].get_lines()]  # type: ignore[attr-defined]
    assert slopes.count("mean") == 1
    assert len(slopes) == 6 + 2 + 1
    assert "0 of 6 seeds fall" in drawn["slopes"].get_xlabel()  # type: ignore[attr-defined]


def test_vector_output_is_text_and_reproducible(drawn: dict[str, object], tmp_path: Path) -> None:
    for name, ax in ((n, drawn[n]) for n in ("grid", "spectrum", "forest")):
        first = figures.save(ax, tmp_path / f"{name}.svg").read_bytes()  # type: ignore[arg-type]
        assert b"<text" in first
        assert first.count(b"<image") == (name == "grid")
    twice = [figures.save(figures.paper_figure(10), tmp_path / f"{k}.svg").read_bytes() for k in range(2)]
    assert twice[0] == twice[1]
    assert figures.save(drawn["forest"], tmp_path / "forest.pdf").read_bytes().startswith(b"%PDF")  # type: ignore[arg-type]


def test_nothing_is_cut_off_at_half_width(drawn: dict[str, object]) -> None:
    """All text lies inside a figure of 3.3 inches and is at least 6.5 points high."""
    for name, ax in drawn.items():
        figure = ax.get_figure()  # type: ignore[attr-defined]
        assert figure.get_size_inches()[0] == style.HALF
        figure.draw_without_rendering()
        box = ax.get_tightbbox()  # type: ignore[attr-defined]
        assert min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1) > -1, name
        sizes = [t.get_fontsize() for t in ax.findobj(lambda o: hasattr(o, "get_fontsize")) if t.get_text()]  # type: ignore[attr-defined]
        assert min(sizes) >= 6.5, name


def test_order_needs_both_orders_at_a_placement(make_runs: Builder) -> None:
    runs = make_runs("order", {"a": -1, "b": -1}, config={
        v: {"after_depthwise": v, "after_pointwise": "none", "block.order": "depthwise_first"} for v in ("a", "b")
    })  # fmt: skip
    with pytest.raises(BadInput, match="needs one variant of each order"):
        figures.order_at_placements(runs)


def test_drawing_into_given_axes_makes_no_new_figure(figure10_runs: pd.DataFrame, make_history: Builder) -> None:
    figure, (left, _) = style.panels(2)
    assert curves.figure10(figure10_runs, make_history(figure10_runs), ax=left) is left
    assert left.get_figure() is figure


def test_the_figure_command_says_what_it_cannot_write(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A format that there is none of, a folder that there is none of: one message, exit code 2."""
    from sepconv_lab.analysis.__main__ import main

    results = str(Path(__file__).parents[2] / "experiments" / claims.FIGURE10 / "results" / "cifar10")
    for to, words in (("figure.doc", "Format 'doc' is not supported"), ("none/figure.svg", "No such file")):
        assert main(["figure", "10", results, "--to", str(tmp_path / to)]) == 2
        assert words in capsys.readouterr().err
