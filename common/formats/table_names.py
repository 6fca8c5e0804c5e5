"""Which table a file's stem or an SQLite table's name stands for, and what stands before it: ``MyExpt_Cells``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from pycytominer_transform.common.model.preset import Preset

_Names = TypeVar("_Names", str, list[str])
Matcher = Callable[[str], tuple[str, list[str]]]
"""Splits a name into the prefix and the tables that the rest stands for."""

_SEPARATORS = "_-. "
"""What an experiment's prefix ends in, as in ``MyExpt_Cells.csv``, CellProfiler's default."""


def table_matcher(preset: Preset, tables: Sequence[str]) -> Matcher:
    """Return a function that splits a name into the prefix and the tables that the rest stands for."""
    named: dict[str, list[str]] = {}
    for table in tables:
        for name in preset.names_of(table):
            named.setdefault(name.lower(), []).append(table)
    alternatives = "|".join(map(re.escape, named))
    prefixed = re.compile(rf"(.*?[{re.escape(_SEPARATORS)}])({alternatives})", re.IGNORECASE)

    def match(stem: str) -> tuple[str, list[str]]:
        if found := named.get(stem.lower()):
            return "", found
        split = prefixed.fullmatch(stem)
        return (split[1], named[split[2].lower()]) if split else ("", [])

    return match


def export_name(place: str, prefix: str, taken: Collection[str]) -> str:
    """Return the name of one of several datasets in a folder or file; with the separator where it is taken without."""
    name = str(PurePosixPath(place) / without_separator(prefix))
    return str(PurePosixPath(place) / prefix) if name in taken else name


def without_separator(prefix: str) -> str:
    """Return an experiment's name without what separates it from the tables' names."""
    return prefix.rstrip(_SEPARATORS) or prefix


def only_exports(exports: Mapping[str, dict[str, _Names]], image: str) -> dict[str, dict[str, _Names]]:
    """Return the exports among the prefixes before the names of tables.

    A prefix alone makes no export: where names have no prefix, others must have an image table like theirs, and an
    image table alone counts where another export is whole.

    Parameters
    ----------
    exports : mapping
        By prefix, for each table the name or names that may hold it.
    """
    with_objects = {prefix: files for prefix, files in exports.items() if set(files) - {image}}
    if any(image in files for files in with_objects.values()):
        with_objects = {prefix: files for prefix, files in with_objects.items() if image in files}
    elif "" in with_objects:
        with_objects = {"": with_objects[""]}
    may_lack_objects = any(with_objects)
    return {
        prefix: files
        for prefix, files in exports.items()
        if prefix in with_objects or (set(files) == {image} and (may_lack_objects or not prefix))
    }


def is_chosen(prefix: str, chosen: str) -> bool:
    """Return whether a prefix is the chosen one, written with or without its separator; empty chooses all."""
    return not chosen or chosen in (prefix, without_separator(prefix))
