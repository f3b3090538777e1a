"""What is typed is what runs, or it is refused with one clear message."""

from __future__ import annotations

import pytest

from sepconv_lab.compose import compose, compose_sweep
from sepconv_lab.config import Activation, BadInput, Order, Size, flat, plain
from sepconv_lab.config.identity import command
from sepconv_lab.config.structured import from_record


def refused(*overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        compose(overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("block.mid_act=rellu", ["none, relu, relu6", "Did you mean relu?"]),
        ("block.mid_acts=relu", ["Did you mean block.mid_act?"]),
        ("+block.mid_acts=relu", ["Did you mean block.mid_act?"]),
        ("model=xcepton", ["inception_v3, ", "Did you mean xception?"]),
        ("blok=conv", ["Did you mean block?"]),
        ("trian.lr=1", ["Did you mean train.lr?"]),
        ("train=smok", ["Did you mean smoke?"]),
        ("block.kernel_size=4", ["odd int >= 1"]),
        ("block.segments=chanels", ["int >= 1", "or channels"]),
        ("block.segments=0", ["int >= 1", "or channels"]),
        ("block.act=null", ["none, relu"]),
        ("block.name=conv", ["block=..."]),
        ("~block", ["cannot be deleted", "can be deleted"]),
        ("train.lr=abc", ["float > 0"]),
        ("train.lr=nan", ["float > 0"]),
        ("train.batch_size=2.5", ["int >= 1"]),
        ("data.num_classes=1", ["int >= 2"]),
        ("seed=-1", ["int >= 0"]),
        ("hydra/launcher=joblib", ["only in a sweep"]),
        ("block.act=relu,elu", ["use -m for a sweep"]),
        ("two words", ["key=value"]),
        ("imports=[no_such_module]", ["no_such_module", "cannot be imported"]),
    ],
)
def test_bad_overrides_are_refused_with_what_is_allowed(override: str, words: list[str]) -> None:
    """A misspelt or impossible override names itself, what is allowed and, for a near miss, what was meant."""
    message = refused(override)
    assert any(w in message for w in words) if override.startswith("~") else all(w in message for w in words)
    assert "\n" not in message


def test_all_problems_come_at_once() -> None:
    """Three typos are three lines, not three attempts."""
    assert len(refused("block.mid_act=rellu", "seeed=3", "train.lr=-1x").splitlines()) == 3


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["block.towers=3"], "block=inception has it"),
        (["block=conv", "block.mid_act=relu"], "block=xception|inception has it"),
        (["model=inception_v3", "block.act=elu"], "refuses every block axis"),
        (["model=inception_v3", "block=conv"], "refuses every block axis"),
        (["model=vgg_sep", "block.residual=false"], "no use for block.residual"),
        (["data.path=/tmp"], "data=hub|cifar10|cifar100|imagenet|folder has it"),
        (["train.decay_rate=0.5"], "needs train.schedule=exponential"),
        (["train.optimizer=adamw", "train.momentum=0.5"], "needs train.optimizer=sgd or rmsprop"),
        (["block=inception", "block.form=extreme", "block.towers=2"], "needs block.form=simplified or segments"),
        (["model.match_to=1000"], "needs model.match="),
        (["model.match=params"], "needs model.match_to"),
    ],
)
def test_what_would_have_no_effect_is_refused(overrides: list[str], words: str) -> None:
    """An axis that the block, model or schedule does not have is refused, never ignored."""
    assert words in refused(*overrides)


def test_sweeps_are_checked_before_the_first_job() -> None:
    """Every job of a sweep is composed first; the problems of all jobs are listed once each."""
    jobs = compose_sweep(["block.mid_act=none,relu,elu", "block.order=depthwise_first,pointwise_first", "train=smoke"])
    assert [(c.block.mid_act.name, c.block.order.name) for _, c in jobs[:3]] == [  # type: ignore[union-attr]
        ("none", "depthwise_first"),
        ("none", "pointwise_first"),
        ("relu", "depthwise_first"),
    ]
    with pytest.raises(BadInput) as caught:
        compose_sweep(["block.mid_act=none,rellu,ellu", "block.order=depthwise_first,pointwise_first"])
    assert len(str(caught.value).splitlines()) == 2


def test_values_arrive_as_plain_dataclasses() -> None:
    """`block.mid_act=relu` is an enum member in a dataclass by the time a layer sees it."""
    config = compose(["block.mid_act=relu", "block.order=pointwise_first"])
    assert config.block.mid_act is Activation.relu  # type: ignore[union-attr]
    assert config.block.order is Order.pointwise_first  # type: ignore[union-attr]


def test_the_size_follows_the_images_and_explicit_settings_win() -> None:
    """`auto` takes the published network from 71 pixels up; a given depth or stem stays."""
    assert compose(["data=imagenet"]).model.size is Size.paper  # type: ignore[attr-defined]
    lab = compose(["model.middle_repeats=5"]).model
    assert lab.size is Size.lab  # type: ignore[attr-defined]
    assert lab.middle_repeats == 5  # type: ignore[attr-defined]
    assert compose(["data=imagenet"]).model.norm_eps == 1e-3
    assert compose([]).model.norm_eps == 1e-5


def test_after_depthwise_and_after_pointwise_follow_the_order() -> None:
    """The columns at whose equal values orders may be compared (claim C5): the mid settings belong to the first operation."""
    first = flat(compose(["block.mid_norm=true", "block.mid_act=elu"]))
    assert (first["after_depthwise"], first["after_pointwise"]) == ("norm+elu", "norm+relu")
    second = flat(compose(["block.order=pointwise_first", "block.act=none"]))
    assert (second["after_depthwise"], second["after_pointwise"]) == ("norm", "none")
    inception = flat(compose(["block=inception"]))
    assert (inception["after_depthwise"], inception["after_pointwise"]) == ("norm+relu", "norm+relu")
    assert "after_depthwise" not in flat(compose(["block=conv"]))


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["train=paper_jft", "data=imagenet", "block.segments=2"],
        ["model=inception_v3", "data=cifar10", "data.path='a b/c\\'d'"],
        ["model=vgg_sep", "model.size=paper", "train=paper_imagenet", "train.schedule=cosine"],
        ["block=inception", "block.reduce=0.5", "train.epochs=0.1", "train.lr=1e-3", "seed=7", "wandb.tags=[a,b]"],
    ],
)
def test_a_recorded_configuration_comes_back_the_same(overrides: list[str]) -> None:
    """config.yaml reloads to the configuration, and the recorded command composes to its identity."""
    from sepconv_lab.config.identity import identity

    config = compose(overrides)
    assert from_record(plain(config)) == config
    assert identity(compose(command(config)), "d") == identity(config, "d")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.momentum=0", "train.nesterov=true"], "train.momentum other than 0"),
        (["train.weight_decay=0", "train.decay_norms=true"], "needs train.weight_decay other than 0"),
        (["data=cifar10", "data.path=x", "data.repo=a/b"], "needs data.path empty"),
        (["data=cifar10", "data.path=x", "data.revision=abc"], "needs data.path empty"),
        (["model.match=params", "model.match_to=block=conv"], "quote"),
    ],
)
def test_one_override_never_hides_another(overrides: list[str], words: str) -> None:
    """What a second setting would switch off, or a second spelling replace, is refused."""
    assert words in refused(*overrides)


def test_a_value_without_effect_does_not_make_another_run() -> None:
    """Without weight decay it does not matter what decays: one identity."""
    from sepconv_lab.config.identity import identity

    plain_sgd = compose(["train.weight_decay=0"])
    plain_sgd.train.decay_norms = True
    assert identity(plain_sgd, "d") == identity(compose(["train.weight_decay=0"]), "d")


def test_a_key_typed_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Hydra would drop the first unseen; on the command line it is a mistake, in a sweep too."""
    from sepconv_lab.run import main

    for words in (["seed=0", "block=conv", "seed=1"], ["-m", "seed=0,1", "seed=2"]):
        assert main(words) == 2
        assert "seed is given twice: seed=0" in capsys.readouterr().err
