"""The presets of conf/hydra/launcher: each composes, names its plugin, and opens with a command that is accepted."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from sepconv_lab.config import BadInput
from sepconv_lab.config.presets import CONF, initialised
from sepconv_lab.launch.cluster import ASK, Queue, time_limit
from sepconv_lab.launch.hydra import check_hydra, plugin as plugin_of
from sepconv_lab.study.__main__ import parse

from .helpers import environment

PRESETS = {p.stem: p for p in sorted((CONF / "hydra" / "launcher").glob("*.yaml"))}
PLUGINS = {"workers": "joblib", "slurm": "submitit_slurm", "local_processes": "submitit_local"}


def launcher(name: str, config: str = "study_job") -> dict[str, object]:
    """The launcher's settings, as Hydra composes them."""
    with initialised():
        words = ["launch=x", "job=0"] if config == "study_job" else []
        cfg = hydra.compose(config, [*words, f"hydra/launcher={name}"], return_hydra_config=True)
        return dict(OmegaConf.to_container(cfg.hydra.launcher))  # type: ignore[arg-type]


def test_every_preset_is_known_here() -> None:
    assert set(PRESETS) == set(PLUGINS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_composes_onto_its_plugin_and_adds_no_setting_of_its_own(name: str) -> None:
    """For studies and for `run -m`; the study knows which plugin works behind the name."""
    preset, plugin = launcher(name), launcher(PLUGINS[name])
    assert preset["_target_"] == plugin["_target_"]
    assert set(preset) == set(plugin)
    assert preset != plugin
    assert launcher(name, "config") == preset
    assert plugin_of(name) == plugin_of(PLUGINS[name]) == PLUGINS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_opens_with_the_command_that_uses_it(name: str) -> None:
    first = PRESETS[name].read_text().splitlines()[0]
    words = shlex.split(first.removeprefix("# "))
    assert words[:4] == ["python", "-m", "sepconv_lab.study", "run"]
    request = parse(words[3:])
    assert f"hydra/launcher={name}" in request.hydra
    check_hydra(request.hydra)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra/launcher=slrum"], "Did you mean slurm?"),
        (["hydra/launcher=slurm", "hydra.launcher.partion=x"], "partion"),
        (["hydra/launcher=slurm", "hydra.launcher.timeout_min=soon"], "timeout_min"),
    ],
)
def test_a_launcher_or_a_setting_that_it_lacks_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(BadInput, match=said.replace("?", r"\?")):
        check_hydra(words)


def test_a_preset_without_its_plugin_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with initialised():
        pass  # the plugins are loaded
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], "submitit_slurm.yaml")
    with pytest.raises(BadInput, match=r"hydra/launcher=slurm: submitit_slurm is not installed; pip install"):
        check_hydra(["hydra/launcher=slurm"])


PLUGIN = {
    "_config.py": "from dataclasses import dataclass\nfrom hydra.core.config_store import ConfigStore\n"
    "@dataclass\nclass Late:\n    _target_: str = 'nowhere'\n"
    "ConfigStore.instance().store(group='hydra/launcher', name='late', node=Late, provider='late')\n",
    "launcher.py": "from . import _config\n",
    "__init__.py": "",
}


def test_a_plugin_that_registers_once_is_known_for_good(tmp_path: Path) -> None:
    """As Ray's does, when it is imported: a copy of Hydra's store from before, put back, would not know it any more."""
    folder = tmp_path / "hydra_plugins" / "late"
    folder.mkdir(parents=True)
    for name, text in PLUGIN.items():
        (folder / name).write_text(text)
    code = "from sepconv_lab.launch.hydra import check_hydra as check\ncheck(['hydra/launcher=late'])\n" * 2
    subprocess.run([sys.executable, "-c", code], env=environment(PYTHONPATH=str(tmp_path)), check=True)


# --- what the study asks Slurm ----------------------------------------------------------------------------------------


class Submitted:
    """A launch that submitit files under these ids."""

    def __init__(self, *ids: str):
        self._ids = frozenset(ids)

    def ids(self) -> frozenset[str]:
        return self._ids


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command `squeue` that prints the file beside it, or fails without one; returns that file."""
    answer, script = tmp_path / "answer", tmp_path / "squeue"
    script.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(answer))} 2>/dev/null\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return answer


def test_jobs_in_the_queue_are_the_launch_s_own_and_an_outage_of_slurm_changes_nothing(squeue: Path) -> None:
    squeue.write_text("17_0\n17_3\n9\n170_1\n16_2\n")
    queue = Queue(Submitted("17"))
    assert queue.jobs() == {0, 3}
    squeue.unlink()
    queue.asked -= ASK
    assert queue.jobs() == {0, 3}
    squeue.write_text("")
    assert queue.jobs() == {0, 3}, "Slurm is not asked at every look"
    queue.asked -= ASK
    assert queue.jobs() == set()


def test_a_single_job_is_no_array_and_nothing_submitted_is_nothing_known(squeue: Path) -> None:
    squeue.write_text("17_0\n9\n")
    assert Queue(Submitted("9")).jobs() == {0}
    assert Queue(Submitted()).jobs() is None
    squeue.unlink()
    assert Queue(Submitted("9")).jobs() is None


# --- the signal before a time limit -----------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What a launcher and a run hear: SIGUSR2 before and after the run, SIGTERM in it."""
    said: list[str] = []
    old = {
        signal.SIGUSR2: signal.signal(signal.SIGUSR2, lambda *_: said.append("launcher")),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: said.append("run")),
    }
    yield said
    for number, handler in old.items():
        signal.signal(number, handler)


def test_a_run_out_of_time_stops_first_and_then_the_launcher_hears_of_it(heard: list[str]) -> None:
    with contextlib.suppress(KeyboardInterrupt), time_limit():
        os.kill(os.getpid(), signal.SIGUSR2)
        assert heard == ["run"]
        raise KeyboardInterrupt
    assert heard == ["run", "launcher"]
    os.kill(os.getpid(), signal.SIGUSR2)
    assert heard == ["run", "launcher", "launcher"], "it listens again"


def test_a_run_that_ends_in_time_or_is_stopped_otherwise_is_not_queued_again(heard: list[str]) -> None:
    with time_limit():
        os.kill(os.getpid(), signal.SIGUSR2)
    with pytest.raises(KeyboardInterrupt), time_limit():
        raise KeyboardInterrupt
    assert heard == ["run"]
