"""Types that the user asks for in place of those that were decided: ``--float32`` and ``--cast``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from pycytominer_transform.common.column_types import ColumnType
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.naming import DATASET, IMAGE_NUMBER, OBJECT_NUMBER, TABLE_NUMBER

if TYPE_CHECKING:
    from pycytominer_transform.common.manifest import Column, Manifest, TableSchema

    _Columns = tuple[Column, ...]
    _Tables = tuple[TableSchema, ...]

_KEPT = 4
"""So many answers are kept: all parts of a flow have the same columns."""


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
    return replace(manifest, tables=_narrowed(manifest.tables))


def with_casts(manifest: Manifest, casts: Sequence[Cast]) -> Manifest:
    """Give columns the types that casts ask for; of several casts for one column the last counts.

    Columns that number images and objects keep theirs: tables are joined by them.

    Raises
    ------
    UsageError
        A cast's pattern is found in no column, or only in such as number images and objects; or what stands in the path
        of a dataset does not fit.
    """
    if not casts:
        return manifest
    tables, path_columns = _cast(manifest.tables, manifest.path_columns, tuple(casts), frozenset(_keys(manifest)))
    changed = replace(manifest, tables=tables, path_columns=path_columns)
    _check_paths(changed)
    return changed


@lru_cache(_KEPT)
def _narrowed(tables: _Tables) -> _Tables:
    return _changed(tables, lambda column: replace(column, type="float32") if column.type == "float64" else column)


@lru_cache(_KEPT)
def _cast(
    tables: _Tables, path_columns: _Columns, casts: Sequence[Cast], keys: frozenset[Column]
) -> tuple[_Tables, _Columns]:
    columns = [*(column for schema in tables for column in schema.columns), *path_columns]
    for cast in casts:
        _check_found(columns, cast, keys)

    def given(column: Column) -> Column:
        asked = [cast.type for cast in casts if cast.finds(column)]
        return replace(column, type=asked[-1], is_cast=True) if asked and column not in keys else column

    return _changed(tables, given), tuple(map(given, path_columns))


def _changed(tables: _Tables, change: Callable[[Column], Column]) -> _Tables:
    return tuple(replace(schema, columns=tuple(map(change, schema.columns))) for schema in tables)


def _check_found(columns: Sequence[Column], cast: Cast, keys: frozenset[Column]) -> None:
    import difflib

    found = [column for column in columns if cast.finds(column)]
    if not found:
        names = {column.name.lower(): column.name for column in columns}
        near = difflib.get_close_matches(cast.pattern.lower(), names, n=1, cutoff=0)
        meant = f"; did you mean {names[near[0]]}?" if near else ""
        raise UsageError(f"--cast {cast}: no column has {cast.pattern!r} in its name{meant}")
    if keys.issuperset(found):
        raise UsageError(
            f"--cast {cast}: {found[0].name} numbers images or objects, which tables are joined by, and keeps its "
            "type; name another column"
        )


def _check_paths(manifest: Manifest) -> None:
    """Refuse types that metadata in the datasets' paths do not fit, where a table has no others."""
    from pycytominer_transform.common.conversion import number_of

    used = {column.name: column for schema in manifest.tables for column in manifest.own_columns(schema)}
    asked = {name: column for name, column in used.items() if column.is_cast and column.type != "string"}
    for source in manifest.sources if asked else ():
        for name, text in source.path_values:
            if name not in asked:
                continue
            try:
                number_of(text, asked[name].type)
            except ValueError as error:
                kind = asked[name].type
                raise UsageError(f"--cast: {name} is {text!r} by the path of {source.dataset}, no {kind}") from error


def _keys(manifest: Manifest) -> set[Column]:
    """Give the columns that number images and objects: a table's own, and those of its parents."""
    preset = manifest.preset
    keys = set()
    for schema in manifest.tables:
        numbers = [preset.image_number, preset.table_number, preset.object_number_of(schema.prefix)]
        numbers += [preset.parent_column(schema.prefix, other.table) for other in manifest.tables]
        sources = {f"{begin}{number}".lower() for number in numbers if number for begin in ("", "Metadata_")}
        names = (DATASET, TABLE_NUMBER, IMAGE_NUMBER, OBJECT_NUMBER)
        keys |= {column for column in schema.columns if column.source.lower() in sources or column.name in names}
    return keys
