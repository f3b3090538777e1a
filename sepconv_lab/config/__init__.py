"""Every axis and setting of a run, once: name, default, allowed values, doc, and whether it is part of the run's identity.

Nothing here imports torch. The command line, the checks, the run id, the listing of `python -m sepconv_lab.models`
and the README's table all derive from these declarations.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Optional, Union

RECIPE = 1
"""Raised by hand when the same configuration comes to compute something else. Part of every run id."""


LARGEST_SEED = 2**63 - 1
"""What a generator takes."""


class BadInput(ValueError):
    """Input that cannot be run. The message says what is wrong, what is allowed, and what was probably meant."""


def setting(
    default: Any,
    doc: str,
    *,
    identity: bool = True,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    odd: bool = False,
    needs: str = "",
    neutral: Any = dataclasses.MISSING,
) -> Any:
    """Declare one field of the schema.

    identity: the value is part of the run id. low/high: inclusive bounds; above: exclusive lower bound; odd: odd only.
    needs: "field=a|b" in the same group, the condition without which the value has no effect (and is refused when set); "!0"
    stands for anything but zero, several conditions are separated by commas.
    neutral: for a field added after runs exist, the value that computes what was computed before it; it leaves ids unchanged.
    """
    bounds = {"low": low, "high": high, "above": above, "odd": odd}
    metadata = {"doc": doc, "identity": identity, "bounds": bounds, "needs": needs, "neutral": neutral}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


# --- axes: the block that fills each layer slot -----------------------------------------------------------------------


class Order(Enum):
    depthwise_first = "depthwise_first"
    pointwise_first = "pointwise_first"


class Activation(Enum):
    none = "none"
    relu = "relu"
    relu6 = "relu6"
    leaky_relu = "leaky_relu"
    elu = "elu"
    selu = "selu"
    gelu = "gelu"
    silu = "silu"
    mish = "mish"
    hardswish = "hardswish"
    tanh = "tanh"
    sigmoid = "sigmoid"


class Form(Enum):
    canonical = "canonical"
    simplified = "simplified"
    segments = "segments"
    extreme = "extreme"


@dataclass
class BlockConfig:
    """What fills each layer slot of a skeleton. A user's own block derives from this."""

    name: str = setting("", "the block's name in the registry")
    kernel_size: int = setting(3, "side of the spatial convolution", low=1, high=99, odd=True)
    out_norm: bool = setting(True, "normalisation after the layer's last operation")
    act: Activation = setting(Activation.relu, "activation around the layer: applied by the skeleton before it")
    residual: bool = setting(True, "every shortcut of the skeleton on or off")

    @property
    def width_divisor(self) -> int:
        """What every width of the skeleton has to be a multiple of."""
        return 1


@dataclass
class XceptionBlockConfig(BlockConfig):
    """A separable convolution: op1 -> [mid_norm] -> [mid_act] -> op2 -> [out_norm]."""

    name: str = setting("xception", "the block's name in the registry")
    order: Order = setting(Order.depthwise_first, "which operation comes first")
    mid_norm: bool = setting(False, "normalisation between the two operations")
    mid_act: Activation = setting(Activation.none, "non-linearity between the two operations")
    segments: Union[int, str] = setting(
        "channels", "channel segments of the spatial convolution: 1 is dense, `channels` is depthwise", low=1
    )
    depth_multiplier: int = setting(
        1, "depthwise first: filters per input channel; pointwise first: filtered channels summed per output", low=1
    )

    @property
    def width_divisor(self) -> int:
        return self.segments if isinstance(self.segments, int) else 1


@dataclass
class InceptionBlockConfig(BlockConfig):
    """An Inception-style module on the paper's way from Figure 1 to Figure 4."""

    name: str = setting("inception", "the block's name in the registry")
    form: Form = setting(
        Form.simplified, "the paper's figure: canonical (1), simplified (2), segments (3), extreme (4)"
    )
    towers: int = setting(4, "parallel 1x1 -> kxk towers", low=1, needs="form=simplified|segments")
    reduce: float = setting(
        1.0, "width of the 1x1 against the output", above=0, needs="form=canonical|simplified|segments"
    )
    mid_norm: bool = setting(True, "normalisation between the operations")
    mid_act: Activation = setting(Activation.relu, "non-linearity between the operations")

    @property
    def width_divisor(self) -> int:
        return {Form.canonical: 4, Form.extreme: 1}.get(self.form, self.towers)


@dataclass
class ConvBlockConfig(BlockConfig):
    """A regular convolution: the control."""

    name: str = setting("conv", "the block's name in the registry")


# --- skeletons --------------------------------------------------------------------------------------------------------


class Size(Enum):
    auto = "auto"
    paper = "paper"
    lab = "lab"


class Stem(Enum):
    conv = "conv"
    separable = "separable"


class Padding(Enum):
    tf = "tf"
    symmetric = "symmetric"


class Match(Enum):
    none = "none"
    params = "params"
    body_params = "body_params"
    macs = "macs"


class InceptionV3Form(Enum):
    paper = "paper"
    keras = "keras"
    torch = "torch"


PAPER_CONVENTIONS: dict[str, Any] = dict(dropout=0.5, padding=Padding.tf, norm_eps=1e-3, norm_momentum=0.01)
LAB_CONVENTIONS: dict[str, Any] = dict(dropout=0.0, padding=Padding.symmetric, norm_eps=1e-5, norm_momentum=0.1)


@dataclass
class ModelConfig:
    """A skeleton with slots for blocks, or a literal network. A user's own skeleton derives from this."""

    name: str = setting("", "the model's name in the registry")
    dropout: Optional[float] = setting(None, "dropout before the logits (empty: the size's own)", low=0, high=0.99)
    padding: Optional[Padding] = setting(
        None, "what `same` padding means where a stride is involved (empty: the size's own)"
    )
    norm_eps: Optional[float] = setting(None, "BatchNorm epsilon (empty: the size's own)", above=0)
    norm_momentum: Optional[float] = setting(
        None, "BatchNorm momentum as PyTorch counts it (empty: the size's own)", above=0, high=1
    )
    weights: Optional[str] = setting(
        None, "file of initial weights; its content is part of the identity", identity=False
    )

    has_block: ClassVar[bool] = True
    absent_axes: ClassVar[tuple[str, ...]] = ()
    """Axes of the block group that this skeleton has no use for; they are refused."""
    SIZES: ClassVar[dict[Size, dict[str, Any]]] = {}
    """What an empty (None) field becomes at each size."""


@dataclass
class SkeletonConfig(ModelConfig):
    """A skeleton whose width can be scaled and matched."""

    size: Size = setting(
        Size.auto, "`paper`: the published network; `lab`: for small images; `auto`: paper from 71 pixels up"
    )
    width: float = setting(
        1.0, "channels of every layer against the size's own; solved when `model.match` is set", above=0
    )
    fc_layers: int = setting(0, "fully connected layers before the logits (the paper's FC head: 2)", low=0)
    fc_width: int = setting(4096, "units of each fully connected layer", low=1, needs="fc_layers=!0")
    match: Match = setting(Match.none, "solve the width so that this count meets `model.match_to`", identity=False)
    match_to: Optional[Union[int, str]] = setting(
        None, "the count to meet, or a reference variant as overrides, e.g. 'block=conv'", identity=False,
        needs="match=params|body_params|macs",
    )  # fmt: skip


@dataclass
class XceptionConfig(SkeletonConfig):
    """The Xception skeleton (paper, Figure 5): entry, middle and exit flow."""

    name: str = setting("xception", "the model's name in the registry")
    middle_repeats: Optional[int] = setting(None, "modules in the middle flow (empty: the size's own)", low=0)
    stem: Optional[Stem] = setting(None, "regular or separable stem convolutions (empty: the size's own)")

    SIZES: ClassVar[dict[Size, dict[str, Any]]] = {
        Size.paper: dict(PAPER_CONVENTIONS, middle_repeats=8, stem=Stem.conv),
        Size.lab: dict(LAB_CONVENTIONS, middle_repeats=2, stem=Stem.conv),
    }


@dataclass
class VggSepConfig(SkeletonConfig):
    """A VGG-style stack without shortcuts (paper, section 4.6; claim C7)."""

    name: str = setting("vgg_sep", "the model's name in the registry")

    absent_axes: ClassVar[tuple[str, ...]] = ("residual",)
    SIZES: ClassVar[dict[Size, dict[str, Any]]] = {Size.paper: PAPER_CONVENTIONS, Size.lab: LAB_CONVENTIONS}


@dataclass
class InceptionV3Config(ModelConfig):
    """The literal Inception V3. It has no block slot."""

    name: str = setting("inception_v3", "the model's name in the registry")
    form: InceptionV3Form = setting(
        InceptionV3Form.paper,
        "`paper`: the widths and biases that give Table 3's 23,626,728; `keras`: 23,817,352; `torch`: 23,834,568",
    )
    fc_layers: int = setting(0, "fully connected layers before the logits (the paper's FC head: 2)", low=0)
    fc_width: int = setting(4096, "units of each fully connected layer", low=1, needs="fc_layers=!0")

    has_block: ClassVar[bool] = False
    SIZES: ClassVar[dict[Size, dict[str, Any]]] = {Size.paper: PAPER_CONVENTIONS}


# --- data -------------------------------------------------------------------------------------------------------------


class Fill(Enum):
    textured = "textured"
    flat = "flat"


class Fold(Enum):
    sans = "sans"
    serif = "serif"
    mono = "mono"


class Augment(Enum):
    none = "none"
    pad_crop = "pad_crop"
    random_resized_crop = "random_resized_crop"


@dataclass
class DataConfig:
    """Images and labels, their splits and their augmentation."""

    name: str = setting("", "the data set's name in the registry")
    num_classes: int = setting(0, "classes; 0: as many as the data has", low=0)
    image_size: int = setting(32, "side of the square images that the network sees, pixels", low=1)
    seed: int = setting(0, "seed of splits and rendering, apart from the run's seed", low=0, high=LARGEST_SEED)
    augment: Augment = setting(Augment.pad_crop, "random crops of the training images")
    crop_padding: int = setting(4, "pixels of zero padding before the crop", low=0, needs="augment=pad_crop")
    crop_scale: float = setting(
        0.08,
        "smallest share of the image's area that a crop shows",
        above=0,
        high=1,
        needs="augment=random_resized_crop",
    )
    flip: bool = setting(False, "random horizontal flips of the training images")


@dataclass
class GlyphsConfig(DataConfig):
    """Characters rendered from the fonts inside matplotlib; the task is to recognise them in unseen faces."""

    name: str = setting("glyphs", "the data set's name in the registry")
    num_classes: int = setting(300, "classes, a stretch of a fixed list: nested subsets", low=2, high=2000)
    image_size: int = setting(32, "side of the rendered images, pixels", low=16, high=128)
    crop_padding: int = setting(2, "pixels of zero padding before the crop", low=0, needs="augment=pad_crop")
    images_per_class: int = setting(80, "training images of each class", low=1)
    eval_images_per_class: int = setting(10, "validation images, and test images, of each class", low=1)
    fill: Fill = setting(
        Fill.textured,
        "`textured`: each channel its own smooth random texture in foreground and background; `flat`: one colour each",
    )
    fold: Fold = setting(Fold.serif, "font family held out for the test")
    first_class: int = setting(
        0, "where in the fixed list the classes begin; its end goes on at its beginning", low=0, high=1999, neutral=0
    )


@dataclass
class HubConfig(DataConfig):
    """Parquet files in the Hugging Face hub's layout, from a folder or by a hub id."""

    name: str = setting("hub", "the data set's name in the registry")
    path: Optional[str] = setting(None, "folder with the parquet files; empty: fetch `data.repo`", identity=False)
    repo: Optional[str] = setting(None, "data set id on the hub", identity=False, needs="path=none")
    revision: Optional[str] = setting(
        None, "commit on the hub (empty: the newest, resolved and recorded)", identity=False, needs="path=none"
    )
    image_column: str = setting("image", "column of the encoded images")
    label_column: str = setting("label", "column of the integer labels")
    train_split: str = setting("train", "split to train on; validation is cut from it")
    test_split: str = setting("test", "split for the final test")
    val_fraction: float = setting(0.1, "share of the training split kept for validation", above=0, high=0.5)
    images_per_class: int = setting(0, "training images of each class after the cut; 0: all", low=0)
    resize: int = setting(
        0, "side to which images are resized before the centre crop to image_size; 0: image_size", low=0
    )
    crop_padding: int = setting(4, "pixels of zero padding before the crop", low=0, needs="augment=pad_crop")


@dataclass
class Cifar10Config(HubConfig):
    """CIFAR-10 (Krizhevsky 2009) as `uoft-cs/cifar10` lays it out."""

    name: str = setting("cifar10", "the data set's name in the registry")
    repo: Optional[str] = setting("uoft-cs/cifar10", "data set id on the hub", identity=False, needs="path=none")
    num_classes: int = setting(10, "classes; 0: as many as the data has", low=0)
    image_column: str = setting("img", "column of the encoded images")
    flip: bool = setting(True, "random horizontal flips of the training images")


@dataclass
class Cifar100Config(Cifar10Config):
    """CIFAR-100 as `uoft-cs/cifar100` lays it out."""

    name: str = setting("cifar100", "the data set's name in the registry")
    repo: Optional[str] = setting("uoft-cs/cifar100", "data set id on the hub", identity=False, needs="path=none")
    num_classes: int = setting(100, "classes; 0: as many as the data has", low=0)
    label_column: str = setting("fine_label", "column of the integer labels")


@dataclass
class ImagenetConfig(HubConfig):
    """ImageNet-1k as `ILSVRC/imagenet-1k` lays it out; its validation split is the test."""

    name: str = setting("imagenet", "the data set's name in the registry")
    repo: Optional[str] = setting("ILSVRC/imagenet-1k", "data set id on the hub", identity=False, needs="path=none")
    num_classes: int = setting(1000, "classes; 0: as many as the data has", low=0)
    image_size: int = setting(299, "side of the square images that the network sees, pixels", low=1)
    resize: int = setting(
        342, "side to which images are resized before the centre crop to image_size; 0: image_size", low=0
    )
    test_split: str = setting("validation", "split for the final test")
    val_fraction: float = setting(0.01, "share of the training split kept for validation", above=0, high=0.5)
    augment: Augment = setting(Augment.random_resized_crop, "random crops of the training images")
    flip: bool = setting(True, "random horizontal flips of the training images")


@dataclass
class FolderConfig(DataConfig):
    """Images in one folder per class, below `train/` and `test/`, or without these two and split here."""

    name: str = setting("folder", "the data set's name in the registry")
    path: Optional[str] = setting(None, "folder with the images", identity=False)
    val_fraction: float = setting(0.1, "share of the training images kept for validation", above=0, high=0.5)
    test_fraction: float = setting(0.2, "share kept for the test where there is no `test/` folder", above=0, high=0.5)
    images_per_class: int = setting(0, "training images of each class after the cut; 0: all", low=0)
    resize: int = setting(
        0, "side to which images are resized before the centre crop to image_size; 0: image_size", low=0
    )


# --- training ---------------------------------------------------------------------------------------------------------


class Optimizer(Enum):
    sgd = "sgd"
    rmsprop = "rmsprop"
    adamw = "adamw"


class Schedule(Enum):
    constant = "constant"
    cosine = "cosine"
    onecycle = "onecycle"
    exponential = "exponential"


class DecayUnit(Enum):
    epochs = "epochs"
    samples = "samples"
    steps = "steps"


class Precision(Enum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass
class TrainConfig:
    """One run's optimisation, evaluation and hardware."""

    epochs: float = setting(3, "passes over the training split", above=0, high=1e6)
    max_steps: int = setting(0, "end after this many steps, the schedule fitted to them; 0: no limit", low=0)
    batch_size: int = setting(32, "examples a step", low=1)
    accumulate: int = setting(1, "parts into which a step's batch is split, their gradients summed", low=1)
    optimizer: Optimizer = setting(Optimizer.sgd, "`rmsprop` has TensorFlow's semantics: epsilon inside the root")
    lr: float = setting(0.2, "highest learning rate", above=0, high=1e38)
    momentum: float = setting(0.9, "momentum", low=0, high=0.9999, needs="optimizer=sgd|rmsprop")
    nesterov: bool = setting(True, "Nesterov's form of momentum", needs="optimizer=sgd,momentum=!0")
    rmsprop_decay: float = setting(
        0.9, "decay of the squared gradients' average", low=0, high=0.9999, needs="optimizer=rmsprop"
    )
    rmsprop_eps: float = setting(
        1.0, "epsilon, added to the average inside the root", above=0, needs="optimizer=rmsprop"
    )
    beta1: float = setting(0.9, "AdamW's first decay", low=0, high=0.9999, needs="optimizer=adamw")
    beta2: float = setting(0.999, "AdamW's second decay", low=0, high=0.99999, needs="optimizer=adamw")
    weight_decay: float = setting(5e-4, "coefficient w of w * weight added to the gradient (AdamW: decoupled)", low=0)
    decay_norms: bool = setting(False, "weight decay on normalisation scales and shifts", needs="weight_decay=!0")
    decay_biases: bool = setting(False, "weight decay on biases", needs="weight_decay=!0")
    decay_depthwise: bool = setting(True, "weight decay on depthwise kernels", needs="weight_decay=!0")
    schedule: Schedule = setting(Schedule.onecycle, "course of the learning rate")
    warmup_epochs: float = setting(
        0.0, "epochs of linear rise from zero", low=0, needs="schedule=constant|cosine|exponential"
    )
    onecycle_peak: float = setting(
        0.1, "share of the run at which one-cycle peaks", above=0, high=0.99, needs="schedule=onecycle"
    )
    decay_rate: float = setting(0.94, "factor of each staircase step", above=0, high=1, needs="schedule=exponential")
    decay_every: float = setting(2.0, "length of a staircase step", above=0, needs="schedule=exponential")
    decay_unit: DecayUnit = setting(DecayUnit.epochs, "unit of `decay_every`", needs="schedule=exponential")
    label_smoothing: float = setting(0.0, "label smoothing", low=0, high=0.99)
    clip_norm: float = setting(0.0, "largest gradient norm; 0: no clipping", low=0)
    average: bool = setting(True, "Polyak average of the weights, evaluated beside the raw ones")
    average_span: float = setting(
        0.05, "averaging time constant as a share of the run; decay = 1 - 1 / (span * steps)", above=0, high=1,
        needs="average=true",
    )  # fmt: skip
    eval_every: int = setting(1, "epochs between evaluations on the validation split", low=1)
    eval_images: int = setting(0, "at most this many images of each evaluated split; 0: all", low=0)
    precision: Precision = setting(Precision.auto, "`auto`: bf16 autocast where the hardware has it natively")
    device: Device = setting(Device.auto, "`auto`: a GPU if there is one", identity=False)
    threads: int = setting(0, "CPU threads; 0: as many as torch chooses", low=0, high=1024, identity=False)
    workers: int = setting(2, "processes that decode large images", low=0, high=1024, identity=False)
    checkpoint_every: float = setting(60.0, "seconds between checkpoints within an epoch", above=0, identity=False)
    log_every: int = setting(20, "steps between training events", low=1, identity=False)


class WandbMode(Enum):
    offline = "offline"
    online = "online"
    disabled = "disabled"


@dataclass
class WandbConfig:
    """The mirror of the record in Weights & Biases."""

    mode: WandbMode = setting(WandbMode.offline, "`offline` needs no account and no network", identity=False)
    project: str = setting("sepconv_lab", "project", identity=False)
    entity: Optional[str] = setting(None, "account or team", identity=False)
    group: Optional[str] = setting(None, "group, such as a study", identity=False)
    name: Optional[str] = setting(None, "display name (empty: the overrides)", identity=False)
    tags: list[str] = setting([], "tags", identity=False)
    notes: Optional[str] = setting(None, "notes", identity=False)
    log_checkpoint: bool = setting(False, "upload the final checkpoint as an artifact", identity=False)


@dataclass
class RunConfig:
    """One run, whole."""

    block: Optional[BlockConfig] = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    seed: int = setting(
        0, "initialisation, order of examples, augmentation, dropout: separate streams", low=0, high=LARGEST_SEED
    )
    runs_dir: str = setting("runs", "folder of the records", identity=False)
    force: bool = setting(False, "run again although a finished record exists; the old one is archived", identity=False)
    imports: list[str] = setting(
        [],
        "Python modules or files with your own blocks and skeletons; their source is part of the identity",
        identity=False,
    )


GROUPS: dict[str, type] = {
    "block": BlockConfig,
    "model": ModelConfig,
    "data": DataConfig,
    "train": TrainConfig,
    "wandb": WandbConfig,
}
BUILTIN: tuple[type, ...] = (
    XceptionBlockConfig, InceptionBlockConfig, ConvBlockConfig, XceptionConfig, VggSepConfig, InceptionV3Config,
    GlyphsConfig, HubConfig, Cifar10Config, Cifar100Config, ImagenetConfig, FolderConfig,
)  # fmt: skip


# --- reading the declarations -----------------------------------------------------------------------------------------


def settings(cls: type) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """The declared fields of a config class with their resolved types, Optional removed."""
    hints = typing.get_type_hints(cls)
    for f in dataclasses.fields(cls):
        if "doc" in f.metadata:
            yield f, _without_none(hints[f.name])


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (Union, types.UnionType):
        rest = tuple(a for a in typing.get_args(kind) if a is not type(None))
        return rest[0] if len(rest) == 1 else Union[rest]
    return kind


def default_of(f: dataclasses.Field[Any]) -> Any:
    """A field's default value."""
    return f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default


def allowed(f: dataclasses.Field[Any], kind: Any) -> str:
    """A field's allowed values in words, e.g. "depthwise_first, pointwise_first" or "odd int >= 1"."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(kind.__members__)
    if kind is bool:
        return "true, false"
    bounds = f.metadata["bounds"]
    words = "int or channels" if kind == Union[int, str] and f.name == "segments" else _type_words(kind)
    if bounds["odd"]:
        words = "odd " + words
    for key, sign in (("low", ">="), ("above", ">"), ("high", "<=")):
        if bounds[key] is not None:
            words += f" {sign} {bounds[key]:g}" if words[-1].isalpha() else f", {sign} {bounds[key]:g}"
    return words


def _type_words(kind: Any) -> str:
    if typing.get_origin(kind) is Union:
        return " or ".join(_type_words(a) for a in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return "list of " + _type_words(typing.get_args(kind)[0])
    return {str: "text"}.get(kind, getattr(kind, "__name__", str(kind)))


def active(group: Any, f: dataclasses.Field[Any]) -> bool:
    """Whether the field has any effect, given the other values of its group (its `needs`)."""
    conditions = [c.partition("=")[::2] for c in f.metadata["needs"].split(",") if c]
    return all(_holds(plain(getattr(group, key)), values) for key, values in conditions)


def _holds(value: Any, values: str) -> bool:
    return bool(value) if values == "!0" else str(value).lower() in values.split("|")


def plain(value: Any) -> Any:
    """Enums become their names, dataclasses dicts; everything else stays: what YAML and JSON can hold."""
    if isinstance(value, Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def flat(config: RunConfig) -> dict[str, Any]:
    """The configuration as one level of dotted names: the columns of data frames and of W&B."""
    out: dict[str, Any] = {}
    for key, value in plain(config).items():
        if isinstance(value, dict):
            out |= {f"{key}.{k}": v for k, v in value.items()}
        else:
            out[key] = value
    return out | placements(config.block)


def placements(block: BlockConfig | None) -> dict[str, str]:
    """What stands after each operation of a separable layer in a stack: {"after_depthwise": ..., "after_pointwise": ...}.

    Words such as "none", "norm", "norm+relu".
    `act` follows the previous layer's `out_norm`, so it belongs to the second operation. Orders can only be compared at equal
    values of these two (claim C5). Empty for blocks without the two operations.
    """
    if isinstance(block, InceptionBlockConfig) and block.form is not Form.canonical:
        first, second = "after_pointwise", "after_depthwise"
    elif isinstance(block, XceptionBlockConfig):
        first, second = "after_depthwise", "after_pointwise"
        if block.order is Order.pointwise_first:
            first, second = second, first
    else:
        return {}

    def words(norm: bool, act: Activation) -> str:
        return "+".join((["norm"] if norm else []) + ([act.name] if act is not Activation.none else [])) or "none"

    return {first: words(block.mid_norm, block.mid_act), second: words(block.out_norm, block.act)}


def value_problems(config: RunConfig) -> list[str]:
    """What is wrong with single values: out of bounds, even kernels, unknown words."""
    found = []
    for prefix, node in [("", config)] + [(g + ".", getattr(config, g)) for g in GROUPS]:
        if node is None:
            continue
        for f, kind in settings(type(node)):
            value = getattr(node, f.name)
            bounds = f.metadata["bounds"]
            bad = False
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                bad = value != value or value in (float("inf"), float("-inf"))
                bad |= bounds["low"] is not None and value < bounds["low"]
                bad |= bounds["high"] is not None and value > bounds["high"]
                bad |= bounds["above"] is not None and value <= bounds["above"]
                bad |= bounds["odd"] and value % 2 == 0
            elif f.name == "segments" and value != "channels":
                bad = True
            elif kind is str and value == "" and default_of(f) != "":  # an unset variable of the shell, say
                instead = "null leaves it out" if default_of(f) is None else "give a text"
                found.append(f"{prefix}{f.name}= is empty; {instead}")
            if bad:
                found.append(f"{prefix}{f.name}={value} is not allowed: {allowed(f, kind)}")
    return found


def complete(config: RunConfig) -> RunConfig:
    """Settle what depends on something else: `model.size`, the fields that a size fills, a block that a model has no slot for."""
    model = dataclasses.replace(config.model)
    size = getattr(model, "size", next(iter(model.SIZES), None))
    if size is Size.auto:
        size = Size.paper if config.data.image_size >= 71 else Size.lab
        model.size = size  # type: ignore[attr-defined]
    for key, value in model.SIZES.get(size, {}).items():  # type: ignore[arg-type]
        if getattr(model, key) is None:
            setattr(model, key, value)
    block = config.block if model.has_block else None
    if block is not None and "residual" in model.absent_axes:
        block = dataclasses.replace(block, residual=False)
    return dataclasses.replace(config, model=model, block=block)
