"""Numbers have bounds, W&B's environment counts: what cannot work is refused before training."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest

from sepconv_lab.compose import compose
from sepconv_lab.config import GROUPS, BadInput, RunConfig, WandbMode, registry, settings
from sepconv_lab.models import build_checked
from sepconv_lab.record.wandb_mirror import WandbMirror, settled
from sepconv_lab.training.job import check

SMALL = ["train=smoke", "data.num_classes=20"]


def numbers() -> list[tuple[str, str, dict[str, Any]]]:
    """(group choice, key, bounds) of every numeric setting."""
    rows = []
    for group in (*GROUPS, ""):
        members = registry.CONFIGS.get(group) or {"": GROUPS[group] if group else RunConfig}
        for name, member in members.items():
            for f, kind in settings(member):
                if {int, float} & set(typing.get_args(kind) or (kind,)):
                    choice = f"{group}={name}" if name else ""
                    rows.append((choice, f"{group}.{f.name}" if group else f.name, f.metadata["bounds"]))
    return rows


def test_every_number_has_bounds_on_both_sides() -> None:
    """A number without a largest value ends in a loop without end, a traceback or a failed record."""
    for choice, key, bounds in numbers():
        assert bounds["high"] is not None, (choice, key)
        assert bounds["low"] is not None or bounds["above"] is not None, (choice, key)


@pytest.mark.parametrize(
    "key", sorted({key for choice, key, _ in numbers() if choice in ("", "data=glyphs", "model=xception")})
)
def test_extremes_are_accepted_or_refused_in_one_message(key: str) -> None:
    """The largest allowed value and twice that, 2^31, 1e300: a run that can be checked, or a message."""
    needs = {"model.fc_width": ["model.fc_layers=2"], "model.match_to": ["model.match=params"]}.get(key, [])
    high = next(
        bounds["high"]
        for choice, k, bounds in numbers()
        if k == key and choice in ("", "data=glyphs", "model=xception")
    )
    for value in (high, 2 * high, 2**31, 1e300):
        problem = ""
        try:
            config = compose([*SMALL, *needs, f"{key}={value}"])
            build_checked(config, check(config).classes, device="meta")
        except BadInput as error:
            problem = str(error)
        assert len(problem) < 600


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_network_too_large_to_build_is_refused_by_its_count(device: str) -> None:
    """Its parameters are named; nothing of it is touched."""
    with pytest.raises(BadInput, match=r"would have [\d,]+ parameters or more; more than 10,000,000,000 are refused"):
        build_checked(compose([*SMALL, "model.fc_layers=2", "model.fc_width=1000000"]), 20, device=device)


@pytest.mark.parametrize("mode", ["disabled", "offline", "online", "dryrun", "run"])
def test_wandbs_environment_counts_where_nothing_was_typed(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode, project, account and group; what was typed wins, the default too."""
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_PROJECT", "p")
    monkeypatch.setenv("WANDB_ENTITY", "e")
    monkeypatch.setenv("WANDB_RUN_GROUP", "g")
    found = settled(compose([]).wandb)
    assert found.mode is WandbMode[{"dryrun": "offline", "run": "online"}.get(mode, mode)]
    assert (found.project, found.entity, found.group) == ("p", "e", "g")
    typed = settled(compose(["wandb.mode=offline", "wandb.project=sepconv_lab", "wandb.group=mine"]).wandb)
    assert (typed.mode, typed.project, typed.group) == (WandbMode.offline, "sepconv_lab", "mine")


def test_what_wandb_would_refuse_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long tags, projects with a slash, modes that there are not."""
    for words, message in (
        ([f"wandb.tags=[{'x' * 65}]"], "tags of 1 to 64 letters"),
        (["wandb.project=a/b"], "none of /"),
        ([f"wandb.project={'x' * 129}"], "at most 128"),
    ):
        with pytest.raises(BadInput, match=message):
            check(compose([*SMALL, *words]))
    monkeypatch.setenv("WANDB_MODE", "of")
    with pytest.raises(BadInput, match=r"WANDB_MODE=of: unknown.*Did you mean offline"):
        check(compose(SMALL))


def test_the_environment_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What came from there stands in the output."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    WandbMirror(compose([]), "0", tmp_path, 1, "x")
    assert capsys.readouterr().out == "W&B: WANDB_MODE=disabled from the environment\n"


def test_a_failed_upload_leaves_the_run_finished(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The artifact's error is told; the W&B run ends as it should."""
    ended: list[int] = []

    class Run:
        summary: typing.ClassVar[dict[str, Any]] = {}

        def log_artifact(self, _: Any) -> None:
            raise OSError("no room")

        def finish(self, exit_code: int) -> None:
            ended.append(exit_code)

    mirror = WandbMirror(compose(["wandb.mode=disabled"]), "0", tmp_path, 1, "x")
    monkeypatch.setattr(mirror, "_run", Run())
    (tmp_path / "last.pt").write_bytes(b"x")
    mirror.finish({"run_id": "0", "status": "finished"}, tmp_path / "last.pt")
    assert ended == [0]
    assert "no room" in str(mirror.error)
