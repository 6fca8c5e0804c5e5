"""Types that the user asks for in place of the decided ones: ``--float32`` and ``--cast``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.column_types import TYPES, ColumnType
from pycytominer_transform.common.model.naming import DATASET, OBJECT_NUMBER, TABLE_NUMBER
from pycytominer_transform.common.model.options import regex, search_regex

if TYPE_CHECKING:
    from pycytominer_transform.common.model.manifest import Column, Manifest


@dataclass(frozen=True)
class Cast:
    """A type for all columns whose final name or name in the source has a match of a pattern."""

    pattern: str
    type: ColumnType

    def __str__(self) -> str:
        """Return it as it is written on the command line, ``COLUMN_REGEX=TYPE``."""
        return f"{self.pattern}={self.type}"

    def matches(self, column: Column) -> bool:
        """Return whether the cast is for a column."""
        return any(search_regex(self.pattern, name) for name in (column.name, column.source))


def parse_cast(text: str) -> Cast:
    """Parse ``COLUMN_REGEX=TYPE``.

    Raises
    ------
    UsageError
        It is not of this form.
    """
    pattern, _, kind = text.rpartition("=")
    if not pattern:
        raise UsageError(f"{text!r} is not COLUMN_REGEX=TYPE, such as Metadata_Plate=string")
    if kind not in TYPES:
        raise UsageError(f"{text!r}: {kind!r} is not a type; there are {', '.join(TYPES)}")
    return Cast(regex(pattern), kind)


def cast_text(text: str) -> str:
    """Return the text of a cast after its check; see `parse_cast`."""
    return str(parse_cast(text))


def with_float32(manifest: Manifest) -> Manifest:
    """Return the manifest with 32-bit floats for all measurements."""
    return _changed(manifest, lambda column: replace(column, type="float32") if column.type == "float64" else column)


def with_casts(manifest: Manifest, casts: Sequence[Cast]) -> Manifest:
    """Return the manifest with the types of the casts; of several casts for one column, the last counts.

    Columns that number images and objects keep their types: tables are joined by them.

    Raises
    ------
    UsageError
        A cast matches no column, or only columns that number images and objects; or metadata in the path of a dataset
        do not fit their type.
    """
    if not casts:
        return manifest
    keys = _keys(manifest)
    columns = [*(column for schema in manifest.tables for column in schema.columns), *manifest.path_columns]
    for cast in casts:
        _check_matches(cast, columns, keys)

    def change(column: Column) -> Column:
        types = [cast.type for cast in casts if cast.matches(column)]
        return replace(column, type=types[-1], is_cast=True) if types and column not in keys else column

    changed = replace(_changed(manifest, change), path_columns=tuple(map(change, manifest.path_columns)))
    _check_path_values(changed)
    return changed


def _changed(manifest: Manifest, change: Callable[[Column], Column]) -> Manifest:
    tables = (replace(schema, columns=tuple(map(change, schema.columns))) for schema in manifest.tables)
    return replace(manifest, tables=tuple(tables))


def _check_matches(cast: Cast, columns: Sequence[Column], keys: set[Column]) -> None:
    import difflib

    matches = [column for column in columns if cast.matches(column)]
    if not matches:
        names = {column.name.lower(): column.name for column in columns}
        near = difflib.get_close_matches(cast.pattern.lower(), names, n=1, cutoff=0)
        meant = f"; did you mean {names[near[0]]}?" if near else ""
        raise UsageError(f"--cast {cast}: no column has {cast.pattern!r} in its name{meant}")
    if keys.issuperset(matches):
        raise UsageError(
            f"--cast {cast}: {matches[0].name} numbers images or objects, which tables are joined by, and keeps its "
            "type; name another column"
        )


def _check_path_values(manifest: Manifest) -> None:
    """Refuse casts that metadata in the datasets' paths do not fit, where a table has no other values."""
    from pycytominer_transform.common.model.conversion import number_of

    own = [column for schema in manifest.tables for column in manifest.own_columns(schema)]
    types = {column.name: column.type for column in own if column.is_cast and column.type != "string"}
    for source in manifest.sources if types else ():
        for name, text in source.path_values:
            try:
                if name in types:
                    number_of(text, types[name])
            except ValueError as error:
                raise UsageError(
                    f"--cast: {name} is {text!r} by the path of {source.dataset}, no {types[name]}"
                ) from error


def _keys(manifest: Manifest) -> set[Column]:
    """Return the columns that number images and objects: a table's own, and those of its parents."""
    preset = manifest.preset
    keys = set()
    for schema in manifest.tables:
        numbers = [preset.image_number, preset.table_number, preset.object_number_of(schema.prefix)]
        numbers += [preset.parent_column(schema.prefix, other.table) for other in manifest.tables]
        sources = {f"{begin}{number}".lower() for number in numbers if number for begin in ("", "Metadata_")}
        names = (DATASET, TABLE_NUMBER, OBJECT_NUMBER, *preset.image_set)
        keys |= {column for column in schema.columns if column.source.lower() in sources or column.name in names}
    return keys
