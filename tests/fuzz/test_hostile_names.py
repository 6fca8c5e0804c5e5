"""Names are data: whatever a folder, file, table, column or value is called, it comes out, and reaches no SQL."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet
import pytest
from examples import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from judging import Judge
from mutation import HOSTILE
from npz_files import plate_file
from oracle import profiles
from plates import Plate, write_csv
from plates_sheets import Tables, set_column, small_tables, write_sheets
from plates_sqlite import quoted
from running import run

SMALL = Plate(folders=2, cells=3, features=3, missing=0.0, nan_share=0.0, sites=2)
PIECES = tuple(piece for piece in HOSTILE if len(piece) < 100)

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), min_size=1, max_size=4).map("".join)
# A CSV file holds no NUL, and UTF-8 no halves of characters.
names = texts.map(lambda text: "".join(c for c in text if c != "\0" and not "\ud800" <= c <= "\udfff"))
in_csv = names.map(lambda text: text.replace("\r", "\r\n"))  # Python's writer does not quote the one alone.
file_names = names.map(lambda text: "x" + text.replace("/", "\N{DIVISION SLASH}")[:50])
ways = settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sheets() -> list[Tables]:
    return list(small_tables(SMALL).values())


@ways
@given(st.lists(file_names, min_size=2, max_size=2, unique=True), in_csv, in_csv)
@example(["x--", "x'; DROP TABLE cells; --"], '"; SELECT 1; --', "\x1b]0;title\x07")
@example(["x *", "x?[a]"], "%s{0}{table}", "a\r\nb")
def test_folders_columns_and_values_of_csv(folders: list[str], column: str, value: str) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        first, second = sheets()
        for tables in (first, second):
            tables["Cells"][0][-1] = f"Texture_{column}"
            tables["Image"][0].append("FileName_X")
            for row in tables["Image"][1:]:
                row.append(value)
        write_sheets(folder / "source", dict(zip(folders, (first, second), strict=True)))
        judge = Judge(folder)
        judge.convert(folder / "source").done()
        judge.judge_cells(profiles(folder / "source"))
        assert judge.judge_files() == []


@ways
@given(file_names, names, names, names)
@example("x' OR 1=1 --.sqlite", 'x" UNION SELECT 1; --', 'y" FROM sqlite_master; --', "'; --")
@example("x?mode=rwc&a=#b%20", "../../x", "..", "/etc/passwd")
def test_files_tables_columns_and_values_of_sqlite(file: str, table: str, column: str, value: str) -> None:
    table, column = f"t{table}", f"Size_{column}"
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "source").mkdir()
        connection = sqlite3.connect(folder / "source" / f"{file}.sqlite")
        with connection:
            connection.execute(f"CREATE TABLE {quoted(table)} (ImageNumber, ObjectNumber, {quoted(column)} TEXT)")
            connection.execute("CREATE TABLE image (ImageNumber, Metadata_Well TEXT)")
            connection.executemany(f"INSERT INTO {quoted(table)} VALUES (1, ?, ?)", [(1, value), (2, "plain")])
            connection.execute("INSERT INTO image VALUES (1, ?)", (value,))
        connection.close()
        escaped = "".join(f"\\U{ord(character):08x}" for character in table)
        (folder / "p.toml").write_text(
            'name = "own"\ntitle = "own"\nformat = "sqlite"\nimage_columns = ["Metadata_*"]\n'
            f'compartments = ["{escaped}"]\n'
        )
        judge = Judge(folder)
        judge.run("discover", folder / "source", "--preset", folder / "p.toml", "-o", judge.out / "m").done()
        judge.run("extract", judge.out / "m", "-o", judge.out / "b").done()
        assert {path.parent.name for path in (judge.out / "b").rglob("*.arrow")} == {"b", "part-000001"}
        judge.run("join", judge.out / "b", "-o", judge.out / "p").done()
        judge.run("write", judge.out / "p", "-o", judge.made).done()
        rows = pyarrow.parquet.ParquetFile(judge.made).read().to_pylist()
        (name,) = [name for name in rows[0] if name.endswith(column)]
        assert [row[name] for row in rows] == [value, "plain"]
        assert [row["Metadata_Well"] for row in rows] == [value, value]
        assert judge.judge_files() == []


@ways
@given(file_names, names, names, names)
def test_files_keys_values_and_models_of_npz(file: str, key: str, value: str, model: str) -> None:
    metadata = {f"Metadata_{key}x": value, "Metadata_Model": f"m{model}"}
    with TemporaryDirectory() as place:
        folder = Path(place)
        plate_file(folder / "source" / f"{file}.npz", [[1.0, 2.0]], metadata=metadata)
        judge = Judge(folder)
        judge.convert(folder / "source").done()
        (row,) = pyarrow.parquet.ParquetFile(judge.made).read().to_pylist()
        expected = metadata | {f"m{model}_1": 1.0, f"m{model}_2": 2.0, "Metadata_NPZSource": f"{file}.npz"}
        assert {name: row[name] for name in expected} == expected
        assert judge.judge_files() == []


@ways
@given(st.lists(file_names, min_size=5, max_size=5, unique=True), st.booleans())
def test_paths_of_sources_and_outputs(given_names: list[str], other_bytes: bool) -> None:
    tail = os.fsdecode(b"\xff\xfe") if other_bytes else ""
    source, *outputs = given_names
    manifest, bundle, profiles_, made = (name + tail for name in outputs)
    manifest += ".arrow"  # Another suffix is refused.
    with TemporaryDirectory() as place:
        folder = Path(place)
        write_csv(SMALL, folder / source)
        judge = Judge(folder)
        out = judge.out
        judge.run("discover", folder / source, "-o", out / manifest).done()
        # With a slash, for a name with a suffix that no output has is refused.
        judge.run("extract", out / manifest, "-o", f"{out / bundle}/").done()
        judge.run("join", out / bundle, "-o", f"{out / profiles_}/").done()
        judge.run("write", out / profiles_, "-o", f"{out / made}/").done()
        assert set(os.listdir(out)) == {manifest, bundle, profiles_, made}
        assert judge.judge_files() == []


@pytest.mark.parametrize("name", [b"A\xff", b"\xf0\x9f", b"a\xed\xa0\x80"])
def test_a_name_in_a_source_that_is_not_utf8_is_refused(name: bytes, tmp_path: Path) -> None:
    write_sheets(tmp_path / "source", {os.fsdecode(name): sheets()[0]})
    run("discover", tmp_path / "source", "-q").failed(1, "is not UTF-8; rename it")
    run("discover", tmp_path / "source" / os.fsdecode(name), "-q").failed(1, "is not UTF-8; rename it")


@pytest.mark.parametrize("name", ["x' \" ; -- \x1b[31m %s {0}", "x*?[a]\\ \N{GRINNING FACE}\u202e\n"])
def test_the_flow(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(SMALL, tmp_path / name / "source")
    monkeypatch.chdir(tmp_path)
    ended = run(
        "flow", tmp_path / name / "source", "-o", tmp_path / name / f"{name}.parquet", "--runner", "sequential",
        "--work-dir", tmp_path / name / f"{name}.work",
    ).done()  # fmt: skip
    assert not {"\x1b", "\u202e"} & set(ended.err)
    assert all(line.startswith("pct-flow: ") for line in ended.lines)
    made = pyarrow.parquet.ParquetFile(tmp_path / name / f"{name}.parquet").read()
    assert made.num_rows == len(profiles(tmp_path / name / "source"))
    assert set(os.listdir(tmp_path)) == {name}


def test_a_log_in_json_has_the_name_as_it_is(tmp_path: Path) -> None:
    name = "x\n\x1b[31m\u202e\x9b"
    tables = sheets()[0]
    set_column(tables["Cells"], "ObjectNumber", ["one"])
    write_sheets(tmp_path / "source", {name: tables})
    manifest = run("discover", tmp_path / "source", "-q").done().out
    ended = run("extract", "--log-format", "json", "-q", stdin=manifest)
    assert ended.err.isprintable() is False  # The line's end.
    assert ended.err[:-1].isprintable()
    assert name in json.loads(ended.err)["message"]


def test_the_table_on_a_terminal_shows_no_commands(tmp_path: Path) -> None:
    from pycytominer_transform.common.discover.report import manifest_table
    from pycytominer_transform.common.ipc.manifest_files import read_manifest

    write_sheets(tmp_path / "source", {"x\x1b[31m\n": sheets()[0]})
    run("discover", tmp_path / "source", "-o", tmp_path / "m").done()
    lines = manifest_table(read_manifest(str(tmp_path / "m")), parts_shown=10)
    assert "\x1b" not in lines
    assert "x\\x1b[31m\\n" in lines.splitlines()[-1]


@pytest.mark.parametrize("key", ["image_number", "object_number", "table_number", "parent", "image", "table_name"])
@pytest.mark.parametrize(
    "value",
    ['x" UNION SELECT 1; --', "'; DROP TABLE image; --", '"); ATTACH "/tmp/x" AS y; --', "../../{table}", "{table}"],
)
def test_texts_of_a_preset_reach_sql_as_names_alone(key: str, value: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "plate.sqlite")
    with connection:
        for name in ("image", "cells"):
            connection.execute(f"CREATE TABLE {name} (ImageNumber, ObjectNumber, Size)")
            connection.execute(f"INSERT INTO {name} VALUES (1, 1, 2.5)")
    connection.close()
    before = (tmp_path / "plate.sqlite").read_bytes()
    value = value if key != "table_name" else f"{value}{{table}}"
    keys = {"name": "own", "title": "own", "format": "sqlite", "compartments": ["cells"], key: value}
    (tmp_path / "p.toml").write_text("".join(f"{name} = {json.dumps(text)}\n" for name, text in keys.items()))
    judge = Judge(tmp_path)
    judge.convert(tmp_path / "plate.sqlite", {"discover": ["--preset", str(tmp_path / "p.toml")]})
    assert judge.judge_files() == []
    assert (tmp_path / "plate.sqlite").read_bytes() == before


@pytest.mark.parametrize("line", ['sql = "SELECT 1"', 'include = "/etc/passwd"', "[env]\nHOME = 1", 'source = "/etc"'])
def test_a_preset_names_no_file_no_query_and_no_environment(line: str, tmp_path: Path) -> None:
    keys = 'name = "own"\ntitle = "own"\nformat = "csv"\ncompartments = ["cells"]\n'
    (tmp_path / "p.toml").write_text(keys + line)
    run("discover", tmp_path, "-q", "--preset", tmp_path / "p.toml").failed(2, "unknown key")


def test_a_glob_of_many_stars_takes_no_time(tmp_path: Path) -> None:
    stars = "*a" * 40 + "b"
    keys = f'name = "own"\ntitle = "own"\nformat = "csv"\ncompartments = ["cells"]\ntext = ["{stars}"]\n'
    (tmp_path / "p.toml").write_text(keys + f'image_columns = ["{stars}"]\nwhole_numbers = ["{stars}"]\n')
    tables = sheets()[0]
    for name in ("Cells", "Image"):
        tables[name][0][-1] = "a" * 5_000
    write_sheets(tmp_path / "source", {"x": tables})
    run("discover", tmp_path / "source", "-q", "--preset", tmp_path / "p.toml").done()
