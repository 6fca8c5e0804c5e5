"""All SQL that DuckDB runs: built from quoted identifiers, or the user's own run where it can reach nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.naming import TABLE_NUMBER, WHOLE_NUMBER, listed
from pycytominer_transform.common.relations import JoinPlan, Partner
from pycytominer_transform.common.reporting import size as shown_size
from pycytominer_transform.common.sqlite_files import quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROW = "pct_row"
_ANSWER_ROWS = 1 << 16


def join_query(plan: JoinPlan) -> str:
    """Write the query that finds which rows of the tables belong together.

    Its result has one row per object of the anchor, and per table a column with the number of its row (from 0), null
    where the object has no partner there. The values are gathered by these numbers afterwards: joining some thousand
    columns costs four times as much.
    """
    anchor = quoted(plan.anchor)
    picked = ", ".join(f"{quoted(table)}.{ROW} AS {quoted(table)}" for table in plan.joined)
    lines = [f"SELECT {picked}", f"FROM {anchor}"]
    lines += [f"LEFT JOIN {quoted(partner.table)} ON {_condition(partner)}" for partner in plan.partners]
    order = [term for name in plan.order for term in _order_terms(f"{anchor}.{quoted(name)}", name)]
    lines.append(f"ORDER BY {', '.join([*order, f'{anchor}.{ROW}'])}")
    return "\n".join(lines)


def duplicate_query(table: str, keys: list[str]) -> str:
    """Write the query that finds an object, or image set, that a table holds twice."""
    columns = ", ".join(quoted(key) for key in keys)
    present = f" WHERE {quoted(keys[-1])} IS NOT NULL" if keys else ""
    return f"SELECT {columns} FROM {quoted(table)}{present} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1"


def parents_query(child: Partner) -> str:
    """Write the query that finds the parent's row for each row of a child table, in the children's order."""
    table, via = quoted(child.table), quoted(child.via)
    return f"SELECT {via}.{ROW}\nFROM {table}\nLEFT JOIN {via} ON {_condition(child)}\nORDER BY {table}.{ROW}"


def siblings_query(child: Partner) -> str:
    """Write the query that finds the first parent with several children, and how many it has."""
    via = quoted(child.via)
    keys = ", ".join(f"{via}.{quoted(key)}" for key in (*child.scope, child.via_number))
    return (
        f"SELECT {keys}, count(*)\nFROM {via}\nJOIN {quoted(child.table)} ON {_condition(child)}\nGROUP BY {keys}\n"
        f"HAVING count(*) > 1\nORDER BY {keys}\nLIMIT 1"
    )


def queries(plan: JoinPlan) -> list[str]:
    """Write out the queries that find which rows belong together, in the order they are run."""
    children = [parents_query(found.partner) for found in plan.children]
    return [*(siblings_query(partner) for partner in plan.partners if partner.is_child), join_query(plan), *children]


def _condition(partner: Partner) -> str:
    left, right = quoted(partner.table), quoted(partner.via)
    terms = []
    for name in partner.scope:
        # A table number may be null for all of a dataset; the other keys identify nothing when they are.
        equal = "IS NOT DISTINCT FROM" if name == TABLE_NUMBER else "="
        terms.append(f"{left}.{quoted(name)} {equal} {right}.{quoted(name)}")
    if partner.own_number:
        terms.append(f"{left}.{quoted(partner.own_number)} = {right}.{quoted(partner.via_number)}")
    return " AND ".join(terms)


def _order_terms(column: str, name: str) -> list[str]:
    if name != TABLE_NUMBER:
        return [f"{column} NULLS FIRST"]
    whole = f"regexp_full_match({column}::VARCHAR, '{WHOLE_NUMBER}')"
    number = f"CASE WHEN {whole} THEN {column}::BIGINT END"
    return [f"({column} IS NOT NULL)", f"{number} NULLS LAST", column]


def run_user_query(
    connection: duckdb.DuckDBPyConnection, query: str, tables: dict[str, pa.Table], where: str
) -> pa.Table:
    """Run a user's query over views named after the tables.

    Raises
    ------
    UsageError
        It is not one SELECT, DuckDB refuses it, or its answer takes more memory than DuckDB may use.
    """
    import duckdb

    for name, table in tables.items():
        connection.register(name, table)
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UsageError(f"{where}: must be one SELECT statement over {', '.join(tables)}")
        answer = _answer(connection, statements[0], where)
        names = answer.column_names
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise UsageError(f"{where}: gives several columns of one name ({listed(twice)}); name each with AS")
        return answer
    except duckdb.Error as error:
        said = str(error).split("\n\n")[0].replace("\n", " ")
        raise UsageError(f"{where}: {said}") from error
    finally:
        for name in tables:
            connection.unregister(name)


def _answer(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, where: str) -> pa.Table:
    """Run a statement; DuckDB's limit of memory does not count what has left it, so that is counted here."""
    import pyarrow as pa

    most = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    limit = _bytes(str(most[0])) if most else 0
    reader = connection.execute(statement).to_arrow_reader(_ANSWER_ROWS)
    for field in reader.schema:
        if "dictionary<" in str(field.type) and not pa.types.is_dictionary(field.type):
            raise UsageError(
                f"{where}: the column {field.name!r} holds an ENUM within another type; cast it to VARCHAR"
            )
    batches, taken = [], 0
    for batch in reader:
        taken += batch.nbytes
        if taken > limit:
            raise UsageError(
                f"{where}: its answer for one part takes more than {shown_size(limit)}; make the parts smaller "
                "with pct-discover --part-size, or allow more with --memory"
            )
        batches.append(batch)
    answer = pa.Table.from_batches(batches, reader.schema)
    # A file holds but one dictionary for a column, so the values of an ENUM are written out.
    plain = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in reader.schema]
    return answer.cast(pa.schema(plain)) if any(map(pa.types.is_dictionary, reader.schema.types)) else answer


def _bytes(setting: str) -> int:
    """Read a size as DuckDB writes it (``286.1 MiB``)."""
    number, unit = setting.split()
    return int(float(number) * 1024 ** ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB").index(unit))
