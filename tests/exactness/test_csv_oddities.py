"""Odd CSV sources: each gives every row and every value as it stands there, or is refused in one clear line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from converting import Convert, Options, parquet_table
from pycytominer_transform.common.model.conversion import number_of
from pycytominer_transform.tools import discover, extract

Row = tuple[object, ...]
SKIP = Options(discover=("--on-bad-dataset", "skip"))


def rows_of(source: Path, out: Path, options: Options | None = None) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = parquet_table(Convert(out)(source, options=options)).to_pylist()
    return rows


def refused(
    capfd: pytest.CaptureFixture[str], source: Path | str, *words: str, out: Path, options: tuple[str, ...] = ()
) -> None:
    """See that pct-discover refuses a source in one line, maybe after warnings, and says these words."""
    assert discover.main([str(source), "--quiet", "-o", str(out), *options]) == 1
    said = capfd.readouterr().err
    *warnings, _ = said.splitlines()
    assert all(line.startswith("pct-discover: warning: ") for line in warnings)
    assert not out.exists()
    assert all(word in said for word in words), said


def write_table(path: Path, columns: tuple[str, ...], rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in (columns, *rows)), encoding="utf-8")


def write_folder(
    folder: Path, *, image: dict[str, object] | None = None, cells: dict[str, list[object]] | None = None
) -> Path:
    """Write one export folder of three objects; `image` and `cells` are further columns."""
    image, cells = image or {}, cells or {}
    write_table(
        folder / "Image.csv", ("ImageNumber", "Count_Cells", "FileName_DNA", *image), [(1, 3, "a.tif", *image.values())]
    )
    numbers = (1, 2, 3)
    more = zip(*cells.values(), strict=True) if cells else [()] * 3
    write_table(
        folder / "Cells.csv",
        ("ImageNumber", "ObjectNumber", *cells),
        [(1, number, *values) for number, values in zip(numbers, more, strict=True)],
    )
    write_table(
        folder / "Nuclei.csv",
        ("ImageNumber", "ObjectNumber", "AreaShape_Area"),
        [(1, number, number * 1.5) for number in numbers],
    )
    write_table(
        folder / "Cytoplasm.csv",
        ("ImageNumber", "ObjectNumber", "Parent_Cells", "Parent_Nuclei"),
        [(1, number, number, number) for number in numbers],
    )
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def test_a_table_number_that_only_some_tables_have_joins_nothing(source: Path, tmp_path: Path) -> None:
    for name in "ab":
        write_folder(source / name, cells={"TableNumber": [7, 7, 7], "AreaShape_Area": [1, 2, 3]})
    rows = rows_of(source, tmp_path / "out")
    assert [(row["Metadata_Dataset"], row["Cells_AreaShape_Area"]) for row in rows] == [
        (name, area) for name in "ab" for area in (1, 2, 3)
    ]


@pytest.mark.parametrize(("text", "value"), [("1.0", "1.0"), ("1", 1), ("1.5", 1.5), ("1e5", "1e5"), ("0012", "0012")])
def test_metadata_stays_as_it_is(text: str, value: object, source: Path, tmp_path: Path) -> None:
    (row, *_) = rows_of(write_folder(source, image={"Metadata_Plate": text}), tmp_path / "out")
    got = row["Metadata_Plate"]
    assert str(got) == str(value)


@pytest.mark.parametrize("name", ["Metadata_Group_Name", "Metadata_Parent_Compound", "Metadata_Count_x"])
def test_metadata_may_be_named_like_a_count(name: str, source: Path, tmp_path: Path) -> None:
    (row, *_) = rows_of(
        write_folder(source, image={name: "control"}), tmp_path / "out", Options(join=("--image-columns", "all"))
    )
    assert row[name] == "control"


@pytest.mark.parametrize("name", ["Metadata_Dataset", "Metadata_dataset", "Metadata_tablenumber"])
def test_a_column_named_as_the_tools_name_theirs(
    name: str, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_folder(source, cells={name: ["mine"] * 3})
    refused(capfd, source, "cells", name, "rename", out=tmp_path / "manifest.arrow")


def bad_value_rows(source: Path, out: Path) -> list[tuple[object, object]]:
    rows = rows_of(source, out, Options(extract=("--on-bad-value", "null")))
    return [(row["Cells_AreaShape_A"], row["Cells_AreaShape_B"]) for row in rows]


def test_a_bad_value_leaves_those_with_blanks_around_them_alone(source: Path, tmp_path: Path) -> None:
    write_folder(source, cells={"AreaShape_A": [" 2.5", "3.5 ", "\t4.5"], "AreaShape_B": [" 1", 2, "oops"]})
    assert bad_value_rows(source, tmp_path / "out") == [(2.5, 1), (3.5, 2), (4.5, None)]


def test_the_value_that_is_bad_is_blamed(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_folder(source, cells={"AreaShape_A": [" 2.5", "3.5 ", "\t4.5"], "AreaShape_B": [" 1", 2, "oops"]})
    manifest = str(tmp_path / "manifest.arrow")
    assert discover.main([str(source), "-q", "-o", manifest]) == 0
    assert extract.main([manifest, "-q", "-o", str(tmp_path / "bundle")]) == 1
    assert "row 4, column 'AreaShape_B': 'oops'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9007199254740993.0", 9007199254740993),
        ("9.007199254740995e15", 9007199254740995),
        ("9007199254740.995E3", 9007199254740995),
        ("90071992547409950e-1", 9007199254740995),
        ("1e3", 1000),
        (" 7 ", 7),
        ("6.268425585172607e+16", 62684255851726072),
    ],
)
def test_a_whole_number_is_exact(text: str, number: int) -> None:
    assert number_of(text, "int64") == number


@pytest.mark.parametrize("text", ["1e400", "-1e400", "9" * 400, "1e99999999999999999999"])
def test_a_number_too_large_is_no_whole_number_and_an_infinite_measurement(
    text: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"\d|Inf"):
        number_of(text, "int64")
    infinite = float(text)
    assert number_of(text, "float64") == infinite
    assert number_of("-Infinity", "float64") == float("-inf")
    # The same whether another value of the file is bad, so that its values are looked at one by one, or not.
    for bad in ("1", "oops"):
        folder = write_folder(source / bad, cells={"AreaShape_Area": [text, bad, 1]})
        rows = rows_of(folder, tmp_path / f"made-{bad}", Options(extract=("--on-bad-value", "null")))
        assert rows[0]["Cells_AreaShape_Area"] == infinite


def test_an_empty_source_is_not_the_current_folder(capfd: pytest.CaptureFixture[str]) -> None:
    assert discover.main([""]) == 2
    assert "empty" in capfd.readouterr().err


def test_the_image_table_is_no_compartment(source: Path, tmp_path: Path) -> None:
    write_folder(source)
    named = Options(discover=("--compartments", "image,cells,cytoplasm,nuclei"))
    assert rows_of(source, tmp_path / "a", named) == rows_of(source, tmp_path / "b")
    assert discover.main([str(source), "-q", "--compartments", "image", "-o", str(tmp_path / "manifest")]) == 2


def test_a_folder_that_lost_its_compartments(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_folder(source / "a")
    write_table(source / "b" / "Image.csv", ("ImageNumber", "Count_Cells"), [(1, 3)])
    refused(capfd, source, "dataset b", "cells", "--on-bad-dataset skip", out=tmp_path / "manifest")
    assert len(rows_of(source, tmp_path / "out", SKIP)) == 3


@pytest.mark.parametrize("rows", [[], [(1, 0)], [(1, "nan")], [(1, "NULL"), (2, "")]])
def test_a_folder_without_objects_needs_no_compartments(rows: list[Row], source: Path, tmp_path: Path) -> None:
    write_folder(source / "a")
    write_table(source / "b" / "Image.csv", ("ImageNumber", "Count_Cells"), rows)
    assert len(rows_of(source, tmp_path / "out")) == 3


@pytest.mark.parametrize("first", ["a", "b"])
def test_files_staged_twice_by_links_are_taken_once(
    first: str, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = {"a": "b", "b": "a"}[first]
    write_folder(source / first)
    write_folder(source / "c")
    (source / other).mkdir()
    for file in (source / first).iterdir():
        (source / other / file.name).symlink_to(file)
    rows = rows_of(source, tmp_path / "out")
    assert {row["Metadata_Dataset"] for row in rows} == {first, "c"}
    assert len(rows) == 6
    assert f"{other} has the files of {first}" in capfd.readouterr().err


def test_datasets_that_share_one_table_are_bad(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        write_folder(source / name)
    (source / "b" / "Nuclei.csv").unlink()
    (source / "b" / "Nuclei.csv").symlink_to(source / "a" / "Nuclei.csv")
    refused(capfd, source, "dataset b", "those of a", out=tmp_path / "manifest")


def pipe_for_nuclei(folder: Path) -> None:
    (folder / "Nuclei.csv").unlink()
    os.mkfifo(folder / "Nuclei.csv")


def second_cells(folder: Path) -> None:
    (folder / "cells.csv").write_bytes((folder / "Cells.csv").read_bytes())


def cut_cells(folder: Path) -> None:
    (folder / "Cells.csv").write_bytes((folder / "Cells.csv").read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (pipe_for_nuclei, ("b/Nuclei.csv is a named pipe", "no table nuclei")),
        (second_cells, ("b: ", "cells.csv", "Cells.csv")),
        (cut_cells, ("b/Cells.csv", "no line end")),
    ],
)
def test_a_bad_folder_is_found_early_and_can_be_skipped(
    spoil: Callable[[Path], None],
    words: tuple[str, ...],
    source: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in "ab":
        write_folder(source / name)
    spoil(source / "b")
    refused(capfd, source, *words, out=tmp_path / "manifest")
    assert len(rows_of(source, tmp_path / "out", SKIP)) == 3
