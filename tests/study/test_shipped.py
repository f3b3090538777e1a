"""Every study in experiments/ plans at every scale and runs from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepconv_lab.analysis.claims import of_the_paper as claims
from sepconv_lab.study import load, make_plan
from sepconv_lab.study.__main__ import main
from sepconv_lab.study.definition import EXPERIMENTS

ROOT = Path(__file__).parent.parent.parent / EXPERIMENTS
STUDIES = sorted(p.parent.name for p in ROOT.glob("*/study.yaml"))
SCALES = ("smoke", "lab", "paper")
FURTHER = {claims.FIGURE09: ("cifar10",), claims.FIGURE10: ("cifar10",)}
PLANNED = [(n, s) for n in STUDIES for s in load(ROOT / n).scales if s != "smoke"]  # smoke is planned where it is run


def test_there_is_one_for_every_figure_and_claim() -> None:
    assert set(claims.STUDIES) <= set(STUDIES)
    decided = {load(ROOT / name).claim.id for name in STUDIES if load(ROOT / name).claim}
    assert decided >= set(claims.CLAIMS) - {"C8"}  # speed is read off figure06's runs


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_file_opens_with_its_command_and_has_what_its_claims_need(name: str) -> None:
    study = load(ROOT / name)
    assert (ROOT / name / "study.yaml").read_text().startswith(f"# python -m sepconv_lab.study run {name} ")
    assert set(study.scales) == {*SCALES, *FURTHER.get(name, ())}
    assert set(claims.needed_variants(name)) - {"inception_v3"} <= set(study.at("lab"))
    assert set(claims.needed_variants(name)) <= set(study.at("paper"))


@pytest.mark.parametrize(("name", "scale"), PLANNED)
def test_every_study_plans_at_every_scale(name: str, scale: str) -> None:
    """Sizes within 1 % where they are to match; the paper's on meta tensors, without its data."""
    study = load(ROOT / name)
    plan, _ = make_plan(study, scale)
    assert set(plan.variants) == set(study.at(scale))
    if study.match:
        wanted = getattr(plan.variants[study.match.to], study.match.count)
        for variant, v in plan.variants.items():
            if variant not in study.match.but and not any(w.startswith("model.match_to=") for w in v.own):
                assert getattr(v, study.match.count) == pytest.approx(wanted, rel=0.01), variant


def test_the_paper_scale_is_the_published_network() -> None:
    plan, _ = make_plan(load(ROOT / "figure06_inception_vs_xception"), "paper")
    assert plan.variants["xception"].params == 22_855_952
    assert plan.variants["inception_v3"].params == 23_626_728


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of records for all studies: a baseline that several share trains once."""
    return tmp_path_factory.mktemp("shipped") / "runs"


FEW_IMAGES = ["data.num_classes=20", "data.images_per_class=12", "data.eval_images_per_class=4"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_runs_at_the_smoke_scale(name: str, shared_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One seed each, on fewer images where the study does not vary them."""
    few = [] if name == claims.FIGURE07_08 else FEW_IMAGES
    words = ["scale=smoke", "seeds=1", *few, f"runs_dir={shared_runs}", "wandb.mode=disabled", "train.threads=1"]
    assert main(["run", str(ROOT / name), *words]) == 0, capsys.readouterr().out
    count = len(load(ROOT / name).at("smoke"))
    said = capsys.readouterr().out
    assert f"{count}/{count} finished" in said or f"all {count} runs are finished" in said
