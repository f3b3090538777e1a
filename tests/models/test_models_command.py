"""`python -m sepconv_lab.models`: what there is, what a variant costs, variants side by side."""

from __future__ import annotations

import re

import pytest

from sepconv_lab.config import BUILTIN, BlockConfig, ModelConfig, settings
from sepconv_lab.config.listing import axis_rows
from sepconv_lab.models.__main__ import main


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every setting of every block and model stands in the listing with its doc."""
    out = printed(capsys)
    for config_class in BUILTIN:
        if issubclass(config_class, (BlockConfig, ModelConfig)):
            group = "block" if issubclass(config_class, BlockConfig) else "model"
            assert config_class().name in out
            for f, _ in settings(config_class):
                assert f.name == "name" or f"{group}.{f.name} " in out
    assert "depthwise_first, pointwise_first" in out


def test_the_published_counts_come_out(capsys: pytest.CaptureFixture[str]) -> None:
    """22,855,952 and the three counts of Inception V3."""
    out = printed(capsys, "xception", "data=imagenet")
    assert "22,855,952 trainable parameters" in out
    assert "36 spatial convolutions" in out
    forms = [f"inception_v3 data=imagenet model.form={form}" for form in ("paper", "keras", "torch")]
    row = next(line for line in printed(capsys, "compare", *forms).splitlines() if line.startswith("parameters  "))
    assert row.split()[1:] == ["23,626,728", "23,817,352", "23,834,568"]


def test_a_variants_layers(capsys: pytest.CaptureFixture[str]) -> None:
    """Output shape, parameters, MACs and receptive field a layer; totals by kind."""
    out = printed(capsys, "xception", "block.segments=4", "data=cifar10")
    row = next(line for line in out.splitlines() if line.startswith("middle.0.slots.layer1.depthwise"))
    assert row.split() == ["middle.0.slots.layer1.depthwise", "segmented", "128x8x8", "36,864", "2,359,296", "27"]
    assert re.search(r"^segmented +[\d,]+ +[\d,]+$", out, re.M)


def test_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    """Parameters and MACs by kind, receptive field and activation memory, a column for each variant."""
    out = printed(capsys, "compare", "xception", "block=conv", "model=vgg_sep block.segments=4")
    names = {line.rsplit("  ", 3)[0].strip() for line in out.splitlines()}
    for label in ("parameters", "MACs", "receptive field", "activations, MiB", "parameters, depthwise", "MACs, conv"):
        assert any(name.startswith(label) for name in names), label


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["xcepton"], "Did you mean xception"),
        (["xception", "block.mid_act=rellu"], "Did you mean relu"),
        (["compare"], "compare what"),
        (["compare", "block=conv block.segments=2"], "block=xception has it"),
        (["compare", "block='conv"], "quotation"),
        (["inception_v3", "data=cifar10"], "too small"),
        (["inception_v3", "data=imagenet", "block=conv"], "refuses every block axis"),
    ],
)
def test_mistakes_end_in_a_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one message on stderr, no traceback."""
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_the_tables_for_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """One row a setting, of every group, in Markdown; no cell breaks its row."""
    out = printed(capsys, "axes", "--markdown")
    assert "| `block.order` | depthwise_first, pointwise_first | `depthwise_first` |" in out
    assert {f"`{row[0]}`" for row in axis_rows()} <= {line.split(" ")[1] for line in out.splitlines() if "`" in line}
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert all(line.count("|") - line.count("\\|") == 5 for line in rows)
