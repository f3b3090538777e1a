"""Numbers as text: true minus signs, thousands, units; nothing at all where there is no number."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

import pandas as pd

from ..console.progress import duration

NONE = "–"


def known(value: Any) -> bool:
    return value is not None and not pd.isna(value)


def number(value: Any, digits: int = 0, *, sign: bool = False) -> str:
    """E.g. 1,234 or −0.051; with `sign` a plus too."""
    if not known(value):
        return NONE
    return f"{value:{'+' if sign else ''},.{digits}f}".replace("-", "−")


def percent(value: Any, digits: int = 1) -> str:
    """A fraction in per cent, without the sign."""
    return number(100 * value, digits) if known(value) else NONE


def spread(mean: Any, sd: Any, digits: int = 1) -> str:
    """Fractions as "80.1 ± 0.4" in per cent; without ± where one value has no spread."""
    return percent(mean, digits) + (f" ± {percent(sd, digits)}" if known(sd) else "")


def millions(value: Any) -> str:
    """E.g. 20.0 M; 0.26 M."""
    return number(value / 1e6, 1 if value >= 1e7 else 2) + " M" if known(value) else NONE


def interval(low: float, high: float, digits: int = 3) -> str:
    """E.g. [−0.01, +0.02]."""
    return f"[{number(low, digits, sign=True)}, {number(high, digits, sign=True)}]"


def estimate(value: float, low: float, high: float, why_no_interval: str, digits: int = 3) -> str:
    """E.g. "+0.054 [−0.001, +0.109]", or the reason in place of an interval."""
    return f"{number(value, digits, sign=True)} " + (
        f"({why_no_interval})" if why_no_interval else interval(low, high, digits)
    )


def time(seconds: Any) -> str:
    return duration(float(seconds)) if known(seconds) else NONE


def hours(seconds: float) -> str:
    """Computing time in words: 48 minutes, 3.2 hours."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def plural(count: int, word: str) -> str:
    """1 run, 2 runs."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def day(stamp: str) -> str:
    """2026-11-23T14:00:00Z as "23 November 2026, 14:00 UTC"; other text as it is."""
    try:
        at = datetime.datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return stamp
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def change(effect: float) -> str:
    """A difference of ln error, as claimed, as what it does to the error: "4.9 % smaller", "2.0 % larger"."""
    if math.isnan(effect):
        return NONE
    ratio = 100 * math.expm1(-effect)
    return f"{abs(ratio):.1f} % {'smaller' if ratio <= 0 else 'larger'}"


def between(low: float, high: float) -> str:
    """An interval of such differences: "2.1 to 6.9 % smaller", "1.0 % larger to 4.1 % smaller"."""
    if low * high < 0:
        return f"{change(low)} to {change(high)}"
    small, large = sorted((low, high), key=abs)
    return f"{change(small).split(' ')[0]} to {change(large)}"


def typeset(words: str) -> str:
    """Plain words with curly quotes, digests cut to twelve digits, and numbers that keep to their words."""
    words = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{12,}\b", r"\1…", words)
    words = re.sub(r"\b((?:[Ss]ection|Figure|Table)s?) (?=\d)", "\\1\u00a0", words)
    return re.sub(r'"([^"]*)"', "“\\1”", words).replace("'", "’").replace(" %", "\u00a0%")
