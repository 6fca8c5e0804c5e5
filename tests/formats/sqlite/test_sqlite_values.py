"""Every value of an SQLite file arrives as Python's sqlite3 reads it, whatever its column is declared as."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plates_sqlite import quoted
from pycytominer_transform.common.errors import BadValueError, DataError
from pycytominer_transform.common.formats.sqlite.reader import SqliteReader
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.common.model.column_types import ColumnType
from pycytominer_transform.common.model.conversion import BadValues
from pycytominer_transform.common.model.manifest import Column, Manifest, Source, TableSchema
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.storage.location import LocalLocation
from pycytominer_transform.tools import discover, extract

DECLARED = ["REAL", "FLOAT", "NUMERIC", "INTEGER", "BIGINT", "TEXT", "DATETIME", "BLOB", "", "TEXT COLLATE NOCASE"]
WORDS = ["nan", "NaN", "NA", "NULL", "", "-nan", "NAN"]
NULL_LIKE = {*WORDS, "-NaN", "-NAN", "nan(ind)", "-nan(ind)"}

Stored = int | float | str | bytes | None

whole = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-9, 9)


def fits_as_text(value: float) -> bool:
    """Say whether a number is finite still, or again infinite, when SQLite has written it with its 15 digits."""
    return math.isinf(float(f"{value:.15g}")) == math.isinf(value)


number = whole | st.floats(allow_nan=False).filter(fits_as_text)
spelt = st.one_of(
    st.sampled_from(WORDS), st.sampled_from(["inf", "-inf", "Infinity", "1.50", "7", "1e3", "-0.0", "0.1"])
)
stored_number = st.one_of(st.none(), number, spelt, spelt.map(str.encode))
stored_text = st.one_of(stored_number, st.text(max_size=8), st.sampled_from(["2024-01-31 10:00:00", "x\0y", "µ"]))
# Mostly clean columns with something odd in a few places, as real ones are.
column_of = {
    "number": st.lists(st.one_of(number, number, number, stored_number), min_size=1, max_size=12),
    "text": st.lists(stored_text, min_size=1, max_size=12),
}


def store(path: Path, declared: Sequence[str], rows: Sequence[Sequence[Stored]]) -> Path:
    names = [f"c{place}" for place in range(len(declared))]
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in zip(names, declared, strict=True))
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute(f"CREATE TABLE Cells ({columns})")
        connection.executemany(f"INSERT INTO Cells VALUES ({', '.join('?' * len(names))})", rows)
    return path


def as_stored(path: Path) -> list[tuple[Stored, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM Cells ORDER BY rowid").fetchall()


def read(path: Path, kinds: Sequence[ColumnType], rows: int, bad: BadValues | None = None) -> pa.Table:
    columns = tuple(Column(f"c{place}", f"Cells_c{place}", kind, "feature") for place, kind in enumerate(kinds))
    source = Source(
        part=1, dataset=".", table_number=1, table="cells", path=".", format="sqlite", sqlite_table="Cells",
        row_ranges=((1, rows),), rows=rows, bytes=1, fingerprint="",
    )  # fmt: skip
    manifest = Manifest(
        source=str(path), preset=Preset(name="sqlite", title="", format="sqlite", compartments=("cells",)),
        tables=(TableSchema("cells", "Cells", columns),), sources=(source,), parts_total=1, datasets_total=1,
    )  # fmt: skip
    return SqliteReader(manifest, 0).read(source, LocalLocation(path), path.name, bad or BadValues("null"))


def as_number(value: Stored) -> float | None:
    """Say what a value in a number column means."""
    text = value.decode() if isinstance(value, bytes) else value
    return None if text is None or text in NULL_LIKE else float(text)


def as_whole(value: Stored) -> int | None:
    """Say what a value in a column of whole numbers means; None where it is none."""
    text = value.decode() if isinstance(value, bytes) else value
    if text is None or text in NULL_LIKE:
        return None
    try:
        found = int(text) if isinstance(text, str | int) else int(text) if text.is_integer() else None
    except ValueError:
        found = int(float(text)) if float(text).is_integer() else None
    return found if found is not None and -(1 << 63) <= found < 1 << 63 else None


def as_text(value: Stored) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.decode() if isinstance(value, bytes) else repr(value)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return type(left) is type(right) and left == right


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("values") / "plate.sqlite"


@settings(max_examples=examples(300))
@given(declared=st.sampled_from(DECLARED), values=column_of["number"])
@example(declared="", values=[1 << 60, 0.5, "nan"])
@example(declared="INTEGER", values=[1, "inf", 2.5, None, "-inf"])
@example(declared="BLOB", values=[b"1.5", b"nan", "2", 3])
@example(declared="REAL", values=["nan", "", "NULL"])
def test_numbers_keep_their_value_and_words_are_null(database: Path, declared: str, values: list[Stored]) -> None:
    store(database, [declared, "REAL"], [(value, 0.5) for value in values])
    held = [row[0] for row in as_stored(database)]
    bad = BadValues("fail")
    table = read(database, ["float64", "float64"], len(held), bad)
    wanted = [as_number(value) for value in held]
    found = table["Cells_c0"].to_pylist()
    assert all(map(same, found, wanted)), (found, wanted)
    words = sum(value is not None for value in held) - sum(value is not None for value in wanted)
    assert bad.words == ({"Cells_c0": words} if words else {})


def test_a_number_that_sqlite_wrote_as_too_large_a_text_is_refused(database: Path) -> None:
    store(database, ["TEXT", "REAL"], [(1.7976931348623157e308, 0.5)])
    with pytest.raises(BadValueError, match=r"'1.79769313486232e\+308' is not a number"):
        read(database, ["float64", "float64"], 1, BadValues("fail"))


@settings(max_examples=examples(300))
@given(declared=st.sampled_from(DECLARED), values=column_of["number"])
@example(declared="", values=[(1 << 60) + 1, 3.0])
@example(declared="INTEGER", values=[(1 << 60) + 1, "nan", 2.5, "inf"])
def test_whole_numbers_are_exact_and_fractions_bad(database: Path, declared: str, values: list[Stored]) -> None:
    store(database, [declared], [(value,) for value in values])
    held = [row[0] for row in as_stored(database)]
    wanted = [as_whole(value) for value in held]
    bad = BadValues("null")
    assert read(database, ["int64"], len(held), bad)["Cells_c0"].to_pylist() == wanted
    unfit = [v for v, w in zip(held, wanted, strict=True) if w is None and as_number(v) is not None]
    assert bad.counts == ({"c0": len(unfit)} if unfit else {})
    if unfit:
        row = 1 + next(i for i, v in enumerate(held) if wanted[i] is None and as_number(v) is not None)
        with pytest.raises(BadValueError, match=rf"row {row}, column 'c0'"):
            read(database, ["int64"], len(held), BadValues("fail"))


@settings(max_examples=examples(300))
@given(declared=st.sampled_from(DECLARED), values=column_of["text"])
@example(declared="", values=[0.1 + 0.2, "x", b"blob"])
def test_texts_are_the_same_texts(database: Path, declared: str, values: list[Stored]) -> None:
    store(database, [declared], [(value,) for value in values])
    held = [row[0] for row in as_stored(database)]
    assert read(database, ["string"], len(held))["Cells_c0"].to_pylist() == [as_text(value) for value in held]


@pytest.mark.parametrize("kind", ["string", "float64", "int64"])
@pytest.mark.parametrize("value", ["CAST(x'66ff' AS TEXT)", "x'66ff'"])
def test_bytes_that_are_not_utf8_are_named_in_one_line(value: str, kind: ColumnType, database: Path) -> None:
    store(database, [""], [(1,), (2,)])
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE Cells SET c0 = {value} WHERE rowid = 2")
    with pytest.raises(DataError) as caught:
        read(database, [kind], 2, BadValues("fail"))
    assert str(caught.value).startswith("plate.sqlite, table Cells, row 2, column 'c0': ")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_2000_columns(database: Path) -> None:
    row = [f"t{place}" if place % 100 == 7 else "nan" if place % 3 == 0 else place / 7 for place in range(2000)]
    store(database, ["FLOAT"] * 2000, [row, row])
    kinds: list[ColumnType] = ["string" if place % 100 == 7 else "float64" for place in range(2000)]
    bad = BadValues("fail")
    table = read(database, kinds, 2, bad)
    wanted = [None if value == "nan" else value for value in row]
    assert [column.to_pylist() for column in table.columns] == [[value, value] for value in wanted]
    assert set(bad.words.values()) == {2}
    assert len(bad.words) == row.count("nan")


IMAGE = 'CREATE TABLE Image (TableNumber TEXT, ImageNumber TEXT, Image_Metadata_Well TEXT, "Image_Taken" DATETIME)'
CELLS = (
    "CREATE TABLE Cells (TableNumber TEXT, ImageNumber TEXT, ObjectNumber, Cells_AreaShape_Area INTEGER, "
    "Cells_Texture_A REAL, Cells_Texture_B TEXT, Cells_Texture_C BLOB, Cells_Custom NUMERIC)"
)
CELL_ROWS = [
    ("a", "1", 1, 12.5, "nan", "7", b"0.5", "nan"),
    ("a", "1", "2", 12, "inf", "nan", 2, 3),
    ("a", "1", 3.0, "NULL", "", "8.25", "nan", 0.25),
]


@pytest.fixture
def odd_file(tmp_path: Path) -> Path:
    file = tmp_path / "odd.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(IMAGE)
        connection.execute("INSERT INTO Image VALUES ('a', '1', 'A01', '2024-01-31 10:00:00')")
        connection.execute(CELLS)
        connection.executemany("INSERT INTO Cells VALUES (?, ?, ?, ?, ?, ?, ?, ?)", CELL_ROWS)
    return file


def bundle_of(file: Path, folder: Path, *words: str) -> Path:
    assert discover.main([str(file), "-o", str(folder / "m"), "-q", "--compartments", "cells"]) == 0
    assert extract.main([str(folder / "m"), "-o", str(folder / "bundle"), *words]) == 0
    return folder / "bundle"


def test_a_file_of_all_oddities_is_read_and_its_words_are_reported(
    odd_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of(odd_file, tmp_path, "-v")
    with pa.memory_map(str(bundle / "part-000001" / "cells.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table["Metadata_ImageNumber"].to_pylist() == [1, 1, 1]
    assert table["Cells_ObjectNumber"].to_pylist() == [1, 2, 3]
    assert table["Cells_AreaShape_Area"].to_pylist() == [12.5, 12.0, None]
    assert table["Cells_Texture_A"].to_pylist() == [None, math.inf, None]
    assert table["Cells_Texture_B"].to_pylist() == [7.0, None, 8.25]
    assert table["Cells_Texture_C"].to_pylist() == [0.5, 2.0, None]
    assert table["Cells_Custom"].to_pylist() == [None, 3.0, 0.25]
    words = {
        "Cells_AreaShape_Area": 1, "Cells_Texture_A": 2, "Cells_Texture_B": 1, "Cells_Texture_C": 1, "Cells_Custom": 1,
    }  # fmt: skip
    step = read_manifest(str(bundle)).provenance[-1]
    assert step.counts["null_words"] == words
    assert step.counts["made_null"] == {}
    said = capsys.readouterr().err
    assert "6 words for no value (nan, NULL, empty) in 5 columns became null" in said
    assert "Cells_Texture_A (2)" in said
    assert "warning" not in said
    with pa.memory_map(str(bundle / "part-000001" / "image.arrow")) as source:
        image = pa.ipc.open_file(source).read_all()
    assert pc.unique(image["Image_Taken"]).to_pylist() == ["2024-01-31 10:00:00"]


def test_a_clean_file_says_nothing_of_words(odd_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(odd_file)) as connection, connection:
        connection.execute("DELETE FROM Cells WHERE rowid IN (1, 2)")
        connection.execute("UPDATE Cells SET Cells_AreaShape_Area = 1, Cells_Texture_A = NULL, Cells_Texture_C = 3")
    bundle_of(odd_file, tmp_path, "-v")
    assert "words" not in capsys.readouterr().err
