"""Importing the analysis is light: neither torch nor wandb, and nothing heavy before it is used."""

import subprocess
import sys


def test_import_pulls_in_nothing_heavy() -> None:
    code = (
        "import sys, sepconv_lab.analysis\n"
        "heavy = {'torch', 'wandb', 'statsmodels', 'scipy.stats', 'matplotlib', 'hydra'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
