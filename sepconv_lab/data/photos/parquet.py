"""One split's parquet files as a pool of encoded images."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...config import BadInput
from ...config.messages import did_you_mean, first_line
from ...console.progress import progress
from ...disk import locked, replacing
from ..cache import cache_dir
from .decode import check
from .photos import CHUNK, Pool

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def open_parquet(path: Path) -> pq.ParquetFile:
    """The opened file, its footer read. Raises BadInput."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise BadInput(f"{path}: parquet files need pyarrow (pip install pyarrow)") from error
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: not a readable parquet file: {first_line(error)}") from error


class ParquetPool(Pool):
    """The files' rows, one file after the other."""

    def __init__(self, files: Sequence[Path], image_column: str, label_column: str) -> None:
        self.files = list(files)
        self._image_column, self._label_column = image_column, label_column

    @functools.cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        """Row at which each file starts, and at the end the number of rows. Checks that every file has both columns."""
        counts = []
        for path in self.files:
            file = open_parquet(path)
            names = file.schema_arrow.names
            for key, column in (("image_column", self._image_column), ("label_column", self._label_column)):
                if column not in names:
                    raise BadInput(
                        f"{path}: no column {column!r} (data.{key}); found: {', '.join(names)}.{did_you_mean(column, names)}"
                    )
            _check_types(file.schema_arrow, path, self._image_column, self._label_column)
            counts.append(file.metadata.num_rows)
        if not sum(counts):
            raise BadInput(f"{self.files[0]}: no rows")
        return np.cumsum([0, *counts])

    @functools.cached_property
    def labels(self) -> npt.NDArray[np.int64]:  # type: ignore[override]
        import pyarrow as pa

        starts, parts = self._starts, []
        for path, start in zip(self.files, starts[:-1], strict=True):
            with _reading(path):
                column = open_parquet(path).read([self._label_column])[self._label_column]
            column = pa.chunked_array([_plain(chunk) for chunk in column.chunks], _value_type(column.type))
            if column.null_count:
                row = int(np.flatnonzero(column.is_null().to_numpy())[0])
                raise BadInput(f"{self.where(int(start) + row)}: no label (null)")
            parts.append(column.to_numpy().astype(np.int64))
        return np.concatenate(parts)

    def where(self, row: int) -> str:
        file = int(np.searchsorted(self._starts, row, "right")) - 1
        return f"{self.files[file]}, row {row - int(self._starts[file])}"

    def chunks(self) -> Iterator[list[bytes | None]]:
        assert len(self._starts)  # the columns are there
        for path in self.files:
            with _reading(path):
                for batch in open_parquet(path).iter_batches(CHUNK, columns=[self._image_column]):
                    yield _bytes_of(batch.column(0)).to_pylist()

    def indexed(self, content: str) -> Blob:
        path = cache_dir() / "encoded" / f"{content}.bin"
        total = sum(file.stat().st_size for file in self.files)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_suffix(".lock")):
                if not Blob.whole(path, len(self.labels)):
                    self._extract(path, total)
        except OSError as error:
            raise BadInput(
                f"{path}: {error.strerror or error}. Large images are copied here from their parquet files once, to be read "
                f"in any order; that takes about {total / 1e9:.1f} GB. SEPCONV_LAB_CACHE=DIR names another place"
            ) from error
        return Blob(path, self)

    def _extract(self, path: Path, total: int) -> None:
        """Write all images one after the other, then the table of where each ends and what its checksum is."""
        table, row, end = np.zeros((2, len(self.labels)), "<i8"), 0, 0
        with (
            replacing(path, "cache", shared=True) as out,
            progress(f"Copying {self.files[0].parent.name}", total, "B") as bar,
        ):
            for chunk in self.chunks():
                start = end
                for data in chunk:
                    if data is None:
                        raise BadInput(f"{self.where(row)}: no image bytes")
                    check(io.BytesIO(data), functools.partial(self.where, row))
                    out.write(data)
                    end += len(data)
                    table[:, row] = end, _checksum(data)
                    row += 1
                bar.update(end - start)
            out.write(table.tobytes() + hashlib.sha256(table.tobytes()).digest())


def _checksum(data: bytes) -> int:
    """64 bits of an image's sha-256."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little", signed=True)


class Blob:
    """Encoded images in one file, by row: all images, then their ends and checksums (2, N) as int64, and the sha-256 of those."""

    def __init__(self, path: Path, pool: ParquetPool) -> None:
        self._path, self._pool = path, pool
        table = self._table_in(path, len(pool.labels))
        if table is None:
            raise BadInput(f"{path}: changed while it was opened")
        self._ends, self._checksums = table

    @staticmethod
    def _table_in(path: Path, count: int) -> npt.NDArray[np.int64] | None:
        """(2, count): ends and checksums; None where the file is not one of so many images, or the table is damaged."""
        size = path.stat().st_size - 16 * count - 32
        if size < 0:
            return None
        with path.open("rb") as file:
            file.seek(size)
            data = file.read()
        table = np.frombuffer(data[:-32], "<i8").reshape(2, -1)
        whole = hashlib.sha256(data[:-32]).digest() == data[-32:] and table.shape[1] == count and table[0, -1] == size
        return table if whole else None

    @classmethod
    def whole(cls, path: Path, count: int) -> bool:
        """Whether the file is there, with `count` images and their table. The images are looked at when they are read."""
        return path.exists() and cls._table_in(path, count) is not None

    def read(self, row: int) -> bytes:
        """The image's bytes. Raises BadInput for one that changed in the cache, whose file then makes way for a new one."""
        start = int(self._ends[row - 1]) if row else 0
        with self._path.open("rb") as file:
            file.seek(start)
            data = file.read(int(self._ends[row]) - start)
        if _checksum(data) != self._checksums[row]:
            with suppress(OSError):
                self._path.unlink()
            raise BadInput(
                f"{self._path}: the copy of {self.where(row)} was damaged in the cache and is removed; the same command "
                "copies it anew and goes on"
            )
        return data

    def where(self, row: int) -> str:
        """Where the image came from, in words."""
        return self._pool.where(row)


class _reading:
    """Damage found while reading, with the file's name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import pyarrow as pa

        if isinstance(error, (pa.ArrowException, OSError)):
            raise BadInput(f"{self._path}: cannot be read: {first_line(error)}") from error


def _check_types(schema: pa.Schema, path: Path, image_column: str, label_column: str) -> None:
    import pyarrow as pa

    label, image = (_value_type(schema.field(name).type) for name in (label_column, image_column))
    if not pa.types.is_integer(label):
        raise BadInput(f"{path}: column {label_column!r} (data.label_column) holds {label}; whole numbers are needed")
    if pa.types.is_struct(image) and image.get_field_index("bytes") >= 0:
        image = _value_type(image.field("bytes").type)
    if not (pa.types.is_binary(image) or pa.types.is_large_binary(image) or pa.types.is_binary_view(image)):
        raise BadInput(f"{path}: column {image_column!r} (data.image_column) holds {image}; encoded images are needed")


def _value_type(kind: pa.DataType) -> pa.DataType:
    """A column's type, a dictionary's values in their place."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _bytes_of(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    column = _plain(column)
    return _plain(column.field("bytes")) if pa.types.is_struct(column.type) else column
