"""The type of a column: from its name if that decides, else from a sample of its values.

Identifiers are int64, and so are CellProfiler's counts if those of the sample are whole; columns with text are
string, every other number is float64. Metadata columns stay text where a number would lose something (``0012``, a
20-digit barcode), and are int64 where all are whole.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["int64", "float64", "float32", "string", "bool"]
TYPES: tuple[ColumnType, ...] = ("int64", "float64", "float32", "string", "bool")

NULL_WORDS = frozenset({"", "nan", "NaN", "NA", "NULL"})
"""Texts that stand for no value in a numeric column (design.md, "The manifest")."""

YES_WORDS = frozenset({"Yes", "yes", "YES", "True", "true", "TRUE"})
NO_WORDS = frozenset({"No", "no", "NO", "False", "false", "FALSE"})
_TRUTHS = YES_WORDS | NO_WORDS

BLANKS = " \t"
"""Characters around a number that a CSV reader ignores."""

# A child's averages in its parent's row, and those of objects in an image's, are measurements of their own
# (Mean_Foci_Number_Object_Number, Cells_Mean_Foci_Children_Spots_Count).
_NO_AVERAGE = r"^(?!(?:.*_)?(?:Mean|Median|StDev)_)"
_NUMBERING = r"(?:.*_)?(?:ImageNumber|ObjectNumber|Number_Object_Number|Parent_[^/]+)"
# What CellProfiler counts: objects in the image table, children, image sets of a group.
_COUNT = r"(?:.*_)?Children_.+_Count|(?:Image_)?(?:Count_.+|Group_(?:Index|Length|Number))"
_INT_NAME = re.compile(rf"{_NO_AVERAGE}(?:{_NUMBERING}|{_COUNT})$")
_COUNT_NAME = re.compile(rf"{_NO_AVERAGE}(?:{_COUNT})$")
_KEY_NAME = re.compile(_NO_AVERAGE + r"(?:[^_]+_)?(?:ImageNumber|ObjectNumber|Number_Object_Number|Parent_[^_/]+)$")
# Metadata is what the user named it (``Metadata_Group_Name``), but for what numbers images and objects.
_METADATA_KEY = re.compile(
    r"(?:^|_)Metadata_(?:(?:[^_]+_)?(?:ImageNumber|ObjectNumber|Number_Object_Number)|[^_]+_Parent_[^_/]+)$"
)
_IDENTIFIER = re.compile(
    _NO_AVERAGE + r"(?:.*_)?(?:ImageNumber|ObjectNumber|TableNumber|Number_Object_Number|Parent_.+)$"
)
_TEXT_NAME = re.compile(r"^(?:Image_)?(?:FileName|PathName|URL|MD5Digest)_")
_MEASUREMENT = re.compile(
    r"(?:^|_)(?:AreaShape|Correlation|Granularity|Intensity|Location|Neighbors|Number|RadialDistribution|Texture)_"
)
_WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?$")
_WHOLE_CANONICAL = re.compile(r"(?:0|-?[1-9]\d{0,17})$")
_CANONICAL = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:e[+-]\d{1,3})?$")


def names_whole_number(column: str) -> bool:
    """Return whether a column's name makes it an identifier or a count (``Cells_Parent_Nuclei``)."""
    return (_METADATA_KEY if names_metadata(column) else _INT_NAME).search(column) is not None


def names_number(column: str) -> bool:
    """Return whether a column's name makes it the number of an image, an object or a parent, which is always whole."""
    return names_whole_number(column) and not names_count(column)


def names_count(column: str) -> bool:
    """Return whether a column's name makes it a count of CellProfiler's (``Cells_Children_Foci_Count``)."""
    return not names_metadata(column) and _COUNT_NAME.match(column) is not None


def names_identifier(column: str) -> bool:
    """Return whether a column holds metadata, or numbers an object or its parent (``PH3_Parent_Nuclei``)."""
    return names_metadata(column) or _IDENTIFIER.search(column) is not None


def names_text(column: str) -> bool:
    """Return whether a column's name makes it text (``FileName_DNA``)."""
    return _TEXT_NAME.match(column) is not None


def names_metadata(column: str) -> bool:
    """Return whether a column holds metadata rather than a measurement."""
    return column.startswith("Metadata_") or "_Metadata_" in column


def names_measurement(column: str) -> bool:
    """Return whether a column's name is that of a CellProfiler measurement, which is always a number.

    Source: the categories of CellProfiler's measurement modules.
    """
    return not names_metadata(column) and _MEASUREMENT.search(column) is not None


def is_number(text: str) -> bool:
    """Return whether a text is a number as a CSV reader takes it: blanks around it, but no underscores."""
    return _number_in(text) is not None


def _number_in(text: str) -> float | None:
    """Return the number that a text is; None if it is none."""
    bare = text.strip(BLANKS)
    try:
        number = float(bare)
    except ValueError:
        return None
    return number if bare.isascii() and "_" not in bare and bare == bare.strip() else None


def keeps_as_number(text: str, kind: ColumnType) -> bool:
    """Return whether a text survives being stored as a number: ``0012`` and 20 digits do not."""
    if kind == "int64":
        return _WHOLE_CANONICAL.match(text) is not None
    return _CANONICAL.match(text) is not None and _fits_float(text, _number_in(text))


def _fits_float(text: str, number: float | None) -> bool:
    """Return whether a float64 keeps a number: any of 15 digits, and a longer one that a float64 was written as."""
    if number is not None and math.isinf(number):
        return False
    if len(text) <= 15 or sum(map(str.isdigit, text)) <= 15:
        return True
    return number is not None and repr(number) == text


@dataclass
class SampledColumn:
    """Properties of the sampled values of one column."""

    name: str
    seen: bool = False
    whole: bool = True
    whole_texts: bool = True
    canonical: bool = True
    exact: bool = True
    some_number: bool = False
    some_text: bool = False
    only_truths: bool = True
    some_null: bool = False

    def see(self, text: str) -> None:
        """Add a text to the sample."""
        if text in NULL_WORDS:
            self.some_null = True
            return
        self.seen = True
        number = _number_in(text)
        self.only_truths = self.only_truths and text in _TRUTHS
        self.canonical = self.canonical and _CANONICAL.match(text) is not None
        self.whole_texts = self.whole_texts and keeps_as_number(text, "int64")
        self.exact = self.exact and _fits_float(text, number)
        if number is not None:
            self.some_number = True
            self.whole = self.whole and _WHOLE.match(text.strip(BLANKS)) is not None
        else:
            self.some_text = True

    def see_stored(self, value: float | str | bytes | None) -> None:
        """Add a value of a database to the sample."""
        if isinstance(value, int | float):
            self.seen = self.some_number = True
            self.whole = self.whole and float(value).is_integer()
        elif value is None:
            self.some_null = True
        else:
            self.see(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)

    def decide(self) -> ColumnType:
        """Return the type that follows from the name and the sample.

        A measurement or a count with a stray text in it stays a number: the text is then reported as an error, with
        its row, when the rows are read.
        """
        if names_text(self.name):
            return "string"
        if names_whole_number(self.name):
            return "int64" if self.whole or _KEY_NAME.match(self.name) else "float64"
        if names_measurement(self.name):
            return "float64"
        if names_metadata(self.name) and self.seen:
            whole = self.whole and self.whole_texts
            if self.some_text or not self.canonical or not (whole or self.exact):
                return "string"
            return "int64" if whole else "float64"
        return "string" if self.some_text and not self.some_number else "float64"
