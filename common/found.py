"""What discovery finds, before it is cut into parts: sources, and samples of what is in their tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pycytominer_transform.common.column_types import (
    ColumnType,
    SampledColumn,
    names_measurement,
    names_text,
)
from pycytominer_transform.common.errors import BadDatasetError, DataError
from pycytominer_transform.common.manifest import Column, TableSchema
from pycytominer_transform.common.naming import DATASET, TABLE_NUMBER, final_names, listed
from pycytominer_transform.common.preset import Preset

_MOST_NAME = 10_000
"""Characters in a column's name."""


@dataclass(frozen=True, kw_only=True)
class FoundSource:
    """One readable table of one dataset; see `manifest.Source` for what the columns mean."""

    dataset: str
    table: str
    path: str
    bytes: int
    fingerprint: str
    sqlite_table: str = ""
    row_ranges: tuple[tuple[int, int], ...] = ()
    rows: int = -1


@dataclass
class TableSample:
    """The columns of one table over all its files, and what a sample of their values shows."""

    table: str
    files: int = 0
    columns: dict[str, SampledColumn] = field(default_factory=dict)
    fixed: dict[str, ColumnType] = field(default_factory=dict)
    # Most files have the header of another one.
    _files_of: dict[tuple[str, ...], int] = field(default_factory=dict)
    _sampled_places: dict[tuple[str, ...], list[tuple[int, SampledColumn]]] = field(default_factory=dict)

    def add(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Take one file into account: the names of its columns and some of its rows, as text or as stored values.

        Raises
        ------
        BadDatasetError
            A name is so long that it is none, and would take minutes to look at.
        """
        if not header:
            return
        key = tuple(header)
        if key not in self._sampled_places:
            if (longest := max(map(len, header))) > _MOST_NAME:
                raise BadDatasetError(f"table {self.table}: a column's name has {longest} characters; is it no header?")
            for name in header:
                self.columns.setdefault(name, SampledColumn(name))
            self._sampled_places[key] = [
                (place, self.columns[name])
                for place, name in enumerate(header)
                if not names_text(name) and not names_measurement(name)
            ]
        self.files += 1
        self._files_of[key] = self._files_of.get(key, 0) + 1
        places = self._sampled_places[key]
        for row in rows:
            for place, column in places:
                if place < len(row):
                    value = row[place]
                    column.see(value) if isinstance(value, str) else column.see_stored(value)

    def fix(self, column: str, kind: ColumnType) -> None:
        """Fix a column's type whatever the sample says; text in one file makes it text for all."""
        if self.fixed.get(column) != "string":
            self.fixed[column] = kind

    def partial_columns(self) -> list[str]:
        """List the columns that only some of the files have."""
        return [name for name, files in self._files_with().items() if files < self.files]

    def _files_with(self) -> dict[str, int]:
        """Count the files that have each column."""
        found = dict.fromkeys(self.columns, 0)
        for header, files in self._files_of.items():
            for name in header:
                found[name] += files
        return found

    def union_warning(self) -> str | None:
        """Say which columns will be null for some files, None where all files have the same columns."""
        partial = self.partial_columns()
        if not partial:
            return None
        fewest = min(self._files_with().values())
        return (
            f"table {self.table}: {len(partial)} of {len(self.columns)} columns are not in all of its {self.files} "
            f"files (the rarest in {fewest}) and will be null where they are missing: {listed(partial, 20)}"
        )

    def schema(self, prefix: str, preset: Preset, compartments: Sequence[str], *, only_common: bool) -> TableSchema:
        """Decide the table's final column names and types.

        Raises
        ------
        DataError
            Two columns would have the same final name, or one that of a column that the tools add.
        """
        partial = set(self.partial_columns()) if only_common else set()
        kept = [name for name in self.columns if name not in partial]
        named = final_names(
            kept,
            prefix=prefix,
            metadata_prefix=preset.image.capitalize(),
            is_identifying=lambda column: preset.is_identifying(column, compartments),
        )
        for name in kept:
            bare = name.removeprefix(f"{prefix}_")
            if name in preset.unprefixed and bare not in kept:
                named[name] = bare
        parents = {f"Metadata_{preset.parent_column(prefix, other)}".lower() for other in compartments}
        refuse_own_names(self.table, named)
        for name in kept:
            if name.lower() in parents:
                self.fix(name, "int64")
        for name in filter(preset.is_whole, kept):
            if self.columns[name].whole and not self.columns[name].some_text:
                self.fix(name, "int64")
        for name in filter(preset.is_yes_or_no, kept):
            if self.columns[name].only_truths:
                self.fix(name, "bool")
        for name in filter(preset.is_text, kept):
            self.fix(name, "string")
        columns = tuple(Column(name, named[name], self.fixed.get(name) or self.columns[name].decide()) for name in kept)
        return TableSchema(self.table, prefix, columns)


def refuse_own_names(table: str, named: Mapping[str, str]) -> None:
    """Refuse columns whose final names are those of columns that the tools add.

    Parameters
    ----------
    named : mapping
        Final names by source names.
    """
    for source, name in named.items():
        if name.lower() in (DATASET.lower(), TABLE_NUMBER.lower()) and name != TABLE_NUMBER:
            raise DataError(f"table {table}: the column {source!r} is named as one that the tools add; rename it")
