"""Random numbers by position: any part of a stream without drawing what stands before it.

A stream is named by a key such as (seed, "augment", epoch). Its n-th number is the n-th output of SplitMix64 (Steele, Lea
and Flood 2014) started at the key's hash. It depends on neither torch nor numpy's generators, so the same key gives the
same numbers in any process, order, thread count and version.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def numbers(positions: npt.NDArray[np.uint64], *key: int | str) -> npt.NDArray[np.uint64]:
    """The stream's 64-bit numbers at these positions, in an array of the same shape."""
    return splitmix(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little"), positions)


def splitmix(seed: int, positions: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's outputs number `positions`, from 0, after seeding."""
    with np.errstate(over="ignore"):
        z = (positions + np.uint64(1)) * _STEP + np.uint64(seed)
        z ^= z >> np.uint64(30)
        z *= _MIX_1
        z ^= z >> np.uint64(27)
        z *= _MIX_2
        z ^= z >> np.uint64(31)
    return z


def uniforms(rows: npt.ArrayLike, columns: int, *key: int | str) -> npt.NDArray[np.float64]:
    """Rows of a table of uniforms in [0, 1) that has `columns` columns and no end: (len(rows), columns).

    They have 24 bits, so that float32 holds them exactly and stays below 1 too.
    """
    first = np.asarray(rows, dtype=np.uint64)[:, None] * np.uint64(columns)
    positions: npt.NDArray[np.uint64] = np.add(first, np.arange(columns, dtype=np.uint64), dtype=np.uint64)
    return (numbers(positions, *key) >> np.uint64(40)).astype(np.float64) * 2.0**-24


def permutation(count: int, *key: int | str) -> npt.NDArray[np.int64]:
    """A random order of 0 .. count - 1."""
    return np.argsort(numbers(np.arange(count, dtype=np.uint64), *key), kind="stable")
