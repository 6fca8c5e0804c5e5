"""The tables of a Prefect server's database, as SQL text, so that no run has to build them by a hundred migrations.

Migrating an empty SQLite file takes Prefect 4.6 s, running this text 10 ms. The text is what Prefect's own migrations
leave behind, not what its models declare (the two differ), and it ends with Alembic's note of the revision reached: a
newer Prefect goes on from there by itself. Run ``python -m pycytominer_transform.common.prefect_schema`` after raising
Prefect's version.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

SCHEMA_FILE = Path(__file__).with_name("prefect_schema.sql")
_FIRST_LINE = "-- Tables of Prefect "


def create_database(path: Path) -> bool:
    """Create the database of a Prefect server, unless it is there.

    Parameters
    ----------
    path
        The SQLite file to make.

    Returns
    -------
    bool
        True when the tables are those of the installed Prefect; False when Prefect must still migrate the file on its
        start, because the text was made by another version.

    """
    schema = SCHEMA_FILE.read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as connection:
        # A crash while creating a private, temporary file needs no protection; syncing it costs more than the
        # statements.
        connection.execute("PRAGMA synchronous = OFF")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.executescript(f"BEGIN;\n{schema}\nCOMMIT;")
    return schema.startswith(f"{_FIRST_LINE}{importlib.metadata.version('prefect')}\n")


def schema_of(path: Path) -> str:
    """Write out the tables and indexes of a migrated Prefect database as SQL text.

    Parameters
    ----------
    path
        A database that Prefect has just migrated, without any run in it.

    Returns
    -------
    str
        Statements in the order in which they can be run, tables first.

    """
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    with closing(sqlite3.connect(path)) as connection:
        statements = [sql for (sql,) in connection.execute(f"{query} ORDER BY type = 'index', rowid")]
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{revision}')")
    # Prefect's statements carry blanks at line ends, which editors and pre-commit hooks would strip from the file.
    return "".join(f"{line.rstrip()}\n" for sql in statements for line in f"{sql};".splitlines())


def migrated_schema() -> str:
    """Let the installed Prefect migrate an empty database and write out what it made.

    Returns
    -------
    str
        The text that belongs into `SCHEMA_FILE` for the installed version.

    """
    from prefect.server.database import provide_database_interface
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

    with tempfile.TemporaryDirectory(prefix="pct-prefect-") as folder:
        path = Path(folder, "prefect.db")
        with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{path}"}):
            asyncio.run(provide_database_interface().create_db())
        return f"{_FIRST_LINE}{importlib.metadata.version('prefect')}\n{schema_of(path)}"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(migrated_schema(), encoding="utf-8")
