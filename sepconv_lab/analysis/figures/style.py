"""How figures look: colours fixed by variant name, sizes for half a page, files that stay vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...console.drawing import styled
from ..claims.where import where

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HALF, FULL = 3.3, 6.9
"""Widths in inches: half a page (one column) and a page."""

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Okabe and Ito's colours, which people with any common colour blindness tell apart; their yellow is lost in print."""
GREY = "#767676"
DASHES: tuple[Any, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
"""Solid, dashed, dotted, dash-dotted: variants stay apart without colour."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

KNOWN: dict[str, tuple[int, int]] = {
    "none": (0, 0), "relu": (1, 1), "elu": (2, 3), "norm": (5, 0), "norm_relu": (4, 1), "norm_elu": (3, 3),
    "gelu": (3, 0), "silu": (4, 3), "mish": (5, 1), "selu": (2, 1), "relu6": (4, 0), "leaky_relu": (1, 3), "hardswish": (5, 2),
    "tanh": (6, 0), "sigmoid": (6, 1),
    "none_no_decay": (0, 2), "norm_relu_no_decay": (4, 3),
    "residual": (0, 0), "no_residual": (1, 1), "no_residual_same_width": (1, 3),
    "xception": (0, 0), "inception": (1, 1), "inception_v3": (1, 3), "conv": (6, 2),
    "xception_no_residual": (5, 3), "inception_no_residual": (4, 2), "xception_equal_macs": (2, 0),
    "walk_segments": (3, 1), "walk_mid_norm": (3, 2), "walk_mid_act": (3, 3),
    "vgg_sep": (2, 0), "vgg_inception": (3, 1),
    "xception_many": (0, 0), "inception_many": (1, 1), "xception_many_fc": (0, 3), "inception_many_fc": (1, 2),
    "xception_few": (5, 0), "inception_few": (4, 1), "xception_few_fc": (5, 3), "inception_few_fc": (4, 2),
    "xception_few_equal_per_class": (2, 0), "inception_few_equal_per_class": (3, 1),
    "depthwise_first": (0, 0), "pointwise_first": (1, 1),
    "depthwise_first_after_pointwise": (0, 0), "pointwise_first_after_pointwise": (1, 0),
    "depthwise_first_after_depthwise": (0, 1), "pointwise_first_after_depthwise": (1, 1),
    "depthwise_first_after_both": (0, 2), "pointwise_first_after_both": (1, 2),
    "depthwise_first_after_pointwise_no_residual": (2, 0), "pointwise_first_after_pointwise_no_residual": (4, 0),
    "depthwise_first_after_depthwise_no_residual": (2, 1), "pointwise_first_after_depthwise_no_residual": (4, 1),
    "depthwise_first_after_both_no_residual": (2, 2), "pointwise_first_after_both_no_residual": (4, 2),
    "segments_1": (1, 1), "segments_2": (4, 0), "segments_4": (3, 0), "segments_8": (2, 0), "segments_16": (5, 0),
    "segments_32": (5, 1), "segments_channels": (0, 0),
    "segments_1_none": (4, 0), "segments_1_relu": (1, 1),
    "segments_channels_none": (0, 0), "segments_channels_relu": (5, 1),
}  # fmt: skip
"""variant -> (place in PALETTE, place in DASHES). Others get theirs from a hash of their name, the same every time."""
PAPER_NAMES = {"xception_non_residual": "no_residual"}
"""Curves of the paper that have another name here. Figure 9's `xception` is our `residual`, of the same colour."""

RC: Any = {
    "font.size": 7.5, "axes.titlesize": 7.5, "axes.labelsize": 7.5, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "lines.linewidth": 1.4, "legend.frameon": False,
    "axes.titlelocation": "left", "figure.dpi": 150, "savefig.dpi": 300, "svg.fonttype": "none", "pdf.fonttype": 42,
    "svg.hashsalt": "sepconv_lab", "text.parse_math": False, "text.usetex": False,
}  # fmt: skip


def _places(variant: str) -> tuple[int, int]:
    name = PAPER_NAMES.get(variant, variant)
    if name in KNOWN:
        return KNOWN[name]
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return number % len(PALETTE), number // len(PALETTE) % len(DASHES)


def colour(variant: str) -> str:
    """The variant's colour, the same in every figure."""
    return PALETTE[_places(variant)[0]]


def linestyle(variant: str) -> Any:
    """The variant's dashes, so that lines stay apart in grey."""
    return DASHES[_places(variant)[1]]


def marker(variant: str) -> str:
    """The variant's marker."""
    first, second = _places(variant)
    return MARKERS[(first + 2 * second) % len(MARKERS)]


def label(variant: str) -> str:
    """A variant's name as text."""
    return variant.replace("_", " ")


def seeds(n: int, planned: int) -> str:
    """ "n=6", or "n=4 of 6" where runs are missing."""
    return f"n={n}" if n == planned else f"n={n} of {planned}"


ROW = 0.145
"""Inches that a row of a legend takes."""


def legend_rows(labels: Iterable[str], most: int = 22) -> tuple[int, int]:
    """(columns, rows) of a legend below axes half a page wide: two columns unless a label has more than `most` letters."""
    names = list(labels)
    columns = 1 if max(map(len, names), default=0) > most else 2
    return columns, -(-len(names) // columns)


@contextmanager
def drawing(ax: Axes | None = None, size: tuple[float, float] = (HALF, 2.4)) -> Iterator[Axes]:
    """The axes to draw into, in this style: `ax`, or those of a new figure of `size` inches. Leaves no global state."""
    from matplotlib.figure import Figure

    with styled(RC):
        yield Figure(figsize=size, layout="constrained").add_subplot() if ax is None else ax


def panels(count: int, size: tuple[float, float] = (FULL, 2.4)) -> tuple[Figure, list[Axes]]:
    """A new figure with panels side by side, each with scales of its own."""
    from matplotlib.figure import Figure

    with styled(RC):
        figure = Figure(figsize=size, layout="constrained")
        return figure, list(figure.subplots(1, count, squeeze=False)[0])


def save(drawn: Axes | Figure, path: str | Path) -> Path:
    """Write a figure; the suffix decides the format. svg and pdf keep text as text; same data, same bytes."""
    from matplotlib.figure import Figure

    figure = drawn if isinstance(drawn, Figure) else drawn.get_figure(root=True)
    assert figure is not None
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(Path(path).suffix, {})
    with styled(RC):
        lay_out(figure)
        figure.savefig(path, metadata=dates)
    return Path(path)


def lay_out(figure: Figure) -> None:
    """A first pass of the layout; saving makes the second. A tall legend shrinks the axes, which changes the ticks and the
    width of their labels, so that one pass cuts them."""
    figure.draw_without_rendering()


def note(ax: Axes, runs: pd.DataFrame) -> None:
    """Above the axes, at the left: what the runs were trained on, so that no figure travels without its scale."""
    scale, data, _ = where(runs)
    ax.set_title(f"{data.removesuffix(' (not ImageNet)')}, {scale} scale", color=GREY)
