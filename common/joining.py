"""Joining the tables of one part into profiles, and counting what found no partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pycytominer_transform.common.aggregation import aggregate_children, aggregated_schema
from pycytominer_transform.common.arrays import row_numbers
from pycytominer_transform.common.bundle_schema import bundle_schema
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.manifest import MANIFESTS_KEPT, Manifest
from pycytominer_transform.common.relations import JoinPlan, Partner
from pycytominer_transform.common.sql import (
    ROW,
    duplicate_query,
    join_query,
    parents_query,
    run_user_query,
    siblings_query,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Unmatched = Literal["drop", "keep"]


@dataclass(frozen=True)
class JoinedPart:
    """The profiles of one part.

    Attributes
    ----------
    profiles : pyarrow.Table
        One row per single cell.
    counts : dict
        ``rows`` and ``unmatched`` per table, ``joined`` rows, rows of the anchor that are ``incomplete`` for want of a
        partner, those of them that were ``dropped``, and per partner how many rows of the anchor are ``without`` one.
    """

    profiles: pa.Table
    counts: dict[str, Any]


def profiles_schema(manifest: Manifest, plan: JoinPlan) -> pa.Schema:
    """Give the schema that the profiles of every part have."""
    return _profiles_schema(manifest.shared, plan)


@lru_cache(MANIFESTS_KEPT)
def _profiles_schema(shared: Manifest, plan: JoinPlan) -> pa.Schema:
    import pyarrow as pa

    schemas = {schema.table: bundle_schema(shared, schema) for schema in shared.tables}
    schemas |= {found.partner.table: aggregated_schema(found.columns) for found in plan.children}
    return pa.schema([schemas[table].field(name) for name, table in plan.columns])


def join_part(
    connection: duckdb.DuckDBPyConnection, plan: JoinPlan, tables: dict[str, pa.Table], unmatched: Unmatched
) -> JoinedPart:
    """Join one part.

    Raises
    ------
    DataError
        A table holds the same object, or image set, twice, or several children of one object: it would multiply cells.
    """
    rows, parents = _matching_rows(connection, plan, tables)
    partners = [partner.table for partner in plan.partners]
    without = {name: rows[name].null_count for name in partners}
    complete = _only_complete(rows, partners)
    kept = complete if unmatched == "drop" else rows
    used = {name: _distinct(complete[name]) for name in plan.joined}
    used |= {
        found.partner.table: _among(parents[found.partner.table], complete[found.partner.via])
        for found in plan.children
    }
    counts = {
        "rows": {name: tables[name].num_rows for name in plan.tables},
        "joined": kept.num_rows,
        "incomplete": rows.num_rows - complete.num_rows,
        "dropped": rows.num_rows - kept.num_rows,
        "without": without,
        "unmatched": {name: tables[name].num_rows - used[name] for name in plan.tables},
    }
    aggregated = dict(tables)
    for found in plan.children:
        name, via = found.partner.table, found.partner.via
        aggregated[name] = aggregate_children(tables[name], parents[name], tables[via].num_rows, found.columns)
        # One row per parent, in the parents' order: the parent's row number finds it.
        kept = kept.append_column(name, kept[via])
    return JoinedPart(_gather(plan, aggregated, kept), counts)


def join_part_by_query(
    connection: duckdb.DuckDBPyConnection, query: str, tables: dict[str, pa.Table], where: str
) -> JoinedPart:
    """Join one part by the user's own query.

    Raises
    ------
    UsageError
        See `pycytominer_transform.common.sql.run_user_query`.
    """
    profiles = run_user_query(connection, query, tables, where)
    counts = {"rows": {name: table.num_rows for name, table in tables.items()}, "joined": profiles.num_rows}
    return JoinedPart(profiles, counts)


def _matching_rows(
    connection: duckdb.DuckDBPyConnection, plan: JoinPlan, tables: dict[str, pa.Table]
) -> tuple[pa.Table, dict[str, pa.ChunkedArray]]:
    """Find which rows belong together, and for each row of a table that is aggregated its parent's."""
    children = [found.partner for found in plan.children]
    keys: dict[str, list[str]] = {name: [] for name in plan.tables}
    keys[plan.anchor] += plan.order
    for partner in (*plan.partners, *children):
        keys[partner.table] += [*partner.scope, partner.own_number, partner.object_number]
        keys[partner.via] += [*partner.scope, partner.via_number]
    try:
        for name in plan.tables:
            columns = list(dict.fromkeys(key for key in keys[name] if key))
            view = tables[name].select(columns).append_column(ROW, row_numbers(tables[name].num_rows))
            connection.register(name, view)
        for partner in (*plan.partners, *children):
            keys_of_one = [*partner.scope, partner.object_number] if partner.object_number else [*partner.scope]
            _refuse_duplicates(connection, partner.table, tables[partner.table], keys_of_one)
        if plan.anchor_number:
            _refuse_duplicates(connection, plan.anchor, tables[plan.anchor], list(plan.order))
        for partner in plan.partners:
            if partner.is_child:
                _refuse_siblings(connection, partner)
        rows = connection.execute(join_query(plan)).to_arrow_table()
        found = {child.table: connection.execute(parents_query(child)).to_arrow_table()[ROW] for child in children}
        return rows, found
    finally:
        for name in plan.tables:
            connection.unregister(name)


def _refuse_duplicates(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table, keys: list[str]) -> None:
    if _are_distinct(rows, keys):
        return
    twice = connection.execute(duplicate_query(table, keys)).fetchone()
    if twice is not None:
        named = ", ".join(f"{key} {value}" for key, value in zip(keys, twice, strict=True))
        raise DataError(
            f"table {table} holds {named} more than once, which would multiply cells; is a file there twice?"
        )


def _are_distinct(rows: pa.Table, keys: list[str]) -> bool:
    """Say whether no two rows have the same keys; Arrow needs a tenth of the time that DuckDB plans its query for.

    Rows without the last key, the object's number, are not looked at; nor does DuckDB's query.
    """
    import pyarrow.compute as pc

    present = rows.select(keys)
    if keys and present[keys[-1]].null_count:
        present = present.filter(pc.is_valid(present[keys[-1]]))
    return bool(present.group_by(keys, use_threads=False).aggregate([]).num_rows == present.num_rows)


def _refuse_siblings(connection: duckdb.DuckDBPyConnection, child: Partner) -> None:
    """Refuse a parent with several children: it would come out several times, with all its measurements."""
    several = connection.execute(siblings_query(child)).fetchone()
    if several is not None:
        *numbers, count = several
        keys = (*child.scope, f"object {child.via_number}")
        named = ", ".join(f"{key} {value}" for key, value in zip(keys, numbers, strict=True))
        raise DataError(
            f"table {child.table} holds {count} objects of one of {child.via} ({named}), which would multiply cells; "
            "make one row of them with --aggregate-children mean or count, join them with --sql, or leave "
            f"{child.table} out with pct-discover --compartments"
        )


def _only_complete(rows: pa.Table, partners: Sequence[str]) -> pa.Table:
    import pyarrow.compute as pc

    for name in partners:
        if rows[name].null_count:
            rows = rows.filter(pc.is_valid(rows[name]))
    return rows


def _distinct(rows: pa.ChunkedArray) -> int:
    import pyarrow.compute as pc

    return int(pc.count_distinct(rows, mode="only_valid").as_py())


def _among(rows: pa.ChunkedArray, found: pa.ChunkedArray) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.is_in(rows, value_set=found.combine_chunks())).as_py() or 0)


def _gather(plan: JoinPlan, tables: dict[str, pa.Table], rows: pa.Table) -> pa.Table:
    """Put the columns of all tables side by side by row number."""
    import pyarrow as pa

    picked: dict[tuple[str, str], pa.ChunkedArray] = {}
    for table in plan.tables:
        names = [name for name, its_table in plan.columns if its_table == table]
        source = tables[table].select(names)
        if not _is_identity(rows[table], source.num_rows):
            source = source.combine_chunks().take(rows[table].combine_chunks())
        picked.update(((name, table), source[name]) for name in names)
    return pa.table([picked[column] for column in plan.columns], names=[name for name, _ in plan.columns])


def _is_identity(rows: pa.ChunkedArray, number: int) -> bool:
    """Say whether the rows are all of a table's, in its own order, so that nothing need be copied."""
    return len(rows) == number and rows.combine_chunks().equals(row_numbers(number))
