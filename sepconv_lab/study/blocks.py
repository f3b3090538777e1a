"""What else a seed sets: values of the data's settings, drawn so that no two seeds of a study share a combination.

Values advance together, one a seed, so that each comes equally often; when the combination would repeat, all but the stratum's
are shifted against each other.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from ..config import BadInput

Values = Mapping[str, Sequence[str]]
"""Setting of the data -> the values that seeds go through."""


def combinations(values: Values, stratum: str | None = None) -> list[dict[str, str]]:
    """Every combination once, in the order in which seeds take them; any run of seeds goes evenly through the stratum's values.

    Where all values have come equally often and a combination would repeat, the next series starts from one that no series has.
    """
    lengths = {key: len(v) for key, v in values.items()}
    period = math.lcm(*lengths.values())
    taken: set[tuple[int, ...]] = set()
    found = []
    for start in itertools.product(*(range(1) if key == stratum else range(n) for key, n in lengths.items())):
        if start not in taken:
            series = [tuple((s + i) % n for s, n in zip(start, lengths.values(), strict=True)) for i in range(period)]
            taken.update(series)
            found += [{k: values[k][i] for k, i in zip(values, places, strict=True)} for places in series]
    return found


def draw(
    values: Values, first: int, seeds: Sequence[int], tuning: Sequence[int] = (), stratum: str | None = None
) -> dict[int, dict[str, str]]:
    """seed -> what else it sets. Seed `first` takes the first combination; tuning seeds take theirs from the end.

    Raises BadInput where there are too few combinations for both kinds of seeds.
    """
    if not values:
        return {seed: {} for seed in seeds}
    every = combinations(values, stratum)
    places = {seed: (seed - first) % len(every) for seed in seeds if seed not in tuning}
    reserved = {seed: len(every) - 1 - i for i, seed in enumerate(tuning)}
    shared = [seed for seed, n in places.items() if Counter([*places.values(), *reserved.values()])[n] > 1]
    if shared or len(tuning) > len(every):
        lists = ", ".join(f"{len(v)} of {key}" for key, v in values.items())
        raise BadInput(
            f"blocks: too few values: {lists} make {len(every)} combinations, {len(places)} seeds and {len(tuning)} tuning seeds "
            f"take one each, counted from seed {first}; no two may share their data"
        )
    return {seed: every[(places | reserved)[seed]] for seed in seeds}


def check_balance(block: Mapping[int, Mapping[str, str]], looks: Sequence[int], stratum: str) -> None:
    """Raises BadInput unless every look has each value of the stratum equally often, and at least twice."""
    seeds = list(block)
    levels = {b[stratum] for b in block.values()}
    for look in looks:
        counts = Counter(block[seed][stratum] for seed in seeds[:look])
        if set(counts) != levels or len(set(counts.values())) > 1 or min(counts.values()) < 2:
            each = ", ".join(f"{value} {counts[value]}" for value in sorted(levels))
            raise BadInput(
                f"strata: {stratum}: {look} seeds are {each}: each value equally often, and at least twice, at every look"
            )
