"""Filling the columns of counts per well, whose sums are known only when all parts are joined."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.ipc.profiles import ProfilesReader
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.model.roles import with_roles
from pycytominer_transform.common.model.well_counts import WELLS, keys_of, well_labels

if TYPE_CHECKING:
    import pyarrow as pa

Batches = Iterable[tuple["pa.RecordBatch", int]]


@dataclass
class CountedProfiles(ProfilesReader):
    """Profiles whose columns of counts are filled.

    Profiles in folders have the counts beside them. A stream has them at its end, so its rows wait in a temporary file.

    Attributes
    ----------
    count_keys : dict
        The columns of counts, each with its key columns.
    """

    count_keys: dict[str, list[str]] = field(default_factory=dict)

    def batches(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield the batches; see `ProfilesReader.batches`.

        Raises
        ------
        DataError
            The steps that made the profiles do not say the counts.
        """
        with tempfile.TemporaryFile(prefix="pct-write-") as waiting:
            batches: Batches = super().batches()
            if self._wells() is None:
                batches = _reread(batches, self.schema, waiting)
            wells = self._wells()
            if wells is None:
                raise DataError("the profiles do not say how many cells each well has; run pct-join --counts again")
            for batch, part in batches:
                yield _filled(batch, self.count_keys, wells), part

    def _wells(self) -> dict[str, dict[str, int]] | None:
        """Return the counts of all wells for each column of counts; None as long as the steps do not say them."""
        for wells in (step.counts.get(WELLS) for step in self.steps):
            if isinstance(wells, dict) and all(isinstance(wells.get(name), dict) for name in self.count_keys):
                return wells
        return None


def with_well_counts(reader: ProfilesReader) -> ProfilesReader:
    """Return a reader that fills the columns of counts, where there are any."""
    import pyarrow as pa

    count_keys = {column.name: keys for column in reader.schema if (keys := keys_of(column))}
    if not count_keys:
        return reader
    if absent := {key for keys in count_keys.values() for key in keys}.difference(reader.schema.names):
        raise DataError(f"the profiles lack {listed(sorted(absent))}, by which their cells are counted")
    schema = with_roles(pa.schema([column.remove_metadata() for column in reader.schema]), reader.schema)
    return CountedProfiles(
        schema, reader.preset, reader._streams, reader._history, experiment=reader.experiment, count_keys=count_keys
    )


def _reread(batches: Batches, schema: pa.Schema, waiting: IO[bytes]) -> Batches:
    """Write all batches to a file, and return them as they are read from it."""
    import pyarrow as pa

    parts = []
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(pa.PythonFile(waiting, "w"), schema, options=options) as writer:
        for batch, part in batches:
            writer.write_batch(batch)
            parts.append(part)
    waiting.seek(0)
    file = pa.ipc.open_file(pa.PythonFile(waiting, "r"))
    return ((file.get_batch(place), part) for place, part in enumerate(parts))


def _filled(batch: pa.RecordBatch, columns: dict[str, list[str]], wells: dict[str, dict[str, int]]) -> pa.RecordBatch:
    import pyarrow as pa

    for name, keys in columns.items():
        labels = well_labels(batch, keys).dictionary_encode()
        counts = pa.array([wells[name].get(label) for label in labels.dictionary.to_pylist()], type=pa.int64())
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, pa.field(name, pa.int64()), counts.take(labels.indices))
    return batch
