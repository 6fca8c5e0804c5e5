"""What users write themselves: presets in TOML, queries in SQL, patterns."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random

from judging import Judge
from mutation import hostile_name, spoil
from plates import Plate, write_csv
from plates_sqlite import SqliteStyle, write_sqlite
from pycytominer_transform.common.model.preset import preset_names, preset_text
from running import Staged, stage

__all__ = ["check", "make"]

SECRET = "the-secret-in-the-file"
_HELD: list[tempfile.TemporaryDirectory[str]] = []
_TOML_WORDS = (
    b'"', b"'''", b'"""', b"[", b"]", b"[[a]]", b"{", b"}", b"=", b"\n", b"a.b.c = 1\n", b"{table}", b"{parent}", b"*",
    b"[a-", b"1979-05-27", b"0x", b"\\u0000", b"\\n", b"#", b"true", b"nan", b"[" * 3000, b"version = 1\n",
)  # fmt: skip
_SQL = (
    "SELECT", "*", "FROM", "cells", "image", "nuclei", "cytoplasm", "WHERE", "JOIN", "ON", "(", ")", ",", ";", "1",
    "'x'", "GROUP BY ALL", "ORDER BY 1", "LIMIT 3",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t)", "t", "AS", "read_csv('{secret}')",
    "read_text('{secret}')", "'{secret}'", '"{secret}"', "glob('{folder}/*')", "getenv('HOME')", "duckdb_settings()",
    "duckdb_secrets()", "which_secret('a', 'b')", "sniff_csv('{secret}')", "COPY", "TO '{written}'",
    "ATTACH '{written}'", "PRAGMA", "SET enable_external_access = true", "LOAD httpfs", "INSTALL", "--", "/*", "*/",
    "$1", "range(10)", "repeat('x', 10)", "unnest([1, 2])", "NULL", "CAST(1 AS", "STRUCT(a INT))", "PIVOT", "UNPIVOT",
    "DESCRIBE", "SUMMARIZE", "query('SELECT 1')", "current_setting('temp_directory')", "CREATE MACRO f() AS 1",
    "UNION", "VALUES (1)", "columns('.*')", "list(1)", "MAP {{1: 2}}", "'\x1b[31m'", '"\n"', "SHOW TABLES", "EXPLAIN",
    "parquet_scan('{secret}')", "sqlite_scan('{secret}', 't')", "FROM information_schema.tables", "error('x\ny')",
    "1::UUID", "'a'::BLOB", "1::HUGEINT", "INTERVAL 1 DAY", "TIMESTAMP '2000-01-01'", "1::DECIMAL(3,1)",
    "[1,2]::INT[2]", "'[]'::JSON", "1::BIT", "uuid()",
)  # fmt: skip
_PATTERNS = ("all", ".*", "(", "Image_.*", "[", "(?i)count", "(?P<a>x)", "\\", "a{99999}", "(?<!a)", "$^", "\x1b")


def make(random: Random, folder: Path) -> None:
    """Write a preset, a query or a pattern."""
    kind = random.choice(("preset", "preset", "sql", "sql", "pattern"))
    if kind == "preset":
        (folder / "p.toml").write_bytes(_preset(random))
    elif kind == "sql":
        (folder / "secret.csv").write_text(f"a,b\n{SECRET},2\n")
        (folder / "q.sql").write_text(_query(random, folder), encoding="utf-8", errors="replace")
    said = {"kind": kind, "staged": random.randrange(2), "pattern": random.choice((*_PATTERNS, hostile_name(random)))}
    (folder / "case.json").write_text(json.dumps(said))


def check(folder: Path) -> list[str]:
    """Convert a good source with it; no query may see the secret beside it."""
    said = json.loads((folder / "case.json").read_text())
    judge = Judge(folder)
    staged = _good()[said["staged"]]
    if said["kind"] == "preset":
        judge.convert(staged.source, {"discover": ["--preset", str(folder / "p.toml")]})
        return judge.judge_files()
    words = ["--sql", folder / "q.sql", "--memory", "200MB"]
    if said["kind"] == "pattern":
        words = [f"--image-columns={said['pattern']}"]
    ran = judge.run("join", *words, stdin=staged.streams["join"])
    if SECRET.encode() in ran.out or SECRET in ran.err:
        judge.complaints.append(f"the query read a file: {ran.err[-500:]!r}")
    if ran.code == 0:
        judge.run("write", "-o", judge.made, stdin=ran.out)
    return judge.judge_files()


@cache
def _good() -> list[Staged]:
    _HELD.append(tempfile.TemporaryDirectory())
    folder = Path(_HELD[-1].name)
    plate = Plate(folders=2, cells=3, features=3, sites=2)
    (folder / "csv").mkdir()
    (folder / "sqlite").mkdir()
    style = SqliteStyle("cytominer_database")
    return [
        stage(write_csv(plate, folder / "csv" / "source"), folder / "csv"),
        stage(write_sqlite(plate, folder / "sqlite" / "source.sqlite", style), folder / "sqlite"),
    ]


def _preset(random: Random) -> bytes:
    lines = [line for line in preset_text(random.choice(preset_names())).splitlines() if not line.startswith("#")]
    for _ in range(random.choice((1, 1, 2, 3))):
        place = random.randrange(len(lines))
        key, equals, value = lines[place].partition(" = ")
        if not equals:
            continue
        name = json.dumps(hostile_name(random))
        told = (name, f"[{name}]", "1", "true", f"[{name}, {name}]", "[]", '""', "-1", f"{{a = {name}}}", f"{value}0")
        lines[place] = f"{key} = {random.choice(told)}"
        if random.random() < 0.1:
            del lines[place]
    content = "\n".join(lines).encode()
    return spoil(random, content, _TOML_WORDS) if random.random() < 0.3 else content


def _query(random: Random, folder: Path) -> str:
    if random.random() < 0.5:
        words = ["SELECT * FROM cells", *random.choices(_SQL, k=random.randint(0, 4))]
    elif random.random() < 0.5:
        words = ["SELECT", random.choice(_SQL), "AS a FROM", random.choice(_SQL)]
    else:
        words = random.choices(_SQL, k=random.randint(1, 12))
    text = " ".join(words)
    for name, place in (("secret", folder / "secret.csv"), ("folder", folder), ("written", folder / "written")):
        text = text.replace(f"{{{name}}}", str(place))
    return spoil(random, text.encode()).decode("utf-8", "replace") if random.random() < 0.2 else text
