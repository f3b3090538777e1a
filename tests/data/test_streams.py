"""Random numbers by position."""

from __future__ import annotations

import numpy as np

from sepconv_lab.data import streams


def test_a_number_depends_on_its_key_and_place_alone() -> None:
    """Any rows, in any order, are those of the whole table."""
    table = streams.uniforms(range(100), 7, 0, "augment", 3)
    rows = [90, 3, 3, 41]
    assert np.array_equal(streams.uniforms(rows, 7, 0, "augment", 3), table[rows])


def test_keys_are_separate_streams() -> None:
    """Another seed, name or epoch gives unrelated numbers, and (1, "1") is not ("1", 1)."""
    keys = [(0, "order", 0), (1, "order", 0), (0, "order", 1), (0, "augment", 0), ("0", "order", 0)]
    tables = [streams.uniforms(range(1000), 1, *key)[:, 0] for key in keys]
    correlations = np.corrcoef(tables) - np.eye(len(keys))
    assert np.abs(correlations).max() < 0.15


def test_uniforms_are_uniform_and_below_one_in_float32_too() -> None:
    """10 bins of 100,000 numbers are equally full within five standard deviations."""
    u = streams.uniforms(range(100_000), 1, 5).astype(np.float32)
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.bincount((u[:, 0] * 10).astype(int), minlength=10)
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(9_000)


def test_permutation() -> None:
    """Every index once, and not where it was."""
    order = streams.permutation(1000, 0, "order", 0)
    assert np.array_equal(np.sort(order), np.arange(1000))
    assert (order == np.arange(1000)).sum() < 10


def test_numbers_never_change() -> None:
    """Runs of years ago can be repeated: the published sequence of SplitMix64 for the seed 1234567, and one key's start."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert streams.splitmix(1234567, np.arange(5, dtype=np.uint64)).tolist() == published
    assert streams.numbers(np.arange(1, dtype=np.uint64), 0, "order", 0).tolist() == [0x6B0DE8D4187842E2]
