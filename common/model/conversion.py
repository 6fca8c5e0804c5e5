"""Converts values to the decided types one by one, exactly, and reports every value that does not fit."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pycytominer_transform.common.errors import BadValueError, DataError
from pycytominer_transform.common.model.column_types import (
    BLANKS,
    NO_WORDS,
    NULL_WORDS,
    YES_WORDS,
    ColumnType,
    is_number,
    names_number,
)
from pycytominer_transform.common.model.roles import field_metadata

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.model.manifest import Column

OnBadValue = Literal["fail", "null"]

MORE_NULL_WORDS = ("NAN", "-nan", "-NaN", "-NAN", "nan(ind)", "-nan(ind)")
"""NaN as other languages write it, such as C's printf and the Microsoft runtime."""

TRUE_WORDS = YES_WORDS | {"1"}
FALSE_WORDS = NO_WORDS | {"0"}

_NULLS = NULL_WORDS | set(MORE_NULL_WORDS)


def csv_null_words() -> list[str]:
    """List the words that stand for no value in a numeric column."""
    return sorted(_NULLS)


@dataclass
class BadValues:
    """The bad values of number columns: refused at the first, or made null and counted per column.

    Attributes
    ----------
    counts : dict
        How many bad values were made null, by the source column's name.
    words : dict
        How many words for no value (``nan``, ``NULL``, an empty text) became null, by the column's final name; of
        SQLite only, where such words are odd.
    blank_rows : int
        Rows without any value, which were dropped.
    """

    on_bad_value: OnBadValue
    counts: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    blank_rows: int = 0

    def meet(self, value: object, kind: ColumnType, column: str, where: str) -> None:
        """Count one value that does not fit its column.

        Raises
        ------
        BadValueError
            Bad values are refused.
        """
        if self.on_bad_value == "fail":
            wanted = {"int64": "a whole number", "bool": "yes or no"}.get(kind, "a number")
            advice = "--on-bad-value null"
            if kind == "int64" and is_number(str(value)) and not names_number(column):
                advice = _cast(column, "float64")
            raise BadValueError(f"{where}, column {column!r}: {value!r} is not {wanted}; correct it, or give {advice}")
        self.counts[column] = self.counts.get(column, 0) + 1

    def add(self, other: BadValues) -> None:
        """Add another source's counts."""
        for column, number in other.counts.items():
            self.counts[column] = self.counts.get(column, 0) + number
        for column, number in other.words.items():
            self.add_words(column, number)
        self.blank_rows += other.blank_rows

    def add_words(self, column: str, number: int) -> None:
        """Count words for no value of one column."""
        if number:
            self.words[column] = self.words.get(column, 0) + number


def changed_metadata(text: str, column: str, where: str) -> DataError:
    """Return the error of a text in a column of metadata that it would not leave as it is written (``0012``)."""
    advice = "correct it" if names_number(column) else f"give {_cast(column, 'string')}"
    return DataError(f"{where}, column {column!r}: {text!r} would not stay as it is in a column of numbers; {advice}")


def _cast(column: str, kind: ColumnType) -> str:
    return f"--cast {shlex.quote(f'^{re.escape(column)}$={kind}')}"


def number_of(text: str, kind: ColumnType) -> int | float | None:
    """Return the number in a text.

    Raises
    ------
    ValueError
        It is not a number, or does not fit the type: it is no whole number, or too large.
    """
    if text in _NULLS:
        return None
    if kind == "bool":
        if text not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError(text)
        return text in TRUE_WORDS
    if not is_number(text):
        raise ValueError(text)
    text = text.strip(BLANKS)
    if kind != "int64":
        # 1e400 is infinite, as in Arrow's reader of CSV.
        number = float(text)
        return None if math.isnan(number) else number  # In any letter case: nAn.
    try:
        written = Decimal(text)
        # Digits that are not written are those of a float (6.268425585172607e+16).
        exponent = written.as_tuple().exponent
        lacks_digits = isinstance(exponent, int) and exponent > 0
        return _whole_number(Decimal(float(text)) if lacks_digits else written)
    except ArithmeticError as error:
        raise ValueError(text) from error


def _whole_number(number: Decimal) -> int:
    """Return a decimal number as a whole one; a float would round a large number."""
    if not number.is_finite() or not -(1 << 63) <= number < 1 << 63 or number != number.to_integral_value():
        raise ValueError(number)
    return int(number)


def stored_number_of(value: float | str | bytes, kind: ColumnType) -> int | float | None:
    """Return the number in a value of a database or an array; None if it stands for no value.

    Raises
    ------
    ValueError
        See `number_of`.
    """
    if isinstance(value, str | bytes):
        return number_of(value if isinstance(value, str) else value.decode(), kind)
    if math.isnan(value):
        return None
    if kind == "int64":
        return number_of(repr(int(value) if isinstance(value, bool) else value), kind)
    if kind == "bool" and value not in (0, 1):
        raise ValueError(value)
    return bool(value) if kind == "bool" else float(value)


def convert_values(
    values: Sequence[float | str | None], kind: ColumnType, column: str, where: str, bad: BadValues, first_row: int = 1
) -> pa.Array:
    """Convert a column of texts, or of values as an array stores them; NaN is null.

    Parameters
    ----------
    where : str
        The file, with ``{row}`` where the row's number belongs.
    first_row : int
        The number of the first row: 2 where a header is row 1.
    """
    import pyarrow as pa

    converted: list[str | int | float | None] = []
    for row, value in enumerate(values, start=first_row):
        try:
            if value is None or value != value:
                converted.append(None)
            elif kind == "string":
                converted.append(value if isinstance(value, str) else repr(value))
            else:
                converted.append(stored_number_of(value, kind))
        except (ValueError, OverflowError):
            bad.meet(value, kind, column, where.replace("{row}", str(row)))
            converted.append(None)
    return pa.array(converted, type=arrow_type(kind))


def table_of(columns: Sequence[Column], arrays: Mapping[str, pa.Array | pa.ChunkedArray], rows: int) -> pa.Table:
    """Return a table of columns under their final names; columns without an array are null.

    Parameters
    ----------
    arrays : mapping
        By the columns' names in the source.
    """
    import pyarrow as pa

    schema = pa.schema([(column.name, arrow_type(column.type)) for column in columns])
    return pa.table(
        [arrays[column.source] if column.source in arrays else pa.nulls(rows, arrow_type(column.type))
         for column in columns],
        schema=schema,
    )  # fmt: skip


def arrow_field(column: Column) -> pa.Field:
    """Return the Arrow field of a column: its final name, its type, and its role and unit in the metadata."""
    import pyarrow as pa

    return pa.field(column.name, arrow_type(column.type), metadata=field_metadata(column.role, column.unit))


def arrow_type(kind: ColumnType) -> pa.DataType:
    """Return the Arrow type of a column type."""
    import pyarrow as pa

    return pa.type_for_alias(kind)
