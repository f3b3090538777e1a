"""The one hand-over to Hydra's launchers: which there are, whether their settings exist, and calling one with a task."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..config import BadInput
from ..config.messages import unknown
from ..config.presets import CONF, initialised

if TYPE_CHECKING:
    from omegaconf import DictConfig


def plugin(launcher: str) -> str:
    """The plugin behind a launcher's name: a preset of conf/hydra/launcher names it in its defaults."""
    import yaml

    preset = CONF / "hydra" / "launcher" / f"{launcher}.yaml"
    if not preset.exists():
        return launcher
    defaults = (yaml.safe_load(preset.read_text()) or {}).get("defaults", [])
    return next((d for d in defaults if isinstance(d, str) and d != "_self_"), launcher)


def check_hydra(words: Sequence[str]) -> None:
    """Raises BadInput for a launcher that does not exist, or settings that it does not have."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialised() as loader:
            launchers = loader.get_group_options("hydra/launcher")
            for word in words:
                key, _, name = word.partition("=")
                if key == "hydra/launcher" and name not in launchers:
                    raise BadInput(unknown(word, name, launchers))
                if key == "hydra/launcher" and plugin(name) not in launchers:
                    raise BadInput(f"{word}: {plugin(name)} is not installed; pip install '.[launchers]' brings it")
            composed = hydra.compose("study_job", ["launch=x", "job=0", *words], return_hydra_config=True)
            if composed.hydra.launcher.get("n_jobs", 1) == 0:
                raise BadInput("hydra.launcher.n_jobs=0: at least one worker; -1: as many as there are cores")
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInput(" ".join(str(error).split())) from error


def hand_over(words: Sequence[str], task: Callable[[DictConfig], None], config_name: str = "study_job") -> None:
    """Hand over to Hydra, whose launcher calls the task for each job. Hydra itself prints what is wrong, and exits."""
    import hydra

    with _argv([sys.argv[0], *words]):
        hydra.main(config_path=str(CONF), config_name=config_name, version_base="1.3")(task)()


def multirun(words: Sequence[str], task: Callable[[DictConfig], None]) -> None:
    """`hand_over`, but raises what the launcher raises, and BadInput where Hydra refuses its own settings."""
    from hydra.errors import HydraException

    with _full_errors():
        try:
            hand_over(words, task)
        except HydraException as error:
            raise BadInput(" ".join(str(error).split())) from error


@contextlib.contextmanager
def _argv(words: list[str]) -> Iterator[None]:
    saved, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = saved


@contextlib.contextmanager
def _full_errors() -> Iterator[None]:
    """Hydra raises instead of printing and exiting: the kind of the error tells a broken pool from a failed job."""
    saved = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if saved is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = saved
