"""The drawings of docs/lineage.md: boxes are operations, data flow upwards as in the paper's Figures 1-4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ..console.drawing import styled

COLOURS = {"pointwise": "#cfe3f3", "spatial": "#fbdcb8", "other": "#ececec", "between": "#ffffff"}
"""1x1 convolutions, convolutions over space, pools and joints, what stands between."""
WIDTH, STEP = 1.0, 1.0
"""Of a tower and of a row, in the drawing's units."""

Point = tuple[float, float]


class Sheet:
    """A small figure with an equal-sided grid: towers in columns, operations in rows from the bottom."""

    def __init__(self, columns: float, rows: float):
        self.figure = Figure(figsize=(1.15 * columns, 0.62 * rows + 0.1))
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(-0.1, columns * WIDTH + 0.1), ylim=(-0.15, rows * STEP))
        self.axes.axis("off")

    def box(self, left: float, row: float, text: str, kind: str, width: float = WIDTH, size: float = 8) -> None:
        """A box over `width` columns from `left`, with 60 % of a row's height."""
        gap = min(0.08, width * 0.12)
        corner, extent = (left + gap, row * STEP + 0.1), (width - 2 * gap, 0.56)
        style = f"round,pad=0,rounding_size={min(0.08, width / 6)}"
        edge = "#555555" if kind != "between" else "#aaaaaa"
        self.axes.add_patch(
            FancyBboxPatch(corner, *extent, boxstyle=style, facecolor=COLOURS[kind], edgecolor=edge, linewidth=0.8)
        )
        self.text((left + width / 2, row * STEP + 0.38), text, size)

    def arrow(self, x: float, row: float, until: float | None = None, to: float | None = None) -> None:
        """From the top of the box in `row` to the bottom of that in row `until` (the next one), at column position x."""
        start, end = (x, row * STEP + 0.68), (x if to is None else to, (until or row + 1) * STEP + 0.08)
        arrow = {
            "arrowstyle": "-|>",
            "linewidth": 0.8,
            "color": "#555555",
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 7,
        }
        self.axes.annotate("", end, start, arrowprops=arrow)

    def text(self, at: Point, text: str, size: float = 8, colour: str = "#222222") -> None:
        self.axes.text(*at, text, ha="center", va="center", fontsize=size, color=colour)


def _towers(towers: Sequence[Sequence[tuple[str, str]]]) -> Sheet:
    """Parallel towers of (text, kind) on one input, concatenated."""
    columns, rows = len(towers), max(map(len, towers)) + 2
    sheet = Sheet(columns, rows)
    sheet.box(0, 0, "input", "other", columns)
    for i, tower in enumerate(towers):
        for row, (text, kind) in enumerate(tower, 1):
            sheet.arrow(i + 0.5, row - 1)
            sheet.box(i, row, text, kind)
        sheet.arrow(i + 0.5, len(tower), rows - 1)
    sheet.box(0, rows - 1, "concatenation", "other", columns)
    return sheet


ONE, SPATIAL = ("1×1", "pointwise"), ("3×3", "spatial")


def figure1() -> Sheet:
    """block=inception block.form=canonical"""
    return _towers([[ONE], [ONE, SPATIAL], [("avg pool", "other"), SPATIAL], [ONE, SPATIAL, SPATIAL]])


def figure2() -> Sheet:
    """block=inception block.form=simplified block.towers=3"""
    return _towers([[ONE, SPATIAL]] * 3)


def figure3() -> Sheet:
    """block=inception block.form=segments block.towers=3"""
    return _segments(3, "3×3", 8)


def figure4() -> Sheet:
    """block=inception block.form=extreme"""
    return _segments(9, "3×3", 6)


def _segments(count: int, text: str, size: float) -> Sheet:
    columns = 3
    sheet, width = Sheet(columns, 4), columns / count
    sheet.box(0, 0, "input", "other", columns)
    sheet.arrow(columns / 2, 0)
    sheet.box(0, 1, "1×1", "pointwise", columns)
    for i in range(count):
        sheet.arrow((i + 0.5) * width, 1)
        sheet.box(i * width, 2, text, "spatial", width, size)
        sheet.arrow((i + 0.5) * width, 2)
    sheet.box(0, 3, "concatenation", "other", columns)
    return sheet


def layer() -> Sheet:
    """A separable layer and its axes, in both orders."""
    sheet = Sheet(4, 6)
    spatial, pointwise = ("spatial, k×k", "spatial"), ("pointwise, 1×1", "pointwise")
    for left, order, (first, second) in (
        (0, "depthwise_first", (spatial, pointwise)),
        (2, "pointwise_first", (pointwise, spatial)),
    ):
        between = [("mid_norm", "between"), ("mid_act", "between")]
        for row, (text, kind) in enumerate([first, *between, second, ("out_norm", "between")]):
            sheet.box(left, row, text, kind, 2)
            if row < 4:
                sheet.arrow(left + 1, row)
        sheet.text((left + 1, 5.3), f"order={order}", 8)
    return sheet


def order() -> Sheet:
    """One chain of operations, bracketed as depthwise-first layers above and as pointwise-first layers below."""
    sheet = Sheet(6.2, 3)
    chain = [("D", "spatial"), ("P", "pointwise"), ("s", "between")] * 3
    width = 0.68
    for i, (text, kind) in enumerate(chain):
        sheet.box(i * width, 1.05, text, kind, width)

    def bracket(first: int, count: int, y: float, text: str) -> None:
        low, high = first * width + 0.1, (first + count) * width - 0.1
        tick = 0.12 if y < 1.4 else -0.12
        sheet.axes.plot([low, low, high, high], [y + tick, y, y, y + tick], color="#555555", linewidth=0.8)
        sheet.text(((low + high) / 2, y - 2 * tick), text, 7)

    for i in range(3):
        bracket(3 * i, 3, 1.95, "depthwise_first, act = s")
    bracket(0, 1, 0.85, "first")
    for i in range(2):
        bracket(3 * i + 1, 3, 0.85, "pointwise_first, mid = s")
    bracket(7, 2, 0.85, "last")
    return sheet


FIGURES: dict[str, Callable[[], Sheet]] = {
    "figure1": figure1,
    "figure2": figure2,
    "figure3": figure3,
    "figure4": figure4,
    "layer": layer,
    "order": order,
}


def draw_all(folder: Path, kind: str = "svg") -> list[Path]:
    """Write every figure into the folder and return the paths. Equal bytes for equal versions of matplotlib."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with styled({"svg.hashsalt": "sepconv_lab", "svg.fonttype": "none", "font.family": "DejaVu Sans"}):
        for name, draw in FIGURES.items():
            paths.append(folder / f"{name}.{kind}")
            draw().figure.savefig(paths[-1], dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return paths
