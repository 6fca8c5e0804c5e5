"""SQLite files as CellProfiler and people leave them: experiments side by side, other names; same values."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import oracle
import pyarrow as pa
import pytest
from converting import Convert, Options, parquet_table
from plates import Plate
from plates_sheets import Tables, small_tables, write_sheets
from plates_sqlite import quoted, write_sqlite
from pycytominer_transform.tools import discover, extract

PLATE = Plate(folders=4, cells=7, features=6, sites=2, missing=0.1)
COMPARTMENTS = ("Nuclei", "Cells", "Cytoplasm")
OTHER = Plate(folders=3, cells=5, features=6, sites=2, missing=0.1, seed=2)


def copy_tables(out: Path, source: Path, names: Mapping[str, str]) -> Path:
    """Copy tables of one file into another, under other names."""
    with closing(sqlite3.connect(out)) as connection:
        connection.execute(f"ATTACH '{source}' AS old")
        for old, new in names.items():
            connection.execute(f"CREATE TABLE {quoted(new)} AS SELECT * FROM old.{quoted(old)} ORDER BY rowid")
        connection.commit()
    return out


def prefixed(prefix: str, *tables: str) -> dict[str, str]:
    return {f"Per_{table}": f"{prefix}Per_{table}" for table in tables or ("Image", "Cells", "Cytoplasm", "Nuclei")}


def rows_of(path: Path) -> pa.Table:
    return parquet_table(path).drop_columns(["Metadata_CellID", "Metadata_Dataset"])


@pytest.fixture
def plates(tmp_path: Path) -> tuple[Path, Path]:
    """Write two plates, a file each."""
    return write_sqlite(PLATE, tmp_path / "one.sqlite"), write_sqlite(OTHER, tmp_path / "other.sqlite")


@pytest.mark.parametrize("how", ["streams", "concurrent"])
def test_two_experiments_in_a_database_are_datasets(
    how: str, tmp_path: Path, plates: tuple[Path, Path], convert: Convert
) -> None:
    both = tmp_path / "source" / "DefaultDB.db"
    both.parent.mkdir()
    for prefix, plate in zip(("A_", "my expt-"), plates, strict=True):
        copy_tables(both, plate, prefixed(prefix))
    copy_tables(both, plates[0], {"Per_Image": "Illum_Per_Image"})
    table = parquet_table(convert(both.parent, how, Options(discover=("--part-size", "8kB"))))
    own = ["Metadata_CellID", "Metadata_Dataset", "Metadata_TableNumber"]
    for dataset, plate in zip(("DefaultDB.db/A", "DefaultDB.db/my expt"), plates, strict=True):
        alone = convert(plate, options=Options(write=("--overwrite",)))
        assert oracle.compare(oracle.profiles(plate, "cellprofiler_sqlite"), alone) == []
        rows = table.filter(pa.compute.equal(table["Metadata_Dataset"], dataset)).drop_columns(own)
        assert rows.equals(rows_of(alone).select(rows.column_names))
    assert table.num_rows == sum(len(oracle.profiles(plate, "cellprofiler_sqlite")) for plate in plates)


@pytest.mark.parametrize("word", ["B_", "B"])
def test_a_prefix_chooses_an_experiment(
    word: str, tmp_path: Path, plates: tuple[Path, Path], convert: Convert, capfd: pytest.CaptureFixture[str]
) -> None:
    both = copy_tables(tmp_path / "both.db", plates[0], prefixed("A_"))
    copy_tables(both, plates[1], prefixed("B_"))
    chosen = convert(both, options=Options(discover=("--prefix", word)))
    assert rows_of(chosen).equals(rows_of(convert(plates[1])))
    assert discover.main([str(both), "--prefix", "C_", "-o", str(tmp_path / "m")]) == 1
    assert "no table's name begins with the --prefix C_" in capfd.readouterr().err


def test_an_experiment_without_an_image_table_beside_one_that_has_it(
    tmp_path: Path, plates: tuple[Path, Path], convert: Convert, capfd: pytest.CaptureFixture[str]
) -> None:
    both = copy_tables(tmp_path / "both.db", plates[0], prefixed("A_"))
    copy_tables(both, plates[1], prefixed("B 2_", "Cells", "Cytoplasm", "Nuclei"))
    assert rows_of(convert(both)).equals(rows_of(convert(plates[0])))
    discover.main([str(both), "-o", str(tmp_path / "m")])
    told = capfd.readouterr().err
    assert "passed over B 2_Per_Cells, B 2_Per_Cytoplasm, B 2_Per_Nuclei" in told
    words = shlex.split(told.split("take only such with ")[1].splitlines()[0])
    table = rows_of(convert(both, options=Options(discover=words)))
    assert table.equals(rows_of(convert(plates[1])).select(table.column_names))


@pytest.mark.parametrize("prefix", ["", "MyExpt_"])
def test_a_table_alone(prefix: str, tmp_path: Path, plates: tuple[Path, Path], convert: Convert) -> None:
    alone = copy_tables(tmp_path / "alone.db", plates[0], prefixed(prefix, "Nuclei"))
    table = rows_of(convert(alone))
    with closing(sqlite3.connect(plates[0])) as connection:
        rows = connection.execute("SELECT * FROM Per_Nuclei ORDER BY ImageNumber, Nuclei_Number_Object_Number")
        names = [column[0] for column in rows.description]
        for name, values in zip(names, zip(*rows, strict=True), strict=True):
            assert table["Metadata_ImageNumber" if name == "ImageNumber" else name].to_pylist() == list(values), name
    assert set(table.column_names) == {"Metadata_ImageNumber", *names} - {"ImageNumber"}


def test_a_table_of_another_program_alone_is_not_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(tmp_path / "phones.db")) as connection:
        connection.execute("CREATE TABLE Cells (owner, number)")
    assert discover.main([str(tmp_path / "phones.db"), "-o", str(tmp_path / "m")]) == 1
    assert "holds no table that a preset knows" in capfd.readouterr().err


def import_sheets(out: Path, tables: Tables, named: Callable[[str], str], declared: Callable[[str], str]) -> Path:
    """Import CSV files into SQLite as a database browser does."""
    with closing(sqlite3.connect(out)) as connection:
        for name, (header, *lines) in tables.items():
            columns = ", ".join(f"{quoted(column)} {declared(column)}" for column in header)
            connection.execute(f"CREATE TABLE {quoted(named(name))} ({columns})")
            marks = ", ".join("?" * len(header))
            connection.executemany(f"INSERT INTO {quoted(named(name))} VALUES ({marks})", lines)
        connection.commit()
    return out


def a_type(column: str) -> str:
    return "INTEGER" if "Site" in column else "TEXT" if "Metadata" in column or "Name" in column else "REAL"


NAMES: dict[str, Callable[[str], str]] = {
    "as the files": str,
    "with a prefix": lambda name: f"MyExpt_{name}",
    "small": str.lower,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("declared", [a_type, lambda _: "TEXT", lambda _: ""], ids=["typed", "text", "untyped"])
def test_csv_files_imported_by_hand(
    name: str, declared: Callable[[str], str], tmp_path: Path, convert: Convert, capfd: pytest.CaptureFixture[str]
) -> None:
    tables = next(iter(small_tables().values()))
    sheets = convert(write_sheets(tmp_path / "sheets", {".": tables}), options=Options(join=("--image-columns", "all")))
    source = import_sheets(tmp_path / "mydata.db", tables, NAMES[name], declared)
    for how in ("files", "concurrent") if name == "with a prefix" else ("files",):
        table = rows_of(convert(source, how, Options(join=("--image-columns", "all"))))
        expected = rows_of(sheets)
        assert table.column_names == expected.column_names
        for column in table.column_names:
            values = table[column].to_pylist()
            if table[column].type == "string" and expected[column].type != "string":
                values = [None if value in ("", "nan") else float(value) for value in values]
            assert values == expected[column].to_pylist(), column
    discover.main([str(source), "-o", str(tmp_path / "m")])
    assert "(preset cellprofiler_csv_in_sqlite)" in capfd.readouterr().err


@pytest.mark.quick
def test_singular_names_in_a_database(tmp_path: Path, convert: Convert) -> None:
    def singular(name: str) -> str:
        return {"Cells": "Cell", "Nuclei": "Nucleus"}.get(name, name)

    tables = {
        singular(name): [[re.sub("(?<=^Parent_)[A-Za-z]+$", lambda m: singular(m[0]), c) for c in header], *lines]
        for name, (header, *lines) in next(iter(small_tables().values())).items()
    }
    expected = rows_of(convert(write_sheets(tmp_path / "sheets", {".": tables})))
    assert [name for name in expected.column_names if name.startswith("Nucleus_")]
    assert rows_of(convert(import_sheets(tmp_path / "mydata.db", tables, str, a_type))).equals(expected)


def side_by_side(
    out: Path,
    source: Path,
    order: str = "n.ImageNumber, n.ObjectNumber",
    view: bool = False,
    tables: Sequence[str] = COMPARTMENTS,
) -> Path:
    """Put objects of the same number side by side, as ExportToDatabase does by default."""
    numbers = " UNION ".join(
        f"SELECT ImageNumber, {t}_Number_Object_Number AS ObjectNumber FROM Per_{t}" for t in tables
    )
    joins = " ".join(
        f"LEFT JOIN Per_{t} ON Per_{t}.ImageNumber = n.ImageNumber AND {t}_Number_Object_Number = n.ObjectNumber"
        for t in tables
    )
    shutil.copy(source, out)
    with closing(sqlite3.connect(out)) as connection:
        columns = ", ".join(
            quoted(row[1])
            for t in tables
            for row in connection.execute(f"PRAGMA table_info(Per_{t})")
            if row[1] != "ImageNumber"
        )
        query = f"SELECT n.ImageNumber, n.ObjectNumber, {columns} FROM ({numbers}) n {joins} ORDER BY {order}"
        connection.execute(f"CREATE {'VIEW' if view else 'TABLE'} MyExpt_Per_Object AS {query}")
        connection.execute("ALTER TABLE Per_Image RENAME TO MyExpt_Per_Image")
        for t in () if view else tables:
            connection.execute(f"DROP TABLE Per_{t}")
        connection.commit()
    return out


ORDERS = {
    "image after image": "n.ImageNumber, n.ObjectNumber",
    "interleaved": "n.ObjectNumber, n.ImageNumber",
    "mixed": "(n.ImageNumber * 7919 + n.ObjectNumber * 104729) % 997",
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("how", ["streams", "concurrent"])
def test_all_compartments_in_one_table(how: str, order: str, tmp_path: Path, convert: Convert) -> None:
    plate = write_sqlite(Plate(folders=6, cells=40, features=6, sites=2, missing=0.2), tmp_path / "plate.sqlite")
    with closing(sqlite3.connect(plate)) as connection:
        # Counts differ, and there is an image without any object.
        connection.execute("DELETE FROM Per_Nuclei WHERE Nuclei_Number_Object_Number > 30")
        connection.execute("DELETE FROM Per_Cells WHERE ImageNumber = 3")
        connection.execute("INSERT INTO Per_Image (ImageNumber) VALUES (1000)")
        counts = {t: connection.execute(f"SELECT count(*) FROM Per_{t}").fetchone()[0] for t in ("Cells", "Nuclei")}
        connection.commit()
    assert counts["Cells"] != counts["Nuclei"]
    one_table = side_by_side(tmp_path / "DefaultDB.db", plate, ORDERS[order])
    kept = rows_of(convert(plate, options=Options(join=("--unmatched", "keep"))))
    each_alone = Options(discover=("--part-size", "1"), join=("--unmatched", "keep"))
    assert rows_of(convert(one_table, how, each_alone)).equals(kept)
    dropped = rows_of(convert(one_table, options=Options(discover=("--part-size", "20kB"))))
    assert dropped.equals(rows_of(convert(plate)))
    assert 0 < dropped.num_rows < kept.num_rows


def test_a_view_of_all_compartments_beside_their_tables_is_not_read(
    tmp_path: Path, plates: tuple[Path, Path], convert: Convert
) -> None:
    view = side_by_side(tmp_path / "view.db", plates[0], view=True)
    run = sqlite3.connect(view)
    with closing(run), run:
        for table in ("Cells", "Cytoplasm", "Nuclei"):
            run.execute(f"ALTER TABLE Per_{table} RENAME TO MyExpt_Per_{table}")
    assert rows_of(convert(view)).equals(rows_of(convert(plates[0])))


@pytest.mark.parametrize("new", [{"Nuclei": "PH3_Spots"}, {"Nuclei": "Dots", "Cells": "Big", "Cytoplasm": "Ring"}])
def test_other_compartments_in_one_table(
    new: dict[str, str], tmp_path: Path, plates: tuple[Path, Path], convert: Convert, capfd: pytest.CaptureFixture[str]
) -> None:
    def renamed(column: str) -> str:
        table, _, name = column.partition("_")
        parent = name.removeprefix("Parent_")
        name = f"Parent_{new.get(parent, parent)}" if name.startswith("Parent_") else name
        return f"{new.get(table, table)}_{name}" if name else column

    one_table, dots = side_by_side(tmp_path / "DefaultDB.db", plates[0]), new["Nuclei"]
    with closing(sqlite3.connect(one_table)) as connection:
        for (name,) in connection.execute("SELECT name FROM pragma_table_info('MyExpt_Per_Object')").fetchall():
            if renamed(name) != name:
                names = f"{quoted(name)} TO {quoted(renamed(name))}"
                connection.execute(f"ALTER TABLE MyExpt_Per_Object RENAME COLUMN {names}")
        # An average over children, whose name ends as that of a compartment's own number.
        connection.execute(f"ALTER TABLE MyExpt_Per_Object ADD COLUMN {dots}_Mean_Foci_Number_Object_Number")
        values = f"iif({dots}_Number_Object_Number, ObjectNumber + 0.5, NULL)"
        connection.execute(f"UPDATE MyExpt_Per_Object SET {dots}_Mean_Foci_Number_Object_Number = {values}")
        connection.commit()
    discover.main([str(one_table), "-o", str(tmp_path / "m")])
    told = capfd.readouterr().err
    # A parent of the anchor is taken as it is; of other compartments the message says the words.
    advice = re.search(r"--compartments ([^\s;]+)", told)
    assert advice or "took ph3_spots too" in told
    options = (*(("--compartments", advice[1]) if advice else ()), "--anchor", new.get("Cytoplasm", "cytoplasm"))
    expected = rows_of(convert(plates[0]))
    table = rows_of(convert(one_table, options=Options(discover=options)))
    assert table.num_rows == expected.num_rows
    for name in expected.column_names:
        if name.startswith("Nuclei_"):
            assert table[name.replace("Nuclei_", f"{dots}_")].to_pylist() == expected[name].to_pylist(), name
    means = [number + 0.5 for number in expected["Nuclei_Number_Object_Number"].to_pylist()]
    assert table[f"{dots}_Mean_Foci_Number_Object_Number"].to_pylist() == means


def test_an_object_without_a_number_in_the_table_of_all(
    tmp_path: Path, plates: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    one_table = side_by_side(tmp_path / "DefaultDB.db", plates[0])
    with closing(sqlite3.connect(one_table)) as connection:
        connection.execute("UPDATE MyExpt_Per_Object SET Cells_Number_Object_Number = NULL WHERE rowid = 4")
        connection.commit()
    assert discover.main([str(one_table), "-q", "-o", str(tmp_path / "m")]) == 0
    assert extract.main([str(tmp_path / "m"), "-q", "-o", str(tmp_path / "b")]) == 1
    assert "MyExpt_Per_Object, row 4: has no Cells_Number_Object_Number, but other values" in capfd.readouterr().err


def run_sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize("kind", ["tables", "one table", "two experiments"])
def test_a_filtered_parent_of_the_anchor_is_taken(
    kind: str, tmp_path: Path, plates: tuple[Path, Path], convert: Convert
) -> None:
    expected = rows_of(convert(plates[0]))
    source = tmp_path / "filtered.db"
    shutil.copy(plates[0], source)
    # The filter numbers anew what it keeps, here all.
    run_sql(
        source,
        "CREATE TABLE Per_FilteredNuclei AS SELECT ImageNumber, 1001 - Nuclei_Number_Object_Number AS "
        "FilteredNuclei_Number_Object_Number, Nuclei_Number_Object_Number AS FilteredNuclei_Parent_Nuclei "
        "FROM Per_Nuclei",
        "UPDATE Per_Cytoplasm SET Cytoplasm_Parent_Nuclei = 1001 - Cytoplasm_Parent_Nuclei",
        "ALTER TABLE Per_Cytoplasm RENAME COLUMN Cytoplasm_Parent_Nuclei TO Cytoplasm_Parent_FilteredNuclei",
    )
    if kind == "one table":
        source = side_by_side(tmp_path / "one.db", source, tables=("Nuclei", "FilteredNuclei", "Cells", "Cytoplasm"))
    elif kind == "two experiments":
        run_sql(source, *(f"ALTER TABLE {old} RENAME TO {new}" for old, new in prefixed("A_").items()))
        run_sql(source, "ALTER TABLE Per_FilteredNuclei RENAME TO A_Per_FilteredNuclei")
        names = [*prefixed(""), "Per_FilteredNuclei"]
        for name in names:
            run_sql(source, f"CREATE TABLE {name} AS SELECT * FROM A_{name} ORDER BY rowid")
        run_sql(source, "UPDATE Per_Nuclei SET Nuclei_AreaShape_Area = 7")
    table = parquet_table(convert(source))
    if kind == "two experiments":
        table = table.filter(pa.compute.equal(table["Metadata_Dataset"], "A"))
    assert table.num_rows == expected.num_rows
    for name in expected.column_names:
        if name != "Cytoplasm_Parent_Nuclei":
            assert table[name].to_pylist() == expected[name].to_pylist(), name


@pytest.mark.parametrize("kind", ["cellprofiler", "imported"])
def test_rows_without_any_value_are_no_objects(
    kind: str, tmp_path: Path, convert: Convert, capfd: pytest.CaptureFixture[str]
) -> None:
    if kind == "cellprofiler":
        source, empty = write_sqlite(PLATE, tmp_path / "plate.sqlite"), "DEFAULT VALUES"
        names = [*prefixed("")]
    else:
        tables = next(iter(small_tables().values()))
        source, names = import_sheets(tmp_path / "plate.sqlite", tables, str, lambda _: "TEXT"), [*tables]
    expected = rows_of(convert(source))
    for name in names:
        if kind == "imported":
            empty = "VALUES (" + ", ".join(["''"] * len(tables[name][0])) + ")"
        run_sql(source, f"INSERT INTO {name} {empty}", f"INSERT INTO {name} {empty}")
    for how in ("files", "concurrent"):
        assert rows_of(convert(source, how, Options(discover=("--part-size", "5kB")))).equals(expected)
    discover.main([str(source), "-q", "-o", str(tmp_path / "m")])
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b")]) == 0
    assert f"dropped {2 * len(names)} rows without any value" in capfd.readouterr().err


@pytest.mark.parametrize("number", ["ImageNumber", "Cells_Number_Object_Number"])
def test_a_measured_row_without_a_number_is_refused(
    number: str, tmp_path: Path, plates: tuple[Path, Path], convert: Convert, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "source").mkdir()
    for plate in plates:
        shutil.copy(plate, tmp_path / "source")
    run_sql(tmp_path / "source" / "one.sqlite", f"UPDATE Per_Cells SET {number} = NULL WHERE rowid = 5")
    assert discover.main([str(tmp_path / "source"), "-q", "-o", str(tmp_path / "m")]) == 0
    assert extract.main([str(tmp_path / "m"), "-q", "-o", str(tmp_path / "b")]) == 1
    assert f"one.sqlite, table Per_Cells, row 5: has no {number}, but other values" in capfd.readouterr().err


def test_averages_and_children_in_a_database(tmp_path: Path, plates: tuple[Path, Path], convert: Convert) -> None:
    source = tmp_path / "children.db"
    shutil.copy(plates[0], source)
    mean = "Nuclei_Mean_Foci_Number_Object_Number"
    run_sql(
        source,
        f"ALTER TABLE Per_Nuclei ADD COLUMN {mean} INTEGER",
        f"UPDATE Per_Nuclei SET {mean} = iif(rowid = (SELECT max(rowid) FROM Per_Nuclei), 1.5, 3)",
        "CREATE TABLE Per_Foci AS SELECT ImageNumber, row_number() OVER (PARTITION BY ImageNumber) AS "
        "Foci_Number_Object_Number, Nuclei_Number_Object_Number AS Foci_Parent_Nuclei, n.value * 1.0 AS Foci_Area FROM "
        "Per_Nuclei, (SELECT 1 AS value UNION SELECT 4) n",
    )
    plain = rows_of(convert(source))
    averaged = Options(
        discover=("--compartments", "cells,cytoplasm,nuclei,foci"), join=("--aggregate-children", "mean")
    )
    table = rows_of(convert(source, options=averaged))
    (area,) = [name for name in table.column_names if name.startswith("Foci_") and name.endswith("Area")]
    assert table.select(plain.column_names).equals(plain)
    assert table[area].to_pylist() == [2.5] * plain.num_rows
    assert plain[mean].type == "double"


def test_a_prefix_that_ends_as_per_does(tmp_path: Path, convert: Convert) -> None:
    tables = next(iter(small_tables().values()))
    expected = rows_of(convert(import_sheets(tmp_path / "plain.db", tables, str, a_type)))
    assert rows_of(convert(import_sheets(tmp_path / "super.db", tables, lambda name: f"Super_{name}", a_type))).equals(
        expected
    )


@pytest.mark.quick
def test_columns_of_no_compartment_are_said_once(
    plates: tuple[Path, Path], tmp_path: Path, convert: Convert, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("a.db", "b.db"):
        source = side_by_side(tmp_path / "folder" / name, plates[0])
        run_sql(source, *(f"ALTER TABLE MyExpt_Per_Object ADD COLUMN {column}" for column in ("Dose", "Site_Count")))
    expected = rows_of(convert(side_by_side(tmp_path / "plain.db", plates[0])))
    assert discover.main([str(tmp_path / "folder"), "-o", str(tmp_path / "m")]) == 0
    said = capfd.readouterr().err
    assert said.count("table MyExpt_Per_Object: left out 2 columns of no compartment: Dose, Site_Count\n") == 1
    assert discover.main([str(tmp_path / "plain.db"), "-o", str(tmp_path / "n")]) == 0
    assert "left out" not in capfd.readouterr().err
    made = rows_of(convert(tmp_path / "folder"))
    assert made.num_rows == 2 * expected.num_rows
    assert {*made.column_names} - {*expected.column_names} <= {"Metadata_TableNumber"}
