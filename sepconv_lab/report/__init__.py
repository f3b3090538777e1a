"""A study as one HTML page that needs nothing else: no network, no script, no other file.

subject    a plan with its runs, and what they say: what every part of the page draws on
drawings   which figures belong to which study
svg        a figure as part of the page
tables     the page's tables, as text
prose      the page's sentences: banners, verdict in plain words, limits
text       numbers as text
page       all of it through the template; pure, frames in, HTML out

`python -m sepconv_lab.report STUDY` reads records or committed results and writes the page.
"""

from .page import page

__all__ = ["page"]
