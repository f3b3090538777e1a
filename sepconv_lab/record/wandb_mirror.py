"""The mirror of a record in Weights & Biases. Whatever goes wrong there, training goes on and the record says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..config import RunConfig, WandbMode, flat


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
        if config.wandb.mode is WandbMode.disabled:
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
                mode=config.wandb.mode.name,  # type: ignore[arg-type]
                project=config.wandb.project,
                entity=config.wandb.entity,
                group=config.wandb.group,
                name=config.wandb.name or name,
                tags=list(config.wandb.tags) or None,
                notes=config.wandb.notes,
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

        def end() -> None:
            if checkpoint is not None and checkpoint.exists():
                import wandb

                artifact = wandb.Artifact(f"checkpoint-{summary['run_id']}", type="model")
                artifact.add_file(str(checkpoint))
                self._run.log_artifact(artifact)
            self._run.summary.update(summary)
            self._run.finish(exit_code=0 if summary["status"] == "finished" else 1)

        self._try(end)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a mirror must never break what it mirrors
            self.error = f"{type(error).__name__}: {error}"
            self._run = None
            print(f"W&B stopped ({self.error}); training goes on and the record is complete without it")
