"""Importing the analysis is light: neither torch nor wandb, and nothing heavy before it is used."""

import resource
import subprocess
import sys


def test_import_pulls_in_nothing_heavy() -> None:
    code = (
        "import sys, sepconv_lab.analysis\n"
        "heavy = {'torch', 'wandb', 'scipy.stats', 'matplotlib', 'hydra'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_import_is_quick() -> None:
    """Under 1.5 s of processor time, the commands and readers included: what a notebook's first cell costs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import sepconv_lab.analysis.__main__"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime) < 1.5
