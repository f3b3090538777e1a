"""The paper's claims C1-C9, each with the contrasts that decide it.

Source: F. Chollet, Xception, CVPR 2017, arXiv 1610.02357v3; DeepLabv3+ (ECCV 2018) for the contested part of C4. A
study's variants must carry the names used here (`needed_variants`); more variants do no harm.
"""

from __future__ import annotations

import math
from itertools import pairwise

from ...config import BadInput
from ...config.messages import did_you_mean
from .contrasts import AllOf, AnyOf, Claim, Contrast, PaperNumber, better, gains_more, same

FIGURE06 = "figure06_inception_vs_xception"
FIGURE07_08 = "figure07_08_many_classes"
FIGURE09 = "figure09_residual"
FIGURE10 = "figure10_mid_activation"
ORDER, MID_NORM, SPECTRUM, SEGMENTS_X_MID_ACT, VGG_SEP, BUDGET, A_A = (
    "order", "mid_norm", "spectrum", "segments_x_mid_act", "vgg_sep", "budget", "a_a",
)  # fmt: skip
BENCH = "bench step"
"""Where C8 is judged: no study, but the benchmark that times both networks in turn."""
STUDIES = (FIGURE06, FIGURE07_08, FIGURE09, FIGURE10, ORDER, MID_NORM, SPECTRUM, SEGMENTS_X_MID_ACT, VGG_SEP, BUDGET,
           A_A)  # fmt: skip

PLACEMENTS = ("after_pointwise", "after_depthwise", "after_both")
SEGMENTS = (2, 4, 8)
"""The inner points of the spectrum that every size divides by; a study may run more, shown but not deciding."""

WALK = ("inception", "walk_segments", "walk_mid_norm", "walk_mid_act", "xception")
"""From Inception-style to Xception one factor at a time; the last step is the order."""


def _printed(**values: float) -> tuple[PaperNumber, ...]:
    return tuple(PaperNumber(k, v, "printed") for k, v in values.items())


def _read(**values: float) -> tuple[PaperNumber, ...]:
    return tuple(PaperNumber(k, v, "read") for k, v in values.items())


def _step(after: str, before: str) -> Contrast:
    return better(FIGURE06, after, than=before, name=f"walk: {before} to {after}")


C1 = Claim(
    id="C1",
    statement="Xception beats Inception V3 at (almost) equal parameter count",
    place="Table 1, Figure 6",
    kind="all_of",
    decides=AllOf((
        better(FIGURE06, "xception", than="inception", paper=(0.790, 0.782)),
        better(FIGURE06, "xception", than="inception_no_residual"),
    )),
    paper=_printed(xception_imagenet_top1=0.790, inception_v3_imagenet_top1=0.782),
    paper_says="one run each on ImageNet; Xception costs 1.46 times the MACs of Inception V3 at 299 pixels. Against the "
    "Inception-style net of the lab size it is 1.08 times (20.0M and 18.5M) with equal features before the classifier; where "
    "these follow the width it is the reverse, 0.84 times (20.0M and 23.9M)",
    not_shown="ImageNet at 299 pixels; the literal Inception V3 (the lab uses Inception-style modules in Xception's "
    "skeleton); the paper's ratio of compute; equal compute, for which see xception_equal_macs",
    also=(
        better(FIGURE06, "xception_equal_macs", than="inception", name="at equal MACs"),
        better(FIGURE06, "xception", than="inception_v3", name="against the literal Inception V3"),
        better(FIGURE06, "xception_no_residual", than="inception_no_residual", name="both without shortcuts"),
        *(_step(after, before) for before, after in pairwise(WALK)),
    ),
)  # fmt: skip

C2 = Claim(
    id="C2",
    statement="Xception's advantage over Inception V3 is larger with very many classes than with few",
    place="Table 2, Figures 7-8",
    kind="interaction",
    decides=gains_more(
        FIGURE07_08,
        ("xception_many", "inception_many"),
        than=("xception_few", "inception_few"),
        name="gain with many classes minus gain with few, of equal images in all",
    ),
    paper=_printed(
        xception_no_fc_map_at_100=6.70, inception_v3_no_fc_map_at_100=6.36, xception_fc_map_at_100=6.78,
        inception_v3_fc_map_at_100=6.50, xception_imagenet_top1=0.790, inception_v3_imagenet_top1=0.782,
    ),
    paper_says="JFT has 17,000 classes, several labels an image, and is not public; its gain is in MAP@100, "
    "ImageNet's in top-1: different measures",
    not_shown="JFT, 17,000 classes, MAP@100, several labels an image; between errors of different size a difference "
    "of differences depends on the measure, here the logarithm",
    also=(
        gains_more(FIGURE07_08, ("xception_many_fc", "inception_many_fc"), than=("xception_few_fc", "inception_few_fc"),
                   name="the same with fully connected layers"),
        gains_more(FIGURE07_08, ("xception_many", "inception_many"),
                   than=("xception_few_equal_per_class", "inception_few_equal_per_class"),
                   name="the same of equal images of each class"),
        better(FIGURE07_08, "xception_many", than="inception_many"),
        better(FIGURE07_08, "xception_many_fc", than="inception_many_fc"),
        better(FIGURE07_08, "xception_few", than="inception_few"),
    ),
)  # fmt: skip

C3 = Claim(
    id="C3",
    statement="Residual connections raise this architecture's accuracy",
    place="section 4.6, Figure 9",
    kind="superior",
    decides=better(FIGURE09, "residual", than="no_residual", paper=(0.790, 0.673)),
    paper=_read(xception_imagenet_top1=0.790, xception_non_residual_imagenet_top1=0.673),
    paper_says="\"essential\", for speed and final accuracy; the curve without was still rising, at the residual "
    "model's optimiser settings (\"may be uncharitable\")",
    not_shown="the paper's depth of 36 layers, at which shortcuts matter most; the model without them at settings of "
    "its own (stage=tuned); speed of convergence, for which see the curves; that they are essential, rather than better. The "
    "first plans, of six seeds from 0, compared equal widths, where the net without them has 4 to 6 % fewer parameters",
    also=(better(FIGURE09, "residual", than="no_residual_same_width", name="at equal widths, 4 to 6 % fewer without"),),
)  # fmt: skip

C4 = Claim(
    id="C4",
    statement="No activation between the two operations ends higher than ELU, and ELU higher than ReLU",
    place="section 4.7, Figure 10",
    kind="all_of",
    decides=AllOf((
        better(FIGURE10, "none", than="elu", paper=(0.790, 0.780)),
        better(FIGURE10, "elu", than="relu", paper=(0.780, 0.771)),
    )),
    paper=_read(none_imagenet_top1=0.790, elu_imagenet_top1=0.780, relu_imagenet_top1=0.771),
    paper_says="each curve's end; at the common step 112,700: .790, .779, .764; faster convergence too. Whether a "
    "BatchNorm stood with the activation is not said. DeepLabv3+ reports the opposite with BatchNorm and ReLU "
    "(0.75 points of top-1)",
    not_shown="ImageNet at 299 pixels and the paper's depth; the effect with a BatchNorm between the operations (study "
    "mid_norm); speed of convergence, for which see the curves",
    also=(
        better(FIGURE10, "none", than="relu"),
        better(MID_NORM, "none", than="relu", name="none better than relu, without norm (mid_norm)"),
        better(MID_NORM, "norm", than="norm_relu", name="none better than relu, with norm"),
        better(MID_NORM, "norm_relu", than="none", name="norm and relu better than neither (DeepLabv3+)"),
        better(MID_NORM, "norm_relu_no_decay", than="none_no_decay",
               name="norm and relu better than neither, depthwise kernels without weight decay"),
    ),
)  # fmt: skip

C5 = Claim(
    id="C5",
    statement="The order of the two operations is unimportant when layers are stacked",
    place="section 2",
    kind="equivalent",
    decides=AllOf(tuple(
        same(ORDER, f"pointwise_first_{p}", as_=f"depthwise_first_{p}", name=f"order with norm and ReLU {p}")
        for p in PLACEMENTS
    )),
    paper_says="asserted, never measured",
    not_shown="other placements of norm and activation; the paper's depth, at which the boundary operations weigh less; equal "
    "parameters (pointwise first has 1 to 2.5 % more, in the boundary operations)",
    also=tuple(
        same(ORDER, f"pointwise_first_{p}_no_residual", as_=f"depthwise_first_{p}_no_residual",
             name=f"order with norm and ReLU {p}, without shortcuts: the boundary alone")
        for p in PLACEMENTS
    ),
)  # fmt: skip

C6 = Claim(
    id="C6",
    statement="A point between regular and depthwise separable convolution is better than both ends",
    place="sections 1.2 and 5",
    kind="any_of",
    decides=AnyOf(tuple(
        AllOf(tuple(better(SPECTRUM, f"segments_{k}", than=end) for end in ("segments_1", "segments_channels", "conv")))
        for k in SEGMENTS
    )),
    paper_says="left as future work",
    not_shown="other numbers of segments, other widths, ImageNet; equal body parameters are not equal compute",
    also=(
        better(SPECTRUM, "segments_channels", than="segments_1"),
        better(SPECTRUM, "segments_channels", than="conv"),
        *(better(SPECTRUM, f"segments_{k}", than="segments_channels") for k in (16, 32)),
    ),
)  # fmt: skip

C7 = Claim(
    id="C7",
    statement="A non-residual, VGG-style stack of separable convolutions also beats Inception V3 at equal parameters",
    place="section 4.6",
    kind="superior",
    decides=better(VGG_SEP, "vgg_sep", than="inception_no_residual"),
    paper_says="on JFT; no number given",
    not_shown="JFT; the literal Inception V3",
    also=(
        better(VGG_SEP, "vgg_sep", than="vgg_inception", name="against Inception-style modules in the same stack"),
        better(VGG_SEP, "vgg_sep", than="inception_v3", name="against the literal Inception V3"),
    ),
)

C8 = Claim(
    id="C8",
    statement="At equal parameters Xception takes longer for an image than Inception V3",
    place="Table 3",
    kind="speed",
    decides=Contrast("xception slower than inception_v3", BENCH, {"xception": 1.0, "inception_v3": -1.0},
                     metric="seconds_per_image", paper=math.log(31 / 28)),
    paper=_printed(xception_steps_per_second=28, inception_v3_steps_per_second=31, xception_parameters=22_855_952,
                   inception_v3_parameters=23_626_728),
    paper_says="on 60 K80 GPUs; Xception did 1.32 times the MACs a second. That better depthwise kernels would make it "
    "the faster model is a prediction: contradicted here means that on this hardware it has come true",
    not_shown="other hardware, libraries and image sizes; rounds on one machine repeat a timing, they are not machines",
    smallest_effect=0.05,
    also=(Contrast("xception slower than inception_v3, per MAC", BENCH, {"xception": 1.0, "inception_v3": -1.0},
                   metric="seconds_per_mac"),),
)  # fmt: skip

C9 = Claim(
    id="C9",
    statement="A non-linearity between the operations helps where the spatial convolution sees many channels and harms "
    "where it sees one",
    place="section 4.7 (conjecture)",
    kind="all_of",
    decides=AllOf((
        better(SEGMENTS_X_MID_ACT, "segments_1_relu", than="segments_1_none", name="relu helps with one segment"),
        better(SEGMENTS_X_MID_ACT, "segments_channels_none", than="segments_channels_relu",
               name="relu harms where depthwise"),
    )),
    paper_says="a conjecture, without a measurement",
    not_shown="Inception V3 itself; other activations; the effect with a BatchNorm between the operations",
    also=(
        gains_more(SEGMENTS_X_MID_ACT, ("segments_1_relu", "segments_1_none"),
                   than=("segments_channels_relu", "segments_channels_none"),
                   name="relu's gain with one segment minus where depthwise"),
    ),
)  # fmt: skip

CLAIMS: dict[str, Claim] = {c.id: c for c in (C1, C2, C3, C4, C5, C6, C7, C8, C9)}


def get(claim: str) -> Claim:
    """A claim by its id; BadInput with what exists where there is none."""
    if claim not in CLAIMS:
        raise BadInput(f"unknown claim {claim!r}; there are: {', '.join(CLAIMS)}.{did_you_mean(claim, CLAIMS)}")
    return CLAIMS[claim]


def needed_variants(study: str, *, deciding: bool = False) -> tuple[str, ...]:
    """The variant names that the claims use of a study, in order; `deciding`: only those that a verdict hangs on."""
    used = [
        c
        for claim in CLAIMS.values()
        for c in (*claim.contrasts, *(() if deciding else claim.also))
        if c.study == study
    ]
    return tuple(dict.fromkeys(v for c in used for v in c.variants))
