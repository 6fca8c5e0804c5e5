"""Comparison of the metadata in a dataset's path with those of its image table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycytominer_transform.common.model.conversion import arrow_type, number_of
from pycytominer_transform.common.model.manifest import Column, PathValues, Source
from pycytominer_transform.common.model.provenance import added_counts

if TYPE_CHECKING:
    import pyarrow as pa

_OPEN = frozenset({None, ""})
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


@dataclass
class Disagreements:
    """Image sets whose metadata differ between path and image table; the table's value is used.

    Attributes
    ----------
    counts : dict
        By column, the number of image sets.
    examples : dict
        By column, a description of the first.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, other: Disagreements) -> None:
        """Add those of another source."""
        self.counts = added_counts(self.counts, other.counts)
        self.examples = other.examples | self.examples


def typed_path_values(values: PathValues, columns: Sequence[Column]) -> dict[str, str | int | float | None]:
    """Return the values of a dataset's path, by the column's name, in the columns' types."""
    column_of = {column.name: column for column in columns}
    return {name: _as_type(text, column_of[name]) for name, text in values}


def filled_from_path(
    table: pa.Table, columns: Mapping[str, Column], source: Source, disagreements: Disagreements
) -> pa.Table:
    """Fill the empty metadata of an image table from the path, and count where the two disagree.

    Parameters
    ----------
    table : pyarrow.Table
        One row per image set of the source, final column names.
    columns : mapping
        By the name of a path's column, the table's column of the same meaning.
    disagreements : Disagreements
        The counts to add to.
    """
    import pyarrow as pa

    for name, text in source.path_values:
        if name not in columns:
            continue
        column = columns[name]
        stored = table[column.name].to_pylist()
        others = [value for value in stored if value not in _OPEN and not _is_same(str(value), text)]
        if others:
            example = f"{others[0]} in the table, {text} in the path of {source.dataset}"
            disagreements.add(Disagreements({column.name: len(others)}, {column.name: example}))
        value = _as_type(text, column)
        if value is not None and not _OPEN.isdisjoint(stored):
            filled = pa.array([value if own in _OPEN else own for own in stored], type=arrow_type(column.type))
            table = table.set_column(table.column_names.index(column.name), column.name, filled)
    return table


def _is_same(own: str, text: str) -> bool:
    """Compare two texts, without letter case and the zeros before a number (``A1``, ``a01``)."""
    return _ZEROS.sub("", own).casefold() == _ZEROS.sub("", text).casefold()


def _as_type(text: str, column: Column) -> str | int | float | None:
    if column.type == "string":
        return text
    try:
        return number_of(text, column.type)
    except ValueError:
        return None
