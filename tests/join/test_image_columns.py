"""Columns of the image table beside every cell: which come by default, what is said of the others, and patterns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from converting import Convert, parquet_table
from plates_sheets import Line, Tables, small_tables, write_sheets
from pycytominer_transform.tools import discover, extract, flow, join

OWN = {"Metadata_Treatment": "DMSO", "Metadata_Replicate": 3, "Metadata_Barcode": "0012"}


def with_metadata(tables: Tables) -> Tables:
    header, *rows = tables["Image"]
    added: list[Line] = [[*header, *OWN], *([*row, *map(str, OWN.values())] for row in rows)]
    return tables | {"Image": added}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_sheets(tmp_path / "source", {path: with_metadata(tables) for path, tables in small_tables().items()})


@pytest.mark.parametrize("how", ["files", "concurrent"])
def test_all_metadata_of_the_image_table_come_by_default(how: str, source: Path, convert: Convert) -> None:
    table = parquet_table(convert(source, how))
    assert table.num_rows > 10
    for name, value in OWN.items():
        assert table[name].unique().to_pylist() == [value]
    places = [table.column_names.index(name) for name in OWN]
    assert places == list(range(places[0], places[0] + 3))


def bundle(source: Path, folder: Path) -> str:
    assert discover.main([str(source), "-q", "-o", str(folder / "manifest.arrow")]) == 0
    assert extract.main([str(folder / "manifest.arrow"), "-q", "-o", str(folder / "bundle")]) == 0
    return str(folder / "bundle")


def test_what_is_passed_over_is_said_once_with_the_option_that_takes_it(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert join.main([bundle(source, tmp_path), "-o", str(tmp_path / "profiles")]) == 0
    line = re.compile(
        r"(\d+) columns of the image table passed over: Image_Count_Cells, .*; (--image-columns all) takes them"
    )
    [(number, words)] = line.findall(capfd.readouterr().err)
    assert int(number) > 3
    assert flow.main([str(source), "-o", str(tmp_path / "out.parquet")]) == 0
    assert line.findall(capfd.readouterr().err) == [(number, words)]
    advised = [str(tmp_path / "bundle"), "-o", str(tmp_path / "all"), *words.split()]
    assert join.main(advised) == 0
    assert "passed over" not in capfd.readouterr().err


def test_a_pattern_that_finds_nothing_is_refused(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = ["--image-columns", "Metadta_Barcode", "-o", str(tmp_path / "out")]
    assert join.main([bundle(source, tmp_path), *wrong]) == 2
    said = "--image-columns 'Metadta_Barcode' matches no column of the image table; did you mean Metadata_Barcode?"
    assert capfd.readouterr().err.splitlines() == [f"pct-join: error: {said}"]
    assert flow.main([str(source), *wrong, "-q"]) == 2
    assert capfd.readouterr().err.splitlines() == [f"pct-flow: error: {said}"]
    assert not (tmp_path / "out").exists()
