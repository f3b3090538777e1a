"""The classes of `data=glyphs`: which characters, in which order.

`python -m sepconv_lab.data.glyphs.classes > sepconv_lab/data/glyphs/classes.txt` made the committed list: the characters that all
12 faces have and that look different from each other in every face. It is made in passes, each asking for less difference
than the one before (THRESHOLDS), so that a short list holds no look-alikes and only the longest come down to fine accents.
Within a pass, characters with lower code points are preferred (`h` before its superscript), and the order is then shuffled,
so that any stretch of it mixes scripts and symbols. Changing the list changes every digest of the data: do not.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Sequence
from importlib import resources

import numpy as np
import numpy.typing as npt

from .. import streams
from .faces import FACES, MARGIN, font_file, masks

COUNT = 2000
THRESHOLDS = (0.2, 0.12, 0.06, 0.03)
"""Smallest `distances` within the list after each pass."""
_SIDE = 32


@functools.cache
def classes() -> tuple[int, ...]:
    """The code points of all classes, in order; `data.num_classes` of them from `data.first_class` on are used."""
    text = resources.files(__package__).joinpath("classes.txt").read_text(encoding="ascii")
    return tuple(int(line.split()[0][2:], 16) for line in text.splitlines() if line.startswith("U+"))


def shared_characters() -> list[int]:
    """Code points that all 12 faces have, ascending."""
    from matplotlib.ft2font import FT2Font

    return sorted(set.intersection(*(set(FT2Font(str(font_file(face))).get_charmap()) for face in FACES)))


def distances(characters: Sequence[int]) -> npt.NDArray[np.float32]:
    """How different each two characters look where they look most alike: (n, n), 0 for the same, infinity on the diagonal.

    In one face: the summed difference of their masks, halved to 16 x 16, over the smaller one's ink; then the minimum over
    the 12 faces. A character without ink in some face is at 0 from every other.
    """
    import torch

    least = torch.full((len(characters), len(characters)), torch.inf)
    for face in FACES:
        inner = masks(face, characters, _SIDE)[:, MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32) / 255
        x = torch.from_numpy(inner.reshape(-1, _SIDE // 2, 2, _SIDE // 2, 2).mean((2, 4))).flatten(1)
        ink = x.sum(1)
        relative = torch.cdist(x, x, p=1) / torch.minimum(ink[:, None], ink[None])
        relative[(ink == 0)[:, None] | (ink == 0)[None]] = 0
        least = torch.minimum(least, relative)
    return least.fill_diagonal_(torch.inf).numpy()


def choose(characters: Sequence[int], distance: npt.NDArray[np.float32]) -> list[tuple[float, list[int]]]:
    """The passes of the list: (threshold, code points in their final order)."""
    inked = np.isfinite(distance).any(1) & (np.where(np.isfinite(distance), distance, 0).max(1) > 0)
    taken = np.zeros(len(characters), bool)
    passes = []
    for threshold in THRESHOLDS:
        new = []
        for i in np.flatnonzero(inked & ~taken).tolist():
            if not (distance[i][taken] < threshold).any():
                taken[i] = True
                new.append(characters[i])
        passes.append(
            (threshold, [new[k] for k in streams.permutation(len(new), "glyph classes", str(threshold)).tolist()])
        )
    return passes


def main() -> None:
    """Print the list."""
    characters = shared_characters()
    left = COUNT
    print(
        "# Classes of data=glyphs, by `python -m sepconv_lab.data.glyphs.classes`. The order is part of the data: do not edit."
    )
    for threshold, chosen in choose(characters, distances(characters)):
        chosen, left = chosen[:left], left - len(chosen[:left])
        if chosen:
            print(f"# {len(chosen)} that differ from all before by at least {threshold:g} of their ink in every face")
        for c in chosen:
            print(f"U+{c:04X} {unicodedata.name(chr(c), 'UNNAMED')}")
    if left:
        sys.exit(f"only {COUNT - left} distinct characters, not {COUNT}")


if __name__ == "__main__":
    main()
