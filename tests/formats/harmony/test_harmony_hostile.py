"""Damaged and odd lists of objects: each ends in one line that names the place, or is read as it is meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from converting import Convert, Options, differences, parquet_table
from harmony_exports import Style, evaluation_of, object_rows, write_evaluation
from msgspec.structs import replace
from oracle_harmony import expected_rows
from pycytominer_transform.common.ipc.manifest_files import read_manifest, write_manifest
from running import entries, run
from spoiling import first_failure

FILE = "Objects_Population - Nuclei.txt"
BAD = f"{evaluation_of('PLATE2')}/{FILE}"
FIRST = 11
"""The line of the first object."""
LINES = FIRST + 11

Spoil = Callable[[bytes], bytes]


def plates(out: Path, style: Style | None = None) -> Path:
    """Write three plates of twelve objects, of which `BAD` is the second's file."""
    for seed, plate in enumerate(("PLATE1", "PLATE2", "PLATE3")):
        write_evaluation(out, [object_rows("Nuclei", seed=seed)], style, evaluation_of(plate))
    return out


def spoilt(out: Path, spoil: Spoil) -> Path:
    plates(out)
    (out / BAD).write_bytes(spoil((out / BAD).read_bytes()))
    return out


def in_line(number: int, change: Callable[[list[bytes]], None]) -> Spoil:
    """Change the fields of a line, counted from 1."""

    def spoil(content: bytes) -> bytes:
        lines = content.split(b"\r\n")
        fields = lines[number - 1].split(b"\t")
        change(fields)
        lines[number - 1] = b"\t".join(fields)
        return b"\r\n".join(lines)

    return spoil


def put(place: int, text: bytes) -> Callable[[list[bytes]], None]:
    def change(fields: list[bytes]) -> None:
        fields[place] = text

    return change


def drop(fields: list[bytes]) -> None:
    del fields[-4:]


def again(content: bytes) -> bytes:
    return content + content.splitlines(keepends=True)[-1]


ROW, COLUMN, FIELD, OBJECT, X, AREA = 0, 1, 4, 5, 6, 14
SPOILT: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "empty": (lambda _: b"", ("has no line [Data]",)),
    "another kind of text": (lambda _: b"Well\tCount\nA01\t3\n", ("has no line [Data]",)),
    "cut off in the head": (lambda all_: all_[:60], ("has no line [Data]",)),
    "cut off behind the head": (lambda all_: all_[: all_.index(b"[Data]") + 8], ("has no header",)),
    "cut off in the header": (lambda all_: all_[: all_.index(b"Object No") + 3], ("no column Object No",)),
    "cut off in the last row": (lambda all_: all_[:-30], ("the last row has no line end",)),
    "cut off before the last line end": (lambda all_: all_[:-2], ("the last row has no line end",)),
    "rubbish": (lambda _: bytes(range(1, 256)) * 9, ("damaged or not a list of objects",)),
    "zeros": (lambda all_: all_[:-200] + bytes(200) + b"\r\n", ("NUL byte",)),
    "gzip": (lambda _: bytes.fromhex("1f8b080000000000000300") + bytes(range(1, 99)), ("NUL byte",)),
    "no column of wells": (lambda all_: all_.replace(b"Row\t", b"Rank\t", 1), ("no column Row in the header",)),
    "a first row too short": (in_line(FIRST, drop), (f"row {FIRST}: ", "fields where the header has")),
    "a row too short in the middle": (in_line(FIRST + 4, drop), (f"row {FIRST + 4}: ", "fields where the header has")),
    "a last row too short": (in_line(LINES, drop), (f"row {LINES}: ", "fields where the header has")),
    "a row too long": (in_line(FIRST + 4, lambda f: f.append(b"1")), (f"row {FIRST + 4}: ",)),
    "text in a row's well": (in_line(FIRST + 5, put(ROW, b"B")), (f"row {FIRST + 5}, column 'Row': 'B' is not",)),
    "half a field": (in_line(FIRST + 5, put(FIELD, b"1.5")), (f"row {FIRST + 5}, column 'Field': '1.5' is not",)),
    "no well": (in_line(FIRST + 5, put(COLUMN, b"")), (f"row {FIRST + 5}, column 'Column': is empty",)),
    "a row of no plate": (in_line(FIRST + 5, put(ROW, b"0")), (f"row {FIRST + 5}: no plate has a well in row 0",)),
    "an endless row": (in_line(FIRST + 5, put(ROW, b"9" * 30)), (f"row {FIRST + 5}, column 'Row'", "is not")),
    "text in a measurement": (in_line(FIRST + 5, put(AREA, b"oops")), (f"row {FIRST + 5}, column 'Nuclei", "oops")),
    "no number of an object": (in_line(FIRST + 5, put(OBJECT, b"")), (f"row {FIRST + 5}: has no Object No",)),
    "half a number of an object": (in_line(FIRST + 5, put(OBJECT, b"1.5")), (f"row {FIRST + 5}, column 'Object No'",)),
    "an object twice": (again, ("table nuclei", "Metadata_ObjectNumber 3 more than once")),
    "a NUL byte": (in_line(FIRST + 5, put(AREA, b"1\0")), ("NUL byte",)),
    "bytes that are no UTF-8": (in_line(FIRST + 5, put(AREA, b"\xff")), ("row ",)),
    "a quote that never ends": (in_line(LINES, put(X, b'"5')), ("row ",)),
    "an unknown decimal comma": (in_line(FIRST + 5, put(AREA, b"0,5")), (f"row {FIRST + 5}", "'0,5'")),
    "a column twice": (lambda all_: all_.replace(b"Y\tBound", b"X\tBound", 1), ("names a column twice, X",)),
}  # fmt: skip


IN_OTHER_WAYS = ("cut off in the last row", "a row too short in the middle", "text in a measurement", "an object twice")


@pytest.mark.parametrize(
    ("how", "case"),
    [*(("files", case) for case in SPOILT), *((how, case) for how in ("pipe", "concurrent") for case in IN_OTHER_WAYS)],
)
def test_one_spoilt_file_of_many(how: str, case: str, tmp_path: Path, convert: Convert) -> None:
    spoil, words = SPOILT[case]
    source = spoilt(tmp_path / "source", spoil)
    if how == "files":
        line = first_failure(source, tmp_path / "out").failed(1, *words)
        assert evaluation_of("PLATE2") in line
    skip = Options(discover=("--on-bad-dataset", "skip"))
    given = parquet_table(convert(source, how, skip)).drop_columns(["Metadata_CellID", "Metadata_TableNumber"])
    (source / BAD).unlink()
    assert given.to_pylist() == expected_rows(source, "Nuclei")


def test_a_list_cut_off_at_any_byte_of_its_last_row_is_noticed(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "source", [object_rows("Nuclei", cells=1)], Style("utf-16"))
    whole = (folder / FILE).read_bytes()
    last = whole.rstrip(b"\r\n\0\t").rfind(b"\n") + 2
    for cut in range(last + 1, len(whole), 5):
        (folder / FILE).write_bytes(whole[:cut])
        run("discover", tmp_path / "source", "-q", "-o", tmp_path / "m").failed(1, "the last row has no line end")
    assert entries(tmp_path) == {"source"}


def test_texts_among_numbers_become_null_where_the_user_says_so(tmp_path: Path, convert: Convert) -> None:
    source = spoilt(tmp_path / "source", in_line(FIRST + 5, put(AREA, b"oops")))
    for size in ("1", "64MB"):
        options = Options(discover=("--part-size", size), extract=("--on-bad-value", "null"))
        table = parquet_table(convert(source, options=options))
        assert table["Nuclei_Nuclei Area [µm²]"].null_count == 1
        assert table.num_rows == 36
    run("discover", source, "-o", tmp_path / "m", "--part-size", "1").done()
    ran = run("extract", tmp_path / "m", "-o", tmp_path / "b", "--on-bad-value", "null").done()
    assert "made 1 value null that were no numbers: Nuclei - Nuclei Area [µm²] (1)" in ran.err


@pytest.mark.parametrize("size", ["1", "64MB"])
def test_a_fault_is_named_by_its_line_in_whatever_part_it_lies(size: str, tmp_path: Path) -> None:
    source = spoilt(tmp_path / "source", in_line(LINES, put(AREA, b"oops")))
    run("discover", source, "-o", tmp_path / "m", "--part-size", size).done()
    run("extract", tmp_path / "m", "-q", "-o", tmp_path / "b").failed(1, f"{BAD}, row {LINES}, column 'Nuclei - Nuclei")


@pytest.mark.parametrize("style", [Style(), Style("utf-16"), Style(comma=True)])
def test_rows_that_spreadsheets_leave_and_empty_lines_are_no_objects(
    style: Style, tmp_path: Path, convert: Convert
) -> None:
    source = tmp_path / "source"
    folder = write_evaluation(source, [object_rows("Nuclei")], style)
    expected = convert(source)
    head, _, table = (folder / FILE).read_bytes().decode(style.encoding).partition("[Data]\r\n")
    header, *rows = table.split("\r\n")
    blank = "\t" * header.count("\t")
    lines = [header, "", blank, *rows[:4], "", *rows[4:-1], blank, blank, "", ""]
    (folder / FILE).write_bytes(style.encoded(f"{head}[Data]\r\n" + "\r\n".join(lines)))
    for size in ("1", "64MB"):
        given = convert(source, options=Options(discover=("--part-size", size)))
        assert differences(expected, given) == []
    run("discover", source, "-o", tmp_path / "m").done()
    assert "2 rows without any value" in run("extract", tmp_path / "m", "-o", tmp_path / "b").done().err


def test_a_file_saved_again_by_a_spreadsheet(tmp_path: Path, convert: Convert) -> None:
    """Fields with commas get quotes, and the lines of the head as many tabs as the widest line."""
    source = tmp_path / "source"
    folder = write_evaluation(source, [object_rows("Nuclei")])
    expected = convert(source)
    lines = (folder / FILE).read_text().split("\n")
    tabs = "\t" * (lines[9].count("\t") - 1)
    lines[:9] = [f"{line}{tabs}" for line in lines[:9]]
    lines[9:] = ["\t".join(f'"{f}"' if "," in f else f for f in line.split("\t")) for line in lines[9:]]
    (folder / FILE).write_text("\n".join(lines))
    assert differences(expected, convert(source)) == []


def test_columns_without_a_name_are_left_out_and_named(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    folder = write_evaluation(source, [object_rows("Nuclei")])
    expected = parquet_table(convert(source)).drop_columns(["Metadata_Cell Type"])
    (folder / FILE).write_bytes((folder / FILE).read_bytes().replace(b"\tCell Type\t", b"\t\t"))
    assert parquet_table(convert(source)).equals(expected)
    ran = run("discover", source, "-o", tmp_path / "m").done()
    assert "table nuclei: column 14 has no name; it is left out, with its values (HeLa, ...)" in ran.err


def test_a_file_that_has_changed_since_it_was_described(tmp_path: Path) -> None:
    source = plates(tmp_path / "source")
    run("discover", source, "-o", tmp_path / "m").done()
    with (source / BAD).open("ab") as file:
        file.write(b"\r\n")
    run("extract", tmp_path / "m", "-q", "-o", tmp_path / "b").failed(1, BAD, "has changed since pct-discover looked")


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        (((0, 20),), "does not have the rows"),
        (((600, 1 << 62),), "does not have the rows"),
        (((-9, 1 << 40),), "does not have the rows"),
        (((900, 700),), "does not have the rows"),
        ((), "0 rows where pct-discover found 12"),
    ],
)
def test_a_manifest_of_other_rows(ranges: tuple[tuple[int, int], ...], words: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei")])
    run("discover", source, "-o", tmp_path / "m").done()
    manifest = read_manifest(str(tmp_path / "m"))
    changed = replace(manifest, sources=(replace(manifest.sources[0], row_ranges=ranges),))
    with (tmp_path / "changed").open("wb") as sink:
        write_manifest(changed, sink, as_file=True)
    run("extract", tmp_path / "changed", "-q", "-o", tmp_path / "b").failed(1, words)


def test_pipes_are_passed_over_and_links_read_once(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    folder = write_evaluation(source, [object_rows("Nuclei")])
    expected = convert(source)
    os.mkfifo(folder / "Objects_Population - Cells.txt")
    (source / "again").mkdir()
    (source / "again" / FILE).symlink_to(folder / FILE)
    assert differences(expected, convert(source)) == []
    ran = run("discover", source, "-o", tmp_path / "m").done()
    assert "is a named pipe, not a file; passed over" in ran.err
    assert "by links; they are taken once" in ran.err
    run("discover", folder / "Objects_Population - Cells.txt", "-q", "-o", tmp_path / "n").failed(1, "a named pipe")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    source = plates(tmp_path / "source")
    (source / BAD).unlink()
    (source / BAD).symlink_to("nowhere")
    run("discover", source, "-q", "-o", tmp_path / "m").failed(1, "No such file")
    ran = run("discover", source, "-o", tmp_path / "m", "--on-bad-dataset", "skip").done()
    assert "went on without 1 bad dataset" in ran.err
    assert len(read_manifest(str(tmp_path / "m")).sources) == 2


def test_two_files_of_one_population_in_a_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    folder = write_evaluation(source, [object_rows("Nuclei")])
    (folder / "Objects_Population - Nuclei copy.txt").write_bytes((folder / FILE).read_bytes())
    words = ("Nuclei copy.txt", FILE, "are both the population nuclei")
    run("discover", source, "-q", "-o", tmp_path / "m").failed(1, *words)


def test_rows_of_one_image_that_lie_apart(tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    def mix(rows: list[dict[str, str]]) -> None:
        rows.sort(key=lambda row: (int(row["Object No"]), -int(row["Column"])))

    source, sizes = tmp_path / "source", ("1", "64MB")
    write_evaluation(source, [object_rows("Nuclei").changed(mix)])
    outs = [convert(source, options=Options(discover=("--part-size", size))) for size in sizes]
    monkeypatch.setattr("pycytominer_transform.common.formats.harmony.image_sets._MOST_RUNS", 5)
    outs += [convert(source, options=Options(discover=("--part-size", size))) for size in sizes]
    rows = expected_rows(source, "Nuclei")
    for out in outs:
        given = parquet_table(out).drop_columns("Metadata_CellID").to_pylist()
        assert given == rows
        assert differences(outs[0], out) == []
    run("discover", source, "-o", tmp_path / "m", "--part-size", "1").done()
    assert [each.rows for each in read_manifest(str(tmp_path / "m")).sources] == [12]


def test_lines_longer_than_a_block(tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei", cells=20)], Style("utf-16"))
    expected = convert(source, options=Options(discover=("--part-size", "3000")))
    for size in (1, 7, 100, 1001):
        monkeypatch.setattr("pycytominer_transform.common.formats.harmony.image_sets._BLOCK_BYTES", size)
        given = convert(source, options=Options(discover=("--part-size", "3000")))
        assert differences(expected, given) == []


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "a\\b", "..", "."])
def test_a_population_named_as_a_path_leads_nowhere(name: str, tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    folder = write_evaluation(source, [object_rows("Nuclei")])
    (folder / FILE).write_bytes((folder / FILE).read_bytes().replace(b"Nuclei", name.encode()))
    run("discover", source, "-o", tmp_path / "m").done()
    (tmp_path / "out").mkdir()
    run("extract", tmp_path / "m", "-o", tmp_path / "out" / "b").done()
    assert entries(tmp_path) == {"source", "m", "out"}
    table = parquet_table(convert(source, options=Options(discover=("--part-size", "1"))))
    rows = sorted(object_rows("Nuclei").rows, key=lambda row: [int(row[k]) for k in ("Column", "Field", "Object No")])
    assert table[f"{name}_X"].to_pylist() == [float(row["X"]) for row in rows]
