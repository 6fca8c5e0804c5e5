"""What a source has beside the compartments that are taken is said, with the words that take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
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
    line = f"pct-discover: passed over the table ph3 ({file}); {wanted} takes it too"
    assert line in said(capsys, source)
    assert not any("passed over" in line for line in said(capsys, source, *wanted.split()))
    assert not any("passed over" in line for line in said(capsys, source, "--compartments", "cells"))


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
