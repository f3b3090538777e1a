"""How a setting is declared and read: name, default, allowed values, doc, and whether it is part of the run's identity."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Union

LARGEST_SEED = 2**63 - 1
"""What a generator takes."""


class BadInput(ValueError):
    """Input that cannot be run. The message says what is wrong, what is allowed, and what was probably meant."""


@dataclass(frozen=True)
class Condition:
    """What another field of the group has to be for a setting to have an effect."""

    field: str
    values: tuple[str, ...]
    """One of these, as typed; empty: anything but zero."""

    @classmethod
    def parsed(cls, text: str) -> Condition:
        """Of "field=a|b" or "field=!0"."""
        name, _, values = text.partition("=")
        return cls(name, () if values == "!0" else tuple(values.split("|")))

    def holds(self, group: Any) -> bool:
        """Whether the group's value is like that."""
        value = getattr(group, self.field)
        return as_typed(value) in self.values if self.values else bool(value)

    def __str__(self) -> str:
        if not self.values:
            return f"{self.field} other than 0"
        return f"{self.field} empty" if self.values == ("null",) else f"{self.field}={' or '.join(self.values)}"


def setting(
    default: Any,
    doc: str,
    *,
    identity: bool = True,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    odd: bool = False,
    words: tuple[str, ...] = (),
    needs: str = "",
    neutral: Any = dataclasses.MISSING,
) -> Any:
    """Declare one field of the schema.

    identity: the value is part of the run id. low/high: inclusive bounds; above: exclusive lower bound; odd: odd only.
    words: of a field of type int or text, the texts that are allowed.
    needs: "field=a|b" in the same group, the `Condition` without which the value has no effect (and is refused when set); "!0"
    stands for anything but zero, several conditions are separated by commas.
    neutral: for a field added after runs exist, the value that computes what was computed before it; it leaves ids unchanged.
    """
    bounds = {"low": low, "high": high, "above": above, "odd": odd}
    conditions = tuple(Condition.parsed(c) for c in needs.split(",") if c)
    metadata = dict(doc=doc, identity=identity, bounds=bounds, words=words, needs=conditions, neutral=neutral)
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def settings(cls: type) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    """The declared fields of a config class with their resolved types, Optional removed."""
    return _settings(cls)


@functools.cache  # resolving types takes most of the time of composing
def _settings(cls: type) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((f, _without_none(hints[f.name])) for f in dataclasses.fields(cls) if "doc" in f.metadata)


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (Union, types.UnionType):
        rest = tuple(a for a in typing.get_args(kind) if a is not type(None))
        return rest[0] if len(rest) == 1 else Union[rest]
    return kind


def default_of(f: dataclasses.Field[Any]) -> Any:
    """A field's default value."""
    return f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default


def allowed(f: dataclasses.Field[Any], kind: Any) -> str:
    """A field's allowed values in words, e.g. "depthwise_first, pointwise_first" or "odd int >= 1"."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(kind.__members__)
    if kind is bool:
        return "true, false"
    bounds = f.metadata["bounds"]
    words = f.metadata["words"]
    description = "int" if words else _type_name(kind)
    if bounds["odd"]:
        description = "odd " + description
    for key, sign in (("low", ">="), ("above", ">"), ("high", "<=")):
        if bounds[key] is not None:
            description += f" {sign} {bounds[key]:g}" if description[-1].isalpha() else f", {sign} {bounds[key]:g}"
    return " or ".join([description, *words])


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is Union:
        return " or ".join(_type_name(a) for a in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return "list of " + _type_name(typing.get_args(kind)[0])
    return {str: "text"}.get(kind, getattr(kind, "__name__", str(kind)))


def active(group: Any, f: dataclasses.Field[Any]) -> bool:
    """Whether the field has any effect, given the other values of its group (its `needs`)."""
    return all(condition.holds(group) for condition in f.metadata["needs"])


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level of dotted names."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return out


def as_typed(value: Any) -> str:
    """A value as it is typed on the command line, quotes aside: true, null, 4, relu, 0.1, ["a","b"]."""
    value = plain(value.item() if hasattr(value, "item") else value)  # a NumPy scalar's `item` is Python's value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return json.dumps(value, separators=(",", ":"), default=str) if isinstance(value, (list, dict)) else str(value)


class Reference(str):
    """A path that was typed as `${oc.env:NAME}/...`: the value is where it leads, and `typed` is what is written down."""

    typed: str

    def __new__(cls, value: str, typed: str = "") -> Reference:
        made = super().__new__(cls, value)
        made.typed = typed or value
        return made


def plain(value: Any) -> Any:
    """Enums become their names, dataclasses dicts, references what was typed; the rest stays: what YAML and JSON can hold."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Reference):
        return value.typed
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
