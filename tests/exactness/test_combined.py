"""CellProfiler's combined layout gives the same cells and columns as a file for every compartment."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from converting import Convert, Options, differences, run
from plates_presets import combined
from plates_sheets import SMALL, Tables, measured_name, set_column, small_tables, write_sheets
from pycytominer_transform.tools import discover, extract

PLATE = replace(SMALL, cells=12, images=3, missing=0.2, nan_share=0.1)
ALL = Options(join=("--image-columns", "all"))


def both(tmp_path: Path, trees: dict[str, Tables], **style: bool) -> tuple[Path, Path]:
    separate = write_sheets(tmp_path / "separate" / "source", trees)
    joined = {path: {"Image": tables["Image"], "Object": combined(tables, **style)} for path, tables in trees.items()}
    return separate, write_sheets(tmp_path / "combined" / "source", joined)


@pytest.mark.parametrize("how", ["files", "streams"])
@pytest.mark.parametrize("one_number", [True, False])
def test_combined_files_give_what_separate_ones_give(
    one_number: bool, how: str, tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    separate, joined = both(tmp_path, small_tables(PLATE), one_number=one_number)
    assert discover.main([str(joined), "-o", str(tmp_path / "m")]) == 0
    assert "(preset cellprofiler_combined)" in capsys.readouterr().err
    assert differences(convert(separate, options=ALL), convert(joined, how, ALL)) == []


def test_the_real_combined_files_give_what_the_separate_ones_beside_them_give(
    shared_data: Path, tmp_path: Path, convert: Convert
) -> None:
    alone = tmp_path / "data_a"
    for folder in ("1", "2"):
        (alone / folder).mkdir(parents=True)
        for name in ("image.csv", "object.csv"):
            shutil.copyfile(shared_data / "data_a" / folder / name, alone / folder / name)
    expected = convert(shared_data / "data_a", options=ALL)
    assert differences(expected, convert(alone, options=ALL)) == []
    beside = Options(discover=("--preset", "cellprofiler_combined"), join=ALL.join)
    assert differences(expected, convert(shared_data / "data_a", options=beside)) == []


def changed(joined: Path, change: Callable[[bytes], bytes], name: str = "Object.csv") -> None:
    for path in list(joined.rglob("Object.csv")):
        content = change(path.read_bytes())
        path.unlink()
        path.with_name(name).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda content: b"\xef\xbb\xbf" + content.replace(b",", b";"), "OBJECT.csv"),
        (gzip.compress, "object.csv.gz"),
        (lambda content: gzip.compress(content.replace(b",", b";").replace(b"\n", b"\r\n")), "object.CSV.GZ"),
    ],
)
@pytest.mark.quick
def test_variants_of_combined_files(
    change: Callable[[bytes], bytes], name: str, tmp_path: Path, convert: Convert
) -> None:
    separate, joined = both(tmp_path, small_tables(PLATE))
    changed(joined, change, name)
    assert differences(convert(separate), convert(joined)) == []


def test_a_compartment_that_no_column_belongs_to_is_not_there(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    separate, joined = both(tmp_path, small_tables(PLATE))
    wanted = Options(discover=("--compartments", "cytoplasm,nuclei"))
    assert differences(convert(separate, options=wanted), convert(joined, options=wanted)) == []
    assert discover.main([str(joined), "--compartments", "cells,ph3", "-o", str(tmp_path / "m")]) == 1
    assert "no dataset has a table ph3" in capsys.readouterr().err


@pytest.mark.quick
def test_a_bad_value_is_named_by_its_row_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = small_tables(replace(PLATE, folders=1))
    tables = trees[min(trees)]
    column = measured_name(tables["Nuclei"], 0)
    set_column(tables["Nuclei"], column, ["0.5", "0.5", "wrong"])
    _, joined = both(tmp_path, trees)
    run("discover", joined, "-o", tmp_path / "m")
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b")]) == 1
    assert f"Object.csv, row 5, column {column!r}: 'wrong' is not a number" in capsys.readouterr().err


def test_an_object_without_a_number_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, joined = both(tmp_path, small_tables(PLATE), one_number=False)
    path = min(joined.rglob("Object.csv"))
    header, names, first, *rest = path.read_text().splitlines(keepends=True)
    place = names.split(",").index("ObjectNumber")
    fields = first.split(",")
    fields[place] = ""
    path.write_text("".join([header, names, ",".join(fields), *rest]))
    run("discover", joined, "-o", tmp_path / "m")
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b")]) == 1
    assert "Object.csv: an object of cells has no ObjectNumber" in capsys.readouterr().err


def test_header_rows_are_one_or_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.toml"
    own.write_text('name = "n"\ntitle = "t"\nformat = "csv"\ncompartments = ["cells"]\nheader_rows = 3\n')
    assert discover.main([str(tmp_path), "--preset", str(own), "-o", str(tmp_path / "m")]) == 2
    assert "header_rows is 3; it may be 1 or 2" in capsys.readouterr().err


def test_metadata_that_would_change_are_named_by_their_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = small_tables(replace(PLATE, folders=1))
    tables = trees[min(trees)]
    set_column(tables["Nuclei"], measured_name(tables["Nuclei"], 0), ["12", "12", "12"])
    tables["Nuclei"][0] = [
        "Metadata_Batch" if name == measured_name(tables["Nuclei"], 0) else name for name in tables["Nuclei"][0]
    ]
    _, joined = both(tmp_path, trees)
    run("discover", joined, "-o", tmp_path / "m")
    path = min(joined.rglob("Object.csv"))
    before = path.stat()
    lines = path.read_text().splitlines(keepends=True)
    place = lines[1].split(",").index("Metadata_Batch")
    fields = lines[4].split(",")
    fields[place] = "07"
    path.write_text("".join([*lines[:4], ",".join(fields), *lines[5:]]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b")]) == 1
    said = capsys.readouterr().err
    assert "Object.csv, row 5, column 'Metadata_Batch': '07' would not stay as it is" in said
