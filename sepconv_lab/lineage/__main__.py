"""The paper's way from Inception to Xception (section 1, Figures 1-4), in the words of the axes.

`python -m sepconv_lab.lineage --out DIR` draws one figure a step. Nothing here imports torch: the conversions that carry
weights are in `equivalences.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from ..config import BadInput, Form, InceptionBlockConfig, Order, XceptionBlockConfig
from ..console.drawing import into_files
from ..console.streams import exit_with

TOWERS = 4
"""Segments with which the factor walk starts: the paper draws three towers, which divide no usual width."""


def in_axes(config: InceptionBlockConfig) -> XceptionBlockConfig:
    """The `xception` block that computes the same as this `inception` block.

    Figures 2 and 3 with G towers are `order=pointwise_first segments=G`, Figure 4 is one segment per channel; `reduce` is the
    depth multiplier. Raises BadInput for Figure 1, whose towers differ, and for a `reduce` that is no whole number.
    """
    if config.form is Form.canonical:
        raise BadInput("block.form=canonical has no spelling in the axes: its towers differ from each other")
    extreme = config.form is Form.extreme
    if not extreme and config.reduce != int(config.reduce):
        raise BadInput(
            f"block.reduce={config.reduce:g} has no spelling in the axes: block.depth_multiplier is a whole number"
        )
    shared = {
        f.name: getattr(config, f.name) for f in dataclasses.fields(XceptionBlockConfig) if hasattr(config, f.name)
    }
    del shared["name"]
    return XceptionBlockConfig(
        **shared,
        order=Order.pointwise_first,
        segments="channels" if extreme else config.towers,
        depth_multiplier=1 if extreme else int(config.reduce),
    )


def factor_walk(residual: bool = True) -> list[tuple[str, list[str]]]:
    """(name, overrides) of each step from the Inception-style block to Xception's; neighbours differ in one axis.

    The first step computes what `block=inception` does (Figure 2 with TOWERS towers), `segments` is Figure 4, `order` is the
    published Xception. Inception V3 has no shortcuts, so the walk exists with and without. Beware of the last step: at equal
    `mid_norm` and `mid_act` an exchange of the order also moves norm and activation to the other operation
    (`config.placements`; claim C5).
    """
    changes = [
        (
            "inception",
            "block.order=pointwise_first",
            f"block.segments={TOWERS}",
            "block.mid_norm=true",
            "block.mid_act=relu",
        ),
        ("segments", "block.segments=channels"),
        ("mid_norm", "block.mid_norm=false"),
        ("mid_act", "block.mid_act=none"),
        ("order", "block.order=depthwise_first"),
    ]
    shortcuts = f"block.residual={str(residual).lower()}"
    values: dict[str, str] = {}
    walk = []
    for name, *overrides in changes:
        values |= {key: value for key, _, value in (o.partition("=") for o in overrides)}
        walk.append((name, ["block=xception", *(f"{k}={v}" for k, v in values.items()), shortcuts]))
    return walk


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the lineage's figures. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sepconv_lab.lineage", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--format", choices=["svg", "png"], default="svg")
    options = parser.parse_args(arguments)
    into_files()
    from .drawings import draw_all

    try:
        for path in draw_all(options.out, options.format):
            print(path)
    except OSError as error:
        print(f"--out {options.out}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    exit_with(main)
