"""Bad SQLite sources: each ends in one line that names the file, exit code 1, and nothing left behind."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from plates_sheets import measured_name, small_tables
from pycytominer_transform.common.discover import source
from pycytominer_transform.common.flow.part_runs import PartRuns
from pycytominer_transform.common.formats.sqlite import files as sqlite_files
from pycytominer_transform.common.formats.sqlite import reader as sqlite_reader
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.common.model.manifest import Manifest
from running import entries, run
from spoiling import FOLDERS, convert, first_failure, rows_of

FEATURE = "Cells_" + measured_name(small_tables()[FOLDERS[0]]["Cells"])

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
connection.execute("UPDATE Image SET ImageNumber = ImageNumber")
print("locked", flush=True)
sys.stdin.read()
"""


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], object]]:
    """Have another process hold the file locked for writing; gives a function that lets it end."""
    command = [sys.executable, "-c", LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "locked\n"
        assert writer.stdin is not None
        yield writer.stdin.close


def manifest_of(stream: bytes, folder: Path) -> Manifest:
    (folder / "m.arrow").write_bytes(stream)
    return read_manifest(str(folder / "m.arrow"))


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "empty"),
    "not SQLite": (lambda all_: b"a thesis, not a database\n" * 200, "not"),
    "not SQLite behind a good header": (lambda all_: all_[:100] + b"\xa5" * (len(all_) - 100), "plate.sqlite"),
    "only the header": (lambda all_: all_[:100], "cut off"),
    "half the header": (lambda all_: all_[:50], "not"),
    "truncated by a byte": (lambda all_: all_[:-1], "cut off"),
    "truncated in the middle": (lambda all_: all_[: len(all_) // 2], "cut off"),
    "a page of rubbish": (lambda all_: all_[:8192] + b"\xa5" * 4096 + all_[12288:], "damaged"),
}


@pytest.mark.parametrize("case", SPOILT)
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_spoilt_file(case: str, as_folder: bool, sqlite_file: Path, tmp_path: Path) -> None:
    spoil, word = SPOILT[case]
    sqlite_file.write_bytes(spoil(sqlite_file.read_bytes()))
    source = sqlite_file.parent if as_folder else sqlite_file
    ran = first_failure(source, tmp_path / "out", {"discover": ["--preset", "cytominer_database"]})
    ran.failed(1, "plate.sqlite", word)


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_file_is_recognised_for_what_it_is(case: str, sqlite_file: Path, tmp_path: Path) -> None:
    spoil, _ = SPOILT[case]
    sqlite_file.write_bytes(spoil(sqlite_file.read_bytes()))
    first_failure(sqlite_file, tmp_path / "out").failed(1, "plate.sqlite")


def test_a_file_locked_by_a_writer(sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "BUSY_SECONDS", 0.01)
    with locked(sqlite_file):
        first_failure(sqlite_file, tmp_path / "out").failed(1, "plate.sqlite", "locked")
    assert rows_of(sqlite_file, tmp_path / "out")


def test_a_file_locked_after_it_was_discovered(
    sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "BUSY_SECONDS", 0.01)
    manifest = run("discover", sqlite_file, "-q").done().out
    with locked(sqlite_file):
        run("extract", "-o", tmp_path / "made", stdin=manifest).failed(1, "plate.sqlite", "locked")
    assert entries(tmp_path) == {"source"}


def test_a_file_locked_for_a_moment_is_waited_for(sqlite_file: Path, tmp_path: Path) -> None:
    with locked(sqlite_file) as release:
        threading.Timer(1.0, release).start()
        manifest = run("discover", sqlite_file, "-q").done().out
    source = next(one for one in manifest_of(manifest, tmp_path).sources if one.sqlite_table == "Cells")
    with locked(sqlite_file) as release:
        threading.Timer(1.0, release).start()
        table = sqlite_reader._fetch(sqlite_file, "plate.sqlite", "SELECT ImageNumber FROM Cells", source.rows)
    assert table.num_rows == source.rows


@pytest.mark.prefect
@pytest.mark.parametrize("stage", ["discover", "extract"])
def test_a_flow_tries_again_when_a_file_was_locked(
    stage: str, sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer locks the file before a stage, and ends when the flow pauses before it tries again."""
    writers = contextlib.ExitStack()
    held: list[Callable[[], object]] = []

    def locked_first(begin: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **words: Any) -> Any:
            if not held:
                held.append(writers.enter_context(locked(sqlite_file)))
            return begin(*arguments, **words)

        return call

    if stage == "discover":
        monkeypatch.setattr(source, "discover_manifest", locked_first(source.discover_manifest))
    else:
        monkeypatch.setattr(PartRuns, "run", locked_first(PartRuns.run))
    monkeypatch.setattr(sqlite_files, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr("time.sleep", lambda _: held[0]())
    with writers:
        ran = run("flow", sqlite_file, "-v", "-o", tmp_path / "made.parquet").done()
    assert "is locked by a program that writes to it" in ran.err
    assert "1 retried" in ran.err
    assert pyarrow.parquet.read_table(tmp_path / "made.parquet").to_pylist() == rows_of(sqlite_file, tmp_path / "out")


@pytest.mark.parametrize("value", ["'oops'", "'0,5'", "x'0102'"])
def test_text_in_a_number_column(value: str, sqlite_file: Path, tmp_path: Path) -> None:
    change(sqlite_file, f'UPDATE Cells SET "{FEATURE}" = {value} WHERE rowid = 4')
    shown = value.strip("'").replace("x'", "").replace("0102", "x01")
    ran = first_failure(sqlite_file, tmp_path / "out")
    ran.failed(1, "plate.sqlite", "table Cells", "row 4", FEATURE, shown)


def test_text_in_a_number_column_can_be_made_null(sqlite_file: Path, tmp_path: Path) -> None:
    before = rows_of(sqlite_file, tmp_path / "before")
    change(sqlite_file, f"""UPDATE Cells SET "{FEATURE}" = 'oops' WHERE rowid IN (2, 4)""")
    ended = convert(sqlite_file, tmp_path / "out", {"extract": ["--on-bad-value", "null"]})
    assert [ran.code for ran in ended] == [0, 0, 0, 0]
    assert ended[1].lines == [f"pct-extract: warning: made 2 values null that were no numbers: {FEATURE} (2)"]
    after = pyarrow.parquet.read_table(tmp_path / "out" / "made.parquet").to_pylist()
    differing = [(name, row[name]) for row, old in zip(after, before, strict=True) for name in row if row != old
                 if row[name] != old[name]]  # fmt: skip
    assert differing == [(FEATURE, None), (FEATURE, None)]


@pytest.mark.parametrize("column", ["ImageNumber", "ObjectNumber"])
@pytest.mark.parametrize(("value", "shown"), [("'one'", "one"), ("1.5", "1.5"), ("1e300", "1e+300")])
def test_a_key_that_is_no_whole_number(column: str, value: str, shown: str, sqlite_file: Path, tmp_path: Path) -> None:
    change(sqlite_file, f"UPDATE Cells SET {column} = {value} WHERE rowid = 4")
    first_failure(sqlite_file, tmp_path / "out").failed(1, "plate.sqlite", "table Cells", "row 4", column, shown)


def test_an_object_twice(sqlite_file: Path, tmp_path: Path) -> None:
    change(sqlite_file, "INSERT INTO Cells SELECT * FROM Cells WHERE rowid = 1")
    first_failure(sqlite_file, tmp_path / "out").failed(1, "table cells", "Cells_ObjectNumber 1")


def test_a_database_of_something_else(tmp_path: Path) -> None:
    other = tmp_path / "addresses.sqlite"
    change(other, "CREATE TABLE people (name TEXT)")
    first_failure(other, tmp_path / "out").failed(1, "addresses.sqlite", "no table")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE Cytoplasm", []),
        ('ALTER TABLE Cells RENAME COLUMN "ImageNumber" TO "Picture"', ["Cells", "ImageNumber"]),
        ('ALTER TABLE Cells RENAME COLUMN "ObjectNumber" TO "Thing"', ["Cells", "ObjectNumber"]),
    ],
)
def test_one_file_of_two_lacks_something(statement: str, words: list[str], sqlite_file: Path, tmp_path: Path) -> None:
    other = sqlite_file.with_name("other.sqlite")
    other.write_bytes(sqlite_file.read_bytes())
    change(other, statement)
    first_failure(sqlite_file.parent, tmp_path / "out").failed(1, "other.sqlite", *words, "--on-bad-dataset skip")
    ended = convert(sqlite_file.parent, tmp_path / "out", {"discover": ["--on-bad-dataset", "skip"]})
    assert [ran.code for ran in ended] == [0, 0, 0, 0]
    assert "went on without 1 bad dataset: other.sqlite" in ended[0].lines[-1]


def test_no_objects_are_no_rows(sqlite_file: Path, tmp_path: Path) -> None:
    change(sqlite_file, *(f"DELETE FROM {table}" for table in ("Cells", "Cytoplasm", "Nuclei")))
    assert rows_of(sqlite_file, tmp_path / "out") == []


def test_a_file_that_changes_after_it_was_discovered(sqlite_file: Path, tmp_path: Path) -> None:
    manifest = run("discover", sqlite_file, "-q").done().out
    change(sqlite_file, "DELETE FROM Cells WHERE rowid = 1")
    run("extract", "-o", tmp_path / "made", stdin=manifest).failed(1, "plate.sqlite", "changed", "pct-discover")
    assert entries(tmp_path) == {"source"}


def test_a_column_whose_name_is_not_utf_8(sqlite_file: Path, tmp_path: Path) -> None:
    change(sqlite_file, "ALTER TABLE Cells ADD COLUMN name_to_spoil REAL")
    content = sqlite_file.read_bytes()
    assert b"name_to_spoil" in content
    sqlite_file.write_bytes(content.replace(b"name_to_spoil", b"name\xffto\xffspoil"))
    run("discover", sqlite_file, "-q", "-o", tmp_path / "made").failed(1, "plate.sqlite", "a name that is not UTF-8")
    assert "made" not in entries(tmp_path)
