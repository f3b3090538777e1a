"""Bad input: each message names the runs and says what would help."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sepconv_lab.analysis.stats import effects, outcomes
from sepconv_lab.config import BadInput

Builder = Callable[..., pd.DataFrame]


def refuse(runs: pd.DataFrame, words: str, **options: object) -> None:
    with pytest.raises(BadInput, match=words):
        effects.difference(runs, "relu", "none", **options)


@pytest.mark.parametrize("column", ["scale", "precision", "hardware_class", "data_digest", "recipe"])
def test_mixtures_are_refused(figure10_runs: pd.DataFrame, column: str) -> None:
    figure10_runs[column] = figure10_runs[column].astype(object)
    figure10_runs.loc[figure10_runs["variant"] == "relu", column] = "other"
    refuse(figure10_runs, f"mixed {column} inside a comparison.*none/seed 0.*relu/seed 0")


def test_what_is_not_recorded_is_not_guessed(figure10_runs: pd.DataFrame) -> None:
    figure10_runs.loc[0, "hardware_class"] = None
    refuse(figure10_runs, "hardware_class is not recorded in: figure10_mid_activation/none/seed 0")


def test_data_may_differ_between_seeds_only_where_the_configuration_says_so(figure10_runs: pd.DataFrame) -> None:
    figure10_runs["data_digest"] = figure10_runs["seed"].astype(str)
    refuse(figure10_runs, "mixed data_digest")
    declared = figure10_runs.assign(**{"data.seed": figure10_runs["seed"]})
    assert effects.difference(declared, "relu", "none").n == 6


def test_duplicates_are_refused_with_what_differs(figure10_runs: pd.DataFrame) -> None:
    longer = figure10_runs.assign(**{"train.epochs": 16.0})
    refuse(pd.concat([figure10_runs, longer]), "duplicate runs.*They differ in train.epochs")
    refuse(pd.concat([figure10_runs, figure10_runs]), "duplicate runs.*Keep one of them")


def test_unpaired_runs_are_refused(figure10_runs: pd.DataFrame) -> None:
    runs = figure10_runs[~((figure10_runs["variant"] == "relu") & (figure10_runs["seed"] == 4))]
    refuse(runs, r"incomplete: figure10_mid_activation/relu/seed 4 \(no run\)")
    assert effects.difference(runs, "relu", "none", allow_partial=True).text().endswith("n=5 of 6")


@pytest.mark.parametrize("status", ["failed", "missing", "running", "interrupted"])
def test_unfinished_runs_raise_with_their_names(figure10_runs: pd.DataFrame, status: str) -> None:
    figure10_runs.loc[2, ["status", "test_ema/top1"]] = [status, np.nan]
    refuse(figure10_runs, rf"none/seed 2 \({status}\).*allow_partial=True")
    assert effects.difference(figure10_runs, "relu", "none", allow_partial=True).n == 5


def test_a_run_of_another_variant_does_not_stand_in_the_way(figure10_runs: pd.DataFrame) -> None:
    figure10_runs.loc[figure10_runs["variant"] == "elu", "status"] = "running"
    assert effects.difference(figure10_runs, "relu", "none").n == 6


def test_nothing_finished(figure10_runs: pd.DataFrame) -> None:
    refuse(figure10_runs.assign(status="failed"), "none of the runs has finished", allow_partial=True)


def test_no_common_seed(figure10_runs: pd.DataFrame) -> None:
    runs = figure10_runs[(figure10_runs["variant"] == "relu") == (figure10_runs["seed"] > 2)]
    refuse(runs, "no seed has all of", allow_partial=True)


def test_unknown_names_get_a_suggestion(figure10_runs: pd.DataFrame) -> None:
    with pytest.raises(BadInput, match=r"no run of variant 'rellu'.*Did you mean relu"):
        effects.difference(figure10_runs, "rellu", "none")
    with pytest.raises(BadInput, match="Did you mean figure10_mid_activation"):
        effects.difference(figure10_runs, "relu", "none", study="figure10_mid_activations")
    refuse(figure10_runs, "no run has the metric 'test_ema/top11'.*Did you mean test_ema/top1", metric="test_ema/top11")
    refuse(figure10_runs.assign(status="finnished"), "unknown status finnished")


def test_several_studies_need_a_name(figure10_runs: pd.DataFrame, make_runs: Builder) -> None:
    both = pd.concat([figure10_runs, make_runs("mid_norm", {"none": -1, "relu": -1})])
    refuse(both, "the runs of one study, the frame has 2")
    assert effects.difference(both, "relu", "none", study="mid_norm").n == 6


def test_nan_and_per_cent_and_missing_columns(figure10_runs: pd.DataFrame) -> None:
    nan = figure10_runs.copy()
    nan.loc[0, "test_ema/top1"] = np.nan
    refuse(nan, "NaN in finished runs: figure10_mid_activation/none/seed 0")
    refuse(figure10_runs.assign(**{"test_ema/top1": 81.5}), "fractions, not per cent")
    refuse(figure10_runs.drop(columns="hardware_class"), "no column 'hardware_class'")
    refuse(figure10_runs.assign(images_per_second=np.nan), "positive throughput", metric="seconds_per_image")
    refuse(figure10_runs.assign(**{"val/f1": 0.5}), "no outcome is defined for 'val/f1'", metric="val/f1")


def test_chance_level_needs_the_number_of_classes(figure10_runs: pd.DataFrame) -> None:
    figure10_runs.loc[0, "status"] = "diverged"
    refuse(figure10_runs.assign(**{"data.num_classes": 0}), "data.num_classes is not known: .*none/seed 0")


def test_a_seed_is_named_as_a_whole_number(figure10_runs: pd.DataFrame) -> None:
    figure10_runs["seed"] = figure10_runs["seed"].astype(float)
    figure10_runs.loc[0, "status"] = "failed"
    refuse(figure10_runs, "none/seed 0 ")


def test_the_unit_names_the_weights() -> None:
    assert outcomes.unit("test_ema/top1") == "ln test error (averaged weights)"
    assert outcomes.unit("val/top5") == "ln val top-5 error (raw weights)"
    assert outcomes.unit("seconds_per_mac") == "ln seconds per mac"
