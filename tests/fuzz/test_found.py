"""What fuzzing has found, each as the smallest input that shows it."""

from __future__ import annotations

import gzip
import io
import json
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from npz_files import npy, write_npz
from plates import Plate, write_csv
from plates_sheets import measured_name, set_column, small_tables, write_sheets
from plates_sqlite import write_sqlite
from pycytominer_transform.common.ipc.stream_writer import StreamWriter
from running import environment, executable, run

SMALL = Plate(folders=1, cells=4, features=3, missing=0.0, nan_share=0.0)
FOLDER = next(iter(small_tables(SMALL)))

WITH_PEAK = """
import sys
from pycytominer_transform.tools.extract import main
code = main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(code)
"""
"""Runs pct-extract, and prints the kibibytes of memory that it had at most."""


def manifest_with(tmp_path: Path, change: Callable[[dict[str, Any], list[dict[str, Any]]], None]) -> bytes:
    """Give a good manifest in which some values were changed."""
    given = run("discover", write_csv(SMALL, tmp_path / "source"), "-q").done().out
    with pa.ipc.open_stream(given) as reader:
        table = reader.read_all()
    rest, rows = json.loads(table.schema.metadata[b"pct.manifest"]), table.to_pylist()
    change(rest, rows)
    metadata = {b"pct.role": b"manifest", b"pct.manifest": json.dumps(rest).encode()}
    sink = io.BytesIO()
    writer = StreamWriter(sink, table.schema.with_metadata(metadata), as_file=False)
    writer.write(pa.Table.from_pylist(rows, writer._schema))
    writer.close()
    return sink.getvalue()


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.csv", "a/../../secret.csv", "..", "a\0b"])
def test_a_manifest_leads_to_nothing_outside_the_source(path: str, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("ImageNumber,ObjectNumber\n1,1\n")
    given = manifest_with(tmp_path, lambda _, rows: rows[0].update(path=path))
    run("extract", "-q", stdin=given).failed(1, "leads out of the source")


@pytest.mark.parametrize(
    "change",
    [
        lambda rest, _: rest.update(source=None),
        lambda rest, _: rest.update(source=["a"]),
        lambda rest, _: rest.update(parts_total="1"),
        lambda rest, _: rest.update(tables=[1]),
        lambda rest, _: rest["tables"][0].update(table={}),
        lambda rest, _: rest["tables"][0]["columns"][0].update(name=1),
        lambda rest, _: rest["provenance"][0].update(counts=[]),
        lambda rest, _: rest["provenance"].append("step"),
        lambda _, rows: rows[0].update(path=None),
        lambda _, rows: rows[0].update(part=None),
        lambda _, rows: rows[0].update(format="exe"),
        lambda _, rows: rows[0].update(row_ranges=[{"first": None, "last": 1}]),
    ],
)
def test_a_manifest_of_other_values_is_refused(
    change: Callable[[dict[str, Any], list[dict[str, Any]]], None], tmp_path: Path
) -> None:
    try:
        given = manifest_with(tmp_path, change)
    except pa.ArrowInvalid:
        pytest.skip("Arrow does not write it")
    run("extract", "-q", stdin=given).failed(1, "not a manifest that this program wrote")


def test_sqlite_is_read_where_little_memory_may_be_asked_for(tmp_path: Path) -> None:
    """The driver asked for 8 GiB a column, and crashed where it got none."""
    source = write_sqlite(SMALL, tmp_path / "plate.sqlite")
    run("discover", source, "-o", tmp_path / "m").done()
    ended = subprocess.run(
        [executable("extract"), tmp_path / "m", "-o", tmp_path / "b"],
        env=environment(), capture_output=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


def test_a_computed_column_of_sqlite_comes_out_and_moves_no_other(tmp_path: Path) -> None:
    source = write_sqlite(SMALL, tmp_path / "plate.sqlite")
    connection = sqlite3.connect(source)
    with connection:
        connection.execute("ALTER TABLE Per_Cells RENAME TO old")
        (schema,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'old'").fetchone()
        # Before the others, so that each of theirs would have the type of its neighbour.
        schema = schema.replace('"old" (', '"Per_Cells" ("Cells_Twice" REAL AS (2.5 * "ImageNumber") VIRTUAL, ')
        connection.execute(schema)
        names = ", ".join(f'"{row[1]}"' for row in connection.execute("PRAGMA table_info(old)"))
        connection.execute(f"INSERT INTO Per_Cells ({names}) SELECT {names} FROM old")
    connection.close()
    stream = run("extract", stdin=run("discover", source).done().out).done().out
    run("write", "-o", tmp_path / "made.parquet", stdin=run("join", stdin=stream).done().out).done()
    table = pyarrow.parquet.ParquetFile(tmp_path / "made.parquet").read()
    assert set(table["Cells_Twice"].to_pylist()) == {2.5}
    assert table["Cells_Parent_Nuclei"].type == pa.int64()


def test_a_damaged_index_of_sqlite_loses_no_row(tmp_path: Path) -> None:
    source = write_sqlite(SMALL, tmp_path / "plate.sqlite")
    connection = sqlite3.connect(source)
    with connection:
        # An index over some rows that says it has all of them, as one does that missed an insertion.
        connection.execute("CREATE INDEX lacking ON Per_Nuclei (ImageNumber) WHERE rowid > 1")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' WHERE rowid > 1', '') WHERE name = 'lacking'")
    connection.close()
    run("discover", source, "-q").failed(1, "Per_Nuclei", "index", "REINDEX")


def test_what_sqlite_says_in_other_bytes_than_utf8(tmp_path: Path) -> None:
    source = write_sqlite(SMALL, tmp_path / "plate.sqlite")
    source.write_bytes(source.read_bytes().replace(b'TABLE "Per_Nuclei"', b'TABL\xff "Per_Nuclei"'))
    run("discover", source, "-q").failed(1, "plate.sqlite", "UTF-8")


def test_a_value_of_sqlite_made_up_without_end(tmp_path: Path) -> None:
    source = write_sqlite(SMALL, tmp_path / "plate.sqlite")
    connection = sqlite3.connect(source)
    with connection:
        connection.execute("ALTER TABLE Per_Nuclei RENAME TO kept")
        connection.execute("CREATE VIEW Per_Nuclei AS SELECT *, zeroblob(900000000) AS more FROM kept")
    connection.close()
    run("discover", source, "-q").failed(1, "plate.sqlite", "too big")


@pytest.mark.parametrize("packed", [False, True])
def test_a_hexadecimal_number_is_no_number(packed: bool, tmp_path: Path) -> None:
    """Arrow's reader takes it for one in columns of whole numbers."""
    tables = small_tables(SMALL)[FOLDER]
    set_column(tables["Cells"], "Parent_Nuclei", ["0x1"])
    write_sheets(tmp_path / "source", {FOLDER: tables})
    path = tmp_path / "source" / FOLDER / "Cells.csv"
    if packed:
        path.with_name("Cells.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    given = run("discover", tmp_path / "source").done().out
    run("extract", "-q", stdin=given).failed(1, "Cells.csv", "row 2", "'Parent_Nuclei'", "'0x1'")


def test_a_bomb_of_csv_is_refused_before_it_is_read(tmp_path: Path) -> None:
    tables = small_tables(SMALL)[FOLDER]
    write_sheets(tmp_path / "source", {FOLDER: tables})
    path = tmp_path / "source" / FOLDER / "Cells.csv"
    content = path.read_bytes()
    path.unlink()
    row = ",".join(["1"] * len(tables["Cells"][0])).encode() + b"\n"
    with gzip.open(path.with_name("Cells.csv.gz"), "wb", 1) as packed:
        packed.write(content)
        for _ in range(40):
            packed.write(row * (5_000_000 // len(row)))
    run("discover", tmp_path / "source", "-o", tmp_path / "m").done()
    words = ["-q", str(tmp_path / "m"), "-o", str(tmp_path / "b"), "--max-inflate", "190MB"]
    ended = subprocess.run([sys.executable, "-c", WITH_PEAK, *words], env=environment(), capture_output=True, text=True)
    assert ended.returncode == 1
    assert "inflates to more than 190.0 MB (190000000 bytes)" in ended.stderr
    assert int(ended.stdout) < 200 << 10


def test_a_header_of_one_name_without_end(tmp_path: Path) -> None:
    tables = small_tables(SMALL)[FOLDER]
    for line in tables["Cells"]:
        line += ["x"] * 200_000
    write_sheets(tmp_path / "source", {FOLDER: tables})
    run("discover", tmp_path / "source", "-q").failed(1, "is it no header?")


def test_a_name_that_is_too_long_for_one(tmp_path: Path) -> None:
    tables = small_tables(SMALL)[FOLDER]
    tables["Cells"][0][-1] = "_Children_" * 10_000
    write_sheets(tmp_path / "source", {FOLDER: tables})
    run("discover", tmp_path / "source", "-q").failed(1, "100000 characters")


def test_an_endless_number_of_cells_without_features(tmp_path: Path) -> None:
    lie = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 0), }", b"")
    write_npz(tmp_path / "source" / "a.npz", {"features": lie})
    run("discover", tmp_path / "source", "-q").failed(1, "99999999999 cells without any feature")


def test_a_preset_nested_too_deep(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("name = " + "[" * 5000)
    run("discover", tmp_path, "--preset", tmp_path / "p.toml", "-q").failed(2, "p.toml", "nested")


def test_a_long_value_leaves_a_message_readable(tmp_path: Path) -> None:
    tables = small_tables(SMALL)[FOLDER]
    set_column(tables["Cells"], measured_name(tables["Cells"]), ["y" * 50_000])
    write_sheets(tmp_path / "source", {FOLDER: tables})
    given = run("discover", tmp_path / "source").done().out
    assert len(run("extract", "-q", stdin=given).failed(1, "Cells.csv", "row 2", "--on-bad-value")) < 2200
