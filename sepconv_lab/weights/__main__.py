"""Weights from files: ours (safetensors), and imports of published ones.

    python -m sepconv_lab.weights FILE --model xception [overrides ...] --out OUT.safetensors

FILE is Keras's (.h5, .weights.h5 or .keras), a PyTorch state dict or checkpoint of the well-known ports, or safetensors
of either kind of names.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..compose import compose
from ..config import BadInput
from ..config.overrides import check_given_once
from ..console.say import refuse
from ..console.streams import exit_with
from . import OPTIONAL, digest, import_weights, model_words, save_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Import a file of published weights. Returns the exit code: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m sepconv_lab.weights", description=__doc__.split("\n\n")[2])
    parser.add_argument("file", type=Path, help="HDF5, PyTorch or safetensors file")
    parser.add_argument(
        "overrides", nargs="*", help="of the network, e.g. model.form=keras; data=imagenet unless given"
    )
    parser.add_argument("--model", required=True, help="xception or inception_v3")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--new-head", type=int, metavar="N", help="draw the classifier anew, for N classes")
    options = parser.parse_intermixed_args(arguments)
    data = [] if any(o.startswith("data=") for o in options.overrides) else ["data=imagenet"]
    overrides = [f"model={options.model}", *data, *options.overrides]
    try:
        check_given_once(overrides)
        if options.out.is_dir() or not options.out.name:
            raise BadInput(f"--out {options.out}: a folder; name the file to write")
        if options.new_head is not None and options.new_head > 10**6:
            raise BadInput(f"--new-head {options.new_head} is not allowed: at most 1,000,000 classes")
        config = compose(overrides)
        state, notes = import_weights(options.file, config, new_head=options.new_head)
        about = {"overrides": overrides, "source": digest(options.file), "notes": notes}
        save_weights(state, options.out, about)
    except BadInput as error:
        return refuse(error)
    values = sum(t.numel() for name, t in state.items() if not name.endswith(OPTIONAL))
    for note in notes:
        print(note)
    print(f"{options.out}: {model_words(config)}, {len(state)} tensors, {values:,} values")
    return 0


if __name__ == "__main__":
    exit_with(main)
