"""Every study in experiments/ plans at every scale and runs from end to end."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from sepconv_lab.analysis.claims import of_the_paper as claims
from sepconv_lab.compose import compose
from sepconv_lab.config.identity import run_id
from sepconv_lab.record.plan import Plan
from sepconv_lab.study import load, make_plan
from sepconv_lab.study.__main__ import main
from sepconv_lab.study.definition import EXPERIMENTS

ROOT = Path(__file__).parent.parent.parent / EXPERIMENTS
STUDIES = sorted(p.parent.name for p in ROOT.glob("*/study.yaml"))
SCALES = ("smoke", "lab", "paper")
CIFAR10 = ("cifar10", "gpu")
"""On a CPU and on a GPU; claim C2 needs more classes than it has."""
PUBLISHED = range(6)
"""The seeds of committed results: a look at them would not be blind."""
PLANNED = [(n, s) for n in STUDIES for s in load(ROOT / n).scales if s != "smoke"]  # smoke is planned where it is run


@functools.cache
def planned(name: str, scale: str) -> tuple[Plan, tuple[str, ...]]:
    """The plan with one seed where seeds have data of their own, and its notes."""
    study = load(ROOT / name)
    seeds = study.seeds[:1] if study.blocks.get(scale) else None
    plan, notes = make_plan(study, scale, seeds=seeds)
    return plan, tuple(notes)


def test_there_is_one_for_every_figure_and_claim() -> None:
    assert set(claims.STUDIES) == set(STUDIES)
    decided = {load(ROOT / name).claim.id for name in STUDIES if load(ROOT / name).claim}
    assert decided >= set(claims.CLAIMS) - {"C8"}  # speed is timed by the benchmark


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_file_opens_with_its_command_and_has_what_its_claims_need(name: str) -> None:
    study = load(ROOT / name)
    assert (ROOT / name / "study.yaml").read_text().startswith(f"# python -m sepconv_lab.study run {name} ")
    without = {claims.FIGURE07_08: set(CIFAR10), claims.BUDGET: {"paper"}}.get(name, set())
    assert set(study.scales) == {*SCALES, *CIFAR10} - without
    at_paper = {"inception_v3"}
    for scale in study.scales:
        coarse = {"segments_32"} if scale == "cifar10" else set()
        assert set(claims.needed_variants(name)) - at_paper - coarse <= set(study.at(scale)), scale
        assert set(claims.needed_variants(name, deciding=True)) <= set(study.at(scale)), scale
    if "paper" in study.scales:
        assert set(claims.needed_variants(name)) <= set(study.at("paper"))


@pytest.mark.parametrize("name", STUDIES)
def test_seeds_are_new_and_looks_declared(name: str) -> None:
    """No seed of a committed result, none that tunes; on glyphs balanced over the font families. One precision, declared, so that
    a study can move between machines."""
    study = load(ROOT / name)
    assert not set(study.seeds) & {*PUBLISHED, *(study.tune.seeds if study.tune else ())}
    assert study.strata_at("lab") == "data.fold"
    assert all(look % 3 == 0 for look in study.looks("lab"))
    looks = {claims.BUDGET: ((5,), (6,)), claims.A_A: ((24,), (24,))}.get(name, ((5, 10, 20), (6, 12, 24)))
    assert study.looks("lab") == looks[1]
    if name != claims.FIGURE07_08:
        assert study.looks("cifar10") == study.looks("gpu") == looks[0]
    for scale in {"lab", *CIFAR10} & set(study.scales):
        assert compose(study.scales[scale]).train.precision.name == ("bf16" if scale == "gpu" else "fp32")


@pytest.mark.parametrize(("name", "scale"), PLANNED)
def test_every_study_plans_at_every_scale(name: str, scale: str) -> None:
    """Sizes within 1 % where they are to match; variants of as many classes and FC layers have heads of as many parameters, and
    planning has nothing to warn of. The paper's on meta tensors, without its data."""
    study = load(ROOT / name)
    plan, notes = planned(name, scale)
    assert set(plan.variants) == set(study.at(scale))
    if study.match:
        wanted = getattr(plan.variants[study.match.to], study.match.count)
        for variant, v in plan.variants.items():
            if variant not in study.match.but and not any(w.startswith("model.match_to=") for w in v.own):
                assert getattr(v, study.match.count) == pytest.approx(wanted, rel=0.01), variant
    heads: dict[tuple[object, ...], set[int]] = {}
    for v in plan.variants.values():
        model = v.config["model"]
        kind = (v.config["data"]["num_classes"], model["fc_layers"], model["fc_width"])
        heads.setdefault(kind, set()).add(v.params - v.body_params)
    assert all(len(counts) == 1 for counts in heads.values()), heads
    assert not [note for note in notes if "classifiers differ" in note]


def identities(scale: str) -> Iterator[tuple[str, str, str]]:
    """(study, variant, run id at an assumed digest) of a scale."""
    for name in STUDIES:
        if scale in load(ROOT / name).scales:
            for variant, v in planned(name, scale)[0].variants.items():
                yield name, variant, run_id(compose(v.overrides), "digest")


@pytest.mark.parametrize("scale", CIFAR10)
def test_studies_share_the_runs_that_are_the_same(scale: str) -> None:
    """The baseline trains once for all; so do ReLU, ELU and no shortcuts, under whichever name."""
    ids: dict[str, set[str]] = {}
    for name, variant, run in identities(scale):
        ids.setdefault(run, set()).add(f"{name}/{variant}")
    shared = [members for members in ids.values() if len(members) > 1]
    baseline = next(m for m in shared if "figure10_mid_activation/none" in m)
    assert baseline >= {
        "figure09_residual/residual", "mid_norm/none", "order/depthwise_first_after_pointwise", "a_a/baseline",
        "segments_x_mid_act/segments_channels_none",
    }  # fmt: skip
    for a, b in (
        ("figure10_mid_activation/relu", "mid_norm/relu"),
        ("figure10_mid_activation/relu", "segments_x_mid_act/segments_channels_relu"),
        ("figure10_mid_activation/elu", "mid_norm/elu"),
        ("order/depthwise_first_after_both", "mid_norm/norm_relu"),
        ("figure09_residual/no_residual_same_width", "order/depthwise_first_after_pointwise_no_residual"),
    ):
        assert any({a, b} <= members for members in shared), (a, b)
    budget = "x1" if scale == "cifar10" else "x2"
    assert f"budget/none_{budget}" in baseline
    for arm in ("elu", "relu", "no_residual"):
        study = "figure09_residual" if arm == "no_residual" else "figure10_mid_activation"
        assert any({f"budget/{arm}_{budget}", f"{study}/{arm}"} <= members for members in shared)
    if scale == "cifar10":
        assert baseline >= {"spectrum/segments_channels", "figure06_inception_vs_xception/xception"}
        published = compose(["data=cifar10", "model.width=0.5", "train.epochs=3", "train.precision=fp32"])
        assert run_id(published, "digest") in ids, "the network of the committed results"


def test_the_paper_scale_is_the_published_network() -> None:
    plan, _ = planned("figure06_inception_vs_xception", "paper")
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
