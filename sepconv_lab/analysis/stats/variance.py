"""Where the variance of an effect comes from - seeds, strata, test classes, test images - and what reduces it most cheaply.

The noise of a finite test split is estimated from the predictions of single images, to first order (the delta method), with the
class as cluster: images of one class are hard or easy together, so 3,000 of them can act like 700.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...config import BadInput
from .intervals import t_quantile
from .strata import split

Array = NDArray[np.float64]

FACTORS = (2, 4, 10)
"""How much longer, or on how much more, a lever is tried."""
FEWEST, MOST = 5, 1000


class SeedImages(NamedTuple):
    """What one seed's test images add to the effect: each image's part (zero on average) and its class, (images,) each."""

    influence: Array
    classes: NDArray[np.intp]


def seed_images(wrong: Mapping[str, ArrayLike], weights: Mapping[str, float], classes: ArrayLike) -> SeedImages:
    """The images' parts in a contrast of ln test errors within one seed.

    wrong: variant -> (images,), whether it erred; weights: variant -> weight, as of a contrast; classes: (images,), the true ones.
    Raises BadInput for a variant without a prediction or without an error, and for counts that differ.
    """
    true = np.unique(np.asarray(classes), return_inverse=True)[1]
    total = np.zeros(true.size)
    for variant, weight in weights.items():
        if variant not in wrong:
            raise BadInput(f"no predictions of variant {variant!r}; there are: {', '.join(wrong) or 'none'}")
        erred = np.asarray(wrong[variant], float)
        if erred.shape != true.shape:
            raise BadInput(f"variant {variant!r} has predictions of {erred.size} images, not of the {true.size} tested")
        if not erred.any():
            raise BadInput(f"variant {variant!r} made no error: its logarithm has no spread over images")
        total += weight * (erred / erred.mean() - 1)
    return SeedImages(total, true)


@dataclass(frozen=True)
class Parts:
    """The variance of one seed's effect, by where it comes from. Standard deviations are the square roots."""

    training: float
    """Initialisation, order, augmentation: what is left of the spread within strata."""
    strata: float
    """Between the means of the strata; no part of a stratified interval."""
    classes: float
    """Which classes are tested."""
    images: float
    """Which images of them."""
    tested_classes: int
    images_per_class: float
    icc: float
    """How alike the images of one class are: 0 not at all, 1 completely."""
    shared: bool
    """All seeds share one test split: its noise is in every seed alike and in no interval over seeds."""

    @property
    def sd(self) -> float:
        """Of the difference over seeds, within strata."""
        return math.sqrt(self.training + (0.0 if self.shared else self.classes + self.images))

    @property
    def worth(self) -> float:
        """As how many independent images the test split acts."""
        total = self.tested_classes * self.images_per_class
        return total / (1 + max(self.images_per_class - 1, 0) * self.icc)

    @property
    def text(self) -> str:
        """E.g. "SD .080: training .050, classes .060, images .020; between strata .110; 3,000 images act like 730 (ICC .35)"."""
        names = {"training": self.training, "classes": self.classes, "images": self.images}
        each = ", ".join(f"{name} {math.sqrt(v):.3f}" for name, v in names.items())
        between = f"; between strata {math.sqrt(self.strata):.3f}" if self.strata else ""
        total = self.tested_classes * self.images_per_class
        limits = "; one test split for all seeds, whose noise no interval holds" if self.shared else ""
        return f"SD {self.sd:.3f}: {each}{between}; {total:,.0f} images act like {self.worth:,.0f} (ICC {self.icc:.2f}){limits}"


def parts(
    differences: ArrayLike,
    seeds: Iterable[SeedImages],
    labels: Sequence[Hashable] | None = None,
    *,
    shared: bool = False,
) -> Parts:
    """The parts of a contrast's variance.

    differences: (n,), one value a seed; seeds: what each seed's images add; labels: the seeds' strata, where there are some.
    A part that comes out negative, as estimated variances may, counts as zero. Raises BadInput for fewer than two seeds.
    """
    d = np.asarray(differences, float)
    if d.size < 2:
        raise BadInput("where the variance comes from takes two seeds or more")
    places = split(labels if labels is not None else [0] * d.size)
    groups = d[np.stack(list(places.values()))]
    within = float(groups.var(-1, ddof=1).mean())
    strata = float(groups.mean(-1).var(ddof=1) - within / groups.shape[-1]) if len(groups) > 1 else 0.0
    found = np.array([_clustered(t) for t in seeds])
    of_class, of_image, classes, per_class = found.mean(0)
    by_class, by_image = of_class / classes, of_image / (classes * per_class)
    training = within - (0.0 if shared else by_class + by_image)
    whole = of_class + of_image
    return Parts(max(training, 0.0), max(strata, 0.0), by_class, by_image, round(classes), per_class,
                 of_class / whole if whole else 0.0, shared)  # fmt: skip


def _clustered(t: SeedImages) -> tuple[float, float, int, float]:
    """Variance between classes and within, of one image's part; the number of classes and of images in each (one-way, random)."""
    sizes = np.bincount(t.classes)
    if sizes.size < 2:
        raise BadInput("test images of one class alone: the variance between classes is not known")
    means = np.bincount(t.classes, t.influence) / sizes
    squares = float(np.square(t.influence - means[t.classes]).sum())
    within = squares / (t.influence.size - sizes.size) if t.influence.size > sizes.size else 0.0
    between = float((sizes * np.square(means - t.influence.mean())).sum()) / (sizes.size - 1)
    size = (t.influence.size - np.square(sizes).sum() / t.influence.size) / (sizes.size - 1)
    return max(between - within, 0.0) / size, within, sizes.size, t.influence.size / sizes.size


@dataclass(frozen=True)
class Lever:
    """One way to an interval of half-width d: what is changed, the SD then, the seeds and the cost that it takes."""

    name: str
    factor: float
    sd: float
    seeds: int | None
    """None: more than 1000."""
    cost: float
    """Seconds in all; infinite where no number of seeds is enough."""


def levers(
    found: Parts, smallest: float, *, training: float, testing: float, longer: Mapping[float, float] | None = None
) -> list[Lever]:
    """The ways to a 95 % interval of half-width `smallest`, the cheapest first.

    training, testing: seconds that one seed's runs take, all variants together. More to test costs testing time alone.
    longer: factor of the training time -> measured SD of training as a share of today's; without a measurement it is not offered.
    Where seeds share one test split, more of it changes no interval over seeds, and is not offered either.
    """
    ways = [("more seeds", 1.0, found, training + testing)]
    for factor in map(float, FACTORS if not found.shared else ()):
        more = replace(found, classes=found.classes / factor, images=found.images / factor)
        ways.append(("more test classes", factor, more, training + factor * testing))
        more = replace(found, images=found.images / factor)
        ways.append(("more images a class", factor, more, training + factor * testing))
    for factor, ratio in (longer or {}).items():
        more = replace(found, training=found.training * ratio**2)
        ways.append(("longer training", factor, more, factor * training + testing))
    n = np.arange(FEWEST, MOST + 1)
    result = []
    for name, factor, then, each in ways:
        enough = n[t_quantile(n - 1, 0.95) * then.sd / np.sqrt(n) <= smallest]
        seeds = int(enough[0]) if enough.size else None
        result.append(Lever(name, factor, then.sd, seeds, seeds * each if seeds else math.inf))
    return sorted(result, key=lambda lever: lever.cost)
