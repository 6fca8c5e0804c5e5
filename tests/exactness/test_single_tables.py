"""IN Carta files have one table each: every row comes out once, in its file's order, beside the file's name."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest
from converting import Convert, Options, differences, parquet_table
from figures import Figures
from pycytominer_transform.common.model.preset import load_preset
from pycytominer_transform.common.model.roles import unit_of_field
from pycytominer_transform.tools import discover

HEADER = ["OBJECT ID", "Row", "Column", "FOV", "WELL LABEL", "Z", "Class Name", "Nuc; Area, wv1", "Slice Indicator"]


def lines_of(number: int, rows: int) -> list[list[str]]:
    """Give a file whose rows are not in the order of any column."""
    return [
        [str((i * 7 + number) % 5), "CDE"[i % 3], str(i % 4), "1", "C - 3", "1", "", f"{number}.{i:04d}", "Yes"]
        for i in range(rows, 0, -1)
    ]


def write_runs(out: Path, rows: dict[str, int], delimiter: str = ",") -> Path:
    for number, (name, count) in enumerate(rows.items()):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter=delimiter, lineterminator="\r\n").writerows([HEADER, *lines_of(number, count)])
    return out


RUNS = {"b/Run 1.csv": 9, "a.csv": 5, "b/Run 2.csv": 0, "b.csv": 7, "B/run.csv": 3}


def test_the_real_files_give_what_the_peer_makes_of_them(shared_data: Path, figures: Figures, convert: Convert) -> None:
    import pyarrow.parquet as pq

    given = parquet_table(convert(shared_data / "in_carta"))
    wanted = pq.read_table(shared_data / "expected" / "in_carta.parquet")
    assert set(given.column_names) - set(wanted.column_names) == {
        "Metadata_CellID", "Metadata_Dataset", "Metadata_TableNumber",
        "Metadata_Plate", "Metadata_Well", "Metadata_Site",
    }  # fmt: skip
    assert given["Metadata_Plate"].equals(given["Plate ID"])
    assert given["Metadata_Site"].equals(given["FOV"])
    wells = {text: f"{text[0]}{int(text[4:]):02d}" for text in given["WELL LABEL"].unique().to_pylist()}
    assert given["Metadata_Well"].to_pylist() == [wells[text] for text in given["WELL LABEL"].to_pylist()]
    assert "C03" in wells.values()
    assert unit_of_field(given.schema.field("Primary Target Area wv1")) == "µm²"
    assert unit_of_field(given.schema.field("Primary Target Max width wv1")) == "pixel"
    assert set(wanted.column_names) <= set(given.column_names)
    with next((shared_data / "in_carta").iterdir()).open() as file:
        header = next(csv.reader(file))
    assert [name for name in given.column_names if name in header] == header

    def rows(table: Any) -> list[list[Any]]:
        found = [[row[name] for name in wanted.column_names] for row in table.to_pylist()]
        return sorted(found, key=lambda row: [float(value) for value in row if isinstance(value, int | float)])

    assert rows(given) == rows(wanted)
    names = sorted(path.name for path in (shared_data / "in_carta").iterdir())
    assert given["Metadata_Dataset"].to_pylist() == [name for name in names for _ in range(figures.rows_per_run)]


@pytest.mark.parametrize("how", ["files", "streams", "concurrent"])
@pytest.mark.parametrize("size", ["1", "300", "64MB"])
def test_rows_come_in_the_order_of_files_and_rows_however_parts_are_cut(
    size: str, how: str, tmp_path: Path, convert: Convert
) -> None:
    source = write_runs(tmp_path / "source", RUNS)
    table = parquet_table(convert(source, how, Options(discover=("--part-size", size))))
    numbers = {name: number for number, name in enumerate(RUNS)}
    expected = [
        (name, float(line[7])) for name in sorted(RUNS) for line in lines_of(numbers[name], RUNS[name])
    ]  # fmt: skip
    given = list(zip(table["Metadata_Dataset"].to_pylist(), table["Nuc; Area, wv1"].to_pylist(), strict=True))
    assert given == expected
    assert table["OBJECT ID"].type == "int64"
    assert table["Slice Indicator"].unique().to_pylist() == [True]
    assert table["Class Name"].null_count == table.num_rows == sum(RUNS.values())


@pytest.mark.quick
def test_one_file_is_a_source_too_and_is_named_in_every_row(tmp_path: Path, convert: Convert) -> None:
    source = write_runs(tmp_path / "source", {"Run 1.csv": 6})
    alone = parquet_table(convert(source / "Run 1.csv"))
    assert alone["Metadata_Dataset"].unique().to_pylist() == ["Run 1.csv"]
    assert alone.equals(parquet_table(convert(source)))


def test_packed_and_with_semicolons_it_is_the_same(tmp_path: Path, convert: Convert) -> None:
    expected = parquet_table(convert(write_runs(tmp_path / "plain", RUNS))).drop_columns(
        ["Metadata_CellID", "Metadata_Dataset"]
    )
    semicolons = write_runs(tmp_path / "semicolons", RUNS, ";")
    assert parquet_table(convert(semicolons)).drop_columns(["Metadata_CellID", "Metadata_Dataset"]).equals(expected)
    for path in list(semicolons.rglob("*.csv")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    table = parquet_table(convert(semicolons))
    by_number = table.take(sorted(range(table.num_rows), key=lambda i: -table["Nuc; Area, wv1"][i].as_py()))
    wanted = expected.take(sorted(range(expected.num_rows), key=lambda i: -expected["Nuc; Area, wv1"][i].as_py()))
    assert by_number.drop_columns(["Metadata_CellID", "Metadata_Dataset", "Metadata_TableNumber"]).equals(
        wanted.drop_columns("Metadata_TableNumber")
    )


def test_files_of_another_kind_are_passed_over_and_said(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_runs(tmp_path / "source", RUNS)
    expected = convert(source)
    (source / "platemap.csv").write_text("well,drug\nA01,DMSO\n")
    (source / "empty.csv").write_text("")
    capsys.readouterr()
    assert differences(expected, convert(source)) == []
    assert "passed over 2 CSV files of another kind: empty.csv, platemap.csv" in capsys.readouterr().err


def test_a_damaged_file_is_not_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_runs(tmp_path / "source", RUNS)
    (source / "c.csv").write_bytes(b"\xff\xfe\x00")
    words = [str(source), "-o", str(tmp_path / "m")]
    assert discover.main(words) == 1
    assert "c.csv" in capsys.readouterr().err
    assert discover.main([*words, "--on-bad-dataset", "skip"]) == 0
    assert "went on without 1 bad dataset: c.csv" in capsys.readouterr().err


def test_a_tree_without_such_columns_is_not_taken_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("OBJECT ID,Area\n1,2\n")
    assert discover.main([str(tmp_path), "-o", str(tmp_path / "m")]) == 1
    assert "holds no table that a preset knows" in capsys.readouterr().err
    assert discover.main([str(tmp_path), "-o", str(tmp_path / "m"), "--preset", "in_carta"]) == 1
    assert "no CSV file has the columns OBJECT ID, WELL LABEL" in capsys.readouterr().err
    assert discover.main([str(tmp_path / "a.csv"), "-o", str(tmp_path / "m")]) == 1
    assert "is a CSV file; give the folder it lies in" in capsys.readouterr().err
    (tmp_path / "a.csv").write_bytes(b"OBJECT ID,Area\n1,\0\n")
    assert discover.main([str(tmp_path / "a.csv"), "-o", str(tmp_path / "m")]) == 1
    assert "a.csv: holds a NUL byte; it is damaged or not a CSV file" in capsys.readouterr().err


BASE = 'name = "n"\ntitle = "t"\nformat = "csv"\ncompartments = ["rows"]\ntable_name = "*"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BASE + 'recognised_by = ["rows.Id"]\n', "'compartments' must name one, and 'image' be empty"),
        (BASE + 'image = ""\n', "'recognised_by' must name a column of all files"),
        (BASE + 'image = ""\ncolumn_names = "mine"\n', "column_names is 'mine'; it may be prefixed or kept"),
        (BASE + 'image = ""\nempty_text = "x"\n', "empty_text is 'x'; it may be kept or null"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_preset_of_one_table_is_said(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.toml").write_text(text)
    assert discover.main([str(tmp_path), "--preset", str(tmp_path / "own.toml"), "-o", str(tmp_path / "m")]) == 2
    assert said in capsys.readouterr().err


def test_a_preset_of_ones_own_for_files_of_one_table(tmp_path: Path, convert: Convert) -> None:
    text = BASE + 'image = ""\nobject_number = ""\nrecognised_by = ["rows.Id"]\ntext = ["Well"]\n'
    (tmp_path / "own.toml").write_text(text)
    assert load_preset(str(tmp_path / "own.toml")).is_single_table
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "x.csv").write_text("Id,Well,Area\n2,01,0.5\n1,,\n")
    options = Options(discover=("--preset", str(tmp_path / "own.toml")))
    rows = parquet_table(convert(tmp_path / "source", options=options)).to_pylist()
    own = {"Metadata_Dataset": "x.csv"}
    assert rows == [
        own | {"Metadata_CellID": "x.csv:1", "Rows_Area": 0.5, "Rows_Id": 2.0, "Rows_Well": "01"},
        own | {"Metadata_CellID": "x.csv:2", "Rows_Area": None, "Rows_Id": 1.0, "Rows_Well": ""},
    ]
