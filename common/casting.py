"""Types that the user asks for in place of those that were decided: ``--float32`` and ``--cast``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pycytominer_transform.common.column_types import ColumnType
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.manifest import Column, Manifest, TableSchema
from pycytominer_transform.common.naming import DATASET, IMAGE_NUMBER, OBJECT_NUMBER, TABLE_NUMBER


@dataclass(frozen=True)
class Cast:
    """A type for all columns that a pattern is found in, written ``COLUMN_REGEX=TYPE``."""

    pattern: str
    type: ColumnType

    def __str__(self) -> str:
        """Write it as it is given on the command line."""
        return f"{self.pattern}={self.type}"

    def finds(self, column: Column) -> bool:
        """Say whether the pattern is found in a column's final name, or in its name in the source."""
        return any(re.search(self.pattern, name) for name in (column.name, column.source))


def with_float32(manifest: Manifest) -> Manifest:
    """Make all measurements 32-bit floats."""

    def narrowed(_: TableSchema, column: Column) -> Column:
        return replace(column, type="float32") if column.type == "float64" else column

    return _changed(manifest, narrowed)


def with_casts(manifest: Manifest, casts: Sequence[Cast]) -> Manifest:
    """Give columns the types that casts ask for; of several casts for one column the last counts.

    Columns that number images and objects keep theirs: tables are joined by them.

    Raises
    ------
    UsageError
        A cast's pattern is found in no column, or only in such as number images and objects.
    """
    keys = {schema.table: _keys(manifest, schema) for schema in manifest.tables}
    for cast in casts:
        _check_found(manifest, cast, keys)

    def cast_column(schema: TableSchema, column: Column) -> Column:
        if column in keys[schema.table]:
            return column
        asked = [cast.type for cast in casts if cast.finds(column)]
        return replace(column, type=asked[-1], is_cast=True) if asked else column

    return _changed(manifest, cast_column)


def _changed(manifest: Manifest, change: Callable[[TableSchema, Column], Column]) -> Manifest:
    tables = tuple(
        replace(schema, columns=tuple(change(schema, column) for column in schema.columns))
        for schema in manifest.tables
    )
    return replace(manifest, tables=tables)


def _check_found(manifest: Manifest, cast: Cast, keys: dict[str, set[Column]]) -> None:
    found = [(schema, column) for schema in manifest.tables for column in schema.columns if cast.finds(column)]
    if not found:
        names = {column.name.lower(): column.name for schema in manifest.tables for column in schema.columns}
        near = difflib.get_close_matches(cast.pattern.lower(), names, n=1, cutoff=0)
        meant = f"; did you mean {names[near[0]]}?" if near else ""
        raise UsageError(f"--cast {cast}: no column has {cast.pattern!r} in its name{meant}")
    if all(column in keys[schema.table] for schema, column in found):
        raise UsageError(
            f"--cast {cast}: {found[0][1].name} numbers images or objects, which tables are joined by, and keeps its "
            "type; name another column"
        )


def _keys(manifest: Manifest, schema: TableSchema) -> set[Column]:
    """Give the columns of a table that number images and objects: its own, and those of its parents."""
    preset = manifest.preset
    numbers = [preset.image_number, preset.table_number, preset.object_number_of(schema.prefix)]
    numbers += [preset.parent_column(schema.prefix, other.table) for other in manifest.tables]
    sources = {f"{begin}{number}".lower() for number in numbers if number for begin in ("", "Metadata_")}
    return {
        column
        for column in schema.columns
        if column.source.lower() in sources or column.name in (DATASET, TABLE_NUMBER, IMAGE_NUMBER, OBJECT_NUMBER)
    }
