"""Bundles: the tables of the parts, as `pct-extract` gives them and `pct-join` takes them.

At rest a folder ``PART/TABLE.arrow`` with the manifest beside; in a pipe Arrow streams end to end: the manifest, then
one per (part, table), then one that says that this was all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, BinaryIO, cast

from pycytominer_transform.common.arrow_streams import OpenStream, StreamWriter, read_one, read_streams
from pycytominer_transform.common.bundle_schema import bundle_schema
from pycytominer_transform.common.errors import DataError, SourceNotFoundError, StageEndedEarlyError
from pycytominer_transform.common.kept_bundles import KEPT_BUNDLES, KeptBundle
from pycytominer_transform.common.manifest import Manifest, Step, part_name
from pycytominer_transform.common.manifest_files import (
    MANIFEST_FILE,
    manifest_of,
    read_manifest_beside,
    write_manifest,
    write_manifest_beside,
)
from pycytominer_transform.common.place import Place, entry_names, named_place
from pycytominer_transform.common.provenance import steps_from_json
from pycytominer_transform.common.standard_io import STANDARD, open_input
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.destination import OutputFolder


class BundleFolderWriter:
    """Writes a bundle into a folder."""

    def __init__(self, folder: OutputFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest

    def write(self, part: int, tables: dict[str, pa.Table]) -> None:
        """Write one part's tables."""
        for name, table in tables.items():
            schema = _with_names(table.schema, part, name)
            with self._folder.open(_file_path(part, name)) as sink:
                writer = StreamWriter(sink, schema, as_file=True)
                writer.write(table)
                writer.close()

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
            writer = StreamWriter(self._sink, _with_names(table.schema, part, name), as_file=False)
            writer.write(table)
            writer.close()
            self._tables += 1
        self._parts += 1
        self._sink.flush()

    def close(self, step: Step) -> None:
        """Write the last stream: how many parts and tables there were."""
        import pyarrow as pa

        writer = StreamWriter(self._sink, pa.schema([], metadata={"pct.role": "end"}), as_file=False)
        writer.close(parts=self._parts, tables=self._tables, steps=[asdict(step)])


class BundleReader:
    """Reads a bundle part by part.

    Attributes
    ----------
    manifest : Manifest
        Known from the beginning.
    steps : tuple of Step
        All of the provenance; complete once the parts have been read.
    """

    def __init__(self, path: str, opened: Place | BinaryIO) -> None:
        self._folder = opened if isinstance(opened, Place) else None
        self._where = "standard input" if path == "-" else path
        if self._folder is not None:
            self.manifest = read_manifest_beside(self._folder)
        else:
            self._streams = read_streams(cast(BinaryIO, opened), self._where)
            first = next(self._streams)
            if first.role != "manifest":
                raise DataError(f"{self._where} is not a bundle; pct-extract writes one")
            self.manifest = manifest_of(first)
        self.steps = self.manifest.provenance

    def parts(self) -> Iterator[tuple[int, dict[str, pa.Table]]]:
        """Give each part's number and tables, ascending.

        Raises
        ------
        StageEndedEarlyError
            A table or a part is missing or cut off.
        """
        if self._folder is None:
            yield from self._parts_of_stream()
            return
        for part in self.manifest.parts:
            yield part, {schema.table: self._table_at_rest(part, schema.table) for schema in self.manifest.tables}

    def _table_at_rest(self, part: int, name: str) -> pa.Table:
        assert self._folder is not None
        with read_one(self._folder / _file_path(part, name), "table") as stream:
            self._check(stream, part, name)
            return stream.read_all()

    def _parts_of_stream(self) -> Iterator[tuple[int, dict[str, pa.Table]]]:
        names = [schema.table for schema in self.manifest.tables]
        expected = iter(self.manifest.parts)
        part, tables = 0, dict[str, "pa.Table"]()
        for stream in self._streams:
            if stream.role == "end":
                self._check_end(stream, missing=next(expected, None) or (part if tables else None))
                return
            if not tables:
                part = next(expected, 0)
            name = names[len(tables)]
            self._check(stream, part, name)
            tables[name] = stream.read_all()
            if len(tables) == len(names):
                yield part, tables
                tables = {}
        raise StageEndedEarlyError(
            f"{self._where} ends within the bundle: the stage before this one ended early, or was not pct-extract"
        )

    def _check(self, stream: OpenStream, part: int, name: str) -> None:
        if (stream.role, stream.text("pct.part"), stream.text("pct.table")) != ("table", str(part), name):
            raise StageEndedEarlyError(
                f"{stream.where}: table {stream.text('pct.table')} of part {stream.text('pct.part')} where "
                f"{name} of part {part} should be; the stage before this one ended early"
            )
        if not stream.schema.equals(bundle_schema(self.manifest, self.manifest.schema_of(name))):
            raise DataError(f"{stream.where}: table {name} of part {part} has other columns than the manifest says")

    def _check_end(self, stream: OpenStream, missing: int | None) -> None:
        stream.read_all()
        said = stream.closing or {}
        if missing or said.get("parts") != len(self.manifest.parts):
            raise StageEndedEarlyError(
                f"{self._where}: {said.get('parts')} of {len(self.manifest.parts)} parts; "
                "the stage before this one ended early"
            )
        self.steps = (*self.steps, *steps_from_json(said.get("steps", [])))


@contextmanager
def open_bundle(path: str, storage: StorageOptions | None = None) -> Iterator[BundleReader | KeptBundle]:
    """Open a bundle at a place, a folder or a file with the streams, or on standard input (``-``); or a kept one."""
    if (kept := KEPT_BUNDLES.take(path)) is not None:
        yield kept
        return
    if path != STANDARD and (folder := named_place(path, storage)).is_dir():
        if MANIFEST_FILE not in entry_names(folder):
            raise SourceNotFoundError(f"{path} is not a bundle: there is no {MANIFEST_FILE} in it")
        yield BundleReader(path, folder)
        return
    with open_input(path, "a bundle", storage) as file:
        yield BundleReader(path, file)


def is_bundle_entry(name: str) -> bool:
    """Say whether an entry of a bundle's folder is one that was written here."""
    return name == MANIFEST_FILE or (name.startswith("part-") and "/" in name and name.endswith(("/", ".arrow")))


def _file_path(part: int, table: str) -> str:
    """Name a table's file after it; a name may hold what would lead elsewhere."""
    return f"{part_name(part)}/{table.replace('%', '%25').replace('/', '%2F').replace(chr(0), '%00')}.arrow"


def _with_names(schema: pa.Schema, part: int, table: str) -> pa.Schema:
    return schema.with_metadata({"pct.role": "table", "pct.part": str(part), "pct.table": table})
