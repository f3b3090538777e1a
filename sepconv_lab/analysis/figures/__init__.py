"""One function a figure: frames in, matplotlib `Axes` out. matplotlib is imported when something is drawn.

Every function takes `ax=` to draw into; without it a figure 3.3 inches wide (half a page) is made. `save` writes it.
Own runs and the paper's curves never share an axis.
"""

from .curves import beside_paper, figure06, figure07, figure08, figure09, figure10, learning_curves, paper_figure
from .forest import forest, forest_of
from .grid import norm_activation_grid
from .points import order_at_placements, pareto_front, slopes, spectrum
from .style import colour, drawing, linestyle, marker, save

__all__ = [
    "beside_paper", "colour", "drawing", "figure06", "figure07", "figure08", "figure09", "figure10", "forest",
    "forest_of", "learning_curves", "linestyle", "marker", "norm_activation_grid", "order_at_placements",
    "paper_figure", "pareto_front", "save", "slopes", "spectrum",
]  # fmt: skip
