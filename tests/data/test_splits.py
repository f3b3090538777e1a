"""How validation is cut, and which examples stand for the others."""

from __future__ import annotations

import numpy as np
import pytest

from sepconv_lab.data.splits import cut, first_of_each_class, spread

LABELS = np.random.default_rng(0).choice(7, 1003, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.04, 0.01])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_a_cut_is_stratified(seed: int, fraction: float) -> None:
    """Disjoint, complete, of the declared size, each class within one of its share, none emptied."""
    rest, taken = cut(LABELS, fraction, seed, "val")
    assert np.array_equal(np.sort(np.concatenate([rest, taken])), np.arange(len(LABELS)))
    assert len(taken) == round(len(LABELS) * fraction)
    assert np.abs(np.bincount(LABELS[taken], minlength=7) - np.bincount(LABELS) * fraction).max() <= 1
    assert (np.bincount(LABELS[rest], minlength=7) > 0).all()


def test_a_cut_depends_on_the_seed_and_its_name() -> None:
    """The same seed cuts alike; another seed, and the cut for the test, differ."""
    val = cut(LABELS, 0.1, 0, "val")[1]
    assert np.array_equal(val, cut(LABELS, 0.1, 0, "val")[1])
    assert not np.array_equal(val, cut(LABELS, 0.1, 1, "val")[1])
    assert not np.array_equal(val, cut(LABELS, 0.1, 0, "test")[1])


def test_a_class_of_one_stays_in_training() -> None:
    """Validation never takes a class's only example."""
    rest, taken = cut(np.array([0, 1, 1, 2]), 0.5, 0, "val")
    assert {0, 3} <= set(rest)
    assert len(taken) == 1


def test_images_per_class_are_nested() -> None:
    """The examples for a smaller count are among those for a larger one, equally many of each class while there are enough."""
    few, more = (first_of_each_class(LABELS, count, 0) for count in (3, 20))
    assert set(few) <= set(more)
    assert np.array_equal(np.bincount(LABELS[few]), np.full(7, 3))
    assert np.array_equal(np.bincount(LABELS[more]), np.minimum(np.bincount(LABELS), 20))


def test_a_limited_evaluation_is_spread_over_the_classes() -> None:
    """Always the same examples, nested, all classes equally often while there are enough."""
    assert np.array_equal(spread(LABELS, 70), spread(LABELS, 70))
    assert set(spread(LABELS, 7)) <= set(spread(LABELS, 70))
    assert np.array_equal(np.bincount(LABELS[spread(LABELS, 21)]), np.full(7, 3))
    assert len(set(LABELS[spread(LABELS, 5)])) == 5
