"""What a study costs beside its runs: planning and looking at ten thousand of them, and each small run of a launch."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from ..console.tables import print_table
from ..record.record import records
from .start import TINY

PLAN_AIM, PLAN_MEMORY_AIM, STATUS_AIM, RUN_AIM = 20.0, 1.0, 5.0, 0.5
SEEDS = 100
ACTIVATIONS = "none, relu, relu6, leaky_relu, elu, selu, gelu, silu, mish, hardswish"
LARGE = f"""
question: Which two activations?
baseline: mid_act=none act=relu
factors: {{block.mid_act: [{ACTIVATIONS}], block.act: [{ACTIVATIONS}]}}
seeds: {SEEDS}
scales: {{lab: []}}
"""
SMALL_RUNS = 20
SMALL = f"""
question: What does a run cost beside its training?
baseline: baseline
variants: {{baseline: []}}
seeds: {SMALL_RUNS}
scales: {{smoke: [{", ".join(w for w in TINY if not w.startswith("wandb"))}]}}
"""
MEASURE = """
import json, sys, time
began = time.perf_counter()
from sepconv_lab.study import load, make_plan
from sepconv_lab.study.frozen import freeze, frozen_plans
from sepconv_lab.study.status import states
from pathlib import Path
plan, _ = make_plan(load(sys.argv[1]), "lab")
planned = time.perf_counter() - began
memory = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))  # KiB, this program's own
freeze(plan, "runs")
text = json.dumps({"status": "finished", "metrics": {}, "filling": "x" * 5000})
for run in plan.runs:
    folder = Path("runs", run.run_id)
    folder.mkdir()
    (folder / "summary.json").write_text(text)
began = time.perf_counter()
found = states(frozen_plans("runs", plan.study)[0], "runs")
print(json.dumps([len(found), planned, memory / 2**20, time.perf_counter() - began]))
"""


def table() -> None:
    """Planning 100 variants x 100 seeds, the status of as many records, and what surrounds a small run."""
    with tempfile.TemporaryDirectory() as folder:
        runs, planned, memory, looked = json.loads(_python(folder, "-c", MEASURE, _written(folder, "large", LARGE)))
        each = _surroundings(folder)
    print("\nA study beside its runs, once each")
    rows = [
        [f"planning {runs:,} runs of 100 variants, imports included", f"{planned:.1f} s", f"{PLAN_AIM:.0f} s"],
        ["  peak memory", f"{memory:.2f} GiB", f"{PLAN_MEMORY_AIM:.0f} GiB"],
        [f"status of {runs:,} records", f"{looked:.1f} s", f"{STATUS_AIM:.0f} s"],
        [
            f"a small run beside its training, median of {SMALL_RUNS - 1}, basic launcher",
            f"{each:.2f} s",
            f"{RUN_AIM} s",
        ],
    ]
    print_table(["", "measured", "aim, under"], rows)


def _surroundings(folder: str) -> float:
    """Seconds from the end of a run to the end of the next one that it did not spend in training or evaluating."""
    _python(
        folder, "-m", "sepconv_lab.study", "run", _written(folder, "small", SMALL), "scale=smoke", "runs_dir=small_runs"
    )
    summaries = [r.summary() or {} for r in records(Path(folder, "small_runs"))]
    ended = sorted((s["ended"], s["wall_time"]) for s in summaries)
    return statistics.median(b[0] - a[0] - b[1] for a, b in itertools.pairwise(ended))


def _written(folder: str, name: str, text: str) -> str:
    path = Path(folder, name, "study.yaml")
    path.parent.mkdir()
    path.write_text(text)
    return str(path)


def _python(folder: str, *words: str) -> str:
    """What Python printed in a folder; it has to end well."""
    ended = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(words[:4])} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout
