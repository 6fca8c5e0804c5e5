"""The manifest, declared once: one row per (part, source), and the schema of every table.

As an Arrow table it has one row per source, the columns of `Source`, and all else (where the source lies, the preset,
the tables' schemas, the provenance) as JSON in the schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pycytominer_transform.common.arrays import table_from_rows
from pycytominer_transform.common.cloud_uri import is_cloud
from pycytominer_transform.common.column_types import TYPES, ColumnType
from pycytominer_transform.common.errors import DataError, UsageError
from pycytominer_transform.common.manifest_checks import check_source, check_types
from pycytominer_transform.common.naming import DATASET, TABLE_NUMBER
from pycytominer_transform.common.preset import Preset, preset_from_keys

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_VERSION = 2
_TABLES_KEY = ', "tables": '
MANIFESTS_KEPT = 4
"""Of so many what all their parts share, and what follows from it, is kept: a flow has thousands that share it."""

PathValues = tuple[tuple[str, str], ...]
"""The columns that a dataset's path gives, each with its text."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One readable table of one part.

    Attributes
    ----------
    part : int
        The part it belongs to, from 1.
    dataset : str
        The folder or file in which ``ImageNumber`` is unique, relative to the source; ``.`` for the source itself.
    table_number : int
        The dataset's place among all datasets of the source, from 1: its number where its rows have none of their own.
    table : str
        Lower-case name of the table, ``cells``.
    path : str
        The file, relative to the source; ``.`` where the source is that file.
    format : str
        ``csv``, ``sqlite`` or ``npz``.
    sqlite_table : str
        The table's name in an SQLite file, else empty.
    row_ranges : tuple of (int, int)
        First and last rowid of each run of rows, for SQLite; empty where the whole table is meant.
    rows : int
        Number of rows where it is known without reading, else -1.
    bytes : int
        Size of the source, or of its share of the file, in bytes.
    fingerprint : str
        Size in bytes and modification time in nanoseconds of the whole file, ``size-mtime``; then those of its
        write-ahead log, where it has one.
    path_values : tuple of (str, str)
        The metadata that the dataset's path gives: final name of the column, and the text.
    """

    part: int
    dataset: str
    table_number: int
    table: str
    path: str
    format: Literal["csv", "sqlite", "npz"]
    sqlite_table: str = ""
    row_ranges: tuple[tuple[int, int], ...] = ()
    rows: int = -1
    bytes: int
    fingerprint: str
    path_values: PathValues = ()


@dataclass(frozen=True)
class Column:
    """One column of a table: its name in the source, its final name, its type, and whether the user asked for that."""

    source: str
    name: str
    type: ColumnType
    is_cast: bool = False


def held_as(column: Column, columns: Iterable[Column]) -> Column | None:
    """Find the column of a table that says the same as one from paths: ``Metadata_Well``, ``Image_Metadata_Well``."""
    name = column.name.lower()
    held = {lower: own for own in columns if (lower := own.name.lower()) in (name, f"image_{name}")}
    return held.get(name) or held.get(f"image_{name}")


@dataclass(frozen=True)
class TableSchema:
    """What the rows of one table look like in every part.

    Attributes
    ----------
    table : str
        Lower-case name, ``cells``.
    prefix : str
        The same with a capital, as it begins the columns' names.
    columns : tuple of Column
        The source's columns; `own_columns` adds those that the tools make.
    """

    table: str
    prefix: str
    columns: tuple[Column, ...]

    def final_name(self, source_column: str) -> str | None:
        """Give the final name of a source column, in any letter case, or None where the table lacks it."""
        wanted = source_column.lower()
        return next((column.name for column in self.columns if column.source.lower() == wanted), None)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One tool's entry in the provenance: who made this, how, and with what counts."""

    tool: str
    version: str
    options: dict[str, Any]
    counts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that the later stages need to know of a source.

    Attributes
    ----------
    source : str
        The folder or file that `pct-discover` was given, absolute.
    parts_total : int
        How many parts the whole source has; a shard keeps some of them.
    datasets_total : int
        How many datasets the whole source has.
    path_columns : tuple of Column
        The columns that the datasets' paths give.
    """

    source: str
    preset: Preset
    tables: tuple[TableSchema, ...]
    sources: tuple[Source, ...]
    parts_total: int
    datasets_total: int
    path_columns: tuple[Column, ...] = ()
    provenance: tuple[Step, ...] = ()
    version: int = MANIFEST_VERSION

    @property
    def parts(self) -> list[int]:
        """The numbers of the parts at hand, ascending."""
        return sorted(self._sources_by_part)

    @property
    def compartments(self) -> tuple[str, ...]:
        """The tables of objects, in the manifest's order."""
        return tuple(schema.table for schema in self.tables if schema.table != self.preset.image)

    @property
    def has_many_datasets(self) -> bool:
        """Whether cells need ``Metadata_Dataset`` to be told apart."""
        return self.datasets_total > 1

    def own_columns(self, schema: TableSchema) -> tuple[Column, ...]:
        """List the columns that the tools add to a table.

        Its dataset; a table number where it has none; and what the datasets' paths say that neither it nor the image
        table says itself.
        """
        return self._own_columns[schema.table]

    @cached_property
    def _own_columns(self) -> dict[str, tuple[Column, ...]]:
        return _own_columns_of(self.shared)

    @property
    def shared(self) -> Manifest:
        """What it says of all parts alike, by which what follows from that can be remembered."""
        return replace(self, sources=(), provenance=())

    def schema_of(self, table: str) -> TableSchema:
        """Give the schema of a table by its lower-case name."""
        return next(schema for schema in self.tables if schema.table == table)

    def sources_of(self, part: int) -> list[Source]:
        """List the sources of one part, in the manifest's order."""
        return self._sources_by_part[part]

    @cached_property
    def _sources_by_part(self) -> dict[int, list[Source]]:
        by_part: dict[int, list[Source]] = {}
        for source in self.sources:
            by_part.setdefault(source.part, []).append(source)
        return by_part

    def files(self) -> list[Path]:
        """List the files of the source on this machine, each once; none where it lies in a cloud store."""
        if is_cloud(self.source):
            return []
        names = sorted({source.path for source in self.sources})
        return [Path(self.source, name) for name in names]

    def only_parts(self, parts: Sequence[int]) -> Manifest:
        """Keep only some parts."""
        if len(parts) == 1:
            # Not by looking at all sources: a flow asks for each of its parts.
            return replace(self, sources=tuple(self._sources_by_part.get(parts[0], ())))
        kept = set(parts)
        return replace(self, sources=tuple(source for source in self.sources if source.part in kept))

    def shard(self, index: int, count: int) -> Manifest:
        """Keep every ``count``-th part, beginning with the ``index``-th (from 1)."""
        return self.only_parts(self.parts[index - 1 :: count])

    def with_steps(self, *steps: Step) -> Manifest:
        """Append tools to the provenance."""
        return replace(self, provenance=(*self.provenance, *steps))


@lru_cache(MANIFESTS_KEPT)
def _own_columns_of(shared: Manifest) -> dict[str, tuple[Column, ...]]:
    images = [column for other in shared.tables if other.table == shared.preset.image for column in other.columns]
    added: dict[str, tuple[Column, ...]] = {}
    for schema in shared.tables:
        columns = [Column("", DATASET, "string")]
        if shared.has_many_datasets and all(column.name != TABLE_NUMBER for column in schema.columns):
            columns.append(Column("", TABLE_NUMBER, "int64"))
        untold = [column for column in shared.path_columns if held_as(column, (*images, *schema.columns)) is None]
        added[schema.table] = (*columns, *untold)
    return added


def part_name(part: int) -> str:
    """Name a part as files and folders are named after it; sorts as the parts do."""
    return f"part-{part:06d}"


def manifest_to_arrow(manifest: Manifest) -> pa.Table:
    """Write a manifest as an Arrow table, one row per source."""
    import pyarrow as pa

    rest = asdict(replace(manifest, sources=(), tables=()))
    del rest["sources"], rest["tables"]
    text = f"{json.dumps(rest).removesuffix('}')}{_TABLES_KEY}{_tables_text(manifest.tables)}}}"
    metadata = {"pct.role": "manifest", "pct.manifest": text}
    rows = (_row(source) for source in manifest.sources)
    return table_from_rows(rows, pa.schema(_arrow_fields(), metadata=metadata))


def manifest_from_arrow(table: pa.Table, where: str) -> Manifest:
    """Read a manifest back from its Arrow table.

    Raises
    ------
    DataError
        The table is no manifest, or one of another version of this program.
    """
    metadata = table.schema.metadata or {}
    if metadata.get(b"pct.role") != b"manifest":
        raise DataError(f"{where} is not a manifest; pct-discover writes one")
    try:
        rest, tables = _parted(metadata[b"pct.manifest"].decode())
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: the manifest is damaged ({error})") from error
    if rest.get("version") != MANIFEST_VERSION:
        raise DataError(
            f"{where} is a manifest of version {rest.get('version')}; this program knows version {MANIFEST_VERSION}: "
            "run pct-discover again"
        )
    if _flat_types(table.schema) != _flat_types(_arrow_fields()):
        raise DataError(f"{where}: the manifest has other columns than version {MANIFEST_VERSION} has")
    sources = []
    for row in table.to_pylist():
        row["row_ranges"] = tuple((run["first"], run["last"]) for run in row["row_ranges"] or ())
        row["path_values"] = tuple((pair["column"], pair["text"]) for pair in row["path_values"] or ())
        sources.append(Source(**row))
    return _from_keys(rest, tables, tuple(sources), where)


def _row(source: Source) -> dict[str, Any]:
    runs = [{"first": first, "last": last} for first, last in source.row_ranges]
    pairs = [{"column": column, "text": text} for column, text in source.path_values]
    plain = {field.name: getattr(source, field.name) for field in fields(source)}
    return plain | {"row_ranges": runs, "path_values": pairs}


@lru_cache(MANIFESTS_KEPT)
def _tables_text(tables: tuple[TableSchema, ...]) -> str:
    """Write tables' schemas as JSON; that takes some fifty times as long as to know them again."""
    return json.dumps([asdict(schema) for schema in tables])


def _parted(text: str) -> tuple[dict[str, Any], str]:
    """Part a manifest's JSON from its tables' schemas, which are most of it and mostly known."""
    head, key, tail = text.rpartition(_TABLES_KEY)
    if key and tail.endswith("}"):
        # Whatever is wrong with it is said of the whole.
        tables = tail.removesuffix("}")
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            rest = dict(json.loads(head + "}"))
            _tables_of(tables)
            return rest, tables
    rest = dict(json.loads(text))
    return rest, json.dumps(rest["tables"])


@lru_cache(MANIFESTS_KEPT)
def _tables_of(text: str) -> tuple[TableSchema, ...]:
    """Make the tables' schemas of JSON, and check them."""
    tables = tuple(
        TableSchema(entry["table"], entry["prefix"], tuple(Column(**column) for column in entry["columns"]))
        for entry in json.loads(text)
    )
    check_types(*tables, *(column for schema in tables for column in schema.columns))
    if any(column.type not in TYPES for schema in tables for column in schema.columns):
        raise ValueError("an unknown column type")
    return tables


def _from_keys(rest: dict[str, Any], tables_text: str, sources: tuple[Source, ...], where: str) -> Manifest:
    try:
        tables = _tables_of(tables_text)
        steps = tuple(Step(**step) for step in rest["provenance"])
        check_types(*sources, *steps)
        for source in sources:
            check_source(source)
        if not {source.table for source in sources} <= {schema.table for schema in tables}:
            raise ValueError("a source of an unknown table")
        paths = {column["name"] for column in rest["path_columns"]}
        if any(name not in paths for source in sources for name, _ in source.path_values):
            raise ValueError("an unknown column of a path")
        path_columns = tuple(Column(**column) for column in rest["path_columns"])
        check_types(*path_columns)
        preset = preset_from_keys(rest["preset"], where)
        read = {"preset": preset, "tables": tables, "path_columns": path_columns, "provenance": steps}
        manifest = Manifest(**rest | read | {"sources": sources})
        check_types(manifest)
        return manifest
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise DataError(f"{where}: not a manifest that this program wrote ({str(error)[:200]})") from error


def _flat_types(columns: Iterable[pa.Field]) -> list[tuple[str, str]]:
    """List columns with their types; of lists only that they are, since readers differ in what may be null in them."""
    return [(column.name, str(column.type).split("<")[0]) for column in columns]


def _arrow_fields() -> list[pa.Field]:
    import pyarrow as pa

    run = pa.struct([pa.field("first", pa.int64(), False), pa.field("last", pa.int64(), False)])
    pair = pa.struct([pa.field("column", pa.string(), False), pa.field("text", pa.string(), False)])
    types: dict[str, pa.DataType] = {"str": pa.string(), "int": pa.int64()}
    types |= {"tuple[tuple[int, int], ...]": pa.list_(run), "PathValues": pa.list_(pair)}
    return [pa.field(field.name, types.get(str(field.type), pa.string())) for field in fields(Source)]
