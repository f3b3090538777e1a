"""Data sets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Optional

from .fields import LARGEST_SEED, setting


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
    num_classes: int = setting(0, "classes; 0: as many as the data has", low=0, high=10_000_000)
    image_size: int = setting(32, "side of the square images that the network sees, pixels", low=1, high=4096)
    seed: int = setting(0, "seed of splits and rendering, apart from the run's seed", low=0, high=LARGEST_SEED)
    augment: Augment = setting(Augment.pad_crop, "random crops of the training images")
    crop_padding: int = setting(4, "pixels of zero padding before the crop", low=0, high=4096, needs="augment=pad_crop")
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
    crop_padding: int = setting(2, "pixels of zero padding before the crop", low=0, high=4096, needs="augment=pad_crop")
    images_per_class: int = setting(80, "training images of each class", low=1, high=1_000_000)
    eval_images_per_class: int = setting(10, "validation images, and test images, of each class", low=1, high=10_000)
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
    repo: Optional[str] = setting(None, "data set id on the hub", identity=False, needs="path=null")
    revision: Optional[str] = setting(
        None, "commit on the hub (empty: the newest, resolved and recorded)", identity=False, needs="path=null"
    )
    image_column: str = setting("image", "column of the encoded images")
    label_column: str = setting("label", "column of the integer labels")
    train_split: str = setting("train", "split to train on; validation is cut from it")
    test_split: str = setting("test", "split for the final test")
    val_fraction: float = setting(0.1, "share of the training split kept for validation", above=0, high=0.5)
    images_per_class: int = setting(0, "training images of each class after the cut; 0: all", low=0, high=1_000_000)
    resize: int = setting(
        0, "side to which images are resized before the centre crop to image_size; 0: image_size", low=0, high=16_384
    )
    crop_padding: int = setting(4, "pixels of zero padding before the crop", low=0, high=4096, needs="augment=pad_crop")


@dataclass
class Cifar10Config(HubConfig):
    """CIFAR-10 (Krizhevsky 2009) as `uoft-cs/cifar10` lays it out."""

    name: str = setting("cifar10", "the data set's name in the registry")
    repo: Optional[str] = setting("uoft-cs/cifar10", "data set id on the hub", identity=False, needs="path=null")
    num_classes: int = setting(10, "classes; 0: as many as the data has", low=0, high=10_000_000)
    image_column: str = setting("img", "column of the encoded images")
    flip: bool = setting(True, "random horizontal flips of the training images")


@dataclass
class Cifar100Config(Cifar10Config):
    """CIFAR-100 as `uoft-cs/cifar100` lays it out."""

    name: str = setting("cifar100", "the data set's name in the registry")
    repo: Optional[str] = setting("uoft-cs/cifar100", "data set id on the hub", identity=False, needs="path=null")
    num_classes: int = setting(100, "classes; 0: as many as the data has", low=0, high=10_000_000)
    label_column: str = setting("fine_label", "column of the integer labels")


@dataclass
class ImagenetConfig(HubConfig):
    """ImageNet-1k as `ILSVRC/imagenet-1k` lays it out; its validation split is the test."""

    name: str = setting("imagenet", "the data set's name in the registry")
    repo: Optional[str] = setting("ILSVRC/imagenet-1k", "data set id on the hub", identity=False, needs="path=null")
    num_classes: int = setting(1000, "classes; 0: as many as the data has", low=0, high=10_000_000)
    image_size: int = setting(299, "side of the square images that the network sees, pixels", low=1, high=4096)
    resize: int = setting(
        342, "side to which images are resized before the centre crop to image_size; 0: image_size", low=0, high=16_384
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
    train_split: str = setting("train", "folder of the training images; validation is cut from it", neutral="train")
    test_split: str = setting("test", "folder of the test images", neutral="test")
    val_fraction: float = setting(0.1, "share of the training images kept for validation", above=0, high=0.5)
    test_fraction: float = setting(0.2, "share kept for the test where there is no `test/` folder", above=0, high=0.5)
    images_per_class: int = setting(0, "training images of each class after the cut; 0: all", low=0, high=1_000_000)
    resize: int = setting(
        0, "side to which images are resized before the centre crop to image_size; 0: image_size", low=0, high=16_384
    )
