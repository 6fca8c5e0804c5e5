"""Exports as programs and people leave them: other names, delimiters, copies of columns, blank rows; same values."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import oracle
import pyarrow as pa
import pytest
from converting import Convert, Options, parquet_table
from plates_sheets import Line, Tables, column_place, measured_name, set_column, small_tables, write_sheets
from pycytominer_transform.tools import discover, extract

Trees = dict[str, Tables]


def write(out: Path, trees: Trees, *, delimiter: str = ",", suffix: str = ".csv", prefix: str = "") -> Path:
    for folder, tables in trees.items():
        place = out / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, lines in tables.items():
            text = io.StringIO(newline="")
            csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
            (place / f"{prefix}{name}{suffix}").write_text(text.getvalue(), encoding="utf-8")
    return out


def each_table(trees: Trees, change: Callable[[list[Line]], list[Line]]) -> Trees:
    return {folder: {name: change(lines) for name, lines in tables.items()} for folder, tables in trees.items()}


@pytest.fixture
def plain(tmp_path: Path, convert: Convert) -> pa.Table:
    """Convert the plate as CellProfiler writes it by default, and see that an independent join gives the same."""
    source = write_sheets(tmp_path / "plain", small_tables())
    converted = convert(source)
    assert oracle.compare(oracle.profiles(source), converted) == []
    return parquet_table(converted)


@pytest.fixture
def same(plain: pa.Table, convert: Convert) -> Callable[..., None]:
    """Return a check that a source gives the same rows."""

    def check(
        source: Path, options: Options | None = None, but: tuple[str, ...] = (), ways: tuple[str, ...] = ("files",)
    ) -> None:
        for how in ways:
            table = parquet_table(convert(source, how, options))
            assert table.column_names == plain.column_names
            for name in plain.column_names:
                if name not in but:
                    assert table[name].to_pylist() == plain[name].to_pylist(), name

    return check


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
@pytest.mark.parametrize("delimiter", ["\t", ";"])
@pytest.mark.quick
def test_other_delimiters_and_suffixes(delimiter: str, suffix: str, tmp_path: Path, same: Callable[..., None]) -> None:
    source = write(tmp_path / "source", small_tables(), delimiter=delimiter, suffix=suffix)
    (source / "README.txt").write_text("no table\n")
    same(source)


def test_a_table_in_two_kinds_of_files_is_read_from_the_csv_file(tmp_path: Path, same: Callable[..., None]) -> None:
    source = write(tmp_path / "source", small_tables())
    for file in [*source.rglob("Cells.csv")]:
        file.with_suffix(".txt").write_text("notes\n")
    same(source)


@pytest.mark.parametrize("prefix", ["MyExpt_", "2026-11-01 run.", "a-"])
def test_a_prefix_of_all_files(prefix: str, tmp_path: Path, same: Callable[..., None]) -> None:
    source = write(tmp_path / "source", small_tables(), prefix=prefix)
    write(source, {folder: {"Experiment": [["Key", "Value"], ["a", "1"]]} for folder in small_tables()}, prefix=prefix)
    same(source, ways=("files", "concurrent") if prefix == "MyExpt_" else ("files",))


def test_several_prefixes_in_a_folder_are_datasets(tmp_path: Path, same: Callable[..., None], convert: Convert) -> None:
    trees = small_tables()
    source = tmp_path / "source"
    for folder, tables in trees.items():
        write(source, {"P1": tables}, prefix=f"{Path(folder).name}_")
    names = [f"P1/{Path(folder).name}" for folder in trees]
    same(source, Options(discover=("--path-metadata", "none")), but=("Metadata_Dataset", "Metadata_TableNumber"))
    table = parquet_table(convert(source, options=Options(discover=("--path-metadata", "none"))))
    assert sorted(set(table["Metadata_Dataset"].to_pylist())) == sorted(names)
    one = parquet_table(convert(source, options=Options(discover=("--prefix", Path(next(iter(trees))).name))))
    assert one.num_rows == table["Metadata_Dataset"].to_pylist().count(names[0])


def test_an_image_table_alone_beside_another_prefix_is_a_well_that_lost_its_objects(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = small_tables().values()
    source = write(tmp_path / "source", {".": first}, prefix="A01_")
    write(source, {".": {"Image": second["Image"]}}, prefix="A02_")
    assert discover.main([str(source), "-q", "-o", str(tmp_path / "manifest")]) == 1
    assert "A02_Image.csv" in capfd.readouterr().err


def test_singular_names_stay(tmp_path: Path, plain: pa.Table, convert: Convert) -> None:
    def singular(name: str) -> str:
        return re.sub(
            "(Parent_|^|_)Nuclei(?!_Count)", r"\1Nucleus", re.sub("(Parent_|^|_)Cells(?!_Count)", r"\1Cell", name)
        )

    trees = {
        folder: {
            singular(name): [[singular(column) if "Parent" in column else column for column in lines[0]], *lines[1:]]
            for name, lines in tables.items()
        }
        for folder, tables in small_tables().items()
    }
    table = parquet_table(convert(write(tmp_path / "source", trees)))
    assert sorted(table.column_names) == sorted(map(singular, plain.column_names))
    for name in plain.column_names:
        assert table[singular(name)].to_pylist() == plain[name].to_pylist(), name


def test_copies_of_columns(tmp_path: Path, same: Callable[..., None]) -> None:
    same(write(tmp_path / "source", each_table(small_tables(), lambda lines: [[*line, *line[:4]] for line in lines])))


@pytest.mark.parametrize("row", [2, 1500])
def test_columns_of_one_name_that_differ_are_refused(
    row: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [["ImageNumber", "ObjectNumber", "AreaShape_Area", "Texture_X", "AreaShape_Area"]]
    lines += [
        ["1", str(number), f"{number}.5", "0.123456789012345678901234567890", f"{number}.5"]
        for number in range(1, 2000)
    ]
    lines[row - 1][-1] = "7"
    source = write(tmp_path / "source", {".": {"Nuclei": lines}})
    code = discover.main([str(source), "-q", "-o", str(tmp_path / "manifest")])
    if row > 1000:
        assert code == 0
        code = extract.main([str(tmp_path / "manifest"), "-q", "-o", str(tmp_path / "bundle")])
    assert code == 1
    error = capfd.readouterr().err
    assert f"Nuclei.csv, row {row}: " in error
    assert "AreaShape_Area" in error


def test_columns_without_a_name(tmp_path: Path, same: Callable[..., None], capfd: pytest.CaptureFixture[str]) -> None:
    def resaved(lines: list[Line]) -> list[Line]:
        return [[index, *line, "", ""] for index, line in zip(["", *map(str, range(len(lines)))], lines, strict=False)]

    source = write(tmp_path / "source", each_table(small_tables(), resaved))
    same(source)
    discover.main([str(source), "-o", str(tmp_path / "manifest")])
    told = capfd.readouterr().err
    assert "table cells: column 1 has no name; it is left out, with its values (0, ...)" in told
    assert told.count("table cells: columns without a name") == 1


@pytest.mark.parametrize("late", [False, True])
def test_decimal_commas(
    late: bool, tmp_path: Path, plain: pa.Table, same: Callable[..., None], convert: Convert
) -> None:
    def with_commas(lines: list[Line]) -> list[Line]:
        return [lines[0], *([text.replace(".", ",") if is_real(text) else text for text in line] for line in lines[1:])]

    def is_real(text: str) -> bool:
        return "." in text and text.replace(".", "").replace("-", "").replace("e", "").isdigit()

    trees = small_tables()
    if late:
        # Of whole numbers but for the last row.
        for tables in trees.values():
            name = measured_name(tables["Cells"])
            set_column(tables["Cells"], name, ["3"] * (len(tables["Cells"]) - 2) + ["2.25"])
    expected = parquet_table(convert(write_sheets(tmp_path / "points", trees)))
    for how in ("files", "concurrent")[: 1 + late]:
        source = write(tmp_path / how, each_table(trees, with_commas), delimiter=";")
        assert parquet_table(convert(source, how)).equals(expected)


def test_bad_values_beside_decimal_commas_are_the_only_ones_made_null(tmp_path: Path, convert: Convert) -> None:
    lines = [["ImageNumber", "ObjectNumber", "AreaShape_Area"], ["1", "1", "0,5"], ["1", "2", "oops"], ["1", "3", "7"]]
    source = write(tmp_path / "source", {".": {"Nuclei": lines}}, delimiter=";")
    table = parquet_table(convert(source, options=Options(extract=("--on-bad-value", "null"))))
    assert table["Nuclei_AreaShape_Area"].to_pylist() == [0.5, None, 7]


@pytest.mark.parametrize("place", [1, 4, None])
def test_rows_of_delimiters_alone_are_no_objects(
    place: int | None, tmp_path: Path, same: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    def with_blank_rows(lines: list[Line]) -> list[Line]:
        blank = [""] * len(lines[0])
        end = len(lines) if place is None else place
        return [*lines[:end], blank, blank, *lines[end:]]

    source = write(tmp_path / "source", each_table(small_tables(), with_blank_rows))
    same(source)
    discover.main([str(source), "-q", "-o", str(tmp_path / "manifest")])
    assert extract.main([str(tmp_path / "manifest"), "-o", str(tmp_path / "bundle")]) == 0
    files = len([*source.rglob("*.csv")])
    assert f"dropped {2 * files} rows without any value" in capfd.readouterr().err


@pytest.mark.parametrize("column", ["ImageNumber", "ObjectNumber"])
def test_a_measured_row_without_a_number_is_refused(
    column: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trees = small_tables()
    lines = next(iter(trees.values()))["Cells"]
    lines[3][column_place(lines, column)] = ""
    source = write(tmp_path / "source", trees)
    discover.main([str(source), "-q", "-o", str(tmp_path / "manifest")])
    assert extract.main([str(tmp_path / "manifest"), "-q", "-o", str(tmp_path / "bundle")]) == 1
    assert f"Cells.csv, row 4: has no {column}" in capfd.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "Mean_Foci_Number_Object_Number",
        "Mean_Foci_Children_Spots_Count",
        "Median_Foci_Parent_Nuclei",
        "StDev_Count_x",
        "PH3_Spots_Mean_Foci_Number_Object_Number",
        "Treatment_Group_Score",
        "Density_Count_Cells",
        "Math_Score",
    ],
)
def test_a_measurement_that_begins_with_whole_numbers_is_a_number(name: str, tmp_path: Path, convert: Convert) -> None:
    lines = [["ImageNumber", "ObjectNumber", name]]
    lines += [["1", str(number), "3"] for number in range(1, 9000)]
    lines[-1][-1] = "1.5"
    table = parquet_table(convert(write(tmp_path / "source", {".": {"Nuclei": lines}})))
    values = table[f"Nuclei_{name}"]
    assert values.type == "double"
    assert values.to_pylist() == [3.0] * 8998 + [1.5]


def test_utf_16_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "Nuclei.csv").write_text("ImageNumber,ObjectNumber\n1,1\n", encoding="utf-16")
    assert discover.main([str(tmp_path / "source"), "-q", "-o", str(tmp_path / "manifest")]) == 1
    assert "is UTF-16 text; save it as UTF-8" in capfd.readouterr().err


def test_a_long_field(tmp_path: Path, convert: Convert) -> None:
    lines = [["ImageNumber", "ObjectNumber", "Notes"], ["1", "1", 'a "word", ' * 50_000], ["1", "2", "b"]]
    table = parquet_table(convert(write(tmp_path / "source", {".": {"Nuclei": lines}})))
    assert table["Nuclei_Notes"].to_pylist() == [lines[1][2], "b"]


def test_a_child_with_a_prefix_is_named_without_it(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables()
    for tables in trees.values():
        tables["PlasmaMembrane"] = tables["Nuclei"]
        tables["Cytoplasm"] = [
            [
                *line,
                "Parent_PlasmaMembrane" if number == 0 else line[column_place(tables["Cytoplasm"], "Parent_Nuclei")],
            ]
            for number, line in enumerate(tables["Cytoplasm"])
        ]
    source = write(tmp_path / "source", trees, prefix="MyExpt_")
    options = Options(discover=("--compartments", "cells,cytoplasm,nuclei,plasmamembrane"))
    table = parquet_table(convert(source, options=options))
    measured = [name for name in table.column_names if name.startswith("PlasmaMembrane_")]
    assert measured
    for name in measured:
        assert table[name].to_pylist() == table[name.replace("PlasmaMembrane_", "Nuclei_")].to_pylist()
    assert not [name for name in table.column_names if "MyExpt" in name]


def test_a_filtered_parent_of_the_anchor_is_taken(tmp_path: Path, plain: pa.Table, convert: Convert) -> None:
    trees = small_tables()
    for tables in trees.values():
        nuclei = tables["Nuclei"]
        keys = [column_place(nuclei, name) for name in ("ImageNumber", "ObjectNumber")]
        # The filter numbers anew what it keeps, here all: in reverse.
        most = len(nuclei)
        filtered = [
            [image, str(most - int(number)), number]
            for image, number in ([line[key] for key in keys] for line in nuclei[1:])
        ]
        tables["FilteredNuclei"] = [["ImageNumber", "ObjectNumber", "Parent_Nuclei"], *filtered]
        cytoplasm = tables["Cytoplasm"]
        place = column_place(cytoplasm, "Parent_Nuclei")
        for line in cytoplasm[1:]:
            line[place] = str(most - int(line[place]))
        cytoplasm[0][place] = "Parent_FilteredNuclei"
    table = parquet_table(convert(write(tmp_path / "source", trees)))
    assert table.num_rows == plain.num_rows
    for name in plain.column_names:
        if name.startswith("Nuclei_"):
            assert table[name].to_pylist() == plain[name].to_pylist(), name
