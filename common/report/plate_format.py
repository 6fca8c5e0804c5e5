"""Formats of plates, and the places of wells on them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pycytominer_transform.common.model.naming import well_name

FORMATS = ((2, 3), (4, 6), (8, 12), (16, 24), (32, 48))
"""Rows and columns of plates of 6, 24, 96, 384 and 1536 wells (ANSI SLAS 4-2004)."""
_PLACE = re.compile(r"([A-Z]|A[A-Z])([0-9]{2})")


def place_of(well: str) -> tuple[int, int] | None:
    """Return a well's row and column from 0, of 48 columns and the rows A to AF; None for another text."""
    match = _PLACE.fullmatch(well_name(well))
    if not match:
        return None
    letters = match[1]
    row = ord(letters[-1]) - ord("A") + 26 * (len(letters) - 1)
    column = int(match[2]) - 1
    last_rows, last_columns = FORMATS[-1]
    return (row, column) if row < last_rows and 0 <= column < last_columns else None


def row_name(row: int) -> str:
    """Return the letters of a row, ``A`` to ``AF``."""
    return chr(ord("A") + row) if row < 26 else f"A{chr(ord('A') + row - 26)}"


def well_at(row: int, column: int) -> str:
    """Return the name of the well at a place, ``A01``."""
    return f"{row_name(row)}{column + 1:02d}"


def format_of(places: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the rows and columns of the smallest format that holds all places; 0 and 0 if there are none."""
    last_row, last_column = -1, -1
    for row, column in places:
        last_row, last_column = max(last_row, row), max(last_column, column)
    if last_row < 0:
        return 0, 0
    return next(each for each in FORMATS if last_row < each[0] and last_column < each[1])
