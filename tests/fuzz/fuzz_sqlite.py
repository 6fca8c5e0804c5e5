"""SQLite files: odd values, odd schemas, spoilt pages."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

from judging import Judge
from mutation import HOSTILE, NUMBERS, hostile_name, spoil
from oracle import profiles
from plates import Plate
from plates_sqlite import SqliteStyle, quoted, write_sqlite

__all__ = ["check", "make"]

_STYLES = {
    "cellprofiler_sqlite": SqliteStyle("cellprofiler_sqlite"),
    "cytominer_database": SqliteStyle("cytominer_database", order="interleaved"),
    "cytominer_text": SqliteStyle("cytominer_database", table_number="text", index=True),
}
_VALUES: tuple[object, ...] = (
    None, 0, -1, (1 << 63) - 1, -(1 << 63), 0.5, 1e308, float("inf"), float("-inf"), float("nan"), 5e-324, b"", b"\xff",
    b"nan", b"1", "", "nan", "NULL", *NUMBERS, *HOSTILE, 2.0**53, 9007199254740993, "\0", "a\0b", "x" * 5000,
)  # fmt: skip
_WORDS = (b"\0", b"\xff" * 8, b"Per_Cells", b"ImageNumber", b"CREATE TABLE", b'"', b"'", b"INTEGER", b"\x0d", b"\x05")


def make(random: Random, folder: Path) -> None:
    """Write a file and the options to convert it with."""
    style = random.choice(list(_STYLES))
    path = folder / "source.sqlite"
    path.write_bytes(_good()[style])
    if random.random() < 0.75:
        _change_by_sql(random, path)
    if random.random() < 0.4:
        path.write_bytes(spoil(random, path.read_bytes(), _WORDS))
    if random.random() < 0.03:
        Path(f"{path}-wal").write_bytes(random.choice((b"", b"x" * 32, spoil(random, path.read_bytes()[:4200]))))
    options: dict[str, list[str]] = {}
    if random.random() < 0.3:
        options["discover"] = list(random.choice((("--part-size", "1"), ("--compartments", "cells"))))
    if random.random() < 0.1:
        options["extract"] = ["--on-bad-value", "null"]
    said = {"style": style.replace("_text", "_database"), "options": options, "comparable": _is_comparable(path)}
    (folder / "case.json").write_text(json.dumps(said))


def check(folder: Path) -> list[str]:
    """Convert it, and compare the cells with those of an independent reading."""
    said = json.loads((folder / "case.json").read_text())
    judge = Judge(folder)
    ran = judge.convert(folder / "source.sqlite", said["options"])
    known = all(word in ("--part-size", "1") for words in said["options"].values() for word in words)
    logged = Path(f"{folder / 'source.sqlite'}-wal").exists()
    if ran.code == 0 and ran.tool == "write" and known and not logged and said["comparable"]:
        try:
            rows = profiles(folder / "source.sqlite", said["style"])
        except (ValueError, KeyError, UnicodeError, OverflowError, TypeError, sqlite3.Error) as error:
            # It knows neither blobs nor views nor names in other letter case.
            if "repeat" in str(error) or "both named" in str(error):
                judge.complaints.append(f"converted what the oracle refuses: {type(error).__name__} {error}")
        else:
            judge.judge_cells(rows)
    # SQLite leaves the index of a log that it cannot read.
    (folder / "source.sqlite-shm").unlink(missing_ok=True)
    return judge.judge_files()


@cache
def _good() -> dict[str, bytes]:
    plate = Plate(folders=2, cells=4, features=3, missing=0.1, nan_share=0.1, sites=2)
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: write_sqlite(plate, Path(folder) / f"{name}.sqlite", style).read_bytes()
            for name, style in _STYLES.items()
        }


def _is_comparable(path: Path) -> bool:
    """Say whether the oracle reads what the tools do.

    It does not know that the table numbers 1 and '1' are the same, and the tools trust an index that says of a row
    something else than the row itself.
    """
    kinds = set()
    connection = sqlite3.connect(path)
    try:
        for table in ("Image", "Cells", "Cytoplasm", "Nuclei"):
            with suppress(sqlite3.OperationalError):
                kinds.update(connection.execute(f'SELECT DISTINCT typeof("TableNumber") FROM "{table}"').fetchall())
        return len(kinds) < 2 and connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except (sqlite3.Error, UnicodeDecodeError):
        return False
    finally:
        connection.close()


def _change_by_sql(random: Random, path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for _ in range(random.choice((1, 1, 2, 3))):
            tables = [n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if tables:
                try:
                    _change(random, connection, random.choice(tables))
                except (sqlite3.Error, OverflowError, ValueError):
                    continue  # SQLite itself refuses it.
    finally:
        connection.close()


def _change(random: Random, connection: sqlite3.Connection, table: str) -> None:
    name = quoted(table)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
    column = quoted(random.choice(columns))
    value = random.choice(_VALUES)
    kind = random.randrange(14)
    if kind <= 4:
        rowid = random.randint(1, 6)
        connection.execute(f"UPDATE {name} SET {column} = ? WHERE rowid = ?", (value, rowid))
    elif kind == 5:
        connection.execute(f"UPDATE {name} SET {column} = ?", (value,))
    elif kind == 6:
        new = quoted(hostile_name(random).replace("\0", ""))
        connection.execute(f"ALTER TABLE {name} RENAME COLUMN {column} TO {new}")
    elif kind == 7:
        new = quoted(hostile_name(random).replace("\0", ""))
        kinds = (
            "TEXT",
            "REAL",
            "INTEGER",
            "BLOB",
            "",
            "NUMERIC",
            "VARCHAR(9)",
            "INT GENERATED ALWAYS AS (1/0) VIRTUAL",
        )
        connection.execute(f"ALTER TABLE {name} ADD COLUMN {new} {random.choice(kinds)}")
        connection.execute(f"UPDATE {name} SET {new} = ?", (value,))
    elif kind == 8:
        connection.execute(f"ALTER TABLE {name} DROP COLUMN {column}")
    elif kind == 9:
        _as_view(random, connection, name)
    elif kind == 10:
        connection.execute(f"DELETE FROM {name} WHERE rowid % ? = 0", (random.randint(1, 3),))
    elif kind == 11:
        connection.execute(f"INSERT INTO {name} SELECT * FROM {name} LIMIT 2")
    elif kind == 12:
        new = quoted(random.choice((hostile_name(random), f"x_{table}", table.upper(), "sqlite", "Per_PH3")))
        connection.execute(f"ALTER TABLE {name} RENAME TO {new}")
    else:
        connection.execute(f"PRAGMA encoding = '{random.choice(('UTF-16le', 'UTF-8'))}'")
        connection.execute(f"PRAGMA page_size = {random.choice((512, 1024, 65536))}")
        connection.execute("VACUUM")


def _as_view(random: Random, connection: sqlite3.Connection, name: str) -> None:
    """Put a view in the place of a table: a plain one, or one that fails, or one that never ends."""
    connection.execute(f"ALTER TABLE {name} RENAME TO kept")
    told = random.choice(
        (
            "SELECT * FROM kept",
            "SELECT *, 1 AS more FROM kept",
            "SELECT *, load_extension('x') AS more FROM kept",
            "SELECT *, abs(-9223372036854775808) AS more FROM kept",
            "SELECT * FROM nothing",
            f"SELECT * FROM {name}",
            "SELECT *, zeroblob(100000000) AS more FROM kept",
            "SELECT *, replace(hex(zeroblob(50000000)), '0', 'x') AS more FROM kept",
        )
    )
    connection.execute(f"CREATE VIEW {name} AS {told}")
