"""What can be built and what it costs.

python -m sepconv_lab.models                                     every model, block and setting
python -m sepconv_lab.models xception block.segments=4 data=...  one variant's layers
python -m sepconv_lab.models compare "block=conv" "model=..."    variants side by side
python -m sepconv_lab.models axes --markdown                     docs/axes.md's tables
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from ..compose import class_count, compose
from ..config import BadInput
from ..config.listing import axis_rows, axis_table
from ..config.messages import unknown
from ..config.overrides import check_given_once, variant_overrides
from ..config.registry import CONFIGS
from ..console.say import refuse
from ..console.streams import exit_with
from ..console.tables import print_table
from .complexity import Complexity, complexity


def by_kind(counts: Complexity) -> tuple[Counter[str], Counter[str]]:
    """Parameters and MACs by kind of layer."""
    params: Counter[str] = Counter()
    macs: Counter[str] = Counter()
    for row in counts.rows:
        params[row.kind] += row.params
        macs[row.kind] += row.macs
    return params, macs


def _layers(overrides: list[str]) -> None:
    config = compose(overrides)
    counts = complexity(config, class_count(config))
    rows = [
        [r.name, r.kind, "x".join(map(str, r.shape)), f"{r.params:,}", f"{r.macs:,}", str(r.field) if r.field else ""]
        for r in counts.rows
    ]
    print_table(["layer", "kind", "output", "parameters", "MACs", "receptive field"], rows)
    params, macs = by_kind(counts)
    print()
    print_table(["kind", "parameters", "MACs"], [[k, f"{params[k]:,}", f"{macs[k]:,}"] for k in params])
    print()
    convolutions = sum(r.kind in ("conv", "depthwise", "segmented") and ".shortcut." not in r.name for r in counts.rows)
    print(
        f"{counts.params:,} trainable parameters ({counts.body_params:,} body, {counts.head_params:,} head), "
        f"{counts.macs:,} MACs for one image of {config.data.image_size} pixels,\n"
        f"{convolutions} spatial convolutions outside shortcuts, receptive field {counts.field} pixels, "
        f"{counts.activation_bytes / 2**20:.1f} MiB of activations an example"
    )


def _compare(variants: list[str]) -> None:
    columns = []
    for words in variants:
        config = compose(variant_overrides(words))
        columns.append(complexity(config, class_count(config)))
    kinds = list(dict.fromkeys(r.kind for c in columns for r in c.rows))
    split = [by_kind(c) for c in columns]
    rows = [[f"parameters, {k}", *(f"{p[k]:,}" for p, _ in split)] for k in kinds if any(p[k] for p, _ in split)]
    rows += [[f"MACs, {k}", *(f"{m[k]:,}" for _, m in split)] for k in kinds if any(m[k] for _, m in split)]
    rows += [
        ["parameters", *(f"{c.params:,}" for c in columns)],
        ["  of the body", *(f"{c.body_params:,}" for c in columns)],
        ["MACs", *(f"{c.macs:,}" for c in columns)],
        ["receptive field", *(str(c.field) for c in columns)],
        ["activations, MiB", *(f"{c.activation_bytes / 2**20:.2f}" for c in columns)],
    ]
    print_table(["", *variants], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["compare"]:
            if len(words) < 2:
                raise BadInput(
                    "compare what? name models, or variants as quoted overrides: compare xception 'block=conv'"
                )
            _compare(words[1:])
        elif words[:1] == ["axes"]:
            for word in words[1:]:
                if word != "--markdown":
                    raise BadInput(unknown(word, word, ["--markdown"]))
            print(axis_table() if "--markdown" in words else "\n".join(map(str, axis_rows())))
        elif words and words[0] in ("-h", "--help"):
            print(__doc__)
        elif words:
            name, *overrides = words
            if "=" in name:
                name, overrides = "", words
            elif name not in CONFIGS["model"]:
                raise BadInput(unknown(name, name, [*CONFIGS["model"], "compare", "axes"]))
            every = ([f"model={name}"] if name else []) + overrides
            check_given_once(every)
            _layers(every)
        else:
            print_table(["setting", "values", "default", "meaning"], [list(row) for row in axis_rows()])
    except BadInput as error:
        return refuse(error)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stdout = None
    return 0


if __name__ == "__main__":
    exit_with(main)
