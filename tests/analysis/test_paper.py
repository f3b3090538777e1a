"""The shipped curves and tables are the paper's: Figures 6-10 agree with the project's facts at the named steps."""

import pytest

from sepconv_lab.analysis import paper
from sepconv_lab.analysis.claims import of_the_paper as claims
from sepconv_lab.analysis.figures import paper_figure
from sepconv_lab.config import BadInput


@pytest.mark.parametrize(
    ("figure", "curve", "step", "value"),
    [
        (10, "none", 112_700, 0.790),
        (10, "elu", 112_700, 0.779),
        (10, "relu", 112_700, 0.764),
        (10, "elu", None, 0.780),
        (10, "relu", None, 0.771),
        (9, "xception", None, 0.790),
        (9, "xception_non_residual", None, 0.673),
        (6, "xception", None, 0.790),
        (6, "inception_v3", None, 0.782),
        (7, "xception", None, 6.70),
        (7, "inception_v3", None, 6.36),
        (8, "xception", None, 6.78),
        (8, "inception_v3", None, 6.50),
    ],
)
def test_drawn_curves_agree_with_the_facts(figure: int, curve: str, step: int | None, value: float) -> None:
    """Read off the drawn line, at the step or at its end, within the digitisation's accuracy."""
    (line,) = (drawn for drawn in paper_figure(figure).get_lines() if drawn.get_gid() == f"paper {curve}")
    x, y = line.get_data()
    read = y[-1] if step is None else paper.value_at(figure, curve, step)
    assert read == pytest.approx(value, abs=paper.ACCURACY[figure])
    assert paper.end(figure, curve) == y[-1]
    assert len(x) > 80


def test_the_non_residual_curve_is_still_rising() -> None:
    assert paper.end(9, "xception_non_residual") - paper.value_at(9, "xception_non_residual", 100_000) > 0.01


def test_tables() -> None:
    assert paper.table(1).loc["xception"].tolist() == [0.790, 0.945]
    assert paper.table(2).loc["inception_v3_no_fc"].item() == 6.36
    assert paper.table(3).loc["inception_v3"].tolist() == [23_626_728, 31]
    assert list(paper.table(1).index) == ["vgg16", "resnet152", "inception_v3", "xception"]


def test_claims_quote_the_tables() -> None:
    quoted = {p.what: p.value for p in (*claims.C1.paper, *claims.C2.paper, *claims.C8.paper)}
    one, two, three = (paper.table(k) for k in (1, 2, 3))
    assert quoted["xception_imagenet_top1"] == one.loc["xception", "imagenet_top1"]
    assert quoted["inception_v3_imagenet_top1"] == one.loc["inception_v3", "imagenet_top1"]
    for model in two.index:
        assert quoted[f"{model}_map_at_100"] == two.loc[model].item()
    for model in three.index:
        assert quoted[f"{model}_steps_per_second"] == three.loc[model, "steps_per_second"]
        assert quoted[f"{model}_parameters"] == three.loc[model, "parameters"]
    read = {p.what: p.value for p in (*claims.C3.paper, *claims.C4.paper)}
    assert read["relu_imagenet_top1"] == pytest.approx(paper.end(10, "relu"), abs=0.003)
    assert read["xception_non_residual_imagenet_top1"] == pytest.approx(
        paper.end(9, "xception_non_residual"), abs=0.003
    )


def test_what_the_paper_does_not_have() -> None:
    with pytest.raises(BadInput, match="Figures 6, 7, 8, 9, 10, not 5"):
        paper.curves(5)
    with pytest.raises(BadInput, match=r"no curve 'rellu'.*Did you mean relu"):
        paper.end(10, "rellu")
    with pytest.raises(BadInput, match="to 112,700, not 159,000"):
        paper.value_at(10, "none", 159_000)
    with pytest.raises(BadInput, match="Tables 1, 2 and 3"):
        paper.table(4)
