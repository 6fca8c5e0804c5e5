"""Aggregates all children of an object into one row: their number and the means of their measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pycytominer_transform.common.model.column_types import names_identifier
from pycytominer_transform.common.model.conversion import arrow_field
from pycytominer_transform.common.model.manifest import Column, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

Aggregate = Literal["", "mean", "count"]
_PARENT = "parent"


def aggregated_columns(schema: TableSchema, how: Aggregate) -> tuple[Column, ...]:
    """Return the columns of an aggregated child table.

    Returns
    -------
    tuple of Column
        ``PH3_Count``, int64, whose source is empty; for the means ``PH3_Mean_AreaShape_Area`` of
        ``PH3_AreaShape_Area``, float64, or float32 where that is.
    """
    columns = [Column("", f"{schema.prefix}_Count", "int64", "count")]
    for column in schema.columns if how == "mean" else ():
        if column.type in ("string", "bool") or names_identifier(column.name):
            continue
        name = f"{schema.prefix}_Mean_{column.name.removeprefix(f'{schema.prefix}_')}"
        columns.append(
            Column(column.name, name, "float32" if column.type == "float32" else "float64", column.role, column.unit)
        )
    return tuple(columns)


def aggregated_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Return the Arrow schema of the aggregated rows."""
    import pyarrow as pa

    return pa.schema([arrow_field(column) for column in columns])


def aggregate_children(table: pa.Table, parents: pa.ChunkedArray, count: int, columns: tuple[Column, ...]) -> pa.Table:
    """Make one row per parent, in the parents' order.

    Values are added in the order of the children's rows, so that the means have the same bits on any number of threads
    and with any size of parts.

    Parameters
    ----------
    table : pyarrow.Table
        The children.
    parents : pyarrow.ChunkedArray
        For each child the number of its parent's row, null where it has none.
    count : int
        Number of parents.
    columns : tuple of Column
        See `aggregated_columns`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    means = {column.name: table[column.source].cast(pa.float64(), safe=False) for column in columns if column.source}
    children = pa.table({_PARENT: parents, **means})
    children = children.filter(pc.is_valid(children[_PARENT]))
    wanted = [([], "count_all"), *((name, "mean") for name in means)]
    grouped = pa.TableGroupBy(children, _PARENT, use_threads=False).aggregate(wanted)
    by_parent = grouped.take(pc.index_in(pa.arange(0, count), value_set=grouped[_PARENT].combine_chunks()))
    counts = pc.coalesce(by_parent["count_all"], 0)
    arrays = [_or_null(by_parent[f"{column.name}_mean"]) if column.source else counts for column in columns]
    return pa.table(arrays, names=[column.name for column in columns]).cast(aggregated_schema(columns))


def _or_null(means: pa.ChunkedArray) -> pa.ChunkedArray:
    """Replace NaN by null: the mean of two opposite infinities."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.is_nan(means), pa.nulls(len(means), means.type), means)
