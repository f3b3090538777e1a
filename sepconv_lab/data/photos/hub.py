"""`data=hub` and its presets: parquet files in the Hugging Face hub's layout, from a folder or fetched by id."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...config import BadInput, HubConfig
from ...config.messages import did_you_mean, first_line
from ...config.registry import register
from .parquet import ParquetPool, open_parquet
from .photos import Photos, Pool, existing_folder, note

if TYPE_CHECKING:
    import pyarrow as pa

_SHARD = re.compile(r"(?P<split>.+?)(?:-\d+(?:-of-\d+)?(?:-[0-9a-f]+)?)?\.parquet")
"""`train.parquet`, `train-00000-of-00004.parquet`, with a hash behind; `0000.parquet` in a folder named as the split."""


@register(HubConfig)
class Hub(Photos):
    """Rows of an image (struct of bytes and path, or binary) and an integer label."""

    config: HubConfig

    @functools.cached_property
    def root(self) -> Path:
        config = self.config
        if config.path:
            return existing_folder(config.path)
        if not config.repo:
            raise BadInput(
                f"data={config.name} needs data.path=DIR, a folder with parquet files, or data.repo=OWNER/NAME on the hub"
            )
        return _fetch(config.repo, config.revision, (config.train_split, config.test_split))

    def revision(self) -> str | None:
        return None if self.config.path else self.root.name

    def read_pools(self) -> dict[str, Pool]:
        config = self.config
        files = split_files(self.root, (config.train_split, config.test_split))
        if not files:
            raise BadInput(f"{self.root}: no parquet files in it or below")
        pools: dict[str, Pool] = {}
        for name, key, split in (
            ("train", "train_split", config.train_split),
            ("test", "test_split", config.test_split),
        ):
            if split not in files:
                allowed = f"found: {', '.join(files)}.{did_you_mean(split, files)}"
                raise BadInput(f"{self.root}: no split {split!r} (data.{key}); {allowed}")
            folders = sorted({str(path.parent.relative_to(self.root)) for path in files[split]})
            if len(folders) > 1:
                several = ", ".join(folders)
                raise BadInput(
                    f"{self.root}: several configurations have a split {split!r}: {several}; set data.path to one"
                )
            pools[name] = ParquetPool(files[split], config.image_column, config.label_column)
        unused = sorted(files.keys() - {config.train_split, config.test_split})
        if unused and config.path:
            note(f"{self.root}: {', '.join(unused)} is not used (data.train_split, data.test_split)")
        return pools

    def read_class_names(self) -> list[str]:
        return class_names(open_parquet(self.pools["train"].files[0]).schema_arrow, self.config.label_column)


def split_files(root: Path, splits: Sequence[str] = ()) -> dict[str, list[Path]]:
    """Parquet files below `root` by split, in order of their names.

    A file's name tells its split (train-00000-of-00004), or else a folder named as one of `splits` (train/part-0).
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(_parquet_files(root)):
        folders = path.relative_to(root).parts[:-1]
        match = _SHARD.fullmatch(path.name)
        split = match["split"] if match else path.stem
        if split not in splits:
            named = [folder for folder in folders if folder in splits]
            split = named[-1] if named else path.parent.name if split.isdecimal() else split  # 0000.parquet
        files.setdefault(split, []).append(path)
    return files


def _parquet_files(root: Path) -> Iterator[Path]:
    """Visible parquet files below a folder, through links too, each folder once."""
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real not in seen:
            seen.add(real)
            yield from (Path(folder, n) for n in files if n.endswith(".parquet") and not n.startswith("."))


def class_names(schema: pa.Schema, label_column: str) -> list[str]:
    """The label's class names from the metadata that the hub's library writes, or none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label_column]["names"]]
    except (KeyError, ValueError, TypeError):
        return []


def _fetch(repo: str, revision: str | None, splits: Sequence[str]) -> Path:
    """The folder of a snapshot that holds the parquet files of these splits; its name is the commit. Raises BadInput."""
    offline = "to work offline, set data.path=DIR to a folder with its parquet files"
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise BadInput(f"data.repo={repo} needs huggingface_hub (pip install huggingface_hub); {offline}") from error
    wanted = [
        pattern for split in splits for pattern in (f"*{split}-*.parquet", f"*{split}.parquet", f"*{split}/*.parquet")
    ]
    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=wanted))
    except Exception as error:  # its errors come from several libraries
        raise BadInput(f"data.repo={repo} cannot be fetched: {first_line(error)}; {offline}") from error
