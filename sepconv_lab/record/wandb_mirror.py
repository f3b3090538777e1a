"""The mirror of a record in Weights & Biases. Whatever goes wrong there, training goes on and the record says so."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..config import BadInput, RunConfig, WandbConfig, WandbMode, flat
from ..config.messages import unknown
from ..console.say import say

ENVIRONMENT = {"mode": "WANDB_MODE", "project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "group": "WANDB_RUN_GROUP"}
"""Settings that W&B's users give by the environment; what was typed wins."""
MODES = {"dryrun": "offline", "run": "online"}
"""W&B's older names of its modes."""
LONGEST_TAG, LONGEST_PROJECT = 64, 128
"""Letters that W&B's server takes."""


def settled(config: WandbConfig) -> WandbConfig:
    """The settings with what the environment says where nothing was typed. Raises BadInput for what W&B would refuse later."""
    values: dict[str, Any] = {}
    for name, variable in ENVIRONMENT.items():
        values[name] = getattr(config, name) or os.environ.get(variable) or None
    if isinstance(values["mode"], str):
        mode = MODES.get(values["mode"], values["mode"])
        if mode not in WandbMode.__members__:
            raise BadInput(unknown(f"WANDB_MODE={values['mode']}", mode, WandbMode.__members__))
        values["mode"] = WandbMode[mode]
    defaults = {"mode": WandbMode.offline, "project": "sepconv_lab"}
    values = {k: v if v is not None else defaults.get(k) for k, v in values.items()}
    made = dataclasses.replace(config, **values)
    long = [tag for tag in made.tags if not 1 <= len(tag) <= LONGEST_TAG]
    if long:
        raise BadInput(f"wandb.tags={long[0][:80]}: W&B takes tags of 1 to {LONGEST_TAG} letters")
    project = str(made.project)
    if len(project) > LONGEST_PROJECT or set(project) & set("/\\#?%:"):
        raise BadInput(
            f"wandb.project={project[:80]}: W&B takes at most {LONGEST_PROJECT} letters, none of / \\ # ? % :"
        )
    return made


class WandbMirror:
    """One W&B run for one attempt of a run. A resumed attempt replays the record's earlier events first."""

    def __init__(
        self,
        config: RunConfig,
        run_id: str,
        folder: Path,
        attempt: int,
        name: str,
        context: Mapping[str, str] | None = None,
    ):
        self.error: str | None = None
        self.id: str | None = None
        self._run: Any = None
        wandb_settings = settled(config.wandb)
        assert wandb_settings.mode is not None
        self.mode = wandb_settings.mode.name
        given = [
            variable
            for name, variable in ENVIRONMENT.items()
            if not getattr(config.wandb, name) and os.environ.get(variable)
        ]
        if given:
            say(
                "W&B: "
                + ", ".join(f"{variable}={os.environ[variable]}" for variable in given)
                + " from the environment"
            )
        if wandb_settings.mode is WandbMode.disabled:
            return

        def start() -> None:
            import wandb  # slow to import, and not needed when disabled

            # Its own log files stay in its folder; its console lines would drown the progress bar.
            logging.getLogger("wandb").setLevel(logging.ERROR)
            settings = wandb.Settings(
                silent=True, console="off", disable_code=True, disable_git=True, x_disable_stats=True, x_save_requirements=False,
                x_disable_machine_info=True,
            )  # fmt: skip
            self._run = wandb.init(
                id=f"{run_id}-{attempt}",
                mode=self.mode,  # type: ignore[arg-type]
                project=wandb_settings.project,
                entity=wandb_settings.entity,
                group=wandb_settings.group,
                name=wandb_settings.name or name,
                tags=list(wandb_settings.tags) or None,
                notes=wandb_settings.notes,
                config=flat(config) | {"run_id": run_id, "attempt": attempt} | dict(context or {}),
                dir=str(folder),
                reinit="create_new",
                settings=settings,
            )
            self.id = self._run.id
            # W&B's own step merges events of equal steps and drops lower ones: ours is a plain field.
            self._run.define_metric("step")
            self._run.define_metric("*", step_metric="step")

        self._try(start)

    def log(self, event: dict[str, Any]) -> None:
        if self._run is not None:
            self._try(lambda: self._run.log(event))

    def finish(self, summary: dict[str, Any], checkpoint: Path | None = None) -> None:
        """Copy the summary, upload the checkpoint where asked, and end; a run that failed is failed there too."""
        if self._run is None:
            return

        def upload() -> None:
            import wandb

            artifact = wandb.Artifact(f"checkpoint-{summary['run_id']}", type="model")
            artifact.add_file(str(checkpoint))
            self._run.log_artifact(artifact)

        def end() -> None:
            self._run.summary.update(summary)
            self._run.finish(exit_code=0 if summary["status"] == "finished" else 1)

        run = self._run
        if checkpoint is not None and checkpoint.exists():
            self._try(upload)
            self._run = run  # the run itself ends as it should, whatever became of the upload
        self._try(end)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a mirror must never break what it mirrors
            self.error = f"{type(error).__name__}: {error}"
            self._run = None
            print(f"W&B stopped ({self.error}); training goes on and the record is complete without it")
