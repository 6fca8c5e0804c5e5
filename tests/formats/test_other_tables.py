"""What a source has beside the compartments that are taken is said, with the words that take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from converting import Convert, parquet_table
from oracle_relations import add_children, renamed
from plates_sheets import SMALL, Tables, small_tables, write_sheets, write_sqlite_sheets
from plates_sqlite import SqliteStyle
from pycytominer_transform.tools import discover

EXPERIMENT = [["Key", "Value"], ["CellProfiler_Version", "4.2.5"]]


def sources(folder: Path, kind: str, tables: Tables) -> Path:
    if kind == "csv":
        return write_sheets(folder / "source", {"f": tables})
    style: Any = kind
    return write_sqlite_sheets(folder / "source.sqlite", tables, SqliteStyle(style))


def said(capsys: pytest.CaptureFixture[str], source: Path, *words: str, code: int = 0) -> list[str]:
    assert discover.main([str(source), "-o", str(source.parent / "m"), "--overwrite", *words]) == code
    return capsys.readouterr().err.splitlines()


def one_folder() -> Tables:
    return next(iter(small_tables(replace(SMALL, folders=1)).values()))


def with_key_names(tables: Tables, kind: str) -> Tables:
    """Call the objects' numbers as CellProfiler does in a database."""
    if kind == "cellprofiler_sqlite":
        for lines in tables.values():
            if "Number_Object_Number" not in lines[0]:
                lines[0] = ["Number_Object_Number" if name == "ObjectNumber" else name for name in lines[0]]
    return tables


@pytest.mark.parametrize(
    ("kind", "file"),
    [("csv", "PH3.csv"), ("cellprofiler_sqlite", "Per_PH3"), ("cytominer_database", "PH3")],
)
def test_a_further_table_of_objects_is_named_and_nothing_else(
    kind: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = one_folder()
    add_children(tables, "PH3", "Nuclei", [2])
    tables["Experiment"] = EXPERIMENT
    source = sources(tmp_path, kind, with_key_names(tables, kind))
    wanted = "--compartments cells,cytoplasm,nuclei,ph3"
    takes = f"pct-discover {wanted} and pct-join --aggregate-children mean take it too"
    assert f"pct-discover: passed over the table ph3 ({file}); {takes}" in said(capsys, source)
    assert not any("passed over" in line for line in said(capsys, source, *wanted.split()))
    assert not any("passed over" in line for line in said(capsys, source, "--compartments", "cells"))


def test_the_only_table_of_objects_is_taken_whatever_its_name(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = one_folder()
    nuclei = {"Image": tables["Image"], "Nuclei": tables["Nuclei"], "Experiment": EXPERIMENT}
    expected = parquet_table(convert(write_sheets(tmp_path / "expected", {"f": nuclei})))
    nuclei["Organoids"] = nuclei.pop("Nuclei")
    source = write_sheets(tmp_path / "source", {"f": nuclei})
    for file in (source / "f").iterdir():
        file.rename(file.with_name(f"MyExpt_{file.name}"))
    assert "pct-discover: took the table MyExpt_Organoids.csv, the only one of objects" in said(capsys, source)
    for how in ("files", "concurrent"):
        table = parquet_table(convert(source, how))
        assert table.column_names == [name.replace("Nuclei_", "Organoids_") for name in expected.column_names]
        assert table.to_pydict() == dict(zip(table.column_names, expected.to_pydict().values(), strict=True))


def test_of_several_segmentations_the_tables_of_one_are_advised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = one_folder()
    several = {"Image": tables["Image"]}
    for name in ("_X", "_Y"):
        several |= {table: lines for table, lines in renamed({"f": tables}, name)["f"].items() if table != "Image"}
    source = write_sheets(tmp_path / "source", {"f": several})
    *_, line = said(capsys, source, code=1)
    words = line.split("such as ")[1].split()
    assert words == ["--compartments", "cells_x,cytoplasm_x,nuclei_x"]
    lines = said(capsys, source, *words)
    assert not any("passed over" in line for line in lines)
    beside = write_sheets(tmp_path / "beside", {"f": several | tables})
    lines = [line for line in said(capsys, beside) if "passed over" in line]
    assert [line.split("; ")[1] for line in lines] == [
        f"--compartments cells_{name},cytoplasm_{name},nuclei_{name} takes them instead" for name in "xy"
    ]


def test_a_prefix_without_an_image_table_is_no_other_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_sheets(tmp_path / "source", {"f": {"MyExpt_Nuclei": one_folder()["Nuclei"]}})
    assert not any("passed over" in line for line in said(capsys, source))


def test_a_source_without_further_tables_is_passed_by_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = one_folder()
    tables["Experiment"] = EXPERIMENT
    source = write_sheets(tmp_path / "source", {"f": tables})
    (source / "f" / "broken.csv").write_bytes(b"ImageNumber,ObjectNumber\n\0\xff")
    (source / "f" / "empty.csv").write_bytes(b"")
    assert not any("passed over" in line for line in said(capsys, source))


@pytest.mark.parametrize(
    ("kind", "preset", "file"),
    [
        ("csv", (), "Cells_X.csv"),
        ("csv", ("--preset", "cellprofiler_csv"), "Cells_X.csv"),
        ("cellprofiler_sqlite", (), "Per_Cells_X"),
        ("cytominer_database", (), "Cells_X"),
    ],
)
def test_where_all_compartments_have_other_names_the_words_to_take_them_are_said(
    kind: str, preset: Sequence[str], file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sources(tmp_path, kind, renamed({"f": one_folder()}, "_X")["f"])
    *_, line = said(capsys, source, *preset, code=1)
    assert f"there are cells_x ({file}), cytoplasm_x (" in line
    words = line.split("take them with ")[1].split()
    assert words == ["--compartments", "cells_x,cytoplasm_x,nuclei_x"]
    said(capsys, source, *preset, *words)
