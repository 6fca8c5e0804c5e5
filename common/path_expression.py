"""Regular expressions whose named groups are metadata in paths."""

from __future__ import annotations

import re

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.naming import DATASET, IMAGE_NUMBER, OBJECT_NUMBER, TABLE_NUMBER

NONE = "none"
"""What `--path-metadata` says to take nothing from paths."""

_TAKEN = {name.lower() for name in (DATASET, TABLE_NUMBER, IMAGE_NUMBER, OBJECT_NUMBER)}


def column_of(group: str) -> str:
    """Name the column that a group of the expression fills (``Plate`` -> ``Metadata_Plate``)."""
    return group if group.startswith("Metadata_") else f"Metadata_{group}"


def check_expression(expression: str) -> None:
    """Refuse an expression that names no column, or one that the tools fill themselves.

    Raises
    ------
    UsageError
        Says what is wrong with it.
    """
    try:
        groups = list(re.compile(expression).groupindex)
    except re.error as error:
        raise UsageError(f"{expression!r} is not a regular expression: {error}") from error
    if not groups:
        raise UsageError(f"{expression!r} names no column; name groups in it, such as (?P<Plate>[^/]+)/(?P<Well>.+)")
    if taken := [group for group in groups if column_of(group).lower() in _TAKEN]:
        raise UsageError(
            f"{expression!r} has a group {taken[0]!r}, and the tools fill {column_of(taken[0])} themselves"
        )
