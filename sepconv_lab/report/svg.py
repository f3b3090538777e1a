"""A matplotlib figure as part of an HTML page."""

from __future__ import annotations

import base64
import functools
import html
import io
import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from ..analysis.figures import style
from ..console.drawing import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT = "DejaVuSans.ttf"
"""matplotlib's own, in which every figure is laid out."""


def svg(drawn: Axes, key: str, label: str) -> Markup:
    """An `<svg>` element as wide as its container. Same figure, same bytes.

    key: prefixed to every id, so that several figures share a page. label: what a screen reader says.
    """
    figure = drawn.get_figure(root=True)
    assert figure is not None
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with styled(style.RC):
        style.lay_out(figure)
        figure.savefig(out, format="svg", metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    width, height = figure.get_size_inches() * 72
    key = word(key)
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" id="{key}"'
    text = re.sub(r"^<svg[^>]*", lambda _: head, text)
    rest = text[len(head) :]
    text = head + re.sub(r"""\bid=("[^"]*"|'[^']*')""", lambda m: f'id="{key}-{word(m[1][1:-1])}"', rest)
    text = re.sub(r'href="#([^"]*)"', lambda m: f'href="#{key}-{word(m[1])}"', text)
    text = re.sub(r"url\(#([^)]*)\)", lambda m: f"url(#{key}-{word(m[1])})", text)
    text = text.replace("xlink:href=", "href=")
    return Markup(text)


def word(name: str) -> str:
    """A name, perhaps somebody else's, as an id or a part of one: letters, digits, _ . and -, the same for the same name."""
    return re.sub(r"[^\w.-]", lambda m: "-" if m[0] == " " else f"-{ord(m[0]):x}-", html.unescape(name))


@functools.cache
def font(characters: str) -> str:
    """The figures' font with these characters and ASCII alone, as the content of a `data:` URL."""
    import matplotlib
    from fontTools import subset

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONT
    options = subset.Options(flavor="woff", hinting=False, layout_features=["kern"], notdef_outline=True)
    options.drop_tables += ["FFTM"]
    out = io.BytesIO()
    with subset.load_font(str(path), options) as whole:
        part = subset.Subsetter(options)
        part.populate(text=characters + string.printable)
        part.subset(whole)
        subset.save_font(whole, out, options)
    return base64.b64encode(out.getvalue()).decode()


def characters(drawings: Iterable[str]) -> str:
    """The characters beyond ASCII in several `<svg>` elements, in order."""
    return "".join(sorted({c for text in drawings for c in text if ord(c) > 127}))
