"""Profiles on their way back: out of an unfinished output that took them, into files where a later run finds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.destination import LocalFolder, storage_errors
from pycytominer_transform.common.kept_profiles import KEPT_PROFILES
from pycytominer_transform.common.made_parts import MadeParts, PartsWantedBackError
from pycytominer_transform.common.manifest_files import read_manifest_beside
from pycytominer_transform.common.profiles import BATCH_ROWS, ProfilesFolderWriter, ProfilesReader

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def returning(reader: ProfilesReader, profiles: object, output: BinaryIO) -> Iterator[None]:
    """Write the profiles that have no file, of parts that are wanted back, from the Parquet that the block writes.

    Parameters
    ----------
    reader : ProfilesReader
        What the block reads.
    profiles : object
        Parts that are being made; of anything else nothing is ever wanted back.
    output : binary file
        Of this machine. Holds the rows in the order in which parts were given.

    Raises
    ------
    PartsWantedBackError
        What the block raised.
    StorageError
        The disk refuses.
    """
    try:
        yield
    except PartsWantedBackError:
        if isinstance(profiles, MadeParts) and not all(part.has_file for part in profiles.given):
            output.flush()
            rows = _Rows(Path(output.name), reader.schema)
            for part in profiles.given:
                table = rows.next(part.rows)
                if not part.has_file:
                    _write(part.place, table)
        raise


def return_kept(places: Iterable[Path]) -> None:
    """Write the profiles that nobody has taken yet.

    Raises
    ------
    StorageError
        The disk refuses.
    """
    for place in places:
        if (kept := KEPT_PROFILES.take(str(place))) is not None:
            for _, table in kept.parts():
                _write(place, table)


def _write(place: Path, profiles: pa.Table) -> None:
    """Write the profiles of the one part whose manifest is there."""
    manifest = read_manifest_beside(place)
    (part,) = manifest.parts
    with storage_errors(place):
        ProfilesFolderWriter(LocalFolder(place), manifest).write(part, profiles)


class _Rows:
    """The rows of a Parquet file, so many at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._batches = _batches(path)
        self._left: list[pa.RecordBatch] = []

    def next(self, rows: int) -> pa.Table:
        """Give the next rows."""
        import pyarrow as pa

        taken: list[pa.RecordBatch] = []
        while missing := rows - sum(batch.num_rows for batch in taken):
            batch = self._left.pop() if self._left else next(self._batches)
            taken.append(batch.slice(0, missing))
            if batch.num_rows > missing:
                self._left.append(batch.slice(missing))
        return pa.Table.from_batches(taken, schema=taken[0].schema if taken else self._schema).cast(self._schema)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH_ROWS)
