"""Open Parquet files, and raise Arrow's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.errors import BadDatasetError, PctError, describe_os_error
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.tree import Folder, checked_name

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SUFFIX = ".parquet"
_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_LEAST_BYTES = 12
"""The magic bytes at both ends, and the length of the footer: https://parquet.apache.org/docs/file-format/"""
_BUFFER_BYTES = 1 << 16
"""Of each column while it is read; without a buffer, all of a row group's bytes would be in memory."""


def is_parquet_name(name: str) -> bool:
    """Return whether a file is named as Parquet files are."""
    return name.lower().endswith(SUFFIX)


def is_parquet(path: Location) -> bool:
    """Return whether a file is named as Parquet files are, or begins as they do."""
    if is_parquet_name(path.name):
        return True
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) in (_MAGIC, _ENCRYPTED)


def find_parquet_files(root: Location, tree: Sequence[Folder]) -> list[str]:
    """List the Parquet files of a source, relative to it; ``.`` where it is one itself."""
    if not root.is_dir():
        return ["."]
    names = (folder.path_of(name) for folder in tree for name in folder.files if is_parquet_name(name))
    return sorted(map(checked_name, names))


@dataclass(frozen=True)
class ParquetTable:
    """An open Parquet file.

    Attributes
    ----------
    schema : pyarrow.Schema
        All of its columns.
    row_group_starts : list of int
        The number of the first row of each row group, from 0, and the number of all rows at the end.
    shown : str
        Its name in messages.
    """

    schema: pa.Schema
    row_group_starts: list[int]
    shown: str
    _path: Location
    _file: pq.ParquetFile

    def batches(self, names: Sequence[str], rows: int, row_group: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield some columns, in this order, of all rows or those of one row group, at most so many rows at once.

        Raises
        ------
        BadDatasetError
            The file is damaged.
        """
        chosen = {"row_groups": [row_group]} if row_group is not None else {}
        with _arrow_errors(self._path, self.shown):
            batches = self._file.iter_batches(rows, columns=[*names], **chosen)
        while True:
            with _arrow_errors(self._path, self.shown):
                batch = next(batches, None)
            if batch is None:
                return
            # Arrow reads columns in the file's order, and those whose names begin with one of these and a point.
            yield batch.select([*names])


@contextmanager
def open_parquet(path: Location, shown: str) -> Iterator[ParquetTable]:
    """Open a Parquet file; its page checksums are verified.

    Raises
    ------
    BadDatasetError
        It is empty, cut off, damaged, encrypted or not Parquet.
    StorageError
        It cannot be read.
    """
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        with _arrow_errors(path, shown):
            file = stack.enter_context(path.open("rb"))
            _check_ends(file.read(len(_MAGIC)), _last_bytes(file), shown)
            opened = stack.enter_context(
                pq.ParquetFile(file, page_checksum_verification=True, buffer_size=_BUFFER_BYTES)
            )
            schema, metadata = opened.schema_arrow, opened.metadata
            _check_names(schema.names, shown)
        sizes = (metadata.row_group(at).num_rows for at in range(metadata.num_row_groups))
        yield ParquetTable(schema, list(accumulate(sizes, initial=0)), shown, path, opened)


@contextmanager
def _arrow_errors(path: Location, shown: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except PctError:
        raise
    except (pa.ArrowException, OSError, UnicodeError, MemoryError) as error:
        # Arrow's own errors of input have no number of the operating system's.
        if isinstance(error, OSError) and error.errno is not None:
            raise describe_os_error(error, f"read {path}") from error
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise BadDatasetError(f"{shown}: is a Parquet file that is damaged or cut off ({reason})") from error


def _last_bytes(file: BinaryIO) -> bytes:
    size = file.seek(0, 2)
    file.seek(max(size - len(_MAGIC), 0))
    last: bytes = file.read() if size >= _LEAST_BYTES else b""
    file.seek(0)
    return last


def _check_ends(first: bytes, last: bytes, shown: str) -> None:
    if not first:
        raise BadDatasetError(f"{shown}: is empty")
    if first == _ENCRYPTED or (first == _MAGIC and last == _ENCRYPTED):
        raise BadDatasetError(f"{shown}: is an encrypted Parquet file; write it without encryption")
    if first != _MAGIC:
        raise BadDatasetError(f"{shown}: is a Parquet file by its name alone; it is damaged, or of another kind")
    if last != _MAGIC:
        raise BadDatasetError(f"{shown}: is a Parquet file that is cut off")


def _check_names(names: Sequence[str], shown: str) -> None:
    if len(set(names)) < len(names):
        repeated = next(name for place, name in enumerate(names) if name in names[:place])
        raise BadDatasetError(f"{shown}: has several columns {repeated!r}; rename them")
