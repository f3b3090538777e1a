"""What the environment holds stays there: no record, plan or W&B file holds it, and reading one never looks."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from sepconv_lab.compose import compose, compose_sweep
from sepconv_lab.config import BadInput, plain
from sepconv_lab.config.fields import Reference
from sepconv_lab.config.identity import command, run_id
from sepconv_lab.config.structured import from_record
from sepconv_lab.record.record import Record
from sepconv_lab.runs import load, main
from sepconv_lab.study import planning, reader
from sepconv_lab.training import job

from .analysis import generated as made
from .test_foreign import STUDY

TOKEN = "hf_" + "s3cret" * 6


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("PHOTOS", str(tmp_path / "photos"))
    monkeypatch.setenv("NUMBER", "7")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "word",
    ["wandb.notes='{}'", "wandb.tags=['{}']", "wandb.name='{}'", "wandb.group='a {}'", "wandb.project='{}'", "wandb.entity='{}'",
     "model.weights='{}/w.safetensors'", "model.match_to='{}'", "imports=['{}']"],
)  # fmt: skip
@pytest.mark.parametrize(
    "text", ["${oc.env:HF_TOKEN}", "${oc.decode:${oc.env:HF_TOKEN}}", "${data.path}", "${oc.env:A,${oc.env:HF_TOKEN}}"]
)
def test_a_recorded_text_refers_to_nothing(word: str, text: str) -> None:
    """The refusal names the setting and what may refer, and not what the environment holds."""
    with pytest.raises(BadInput) as caught:
        compose(["data=folder", "data.path='${oc.env:HF_TOKEN}'", word.format(text)])
    assert TOKEN not in str(caught.value)
    with pytest.raises(BadInput):
        compose_sweep(["data=folder", "data.path='${oc.env:HF_TOKEN}'", word.format(text), "seed=0,1"])


def test_a_path_is_used_where_it_leads_and_recorded_as_typed(tmp_path: Path) -> None:
    """Record, W&B's columns, command, plan and id know `${oc.env:PHOTOS}` alone; copies and other processes keep both."""
    typed = "${oc.env:PHOTOS}/flowers"
    config = compose(
        ["data=folder", f"data.path='{typed}'", "runs_dir='${oc.env:PHOTOS}/runs'", "seed=${oc.env:NUMBER}"]
    )
    for one in (config, copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert one.data.path == f"{tmp_path}/photos/flowers"  # type: ignore[attr-defined]
        assert one.seed == 7
        assert plain(one)["data"]["path"] == typed
        assert plain(one)["runs_dir"] == "${oc.env:PHOTOS}/runs"
        assert str(tmp_path) not in json.dumps(plain(one))
        assert f"data.path='{typed}'" in command(one)
        assert str(tmp_path) not in " ".join(command(one))
    again = compose(command(config))
    assert again.data.path == config.data.path  # type: ignore[attr-defined]
    assert run_id(again, "d") == run_id(config, "d")


def test_reading_a_record_resolves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What a foreign config.yaml refers to is shown as it is written, in every column, and never looked up."""
    values = made.config()
    values["wandb"]["notes"], values["wandb"]["tags"] = "${oc.env:HF_TOKEN}", ["${oc.env:HF_TOKEN}"]
    values["runs_dir"] = "${oc.env:HF_TOKEN}"
    config = from_record(values)
    assert (config.wandb.notes, config.runs_dir) == ("${oc.env:HF_TOKEN}",) * 2
    name = run_id(config, "d" * 16)
    made.write_record(Path("runs"), name, values, made.summary(name))
    assert load(name).columns["wandb.notes"] == "${oc.env:HF_TOKEN}"
    for words in (["list", "--columns", "wandb.notes,runs_dir,wandb.tags"], ["list", "seed=0"], ["show", name]):
        assert main(words) == 0
    out = capsys.readouterr().out
    assert "${oc.env:HF_TOKEN}" in out
    assert TOKEN not in out
    values["train"]["lr"] = "${oc.env:NUMBER}"
    with pytest.raises(BadInput, match=r"train.lr=.*a record holds values, not references"):
        from_record(values)


@pytest.mark.parametrize(
    "word", ["data.path='${oc.env:HF_TOKEN}'", "seed=${oc.env:NUMBER}", "wandb.notes='${oc.env:HF_TOKEN}'"]
)
@pytest.mark.parametrize("place", ['base: ["{}"]', 'variants: {{none: [], elu: ["{}"]}}'])
def test_a_study_file_refers_to_nothing(word: str, place: str, tmp_path: Path) -> None:
    line = place.format(word)
    lines = [x for x in STUDY.splitlines() if x.partition(":")[0] != line.partition(":")[0]]
    (tmp_path / "study.yaml").write_text("\n".join([*lines, line]))
    with pytest.raises(BadInput, match="only a path on the command line refers to the environment"):
        reader.load(tmp_path / "study.yaml")


def test_a_plan_keeps_what_was_typed_and_its_jobs_resolve_what_was_typed(tmp_path: Path) -> None:
    """A path that the plan itself holds stays text: only the words of this command are resolved."""
    (tmp_path / "study.yaml").write_text(STUDY)
    plan, _ = planning.make_plan(reader.load(tmp_path / "study.yaml"), "tiny")
    config = plan.config(plan.runs[0], "${oc.env:PHOTOS}/runs")
    assert config.runs_dir == f"{tmp_path}/photos/runs"
    assert plain(config)["runs_dir"] == "${oc.env:PHOTOS}/runs"
    for variant in plan.variants.values():
        variant.config["wandb"]["notes"] = "${oc.env:HF_TOKEN}"
    assert plan.config(plan.runs[0], "runs").wandb.notes == "${oc.env:HF_TOKEN}"


@pytest.mark.parametrize(("name", "value", "refused"), [
    ("WANDB_API_KEY", "k" * 40, True), ("HF_TOKEN", TOKEN, True), ("AWS_SECRET_ACCESS_KEY", "x/+" * 10, True),
    ("WANDB_API_KEY", "offline", False), ("WANDB_API_KEY", "", False), ("OTHER", "k" * 40, False),
    ("WANDB_API_KEY", "0" * 20, False),
])  # fmt: skip
def test_a_secret_typed_into_a_setting_is_refused(
    name: str, value: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a whole word of twenty letters or more: `WANDB_API_KEY=offline`, which job scripts set, forbids no `offline`."""
    monkeypatch.setenv(name, value)
    words = ["data.num_classes=5", "wandb.mode=offline", f"wandb.notes='my key {value or 'none'}, offline'"]
    words += ["wandb.group=" + "0" * 21] if value == "0" * 20 else []
    if value == "0" * 20:
        words[2] = "wandb.notes='nothing'"
    config = compose(words)
    if refused:
        with pytest.raises(BadInput, match=rf"what {name} holds, a secret, which never goes into a record") as caught:
            job.check(config)
        assert value not in str(caught.value)
    else:
        job.check(config)


def test_a_reference_is_the_path(tmp_path: Path) -> None:
    made_of = Reference("/a/b", "${oc.env:X}")
    assert Path(made_of) == Path("/a/b")
    assert (made_of, plain(made_of), plain([made_of])) == ("/a/b", "${oc.env:X}", ["${oc.env:X}"])
    record = Record(tmp_path, "0" * 16)
    record.begin(plain({"a": 1}))
