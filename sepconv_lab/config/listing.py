"""The axes and settings in words, from their declarations: for the command line and docs/axes.md. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator

from . import registry
from .fields import allowed, as_typed, default_of, settings
from .presets import default_choices
from .run import GROUPS, RunConfig


def axis_rows(
    groups: tuple[str, ...] = ("block", "model", "data", "train", "wandb", ""),
) -> Iterator[tuple[str, str, str, str]]:
    """(name, allowed values, default, meaning) of every setting. What only some members of a group have says which."""
    for group in groups:
        members = registry.CONFIGS.get(group) or {"": RunConfig if not group else GROUPS[group]}
        if group in registry.CONFIGS:
            yield group, ", ".join(members), default_choices()[group], f"the {group}"
        seen: dict[str, list[str]] = {}
        rows: dict[str, tuple[str, str, str]] = {}
        for name, config_class in members.items():
            for f, kind in settings(config_class):
                if f.name == "name":
                    continue
                default = default_of(f)
                seen.setdefault(f.name, []).append(name)
                rows.setdefault(
                    f.name, (allowed(f, kind), "" if default is None else as_typed(default), f.metadata["doc"])
                )
        for key, (values, default, doc) in rows.items():
            some = f" ({group}={'|'.join(seen[key])})" if len(seen[key]) < len(members) else ""
            yield f"{group}.{key}" if group else key, values, default, doc + some


SECTIONS = {
    "The block that fills a layer's slot": ("block",), "The skeleton": ("model",), "Data": ("data",),
    "Training": ("train",), "The run and its mirror at W&B": ("", "wandb"),
}  # fmt: skip


def axis_table() -> str:
    """Every axis and setting as Markdown tables under headings: docs/axes.md."""
    sections = []
    for title, groups in SECTIONS.items():
        lines = [f"## {title}", "", "| axis | values | default | meaning |", "|---|---|---|---|"]
        for row in axis_rows(groups):
            name, values, default, doc = (cell.replace("|", "\\|") for cell in row)
            lines.append(f"| `{name}` | {values} | {f'`{default}`' if default else ''} | {doc} |")
        sections.append("\n".join(lines))
    return "\n\n".join(sections)
