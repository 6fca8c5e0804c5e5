"""Hints to tables of objects that are not read, but could be with ``--compartments``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from pycytominer_transform.common.model.naming import listed, table_prefix
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.runtime.messages import logger

_MOST_PLACES = 10
"""Folders or files to search in a source that holds no table of any preset."""


def compartment_of(name: str, preset: Preset) -> str:
    """Return the compartment that a file's stem or an SQLite table's name may stand for; empty if none."""
    before = "(?:.*_)?" if preset.table_name.lower().startswith("per_") else ""
    pattern = before + re.escape(preset.table_name).replace(re.escape("{table}"), "([^,]+)")
    match = re.fullmatch(pattern, name, re.IGNORECASE)
    return match[1] if match and match[1].lower() != preset.image else ""


class ObjectTable(NamedTuple):
    """A table of objects in a source: the name it has there, and its columns in lower case."""

    name: str
    columns: frozenset[str]


ObjectTables = Mapping[str, ObjectTable]
"""By compartment, in lower case."""


def parents_of_anchor(object_tables: ObjectTables, tables: Sequence[str], preset: Preset) -> list[str]:
    """List the tables that the anchor's columns lead to: often a filter stands between two compartments."""
    anchor = preset.anchor_of([table for table in tables if table != preset.image])
    others = [table for table in object_tables if table not in tables] if anchor in object_tables else []
    return [table for table in others if _leads(object_tables, anchor, table, preset)]


def report_other_tables(
    object_tables: ObjectTables, tables: Sequence[str], everywhere: Collection[str], anchor: str, preset: Preset
) -> None:
    """Report the tables of objects that are not read, and the options that read them.

    Parameters
    ----------
    object_tables : mapping
        All tables of objects in one dataset, by compartment.
    tables : sequence of str
        Those that are read.
    everywhere : collection of str
        Those that every dataset has.
    anchor : str
        The table whose objects the rows are.
    """
    compartments = [table for table in tables if table != preset.image]
    others = {table: found for table, found in object_tables.items() if table not in tables}
    if some := {table: others.pop(table) for table in [*others] if table not in everywhere}:
        logger.info("passed over %s, which not all datasets have", _tables(some))
    usable = {table: found for table, found in object_tables.items() if table not in some}
    upwards, children = related_tables(usable, anchor, preset)
    if related := {table: others.pop(table) for table in usable if table in others and table in (*upwards, *children)}:
        option = _option([*compartments, *related], has_children=not related.keys().isdisjoint(children))
        logger.info("passed over %s; %s too", _tables(related), _takes(option, related))
    while others:
        option, taken = _conversion_of(others, preset)
        group = {table: others.pop(table) for table in taken}
        logger.info(
            "passed over %s, which nothing relates to the others; %s instead", _tables(group), _takes(option, group)
        )


def related_tables(tables: ObjectTables, anchor: str, preset: Preset) -> tuple[list[str], list[str]]:
    """Return the tables that the anchor leads to, and those whose objects are children of one of these."""
    way = [anchor] if anchor in tables else []
    for via in way:
        way += [table for table in tables if table not in way and _leads(tables, via, table, preset)]
    others = [table for table in tables if table not in way]
    return way, [table for table in others if any(_leads(tables, table, parent, preset) for parent in way)]


def _leads(tables: ObjectTables, table: str, parent: str, preset: Preset) -> bool:
    """Return whether a table has a column that holds its objects' parents in another."""
    column = preset.parent_column(table_prefix(table), parent).lower()
    return not tables[table].columns.isdisjoint((column, f"metadata_{column}"))


def _conversion_of(tables: ObjectTables, preset: Preset) -> tuple[str, list[str]]:
    """Return the option that takes most tables by themselves, and these."""
    upwards, children = max(
        (related_tables(tables, anchor, preset) for anchor in tables), key=lambda found: len(found[0])
    )
    taken = [table for table in tables if table in (*upwards, *children)]
    return _option(taken, has_children=bool(children)), taken


def first_object_tables(places: Iterable[ObjectTables]) -> ObjectTables:
    """Return the tables of objects in the first folder or file that has any.

    Parameters
    ----------
    places : iterable of mapping
        See `Layout.object_tables`; only the first few are read.
    """
    return next(filter(None, islice(places, _MOST_PLACES)), {})


def other_tables_hint(tables: ObjectTables, preset: Preset) -> str:
    """Return a hint to tables of objects whose names no preset knows; empty if there are none."""
    if not tables:
        return ""
    option, taken = _conversion_of(tables, preset)
    if len(taken) < len(tables):
        return f"there are {_named(tables)}, not all related: take those of one cell, such as {option}"
    return f"there are {_named(tables)}: take them with {option}"


def _tables(tables: ObjectTables) -> str:
    return f"the {'tables' if len(tables) > 1 else 'table'} {_named(tables)}"


def _named(tables: ObjectTables) -> str:
    return listed([f"{table} ({found.name})" for table, found in tables.items()])


def _option(compartments: Sequence[str], *, has_children: bool) -> str:
    option = f"--compartments {shlex.quote(','.join(compartments))}"
    return f"pct-discover {option} and pct-join --aggregate-children mean" if has_children else option


def _takes(option: str, tables: ObjectTables) -> str:
    return f"{option} {'take' if ' and ' in option else 'takes'} {'them' if len(tables) > 1 else 'it'}"
