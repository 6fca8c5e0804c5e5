"""Names of the columns of the real measurement files, and what each of them holds, from a short list of patterns."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal, cast

__all__ = ["Column", "Holds", "columns_of"]

Holds = Literal["whole", "real", "gappy", "text", "time", "empty"]
Column = tuple[str, Holds]

_LIST = Path(__file__).with_name("twins_columns.txt")
_FIRST = ("TableNumber", "ImageNumber", "ObjectNumber")


def columns_of(table: str) -> list[Column]:
    """Give the columns of a table such as `data_a/Cells`, in the order of the real file."""
    columns = _listed()[table]
    if table.startswith("in_carta/"):
        return columns
    # An image table is sorted through; the tables of objects begin with their numbers.
    first = _FIRST if any(name == "ObjectNumber" for name, _ in columns) else _FIRST[:1]
    return sorted(columns, key=lambda column: (first.index(column[0]) if column[0] in first else len(first), column[0]))


@cache
def _listed() -> dict[str, list[Column]]:
    text = re.sub(r",\n +", ",", _LIST.read_text())
    words: dict[str, str] = {}
    tables: dict[str, list[Column]] = {}
    for line in text.splitlines():
        first, _, rest = line.partition(" ")
        if line.startswith("["):
            here = line.strip("[]").split()
        elif line.startswith("$"):
            words[first[1:]] = rest
        elif line and not line.startswith("#"):
            pattern = re.sub(r"\$(\w+)", lambda match: words[match[1]], rest)
            for table in here:
                tables.setdefault(table, []).extend((name, cast(Holds, first)) for name in _expanded(pattern))
    return tables


def _expanded(pattern: str) -> list[str]:
    """Give the names that a pattern with words in braces stands for, as a shell does."""
    before, brace, rest = pattern.partition("{")
    if not brace:
        return [pattern]
    words, _, after = rest.partition("}")
    return [f"{before}{word}{end}" for word in words.split(",") for end in _expanded(after)]
