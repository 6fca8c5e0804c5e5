"""The manifest, declared once: one row per (part, source), and the schema of every table.

As an Arrow table it has one row per source with the columns of `Source`. The rest is JSON in the schema's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec.structs import replace
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.model.column_types import ColumnType
from pycytominer_transform.common.model.naming import CELL_ID, DATASET, TABLE_NUMBER
from pycytominer_transform.common.model.parents import choose_anchor
from pycytominer_transform.common.model.preset import Format, Preset
from pycytominer_transform.common.model.provenance import Step as Step
from pycytominer_transform.common.model.provenance import to_json
from pycytominer_transform.common.model.roles import Role

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_VERSION = 7
MANIFESTS_KEPT = 4
"""Number of manifests whose join plan is cached: a flow has thousands of parts with the same tables."""

PathValues = tuple[tuple[str, str], ...]
"""The columns whose values come from a dataset's path, each with its text."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
        The kind of file; see `preset.Format`.
    sqlite_table : str
        The table's name in an SQLite file, else empty.
    row_ranges : tuple of (int, int)
        First and last of each run of rows: their rowids in SQLite, their bytes in a file of text; empty where the whole
        table is meant.
    rows : int
        Number of rows where it is known without reading, else -1.
    bytes : int
        Size of the source, or of its share of the file, in bytes.
    fingerprint : str
        Size in bytes and modification time in nanoseconds of the whole file, ``size-mtime``; then those of its
        write-ahead log, where it has one.
    path_values : tuple of (str, str)
        The metadata of the whole dataset, such as those from its path: final name of the column, and the text.
    """

    part: Annotated[int, msgspec.Meta(ge=1)]
    dataset: str
    table_number: int
    table: str
    path: str
    format: Format
    sqlite_table: str = ""
    row_ranges: tuple[tuple[int, int], ...] = ()
    rows: int = -1
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    fingerprint: str
    path_values: PathValues = ()

    def __post_init__(self) -> None:
        """Refuse a path that leads out of the source: a manifest may come from somebody else."""
        if self.path.startswith("/") or ".." in self.path.split("/") or "\0" in self.path:
            raise ValueError(f"a path that leads out of the source: {self.path!r}")


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A column of a table: name in the source, final name, type, role, unit, and whether the user chose the type."""

    source: str
    name: str
    type: ColumnType
    role: Role
    unit: str = ""
    is_cast: bool = False


def held_as(name: str, columns: Iterable[Column]) -> Column | None:
    """Return a table's column with the meaning of one from paths: ``Metadata_Well`` or ``Image_Metadata_Well``."""
    name = name.lower()
    columns_by_name = {lower: own for own in columns if (lower := own.name.lower()) in (name, f"image_{name}")}
    return columns_by_name.get(name) or columns_by_name.get(f"image_{name}")


class TableSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The schema of one table, the same in every part.

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
    columns: Annotated[tuple[Column, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        """Refuse two columns of one name."""
        if any(len({getattr(each, name) for each in self.columns}) < len(self.columns) for name in ("source", "name")):
            raise ValueError(f"table {self.table} has two columns of one name")

    @property
    def has_table_number(self) -> bool:
        """Whether the source numbers the table's datasets itself."""
        return any(column.name == TABLE_NUMBER for column in self.columns)

    def final_name(self, source_column: str) -> str | None:
        """Return the final name of a source column, in any letter case, or None where the table lacks it."""
        lower_name = source_column.lower()
        return next((column.name for column in self.columns if column.source.lower() == lower_name), None)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The description of a source that all later stages work from.

    Attributes
    ----------
    source : str
        The folder or file that `pct-discover` was given, absolute.
    preset : Preset
        What the source looks like; see the presets.
    tables : tuple of TableSchema
        The tables: their columns with source, name, type and role.
    sources : tuple of Source
        The rows of the manifest.
    parts_total : int
        How many parts the whole source has; a shard keeps some of them.
    datasets_total : int
        How many datasets the whole source has.
    on_bad_dataset : {'fail', 'skip'}
        What a later stage does with a bad dataset.
    path_columns : tuple of Column
        The columns with one value for a whole dataset: from its path, from the heads of its files, or set by the user.
    cell_id_columns : tuple of str
        The columns of plate, well and site, if their values differ between all image sets of the source; else empty.
    experiment : tuple of (str, str)
        What CellProfiler says of the run that made the source: keys and values, such as its version and its pipeline.
    provenance : tuple of Step
        The steps so far.
    version : int
        The version of this form; another one is refused.
    """

    source: str
    preset: Preset
    tables: tuple[TableSchema, ...]
    sources: tuple[Source, ...]
    parts_total: int
    datasets_total: int
    on_bad_dataset: Literal["fail", "skip"] = "fail"
    path_columns: tuple[Column, ...] = ()
    cell_id_columns: tuple[str, ...] = ()
    experiment: tuple[tuple[str, str], ...] = ()
    provenance: tuple[Step, ...] = ()
    version: int = MANIFEST_VERSION

    def __post_init__(self) -> None:
        """Refuse sources, or IDs, of tables and columns that the manifest does not describe."""
        if not {source.table for source in self.sources} <= {schema.table for schema in self.tables}:
            raise ValueError("a source of an unknown table")
        names = {column.name for column in self.path_columns}
        if not {name for source in self.sources for name, _ in source.path_values} <= names:
            raise ValueError("an unknown column of a path")
        if self.cell_id_columns:
            of_images = {column.name for column in self.image_set_columns}
            if not of_images or not (names | of_images).issuperset(self.cell_id_columns):
                raise ValueError("cell IDs of unknown columns")

    @property
    def parts(self) -> list[int]:
        """The numbers of the parts in this manifest, ascending."""
        return sorted(self._sources_by_part)

    @property
    def compartments(self) -> tuple[str, ...]:
        """The tables of objects, in the manifest's order."""
        return tuple(schema.table for schema in self.tables if schema.table != self.preset.image)

    @property
    def anchor(self) -> str:
        """The table whose objects the rows of profiles are."""
        return choose_anchor(self.preset, list(map(self.schema_of, self.compartments)))

    @property
    def image_set_columns(self) -> tuple[Column, ...]:
        """The columns that describe image sets: those of the image table; of the anchor in a preset without one."""
        table = self.preset.image or self.anchor
        return next((schema.columns for schema in self.tables if schema.table == table), ())

    @cached_property
    def makes_cell_ids(self) -> bool:
        """Whether the tools make a column of cell IDs; not where the source has one."""
        there = {column.name.lower() for schema in self.tables for column in schema.columns}
        return bool(self.compartments) and CELL_ID.lower() not in there

    def own_columns(self, schema: TableSchema) -> tuple[Column, ...]:
        """List the columns that the tools add to a table.

        These are its dataset, a table number if it has none, metadata from paths that neither it nor the image table
        has, and of the anchor the cell ID, unless there is one.
        """
        return self._own_columns[schema.table]

    @cached_property
    def _own_columns(self) -> dict[str, tuple[Column, ...]]:
        images = [column for other in self.tables if other.table == self.preset.image for column in other.columns]
        added: dict[str, tuple[Column, ...]] = {}
        for schema in self.tables:
            columns = [Column("", DATASET, "string", "metadata")]
            if self.datasets_total > 1 and not schema.has_table_number:
                columns.append(Column("", TABLE_NUMBER, "int64", "identifier"))
            more = [column for column in self.path_columns if held_as(column.name, (*images, *schema.columns)) is None]
            added[schema.table] = (*columns, *more)
        if self.makes_cell_ids:
            added[self.anchor] += (Column("", CELL_ID, "string", "identifier"),)
        return added

    @property
    def experiment_json(self) -> str:
        """The experiment as a JSON object; empty where there is none."""
        return to_json(dict(self.experiment)) if self.experiment else ""

    @property
    def shared(self) -> Manifest:
        """The manifest without sources, experiment and provenance: equal for all parts, so it can be a cache key."""
        return replace(self, sources=(), experiment=(), provenance=())

    def schema_of(self, table: str) -> TableSchema:
        """Return the schema of a table by its lower-case name."""
        return next(schema for schema in self.tables if schema.table == table)

    def dataset_name(self, source: Source) -> str:
        """Return the dataset of a source as ``Metadata_Dataset`` has it: the source itself by its own name."""
        return source.dataset if source.dataset != "." else self.source_name

    @property
    def source_name(self) -> str:
        """The source's own name, without the folders that it lies in: these are nobody else's business."""
        return PurePosixPath(self.source).name or "."

    def sources_of(self, part: int) -> list[Source]:
        """List the sources of one part, in the manifest's order."""
        return self._sources_by_part[part]

    @cached_property
    def _sources_by_part(self) -> dict[int, list[Source]]:
        by_part: dict[int, list[Source]] = {}
        for source in self.sources:
            by_part.setdefault(source.part, []).append(source)
        return by_part

    def only_parts(self, parts: Sequence[int]) -> Manifest:
        """Keep only some parts."""
        if len(parts) == 1:
            # Without a search through all sources: a flow asks for each of its parts.
            return replace(self, sources=tuple(self._sources_by_part.get(parts[0], ())))
        kept = set(parts)
        return replace(self, sources=tuple(source for source in self.sources if source.part in kept))

    def shard(self, index: int, count: int) -> Manifest:
        """Keep every ``count``-th part, beginning with the ``index``-th (from 1)."""
        return self.only_parts(self.parts[index - 1 :: count])

    def with_steps(self, *steps: Step) -> Manifest:
        """Append tools to the provenance."""
        return replace(self, provenance=(*self.provenance, *steps))


def part_name(part: int) -> str:
    """Return the name of a part's files and folders; names sort as the parts do."""
    return f"part-{part:06d}"


def manifest_to_arrow(manifest: Manifest) -> pa.Table:
    """Return a manifest as an Arrow table, one row per source.

    Raises
    ------
    DataError
        A path in it is not UTF-8.
    """
    import pyarrow as pa

    metadata = {"pct.role": "manifest", "pct.manifest": to_json(replace(manifest, sources=()))}
    return pa.Table.from_pylist([_row(source) for source in manifest.sources], _arrow_schema(metadata))


def manifest_from_arrow(table: pa.Table, where: str) -> Manifest:
    """Return the manifest that an Arrow table holds.

    Raises
    ------
    DataError
        The table is no manifest, or one of another version of this program.
    """
    metadata = table.schema.metadata or {}
    if metadata.get(b"pct.role") != b"manifest":
        raise DataError(f"{where} is not a manifest; pct-discover writes one")
    text = metadata.get(b"pct.manifest", b"")
    try:
        version = msgspec.json.decode(text, type=_Version).version
        if version != MANIFEST_VERSION:
            raise DataError(
                f"{where} is a manifest of version {version}; this program knows version {MANIFEST_VERSION}: run "
                "pct-discover again"
            )
        if _kinds(table.schema) != _kinds(_arrow_schema({})):
            raise DataError(f"{where}: the manifest has other columns than version {MANIFEST_VERSION} has")
        sources = msgspec.convert([_fields(row) for row in table.to_pylist()], tuple[Source, ...])
        return replace(msgspec.json.decode(text, type=Manifest), sources=sources)
    except DataError:
        raise
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{where}: not a manifest that this program wrote ({str(error)[:200]})") from error


class _Version(msgspec.Struct):
    """The version of a manifest in JSON; all other fields are ignored."""

    version: int


def _row(source: Source) -> dict[str, Any]:
    """Return a source as a row of the Arrow table."""
    return msgspec.structs.asdict(source) | {
        "row_ranges": [{"first": first, "last": last} for first, last in source.row_ranges],
        "path_values": [{"column": column, "text": text} for column, text in source.path_values],
    }


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the source in a row of the Arrow table."""
    return row | {
        "row_ranges": [(run["first"], run["last"]) for run in row["row_ranges"] or ()],
        "path_values": [(pair["column"], pair["text"]) for pair in row["path_values"] or ()],
    }


def _kinds(schema: pa.Schema) -> list[tuple[str, str]]:
    """Return the names and types of columns; of lists not what is in them, since readers differ in its nullability."""
    return [(field.name, str(field.type).split("<")[0]) for field in schema]


def _arrow_schema(metadata: dict[str, str]) -> pa.Schema:
    import pyarrow as pa

    run = pa.struct([pa.field("first", pa.int64(), False), pa.field("last", pa.int64(), False)])
    pair = pa.struct([pa.field("column", pa.string(), False), pa.field("text", pa.string(), False)])
    types = {"part": pa.int64(), "table_number": pa.int64(), "rows": pa.int64(), "bytes": pa.int64()}
    types |= {"row_ranges": pa.list_(run), "path_values": pa.list_(pair)}
    return pa.schema([(name, types.get(name, pa.string())) for name in Source.__struct_fields__], metadata)
