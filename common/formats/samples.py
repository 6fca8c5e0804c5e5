"""A table's columns over all files of a source, and a sample of their values, from which its schema is decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pycytominer_transform.common.errors import BadDatasetError, DataError
from pycytominer_transform.common.model.column_types import (
    ColumnType,
    SampledColumn,
    names_measurement,
    names_text,
)
from pycytominer_transform.common.model.manifest import Column, TableSchema
from pycytominer_transform.common.model.naming import DATASET, PLATE, SITE, TABLE_NUMBER, WELL, final_names, listed
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.model.roles import Role, role_of

_MOST_NAME = 10_000
"""Characters in a column's name."""
_WELLS_AND_SITES = tuple(name.lower() for name in (PLATE, WELL, SITE))


@dataclass
class TableSample:
    """The columns of one table over all its files, and a sample of their values."""

    table: str
    files: int = 0
    columns: dict[str, SampledColumn] = field(default_factory=dict)
    fixed: dict[str, ColumnType] = field(default_factory=dict)
    # Most files have the header of another one.
    _files_of: dict[tuple[str, ...], int] = field(default_factory=dict)
    _sampled_places: dict[tuple[str, ...], list[tuple[int, SampledColumn]]] = field(default_factory=dict)

    def add(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add one file: the names of its columns and some of its rows, as text or as stored values.

        Raises
        ------
        BadDatasetError
            A name is so long that it is none, and would take minutes to match.
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

    def partial_columns(self) -> dict[str, int]:
        """Count the files that have a column, for those that only some of the files have."""
        counts = dict.fromkeys(self.columns, 0)
        for header, files in self._files_of.items():
            for name in header:
                counts[name] += files
        return {name: files for name, files in counts.items() if files < self.files}

    def complete_columns(self) -> set[str]:
        """Return the columns that all files have, with a value in every row of the sample."""
        partial = self.partial_columns()
        return {
            name
            for name, column in self.columns.items()
            if column.seen and not column.some_null and name not in partial
        }

    def union_warning(self) -> str | None:
        """Return a warning of the columns that will be null for some files; None if all files have the same."""
        partial = self.partial_columns()
        if not partial:
            return None
        return (
            f"table {self.table}: {len(partial)} of {len(self.columns)} columns are not in all of its {self.files} "
            f"files (the rarest in {min(partial.values())}) and will be null where they are missing: "
            f"{listed([*partial], 20)}"
        )

    def schema(self, prefix: str, preset: Preset, compartments: Sequence[str], *, only_common: bool) -> TableSchema:
        """Decide the table's final column names and types.

        Raises
        ------
        DataError
            Two columns would have the same final name, or one that of a column that the tools add.
        """
        partial = self.partial_columns() if only_common else {}
        kept = [name for name in self.columns if name not in partial]
        named = self.final_names(kept, prefix, preset, compartments)
        parents = {f"Metadata_{preset.parent_column(prefix, other)}".lower() for other in compartments}
        refuse_own_names(self.table, named)
        for name in kept:
            column = self.columns[name]
            if name.lower() in parents or (preset.is_whole(name) and column.whole and not column.some_text):
                self.fix(name, "int64")
            if preset.is_yes_or_no(name) and column.only_truths:
                self.fix(name, "bool")
            if preset.is_text(name):
                self.fix(name, "string")
        columns = []
        for name in kept:
            final, kind = named[name], self.fixed.get(name) or self.columns[name].decide()
            role = preset.role_of(final) or self.role_of(name, final, kind, is_of_image=self.table == preset.image)
            columns.append(Column(name, final, kind, role, self.unit_of(name, final, preset)))
        return TableSchema(self.table, prefix, tuple(columns))

    def final_names(
        self, columns: Sequence[str], prefix: str, preset: Preset, compartments: Sequence[str]
    ) -> dict[str, str]:
        """Return the final names of columns by their names in the source; see `naming.final_names`."""
        named = final_names(
            columns,
            prefix=prefix,
            metadata_prefix=preset.image.capitalize(),
            is_identifying=lambda column: preset.is_identifying(column, compartments),
        )
        for name in columns:
            bare = name.removeprefix(f"{prefix}_")
            if name in preset.unprefixed and bare not in columns:
                named[name] = bare
        return named

    def role_of(self, column: str, name: str, kind: ColumnType, *, is_of_image: bool) -> Role:
        """Return the role of a column, by its final name and its type; by its source, where that says one."""
        return role_of(name, kind, is_of_image=is_of_image)

    def unit_of(self, column: str, name: str, preset: Preset) -> str:
        """Return the unit of a column, by the preset or its final name; by its source, where that says one."""
        return preset.unit_of(name)


def names_well_or_site(column: str) -> bool:
    """Return whether a column of an image table is named as one of plates, wells or sites, with or without a prefix."""
    return column.lower().endswith(_WELLS_AND_SITES)


def wells_and_sites(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, str]]:
    """Return the values of plate, well and site in each row of an image table, by column; without those of no value."""
    places = [(place, name) for place, name in enumerate(header) if names_well_or_site(name)]
    return [{name: str(row[at]) for at, name in places if at < len(row) and row[at] is not None} for row in rows]


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
