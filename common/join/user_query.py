"""The user's own query (``--sql``), over the tables of one part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.ipc.bundle import bundle_schema
from pycytominer_transform.common.join.planned_join import JoinedPart
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.model.roles import with_roles
from pycytominer_transform.common.runtime.messages import logger, size

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pycytominer_transform.common.model.manifest import Manifest

_ANSWER_ROWS = 1 << 16


class QueryJoin:
    """Joins parts by a query of the user's own, over views named after the tables.

    Raises
    ------
    UsageError
        The query is not one SELECT, DuckDB refuses it, or its answer takes more memory than DuckDB may use.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, manifest: Manifest, query: str) -> None:
        self._connection, self._query = connection, query
        empty = {schema.table: bundle_schema(manifest, schema).empty_table() for schema in manifest.tables}
        fields = [field for table in empty.values() for field in table.schema]
        self.schema = with_roles(_run(connection, query, empty).schema, fields)
        logger.debug("%s", query)

    def join(self, tables: dict[str, pa.Table]) -> JoinedPart:
        """Join one part."""
        profiles = _run(self._connection, self._query, tables)
        counts = {"rows": {name: table.num_rows for name, table in tables.items()}, "joined": profiles.num_rows}
        return JoinedPart(profiles, counts).cast(self.schema)


def _run(connection: duckdb.DuckDBPyConnection, query: str, tables: dict[str, pa.Table]) -> pa.Table:
    import duckdb

    for name, table in tables.items():
        connection.register(name, table)
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UsageError(f"--sql: must be one SELECT statement over {', '.join(tables)}")
        answer = _answer(connection, statements[0])
        names = answer.column_names
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise UsageError(f"--sql: gives several columns of one name ({listed(twice)}); name each with AS")
        return answer
    except duckdb.Error as error:
        said = str(error).split("\n\n")[0].replace("\n", " ")
        raise UsageError(f"--sql: {said}") from error
    finally:
        for name in tables:
            connection.unregister(name)


def _answer(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> pa.Table:
    """Run a statement, with a limit on the size of the answer, which DuckDB's own limit does not count."""
    import pyarrow as pa

    [(memory_limit,)] = connection.sql("SELECT current_setting('memory_limit')").fetchall()
    limit = _bytes(memory_limit)
    batches, taken = [], 0
    # Closed before anything else is asked of the connection, also after an error.
    with connection.sql(statement).to_arrow_reader(_ANSWER_ROWS) as reader:
        schema = reader.schema
        for field in schema:
            if "dictionary<" in str(field.type) and not pa.types.is_dictionary(field.type):
                raise UsageError(
                    f"--sql: the column {field.name!r} holds an ENUM within another type; cast it to VARCHAR"
                )
        for batch in reader:
            taken += batch.nbytes
            if taken > limit:
                raise UsageError(
                    f"--sql: its answer for one part takes more than {size(limit)}; make the parts smaller "
                    "with pct-discover --part-size, or allow more with --memory"
                )
            batches.append(batch)
    answer = pa.Table.from_batches(batches, schema)
    # A file can have only one dictionary per column, so the values of an ENUM are written out.
    plain = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema]
    return answer.cast(pa.schema(plain)) if any(map(pa.types.is_dictionary, schema.types)) else answer


def _bytes(setting: str) -> int:
    """Read a size as DuckDB writes it (``286.1 MiB``)."""
    number, unit = setting.split()
    return int(float(number) * 1024 ** ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB").index(unit))
