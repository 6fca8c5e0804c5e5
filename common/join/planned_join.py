"""The join that follows from the preset and the tables' columns, with counts of objects without a partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pycytominer_transform.common.errors import BadDatasetError, DataError
from pycytominer_transform.common.ipc.bundle import bundle_schema
from pycytominer_transform.common.join.children import Aggregate, aggregate_children, aggregated_schema
from pycytominer_transform.common.join.counts_by_well import counts_by_well
from pycytominer_transform.common.join.join_sql import (
    ROW,
    join_query,
    parents_query,
    queries,
    siblings_query,
)
from pycytominer_transform.common.join.relations import JoinPlan, Partner, plan_join
from pycytominer_transform.common.model.manifest import MANIFESTS_KEPT, Manifest
from pycytominer_transform.common.model.naming import DATASET, WELL, profile_order, well_name
from pycytominer_transform.common.model.roles import field_metadata
from pycytominer_transform.common.runtime.messages import logger

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
        ``rows`` and ``unmatched`` per table, ``joined`` rows, rows of the anchor that are ``incomplete`` because they
        lack a partner and those of them that were ``dropped``, and per partner the rows of the anchor ``without`` it.
        By well, where the image table names wells: see `counts_by_well`. With bad datasets ``left_out``: each with 1.
    """

    profiles: pa.Table
    counts: dict[str, Any]

    def cast(self, schema: pa.Schema) -> JoinedPart:
        """Return the part with the types, and the roles, that the profiles of every part have."""
        import pyarrow as pa

        # Casting a thousand columns takes 10 ms even if no type changes.
        if self.profiles.schema.equals(schema):
            return replace(self, profiles=pa.table(self.profiles.columns, schema=schema))
        return replace(self, profiles=self.profiles.cast(schema))


class PlannedJoin:
    """Joins parts as the preset and the tables' columns say.

    Raises
    ------
    UsageError
        See `plan_join`.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, manifest: Manifest, *, unmatched: Unmatched,
        image_columns: str, aggregate: Aggregate,
    ) -> None:  # fmt: skip
        self._connection, self._unmatched = connection, unmatched
        self._skips = manifest.on_bad_dataset == "skip"
        self._plan = plan_join(manifest.shared, image_columns, aggregate)
        self._schema = _profiles_schema(manifest.shared, self._plan)
        self._copies = [text.partition("=")[::2] for text in manifest.preset.copies]
        self.schema = _with_copies(self._schema.empty_table(), self._copies).schema
        for line in "".join(f"{query};\n" for query in queries(self._plan)).splitlines():
            logger.debug("%s", line)

    def join(self, tables: dict[str, pa.Table]) -> JoinedPart:
        """Join one part.

        Raises
        ------
        BadDatasetError
            A table holds the same object, or image set, twice: it would multiply cells. The manifest may say to go on
            without the dataset.
        DataError
            There are several children of one object: they would multiply cells.
        """
        import pyarrow.compute as pc

        left_out: dict[str, int] = {}
        while True:
            try:
                joined = _join_part(self._connection, self._plan, tables, self._unmatched).cast(self._schema)
            except BadDatasetError as error:
                if not self._skips:
                    raise
                logger.warning("goes on without dataset %s: %s", error.dataset, error)
                left_out[error.dataset] = 1
                tables = {
                    name: table.filter(pc.not_equal(table[DATASET], error.dataset)) for name, table in tables.items()
                }
            else:
                counts = joined.counts | ({"left_out": left_out} if left_out else {})
                return JoinedPart(_with_copies(joined.profiles, self._copies), counts)


@lru_cache(MANIFESTS_KEPT)
def _profiles_schema(shared: Manifest, plan: JoinPlan) -> pa.Schema:
    import pyarrow as pa

    schemas = {schema.table: bundle_schema(shared, schema) for schema in shared.tables}
    schemas |= {child.partner.table: aggregated_schema(child.columns) for child in plan.children}
    return pa.schema([schemas[table].field(name) for name, table in plan.columns])


def _with_copies(profiles: pa.Table, copies: Sequence[tuple[str, str]]) -> pa.Table:
    """Add copies of columns under another name, unless that exists; wells are copied in the form ``A01``."""
    import pyarrow as pa

    names = profiles.column_names
    missing = [(new, column) for new, column in copies if column in names and new not in names]
    for new, column in missing:
        values = profiles[column]
        if new == WELL and pa.types.is_string(values.type):
            encoded = values.combine_chunks().dictionary_encode()
            wells = [None if text is None else well_name(text) for text in encoded.dictionary.to_pylist()]
            values = pa.array(wells, type=pa.string()).take(encoded.indices)
        profiles = profiles.append_column(pa.field(new, values.type, metadata=field_metadata("metadata")), values)
    return profiles.select(profile_order(profiles.column_names)) if missing else profiles


def _join_part(
    connection: duckdb.DuckDBPyConnection, plan: JoinPlan, tables: dict[str, pa.Table], unmatched: Unmatched
) -> JoinedPart:
    import pyarrow.compute as pc

    rows, parents = _matching_rows(connection, plan, tables)
    without = {partner.table: rows[partner.table].null_count for partner in plan.partners}
    complete = rows
    for name in without:
        if complete[name].null_count:
            complete = complete.filter(pc.is_valid(complete[name]))
    kept = complete if unmatched == "drop" else rows
    used = {name: pc.count_distinct(complete[name], mode="only_valid").as_py() for name in plan.joined}
    for child in (children.partner for children in plan.children):
        of_complete = pc.is_in(parents[child.table], value_set=complete[child.via].combine_chunks())
        used[child.table] = pc.sum(of_complete).as_py() or 0
    counts = {
        "rows": {name: tables[name].num_rows for name in plan.tables},
        "joined": kept.num_rows,
        "incomplete": rows.num_rows - complete.num_rows,
        "dropped": rows.num_rows - kept.num_rows,
        "without": without,
        "unmatched": {name: tables[name].num_rows - used[name] for name in plan.tables},
    }
    numbers = {plan.anchor: plan.anchor_number} | {one.table: one.object_number for one in plan.partners}
    zeros = {name: pc.sum(pc.equal(tables[name][number], 0)).as_py() for name, number in numbers.items() if number}
    counts |= counts_by_well(plan, tables, rows, complete)
    if any(zeros.values()):
        counts["numbered_zero"] = {name: count for name, count in zeros.items() if count}
    aggregated = dict(tables)
    for children in plan.children:
        name, via = children.partner.table, children.partner.via
        aggregated[name] = aggregate_children(tables[name], parents[name], tables[via].num_rows, children.columns)
        # One row per parent, in the parents' order: the parent's row number finds it.
        kept = kept.append_column(name, kept[via])
    return JoinedPart(_gather(plan, aggregated, kept), counts)


def _matching_rows(
    connection: duckdb.DuckDBPyConnection, plan: JoinPlan, tables: dict[str, pa.Table]
) -> tuple[pa.Table, dict[str, pa.ChunkedArray]]:
    """Return the row numbers that belong together, and for each aggregated table the row number of each parent."""
    import pyarrow as pa

    children = [each.partner for each in plan.children]
    keys: dict[str, list[str]] = {name: [] for name in plan.tables}
    keys[plan.anchor] += plan.order
    for partner in (*plan.partners, *children):
        keys[partner.table] += [*partner.scope, partner.own_number, partner.object_number]
        keys[partner.via] += [*partner.scope, partner.via_number]
    try:
        for name in plan.tables:
            columns = list(dict.fromkeys(key for key in keys[name] if key))
            view = tables[name].select(columns).append_column(ROW, pa.arange(0, tables[name].num_rows))
            connection.register(name, view)
        for partner in (*plan.partners, *children):
            numbered = [partner.object_number] if partner.object_number else []
            _refuse_duplicates(partner.table, tables[partner.table], [*partner.scope, *numbered])
        if plan.anchor_number:
            _refuse_duplicates(plan.anchor, tables[plan.anchor], list(plan.order))
        for partner in plan.partners:
            if partner.is_child:
                _refuse_siblings(connection, partner, plan)
        rows = connection.sql(join_query(plan)).to_arrow_table()
        parents = {child.table: connection.sql(parents_query(child)).to_arrow_table()[ROW] for child in children}
        return rows, parents
    finally:
        for name in plan.tables:
            connection.unregister(name)


def _refuse_duplicates(name: str, table: pa.Table, keys: list[str]) -> None:
    """Refuse an object, or an image set, that a table holds twice; rows without an object number do not count."""
    import pyarrow.compute as pc

    rows = table.select(keys)
    if rows[keys[-1]].null_count:
        rows = rows.filter(pc.is_valid(rows[keys[-1]]))
    counted = rows.group_by(keys, use_threads=False).aggregate([([], "count_all")])
    if counted.num_rows == rows.num_rows:
        return
    [twice] = counted.filter(pc.greater(counted["count_all"], 1)).select(keys).slice(0, 1).to_pylist()
    named = ", ".join(f"{key} {value}" for key, value in twice.items())
    error = BadDatasetError(
        f"table {name} holds {named} more than once, which would multiply cells; is a file there twice?"
    )
    error.dataset = twice[DATASET]
    raise error


def _refuse_siblings(connection: duckdb.DuckDBPyConnection, child: Partner, plan: JoinPlan) -> None:
    """Refuse a parent with several children: it would come out several times, with all its measurements."""
    for *numbers, count in connection.sql(siblings_query(child)).fetchall():
        keys = (*child.scope, f"object {child.via_number}")
        named = ", ".join(f"{key} {value}" for key, value in zip(keys, numbers, strict=True))
        others = [plan.anchor, *(each.table for each in plan.partners if each.object_number and not each.is_child)]
        raise DataError(
            f"table {child.table} holds {count} objects of one of {child.via} ({named}), which would multiply cells; "
            "make one row of them with --aggregate-children mean or count, join them with --sql, or leave them out "
            f"with pct-discover --compartments {','.join(others)}"
        )


def _gather(plan: JoinPlan, tables: dict[str, pa.Table], rows: pa.Table) -> pa.Table:
    """Take the rows of all tables by their numbers, and put the columns side by side."""
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
    """Return whether the rows are all of a table's rows in their order, so that nothing need be copied."""
    import pyarrow as pa

    return len(rows) == number and rows.combine_chunks().equals(pa.arange(0, number))
