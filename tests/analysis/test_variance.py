"""Where the variance comes from is recovered from planted predictions, and the levers act on the part that they name."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from sepconv_lab.analysis.__main__ import main
from sepconv_lab.analysis.stats import variance
from sepconv_lab.analysis.stats.variance import Parts, SeedImages
from sepconv_lab.config import BadInput

from . import generated as made

WEIGHTS = {"b": 1.0, "a": -1.0}


def run_tested(rng: np.random.Generator, classes: int = 100, images: int = 10) -> tuple[float, SeedImages]:
    """One seed's difference in ln error of two variants, of equal true error .25, and its images' parts: `b` is better on some
    classes, `a` on others."""
    better = np.where(rng.random(classes) < 0.5, 0.15, -0.15)
    rates = {"a": 0.25 + better, "b": 0.25 - better}
    wrong = {v: rng.random((classes, images)) < r[:, None] for v, r in rates.items()}
    flat = {v: w.ravel() for v, w in wrong.items()}
    found = variance.seed_images(flat, WEIGHTS, np.repeat(np.arange(classes), images))
    return math.log(flat["b"].mean()) - math.log(flat["a"].mean()), found


def test_the_noise_of_a_test_split_is_recovered_with_the_class_as_cluster() -> None:
    """Of 300 seeds whose runs have no noise but that of the images tested, the parts of classes and images explain the spread."""
    rng = np.random.default_rng(0)
    d, seeds = zip(*(run_tested(rng) for _ in range(300)), strict=True)
    found = variance.parts(d, seeds)
    assert found.training == pytest.approx(0, abs=0.2 * found.sd**2)
    assert found.classes + found.images == pytest.approx(np.var(d, ddof=1), rel=0.15)
    expected = (0.3 / 0.25) ** 2 / 100  # a class's part is 2 x 0.15 / 0.25, up or down
    assert found.classes == pytest.approx(expected, rel=0.15)
    assert found.worth == pytest.approx(1000 / (1 + 9 * found.icc))
    assert found.worth < 500


def test_strata_and_training_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    pairs = [run_tested(rng) for _ in range(300)]
    labels = [i % 3 for i in range(300)]
    d = [x + 0.2 * (label - 1) + rng.normal(0, 0.3) for (x, _), label in zip(pairs, labels, strict=True)]
    found = variance.parts(d, [t for _, t in pairs], labels)
    assert math.sqrt(found.training) == pytest.approx(0.3, rel=0.2)
    assert math.sqrt(found.strata) == pytest.approx(0.2, rel=0.4)
    assert "between strata" in found.text
    assert "images act like" in found.text


def parts(**values: float | bool) -> Parts:
    base = {"training": 0.0, "strata": 0.0, "classes": 0.0, "images": 0.0, "icc": 0.3, "shared": False} | values
    return Parts(tested_classes=100, images_per_class=10.0, **base)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "training", "testing", "cheapest"),
    [
        ({"training": 0.01, "classes": 0.0001}, 100, 10, "more seeds"),
        ({"training": 0.0001, "classes": 0.01}, 100, 1, "more test classes"),
        ({"training": 0.0001, "classes": 0.01}, 1, 1000, "more seeds"),
    ],
)
def test_the_cheapest_lever_is_that_of_the_largest_part_and_the_prices(
    values: dict[str, float], training: float, testing: float, cheapest: str
) -> None:
    ways = variance.levers(parts(**values), 0.02, training=training, testing=testing)
    assert ways[0].name == cheapest
    assert [w.cost for w in ways] == sorted(w.cost for w in ways)


def test_what_cannot_help_is_not_offered() -> None:
    """More test images shorten no interval over seeds that share them; longer training is offered where it was measured."""
    ways = variance.levers(parts(training=0.01, classes=0.01, shared=True), 0.02, training=9, testing=1)
    assert [w.name for w in ways] == ["more seeds"]
    ways = variance.levers(parts(training=0.01), 0.02, training=9, testing=0.1, longer={2.0: 0.3})
    assert ways[0].name == "longer training"
    assert variance.levers(parts(training=4.0), 0.02, training=1, testing=1)[0].cost == math.inf


def test_predictions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="no predictions of variant 'b'; there are: a"):
        variance.seed_images({"a": [1, 0]}, WEIGHTS, [0, 1])
    with pytest.raises(BadInput, match="predictions of 3 images, not of the 2 tested"):
        variance.seed_images({"b": [1, 0, 1], "a": [1, 0]}, WEIGHTS, [0, 1])
    with pytest.raises(BadInput, match="made no error"):
        variance.seed_images({"b": [0, 0], "a": [1, 0]}, WEIGHTS, [0, 1])
    one = variance.seed_images({"b": [1, 0], "a": [0, 1]}, WEIGHTS, [0, 1])
    with pytest.raises(BadInput, match="two seeds or more"):
        variance.parts([0.1], [one])


def test_a_study_is_told_apart_from_its_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From what each run predicted: the parts, in the command's words, and the ways to d with seeds and hours."""
    draw = np.random.default_rng(3)
    variants = {name: made.config(block__mid_act=name) for name in made.ERRORS}
    for run in made.write_plan(tmp_path, variants, seeds=range(6)):
        label = np.repeat(np.arange(300), 10)
        wrong = draw.random(3000) < made.ERRORS[run["variant"]]
        told = made.summary(run["run_id"], float(1 - wrong.mean()), data_digest=f"{run['seed']:016d}")
        values = made.config(run["seed"], str(tmp_path), block__mid_act=run["variant"], data__seed=run["seed"])
        record = made.write_record(tmp_path, run["run_id"], values)
        np.savez(
            record.path / "predictions.npz",
            label=label,
            predicted=label,
            predicted_ema=np.where(wrong, label + 1, label),
        )
        record.finish(told)
    assert main(["variance", made.FIGURE10, str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert re.search(
        r"none better than elu: SD 0\.\d+: training 0\.\d+, classes 0\.\d+, images 0\.0[45]\d; 3,000 images act", text
    )
    assert re.search(r"to an interval of ±0.02, the cheapest first:\n +more \w+ \w*", text)
    assert re.search(r"more seeds: SD 0\.\d+, \d+ seeds, \d+\.\d hours of runs", text)


def test_a_study_without_predictions_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    experiments = Path(__file__).parents[2] / "experiments"
    assert main(["variance", made.FIGURE10, str(experiments), "--label", "lab"]) == 2
    assert "has no predictions of the averaged weights" in capsys.readouterr().err
