"""Bad CSV sources: each ends in one line that names the place, exit code 1, and nothing left behind."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from plates_sheets import SMALL, column_place, measured_name, set_column, small_tables, write_sheets
from running import entries, run
from spoiling import FOLDERS, convert, first_failure, rows_of, without_objects, write_and_spoil

CELLS = f"{FOLDERS[1]}/Cells.csv"
IMAGE = f"{FOLDERS[1]}/Image.csv"
FEATURE = measured_name(small_tables()[FOLDERS[1]]["Cells"])

Spoil = Callable[[bytes], bytes]


def with_rows(change: Callable[[list[list[str]]], None]) -> Spoil:
    """Make a change of rows a change of bytes."""

    def spoil(content: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(content.decode())))
        change(rows)
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    return spoil


def text_in(column: str, text: str, row: int = 3) -> Spoil:
    """Put a text into a column; the header is row 1."""

    def change(rows: list[list[str]]) -> None:
        rows[row - 1][rows[0].index(column)] = text

    return with_rows(change)


def padded(row: bytes, content: bytes, size: int = 100_000) -> bytes:
    """Put a row behind so many good ones that no look at a file's beginning sees it."""
    header, first, *_ = content.splitlines(keepends=True)
    return header + first * (size // len(first)) + row + first


def dropped_column(column: str) -> Spoil:
    def change(rows: list[list[str]]) -> None:
        place = rows[0].index(column)
        for row in rows:
            del row[place]

    return with_rows(change)


SPOILT: dict[str, tuple[str, Spoil, tuple[str, ...]]] = {
    "empty though counted": ("Cells.csv", lambda _: b"", (CELLS, "no rows", IMAGE)),
    "header only though counted": ("Cells.csv", lambda all_: all_.splitlines(True)[0], (CELLS, "no rows", IMAGE)),
    "white space only": ("Cells.csv", lambda _: b"\n \n\n", (CELLS,)),
    "image table empty": ("Image.csv", lambda _: b"", (IMAGE, "no rows")),
    "image table header only": ("Image.csv", lambda all_: all_.splitlines(True)[0], (IMAGE, "no rows")),
    "cut off mid-row": ("Cells.csv", lambda all_: all_[:-30], (CELLS, "cut off")),
    "cut off in the last field": ("Cells.csv", lambda all_: all_[:-2], (CELLS, "cut off")),
    "cut off in the header": ("Cells.csv", lambda all_: all_[:25], (CELLS,)),
    "a row too short": ("Cells.csv", lambda all_: all_ + b"1,2,3\n", (CELLS, "row ", "3 fields")),
    "a row too long": ("Cells.csv", lambda all_: all_[:-1] + b",1,2\n", (CELLS, "row ", "fields")),
    "a row too short, far in": ("Cells.csv", lambda all_: padded(b"1,2,3\n", all_), (CELLS, "row ", "3 fields")),
    "rubbish": ("Cells.csv", lambda _: bytes(range(1, 256)) * 9, (CELLS, "not")),
    "rubbish with a good header": (
        "Cells.csv", lambda all_: all_.splitlines(True)[0] + bytes(range(128, 256)) * 9 + b"\n", (CELLS, "UTF-8"),
    ),
    "rubbish far in": ("Cells.csv", lambda all_: padded(b"\xfe\xff\xc3\n", all_), (CELLS, "row ")),
    "gzip, not CSV": ("Cells.csv", lambda _: bytes.fromhex("1f8b0800000000000003") + bytes(range(1, 99)), (CELLS,)),
    "UTF-16": ("Cells.csv", lambda all_: all_.decode().encode("utf-16"), (CELLS,)),
    "a NUL byte": ("Cells.csv", lambda all_: all_[:-4] + b"\0" + all_[-4:], (CELLS, "NUL")),
    "a NUL byte far in": ("Cells.csv", lambda all_: padded(b"\0", all_), (CELLS, "NUL")),
    "a quote that never ends": ("Cells.csv", lambda all_: all_ + b'"1,2\n', (CELLS,)),
    "a column named twice": (
        "Cells.csv", lambda all_: all_.replace(b"ObjectNumber", FEATURE.encode(), 1), (CELLS, "twice", FEATURE),
    ),
    "no image number": ("Cells.csv", dropped_column("ImageNumber"), (CELLS, "ImageNumber")),
    "no object number": ("Cells.csv", dropped_column("ObjectNumber"), (CELLS, "ObjectNumber")),
    "text in a number column": ("Cells.csv", text_in(FEATURE, "oops"), (CELLS, "row 3", FEATURE, "oops")),
    "text in an image number": ("Cells.csv", text_in("ImageNumber", "one"), (CELLS, "row 3", "ImageNumber", "one")),
    "half an object number": ("Cells.csv", text_in("ObjectNumber", "1.5"), (CELLS, "ObjectNumber", "1.5")),
    "an object number too large": ("Cells.csv", text_in("ObjectNumber", "9" * 20), (CELLS, "ObjectNumber", "9" * 20)),
    "a decimal comma": ("Cells.csv", text_in(FEATURE, "0,5"), (CELLS, "row 3", FEATURE, "0,5")),
    "an object twice": (
        "Cells.csv", lambda all_: all_ + all_.splitlines(True)[1], ("table cells", FOLDERS[1], "ObjectNumber 1"),
    ),
    "an image set twice": (
        "Image.csv", lambda all_: all_ + all_.splitlines(True)[1], ("table image", FOLDERS[1], "ImageNumber 1"),
    ),
    "an anchor's object twice": (
        "Cytoplasm.csv", lambda all_: all_ + all_.splitlines(True)[1], ("table cytoplasm", FOLDERS[1]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_one_spoilt_file_of_many(case: str, tmp_path: Path) -> None:
    file, spoil, words = SPOILT[case]
    source = write_and_spoil(tmp_path / "plate", file, spoil)
    first_failure(source, tmp_path / "out").failed(1, *words)


@pytest.mark.parametrize("table", ["Image", "Cells", "Cytoplasm", "Nuclei"])
def test_a_table_cut_off_at_any_byte_is_noticed(table: str, tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    path = source / FOLDERS[1] / f"{table}.csv"
    whole = path.read_bytes()
    last_row = whole.rstrip(b"\n").rfind(b"\n") + 1
    # A file that ends where a row ends is whole as far as anybody can tell; it is the last row that is cut here.
    for cut in range(last_row + 1, len(whole), 7):
        path.write_bytes(whole[:cut])
        first_failure(source, tmp_path / "out").failed(1, f"{FOLDERS[1]}/{table}.csv")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ([], ["no files"]),
        (["notes.txt", "Experiment.csv"], ["no table", "Experiment.csv"]),
        ([".Cells.csv", ".git/Cells.csv"], ["no files"]),
        (["a/b/c/Spots.csv", "a/b/c/Blobs.csv"], ["no table", "Spots.csv", "--compartments"]),
    ],
)
def test_a_tree_without_a_table(made: list[str], words: list[str], tmp_path: Path) -> None:
    source = tmp_path / "plate"
    source.mkdir()
    for name in made:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("ImageNumber,ObjectNumber\n1,1\n")
    first_failure(source, tmp_path / "out").failed(1, str(source), *words)


def test_a_csv_file_for_a_source(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables()) / CELLS
    first_failure(source, tmp_path / "out").failed(1, str(source), "folder")


def test_an_empty_file_for_a_source(tmp_path: Path) -> None:
    source = tmp_path / "plate.csv"
    source.touch()
    first_failure(source, tmp_path / "out").failed(1, str(source), "empty")


def test_a_compartment_missing_from_one_dataset_of_many(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    (source / FOLDERS[1] / "Nuclei.csv").unlink()
    line = first_failure(source, tmp_path / "out").failed(1, FOLDERS[1], "nuclei", "--on-bad-dataset skip")
    assert not any(folder in line for folder in (FOLDERS[0], FOLDERS[2]))


@pytest.mark.parametrize("case", ["empty though counted", "rubbish", "a column named twice", "no image number"])
def test_a_bad_dataset_can_be_skipped(case: str, tmp_path: Path) -> None:
    file, spoil, words = SPOILT[case]
    source = write_and_spoil(tmp_path / "plate", file, spoil)
    ended = convert(source, tmp_path / "out", {"discover": ["--on-bad-dataset", "skip"]})
    assert [ran.code for ran in ended] == [0, 0, 0, 0]
    last = ended[0].lines[-1]
    assert last.startswith("pct-discover: warning: went on without 1 bad dataset: ")
    assert all(word in last for word in words)
    (tmp_path / "out" / "made.parquet").unlink()
    rows = rows_of(source, tmp_path / "out", {"discover": ["--on-bad-dataset", "skip"]})
    assert {row["Metadata_Dataset"] for row in rows} == {FOLDERS[0], FOLDERS[2]}


def test_no_dataset_is_left_when_all_are_bad(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    for folder in FOLDERS:
        (source / folder / "Cells.csv").write_bytes(b"\xff\xfe rubbish")
    ran = run("discover", source, "-q", "--on-bad-dataset", "skip", "-o", tmp_path / "manifest.arrow")
    ran.failed(1, "all 3 datasets", alone=False)
    assert entries(tmp_path) == {"plate"}


def test_a_bad_value_can_be_made_null(tmp_path: Path) -> None:
    source = write_and_spoil(tmp_path / "plate", "Cells.csv", text_in(FEATURE, "oops"))
    path = source / FOLDERS[2] / "Cells.csv"
    path.write_bytes(text_in(FEATURE, "?", row=2)(path.read_bytes()))
    ended = convert(source, tmp_path / "out", {"extract": ["--on-bad-value", "null"]})
    assert [ran.code for ran in ended] == [0, 0, 0, 0]
    assert ended[1].lines == [f"pct-extract: warning: made 2 values null that were no numbers: {FEATURE} (2)"]
    (tmp_path / "out" / "made.parquet").unlink()
    good = rows_of(write_sheets(tmp_path / "good", small_tables()), tmp_path / "good out")
    rows = rows_of(source, tmp_path / "out2", {"extract": ["--on-bad-value", "null"], "discover": ["-q"]})
    differing = [
        (row["Metadata_Dataset"], row["Metadata_Cytoplasm_Parent_Cells"], name, row[name])
        for row, other in zip(rows, good, strict=True)
        for name in row
        if row[name] != other[name]
    ]
    assert differing == [(FOLDERS[1], 2, f"Cells_{FEATURE}", None), (FOLDERS[2], 1, f"Cells_{FEATURE}", None)]


@pytest.mark.parametrize("name", ["cells.csv", "CELLS.CSV"])
def test_two_files_of_one_table(name: str, tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    (source / FOLDERS[1] / name).write_bytes((source / CELLS).read_bytes())
    first_failure(source, tmp_path / "out").failed(1, FOLDERS[1], name, "Cells.csv")


@pytest.mark.parametrize(("end", "before"), [("\r\n", ""), ("\n", "\ufeff"), ("\r\n", "\ufeff")])
def test_windows_files_simply_work(end: str, before: str, tmp_path: Path) -> None:
    plain = rows_of(write_sheets(tmp_path / "plain", small_tables()), tmp_path / "one")
    assert rows_of(write_sheets(tmp_path / "windows", small_tables(), end, before), tmp_path / "two") == plain


@pytest.mark.parametrize("header", [True, False])
def test_no_objects_are_no_rows(header: bool, tmp_path: Path) -> None:
    trees = small_tables()
    without_objects(trees[FOLDERS[1]])
    source = write_sheets(tmp_path / "plate", trees)
    if not header:
        for name in ("Cells", "Cytoplasm", "Nuclei"):
            (source / FOLDERS[1] / f"{name}.csv").write_bytes(b"")
    rows = rows_of(source, tmp_path / "out")
    assert {row["Metadata_Dataset"] for row in rows} == {FOLDERS[0], FOLDERS[2]}
    assert len(rows) == sum(len(trees[folder]["Cytoplasm"]) - 1 for folder in FOLDERS)


def test_columns_that_only_some_files_have_are_listed(tmp_path: Path) -> None:
    trees = small_tables(SMALL)
    cells = trees[FOLDERS[2]]["Cells"]
    place = column_place(cells, FEATURE)
    for line in cells:
        del line[place]
    source = write_sheets(tmp_path / "plate", trees)
    ran = run("discover", source, "-q").done()
    assert len(ran.lines) == 1
    assert ran.lines[0].startswith("pct-discover: warning: table cells: 1 of ")
    assert FEATURE in ran.lines[0]


def test_numbers_without_objects_are_counted_not_hidden(tmp_path: Path) -> None:
    trees = small_tables()
    set_column(trees[FOLDERS[0]]["Cytoplasm"], "Parent_Cells", ["77", "78"])
    ended = convert(write_sheets(tmp_path / "plate", trees), tmp_path / "out")
    assert [ran.code for ran in ended] == [0, 0, 0, 0]
    assert ended[2].lines == ["pct-join: warning: 2 objects dropped: 2 lacked cells"]
