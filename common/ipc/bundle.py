"""Bundles: the tables of the parts, from `pct-extract` to `pct-join`.

At rest a folder ``PART/TABLE.arrow`` with the manifest beside. In a pipe Arrow streams end to end: the manifest, then
one for each table of each part, then an empty one that counts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pycytominer_transform.common.errors import DataError, SourceNotFoundError, StageEndedEarlyError
from pycytominer_transform.common.ipc.manifest_files import (
    MANIFEST_FILE,
    manifest_of,
    read_manifest_beside,
    write_manifest,
    write_manifest_beside,
)
from pycytominer_transform.common.ipc.next_stage import command_for, kind_of_folder
from pycytominer_transform.common.ipc.stream_reader import OpenStream, open_streams, read_one
from pycytominer_transform.common.ipc.stream_writer import StreamWriter, write_stream
from pycytominer_transform.common.model.conversion import arrow_field
from pycytominer_transform.common.model.manifest import Manifest, Step, TableSchema, part_name
from pycytominer_transform.common.storage.destination import OutputFolder
from pycytominer_transform.common.storage.location import Location, named_location
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.standard_io import STANDARD, Sink

if TYPE_CHECKING:
    import pyarrow as pa


def bundle_schema(manifest: Manifest, schema: TableSchema) -> pa.Schema:
    """Return the Arrow schema of a table in a bundle, with final names and the columns that the tools add."""
    import pyarrow as pa

    columns = (*schema.columns, *manifest.own_columns(schema))
    return pa.schema([arrow_field(column) for column in columns])


@dataclass
class BundleFolderWriter:
    """Writes a bundle into a folder."""

    _folder: OutputFolder
    _manifest: Manifest

    def write(self, part: int, tables: dict[str, pa.Table]) -> None:
        """Write one part's tables."""
        for name, table in tables.items():
            with self._folder.open(_file_path(part, name)) as sink:
                write_stream(sink, _with_names(table, part, name), as_file=True)

    def close(self, step: Step) -> None:
        """Write the manifest beside the parts, with the step that made them."""
        write_manifest_beside(self._manifest.with_steps(step), self._folder)


class BundleStreamWriter:
    """Writes a bundle into a pipe."""

    def __init__(self, sink: BinaryIO, manifest: Manifest) -> None:
        self._sink = sink
        self._parts = self._tables = 0
        write_manifest(manifest, sink, as_file=False)

    def write(self, part: int, tables: dict[str, pa.Table]) -> None:
        """Write one part's tables and pass them on at once."""
        for name, table in tables.items():
            write_stream(self._sink, _with_names(table, part, name), as_file=False)
        self._parts += 1
        self._tables += len(tables)
        self._sink.flush()

    def close(self, step: Step) -> None:
        """Write the last stream: how many parts and tables there were."""
        import pyarrow as pa

        writer = StreamWriter(self._sink, pa.schema([], metadata={"pct.role": "end"}), as_file=False)
        writer.close(parts=self._parts, tables=self._tables, steps=[step])


class MemoryBundle:
    """A bundle in memory, written and read part by part as one at rest is.

    Not a dataclass, for Prefect looks into the fields of those.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._parts: list[tuple[int, dict[str, pa.Table]]] = []

    @property
    def steps(self) -> tuple[Step, ...]:
        """The provenance."""
        return self.manifest.provenance

    def write(self, part: int, tables: dict[str, pa.Table]) -> None:
        """Add one part's tables."""
        self._parts.append((part, tables))

    def close(self, step: Step) -> None:
        """Add the step that made the bundle to its provenance."""
        self.manifest = self.manifest.with_steps(step)

    def parts(self) -> Iterator[tuple[int, dict[str, pa.Table]]]:
        """Yield each part's number and tables, ascending."""
        return iter(self._parts)

    def clear(self) -> None:
        """Forget the tables."""
        self._parts.clear()


def bundle_writer(sink: Sink, manifest: Manifest) -> BundleFolderWriter | BundleStreamWriter | MemoryBundle:
    """Return the writer of a bundle that goes to an output; see `standard_io.open_output`."""
    if sink is None:
        return MemoryBundle(manifest)
    if isinstance(sink, OutputFolder):
        return BundleFolderWriter(sink, manifest)
    return BundleStreamWriter(sink, manifest)


class Extracted(Protocol):
    """The part of the result of `extract` that `join` reads."""

    @property
    def bundle(self) -> str | MemoryBundle:
        """The bundle's place, or the bundle itself."""
        ...


class BundleReader:
    """Reads a bundle part by part.

    Parameters
    ----------
    streams : iterator of OpenStream
        The tables of all parts, in the manifest's order.
    has_end : bool
        A stream follows that counts them.

    Attributes
    ----------
    manifest : Manifest
        Known from the beginning.
    steps : tuple of Step
        All of the provenance; complete once the parts have been read.
    """

    def __init__(self, manifest: Manifest, streams: Iterator[OpenStream], where: str, *, has_end: bool) -> None:
        self.manifest = manifest
        self.steps = manifest.provenance
        self._streams = streams
        self._where = where
        self._has_end = has_end

    def parts(self) -> Iterator[tuple[int, dict[str, pa.Table]]]:
        """Yield each part's number and tables, ascending.

        Raises
        ------
        StageEndedEarlyError
            A table or a part is missing or cut off.
        """
        for part in self.manifest.parts:
            yield part, {schema.table: self._table(part, schema) for schema in self.manifest.tables}
        if self._has_end:
            self._read_end(self._next())

    def _next(self) -> OpenStream:
        stream = next(self._streams, None)
        if stream is None:
            raise StageEndedEarlyError(
                f"{self._where} ends within the bundle: the stage before this one ended early, or was not pct-extract"
            )
        return stream

    def _table(self, part: int, schema: TableSchema) -> pa.Table:
        stream, name = self._next(), schema.table
        if stream.role == "end":
            self._read_end(stream)
        if (stream.role, stream.text("pct.part"), stream.text("pct.table")) != ("table", str(part), name):
            raise StageEndedEarlyError(
                f"{stream.where}: table {stream.text('pct.table')} of part {stream.text('pct.part')} where "
                f"{name} of part {part} should be; the stage before this one ended early"
            )
        if not stream.schema.equals(bundle_schema(self.manifest, schema)):
            raise DataError(f"{stream.where}: table {name} of part {part} has other columns than the manifest says")
        return stream.read_all()

    def _read_end(self, stream: OpenStream) -> None:
        if stream.role != "end":
            raise DataError(f"{self._where} has more tables than its manifest names; run pct-extract again")
        stream.read_all()
        closing, parts = stream.closing, len(self.manifest.parts)
        assert closing is not None
        if closing.parts != parts:
            raise StageEndedEarlyError(
                f"{self._where}: {closing.parts} of {parts} parts; the stage before this one ended early"
            )
        self.steps = (*self.steps, *closing.steps)


@contextmanager
def open_bundle(
    bundle: str | Extracted, storage: StorageOptions | None = None
) -> Iterator[BundleReader | MemoryBundle]:
    """Open a bundle: a folder, a file with streams, standard input (``-``), or a bundle in memory."""
    path = bundle if isinstance(bundle, str) else bundle.bundle
    if isinstance(path, MemoryBundle):
        yield path
        return
    if path != STANDARD and (folder := named_location(path, storage)).is_dir():
        kind = kind_of_folder(folder.entry_names())
        if kind == "source":
            raise SourceNotFoundError(
                f"{path} is not a bundle: there is no {MANIFEST_FILE} in it; if it holds measurements: "
                f"{command_for(kind, path)}"
            )
        if kind == "profiles":
            raise DataError(f"{path} holds profiles, not a bundle; the next stage: {command_for(kind, path)}")
        manifest = read_manifest_beside(folder)
        yield BundleReader(manifest, _tables_in(folder, manifest), path, has_end=False)
        return
    with open_streams(path, "a bundle", storage) as streams:
        first = next(streams)
        if first.role != "manifest":
            is_profiles = first.role == "profiles" and path != STANDARD
            advice = f"the next stage: {command_for('profiles', path)}" if is_profiles else "pct-extract writes one"
            raise DataError(f"{first.where} is not a bundle; {advice}")
        manifest = manifest_of(first)
        if path != STANDARD:
            second = next(streams, None)
            if second is None:
                raise DataError(f"{path} is a manifest, not a bundle; the next stage: {command_for('manifest', path)}")
            streams = chain([second], streams)
        yield BundleReader(manifest, streams, first.where, has_end=True)


def _tables_in(folder: Location, manifest: Manifest) -> Iterator[OpenStream]:
    for part in manifest.parts:
        for schema in manifest.tables:
            with read_one(folder / _file_path(part, schema.table), "table") as stream:
                yield stream


def is_bundle_entry(name: str) -> bool:
    """Return whether the suite wrote an entry of a bundle's folder."""
    return name == MANIFEST_FILE or (name.startswith("part-") and "/" in name and name.endswith(("/", ".arrow")))


def escaped_table(table: str) -> str:
    """Return a table's name as that of a file: characters that would lead elsewhere are escaped."""
    return table.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")


def _file_path(part: int, table: str) -> str:
    return f"{part_name(part)}/{escaped_table(table)}.arrow"


def _with_names(table: pa.Table, part: int, name: str) -> pa.Table:
    return table.replace_schema_metadata({"pct.role": "table", "pct.part": str(part), "pct.table": name})
