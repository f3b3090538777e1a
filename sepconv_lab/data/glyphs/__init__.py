"""`data=glyphs`, the embedded default: characters from the fonts inside matplotlib, to be recognised in unseen faces.

Training uses 7 faces, validation an eighth of the same two families, the test the four of the third (`data.fold`).
With `data.fill=flat` each picture has two colours: but for its noise it is rank one in channel x space, which flatters
separable layers. Hence `textured`, the default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from ...config import BadInput, GlyphsConfig
from ...config.registry import register
from ...console.progress import progress
from ..cache import CachedImages
from ..splits import ImageData, MemorySplit, Split, image_data
from . import classes, render
from .faces import faces_of, fonts_digest


@register(GlyphsConfig)
class Glyphs:
    """The data set that a `GlyphsConfig` describes."""

    def __init__(self, config: GlyphsConfig) -> None:
        if config.num_classes > len(classes.classes()):
            raise BadInput(f"data.num_classes={config.num_classes}: there are {len(classes.classes())} characters")
        self.config = config
        self.characters = (*classes.classes()[config.first_class :], *classes.classes()[: config.first_class])[
            : config.num_classes
        ]
        self.counts = {
            "train": config.images_per_class,
            "val": config.eval_images_per_class,
            "test": config.eval_images_per_class,
        }

    def fingerprint(self) -> str:
        """sha256 over renderer, fonts and their libraries, characters, and every setting that changes pictures or splits."""
        config = self.config
        settings = (
            config.seed,
            config.image_size,
            config.fill.name,
            config.fold.name,
            faces_of(config.fold),
            self.counts,
        )
        return hashlib.sha256(repr((render.RENDERER, fonts_digest(), self.characters, settings)).encode()).hexdigest()

    def sizes(self) -> tuple[int, int, int, int]:
        """Pictures for training, validation and test, and classes."""
        train, val, test = (len(self.characters) * count for count in self.counts.values())
        return train, val, test, len(self.characters)

    def load(self) -> ImageData:
        """The splits; pictures that are not in the cache are drawn."""
        digest, config = self.fingerprint(), self.config
        splits: dict[str, Split] = {}
        for split, count in self.counts.items():
            labels = np.repeat(np.arange(len(self.characters)), count)
            stored = CachedImages(digest, split, len(labels), config.image_size, partial(self._draw, split))
            splits[split] = MemorySplit(stored, None, labels, config.image_size)
        return image_data(splits, [chr(c) for c in self.characters], digest)

    def _draw(self, split: str) -> Iterator[npt.NDArray[np.uint8]]:
        config, count = self.config, self.counts[split]
        with progress(f"Drawing characters ({split})", count * len(self.characters)) as bar:
            for pictures in render.render(config, split, faces_of(config.fold)[split], self.characters, count):
                bar.update(count)
                yield pictures
