"""What a column of a source holds, int, float or text, judged by its name and by all of its values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from oracle_sources import Sheet, Value

__all__ = ["column_kinds", "typed"]

NULL_WORDS = frozenset({"", "nan", "NaN", "NA", "NULL"})
INTEGER_NAME = re.compile(
    r"^(?:[A-Za-z0-9]+_)?(?:ImageNumber|ObjectNumber|Number_Object_Number|Parent_.+|Children_.+_Count|Count_.+|Group_.+)$"
)
TEXT_NAME = re.compile(r"^(?:Image_)?(?:FileName|PathName|URL|MD5Digest)_")
METADATA_NAME = re.compile(r"(?:^|_)Metadata_")
WHOLE = re.compile(r"^[+-]?\d+(?:\.0*)?$", re.ASCII)
FAITHFUL = re.compile(r"^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?:[eE][+-]?\d{1,3})?$", re.ASCII)
NUMBER = re.compile(r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?)$", re.IGNORECASE | re.ASCII)


def column_kinds(sheets: Sequence[Sheet], columns: Literal["union", "intersection"]) -> dict[str, str]:
    """Decide int, float or text for every column of one table over all its datasets, by name and by all its values."""
    filled = [sheet for sheet in sheets if sheet.columns]
    names = list(dict.fromkeys(name for sheet in filled for name in sheet.columns))
    if columns == "intersection":
        names = [name for name in names if all(name in sheet.columns for sheet in filled)]
    return {name: _column_kind(name, [sheet for sheet in filled if name in sheet.columns]) for name in names}


def _column_kind(name: str, sheets: Sequence[Sheet]) -> str:
    if TEXT_NAME.match(name) or any(name in sheet.text_columns for sheet in sheets):
        return "text"
    values = [value for sheet in sheets for value in sheet.column(name) if value not in NULL_WORDS]
    if any(_is_text(value) for value in values):
        return "text"
    if METADATA_NAME.search(name) and any(value is not None for value in values):
        # A plate named 0012 stays text, since a number would lose something.
        words = [str(value) for value in values if value is not None]
        if not all(FAITHFUL.match(word) for word in words):
            return "text"
        return "int" if all(WHOLE.match(word) for word in words) else "float"
    return "int" if INTEGER_NAME.match(name) or name == "TableNumber" else "float"


def _is_text(value: Value) -> bool:
    return isinstance(value, str) and value not in NULL_WORDS and not NUMBER.match(value.strip(" \t"))


def typed(value: Value, kind: str, empty_text: str | None) -> Value:
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode()
    if kind == "text":
        return empty_text if value == "" else str(value)
    if isinstance(value, str) and value in NULL_WORDS:
        return None
    if kind == "float":
        return float(value)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value!r} is no whole number")
    try:
        return int(value)
    except ValueError:
        number = float(value)
        if number != int(number):
            raise ValueError(f"{value!r} is no whole number") from None
        return int(number)
