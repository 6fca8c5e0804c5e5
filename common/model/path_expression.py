"""Metadata of datasets from outside their tables: named groups of a regular expression for paths, and constants."""

from __future__ import annotations

import re

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.naming import CELL_ID, DATASET, IMAGE_NUMBER, OBJECT_NUMBER, TABLE_NUMBER
from pycytominer_transform.common.model.options import compiled_regex

NONE = "none"
"""The value of `--path-metadata` that takes nothing from paths."""

_TAKEN = {name.lower() for name in (DATASET, TABLE_NUMBER, IMAGE_NUMBER, OBJECT_NUMBER, CELL_ID)}


def column_of(group: str) -> str:
    """Return the column that a group of the expression fills (``Plate`` -> ``Metadata_Plate``)."""
    return group if group.startswith("Metadata_") else f"Metadata_{group}"


def check_expression(expression: str) -> None:
    """Refuse an expression that names no column, or one that the tools fill themselves.

    Raises
    ------
    UsageError
        The expression is wrong.
    """
    groups = list(compiled_regex(expression).groupindex)
    if not groups:
        raise UsageError(f"{expression!r} names no column; name groups in it, such as (?P<Plate>[^/]+)/(?P<Well>.+)")
    if taken := [group for group in groups if column_of(group).lower() in _TAKEN]:
        raise UsageError(
            f"{expression!r} has a group {taken[0]!r}, and the tools fill {column_of(taken[0])} themselves"
        )


def path_expression(text: str) -> str:
    """Check an expression, or `NONE`, and return it.

    Raises
    ------
    UsageError
        See `check_expression`.
    """
    if text not in ("", NONE):
        check_expression(text)
    return text


def constant(text: str) -> str:
    """Check ``COLUMN=VALUE`` and return it.

    Raises
    ------
    UsageError
        The column is not one of ``Metadata_`` that the user may fill, or there is no value.
    """
    column, equals, value = text.partition("=")
    if not equals or not value or not re.fullmatch("Metadata_.+", column):
        raise UsageError(f"{text!r} is not COLUMN=VALUE with a column such as Metadata_Plate")
    if column.lower() in _TAKEN:
        raise UsageError(f"{text!r}: the tools fill {column} themselves")
    return text
