"""Turning columns of text into columns of their type, slowly and exactly, with every value that does not fit named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pycytominer_transform.common.column_types import BLANKS, NO_WORDS, NULL_WORDS, YES_WORDS, ColumnType, is_number
from pycytominer_transform.common.errors import BadValueError

if TYPE_CHECKING:
    import pyarrow as pa

OnBadValue = Literal["fail", "null"]

MORE_NULL_WORDS = ("NAN", "-nan", "-NaN", "-NAN", "nan(ind)", "-nan(ind)")
"""How other languages write a number that is none; C's printf and the Microsoft runtime among them."""

TRUE_WORDS = YES_WORDS | {"1"}
FALSE_WORDS = NO_WORDS | {"0"}

_NULLS = NULL_WORDS | set(MORE_NULL_WORDS)


def csv_null_words() -> list[str]:
    """List the words that stand for no value in a numeric column."""
    return sorted(_NULLS)


@dataclass
class BadValues:
    """What became of texts in number columns: refused at the first, or made null and counted per column.

    Attributes
    ----------
    counts : dict
        How many bad values were made null, by the source column's name.
    words : dict
        How many words for no value (``nan``, ``NULL``, an empty text) became null, by the column's final name; of
        SQLite only, where such words are odd.
    """

    on_bad_value: OnBadValue
    counts: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)

    def meet(self, value: object, kind: ColumnType, column: str, where: str) -> None:
        """Count one value that does not fit its column.

        Raises
        ------
        BadValueError
            Such values are to be refused.
        """
        if self.on_bad_value == "fail":
            wanted = {"int64": "a whole number", "bool": "yes or no"}.get(kind, "a number")
            raise BadValueError(
                f"{where}, column {column!r}: {value!r} is not {wanted}; correct it, or give --on-bad-value null"
            )
        self.counts[column] = self.counts.get(column, 0) + 1

    def add(self, other: BadValues) -> None:
        """Add another source's counts."""
        for column, number in other.counts.items():
            self.counts[column] = self.counts.get(column, 0) + number
        for column, number in other.words.items():
            self.add_words(column, number)

    def add_words(self, column: str, number: int) -> None:
        """Count words for no value of one column."""
        if number:
            self.words[column] = self.words.get(column, 0) + number


def number_of(text: str, kind: ColumnType) -> int | float | None:
    """Read a text as a number of a type.

    Raises
    ------
    ValueError
        It is none, or not a whole one, or too large, where the type asks for that.
    """
    if text in _NULLS:
        return None
    if kind == "bool":
        return _truth_of(text)
    if not is_number(text):
        raise ValueError(text)
    text = text.strip(BLANKS)
    if kind != "int64":
        number = float(text)
        if math.isinf(number) and any(map(str.isdigit, text)):
            raise ValueError(text)  # 1e400
        return None if math.isnan(number) else number  # Whatever the letter case: nAn.
    try:
        # A float is written with an exponent where its digits are not all of it (6.268425585172607e+16).
        return _whole_number(Decimal(float(text) if "e" in text.lower() else text))
    except ArithmeticError as error:
        raise ValueError(text) from error


def _whole_number(number: Decimal) -> int:
    """Make a whole number of a decimal one, which a float would round where it is large."""
    if not number.is_finite() or not -(1 << 63) <= number < 1 << 63 or number != number.to_integral_value():
        raise ValueError(number)
    return int(number)


def _truth_of(text: str) -> bool:
    if text not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError(text)
    return text in TRUE_WORDS


def stored_number_of(value: float | str | bytes, kind: ColumnType) -> int | float | None:
    """Read a value as a database or an array stores it as a number of a type, None where it stands for no value.

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


def convert_texts(
    texts: list[str | None], kind: ColumnType, column: str, where: str, bad: BadValues, first_row: int = 2
) -> pa.Array:
    """Convert a column of texts value by value.

    Parameters
    ----------
    where : str
        The file, with ``{row}`` where the row's number belongs; the header is row 1.
    """
    import pyarrow as pa

    values: list[int | float | None] = []
    for row, text in enumerate(texts, start=first_row):
        try:
            values.append(None if text is None else number_of(text, kind))
        except (ValueError, OverflowError):
            bad.meet(text, kind, column, where.replace("{row}", str(row)))
            values.append(None)
    return pa.array(values, type=arrow_type(kind))


def convert_stored(
    values: Sequence[float | str | None], kind: ColumnType, column: str, where: str, bad: BadValues
) -> pa.Array:
    """Convert a column of values as an array stores them; what is no number is null, the first row is row 1.

    Parameters
    ----------
    where : str
        See `convert_texts`.
    """
    import pyarrow as pa

    given: list[str | int | float | None] = []
    for row, value in enumerate(values, start=1):
        try:
            if value is None or value != value:
                given.append(None)
            elif kind == "string":
                given.append(value if isinstance(value, str) else repr(value))
            else:
                given.append(stored_number_of(value, kind))
        except (ValueError, OverflowError):
            bad.meet(value, kind, column, where.replace("{row}", str(row)))
            given.append(None)
    return pa.array(given, type=arrow_type(kind))


def arrow_type(kind: ColumnType) -> pa.DataType:
    """Give the Arrow type of a column type."""
    import pyarrow as pa

    types = {"int64": pa.int64(), "float64": pa.float64(), "float32": pa.float32(), "string": pa.string()}
    return pa.bool_() if kind == "bool" else types[kind]
