"""Numbers of objects and parents that are odd: 0, and those that a float cannot hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from converting import Convert, parquet_table
from pycytominer_transform.tools import discover, extract, join

LARGE = 9007199254740995
"""Odd, and beyond 2**53: the next float is one more."""


def write(folder: Path, objects: list[int], parents: list[str]) -> Path:
    cells = [f"1,{number},{place}.5" for place, number in enumerate(objects)]
    cytoplasm = [f"1,{number},{parent}" for number, parent in enumerate(parents, start=1)]
    rows = {
        "Image": ["ImageNumber,Metadata_Well", "1,A01"],
        "Cells": ["ImageNumber,ObjectNumber,AreaShape_Area", *cells],
        "Cytoplasm": ["ImageNumber,ObjectNumber,Parent_Cells", *cytoplasm],
    }
    folder.mkdir(parents=True)
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.mark.parametrize("how", ["files", "concurrent"])
def test_no_object_is_a_child_of_number_0(how: str, tmp_path: Path, convert: Convert) -> None:
    source = write(tmp_path / "source", [0, 1, 2], ["2", "0", "1"])
    table = parquet_table(convert(source, how))
    assert table["Metadata_ObjectNumber"].to_pylist() == [1, 3]
    assert table["Cells_AreaShape_Area"].to_pylist() == [2.5, 1.5]


def test_objects_numbered_0_are_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "source", [0, 1, 2], ["2", "0", "1"])
    manifest, bundle = str(tmp_path / "manifest.arrow"), str(tmp_path / "bundle")
    assert discover.main([str(source), "-q", "-o", manifest]) == 0
    assert extract.main([manifest, "-q", "-o", bundle]) == 0
    assert join.main([bundle, "-o", str(tmp_path / "profiles")]) == 0
    assert "pct-join: warning: cells: 1 object numbered 0, and 0 means no parent" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["9.007199254740995e15", "9007199254740995", "9007199254740995.0"])
def test_a_large_parent_leads_to_its_own_object(text: str, tmp_path: Path, convert: Convert) -> None:
    source = write(tmp_path / "source", [LARGE, LARGE + 1], [text])
    table = parquet_table(convert(source))
    assert table["Metadata_Cytoplasm_Parent_Cells"].to_pylist() == [LARGE]
    assert table["Cells_AreaShape_Area"].to_pylist() == [0.5]
