"""Hypothesis strategies for small random sources, as CSV trees and as SQLite files; all of them are valid.

Random are the numbers of datasets, image sets and objects, the objects' numbers and parents (present, absent, nothing),
the columns of every file and their order, the order of rows, and every value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hypothesis import strategies as st
from plates_sheets import Line, Tables, write_sheets
from plates_sqlite import SqliteStyle, quoted

__all__ = ["SqliteLayout", "sqlite_layouts", "trees", "write_sqlite_tree", "write_tree"]

NOTHING = ("", "nan", "NaN", "NA", "NULL")
PLACES = ("a", "b/1", "b/10", "b/2", "ü é")

nothing = st.sampled_from(NOTHING)
whole = st.integers(-(1 << 63), (1 << 63) - 1).map(str)
small = st.integers(0, 99).map(str)
real = st.floats(allow_nan=False).map(repr)
words = st.sampled_from(["G1", "x,y", 'say "it"', "line\nbreak", "nan", "", " S ", "細胞"])

FLOAT = st.one_of(real, real, small, nothing)
COUNT = st.one_of(whole, small, small.map(lambda text: f"{text}.0"), nothing)
TEXT = words
METADATA = st.one_of(st.sampled_from(["A01", "B2", "0012", "7", "12", "1.5", ""]))

KINDS: Mapping[str, st.SearchStrategy[str]] = {
    "AreaShape_Area": FLOAT,
    "Texture_Gap_DNA": st.one_of(real, nothing, nothing),
    "Math_Ratio": FLOAT,
    "Children_Spots_Count": COUNT,
    "Classify_Phase": TEXT,
    "FileName_DNA": TEXT,
    "Metadata_Plate": METADATA,
    "Metadata_Well": METADATA,
    "Count_Spots": COUNT,
}
MEASURED = ["AreaShape_Area", "Texture_Gap_DNA", "Math_Ratio", "Children_Spots_Count", "Classify_Phase"]
OF_IMAGES = ["FileName_DNA", "Metadata_Plate", "Metadata_Well", "Count_Spots", "Math_Ratio"]


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Tables]:
    """Draw a source: folder to table to lines of text, the header first."""
    places = draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True))
    return {place: draw(_datasets()) for place in places}


@st.composite
def _datasets(draw: st.DrawFn) -> Tables:
    images = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True))
    tables: Tables = {}
    for name in ("Nuclei", "Cells", "Cytoplasm"):
        keys = [
            [str(image), str(number)]
            for image in images
            for number in draw(st.lists(st.integers(1, 5), max_size=4, unique=True))
        ]
        tables[name] = _table(draw, ["ImageNumber", "ObjectNumber"], keys, MEASURED, _parents_of(name))
    # An image set may lack its row, but a file of image sets is never without any.
    rows = draw(st.lists(st.sampled_from(images), min_size=1, max_size=3, unique=True))
    tables["Image"] = _table(draw, ["ImageNumber"], [[str(image)] for image in rows], OF_IMAGES, [])
    return tables


def _parents_of(table: str) -> list[str]:
    return {"Cytoplasm": ["Parent_Cells", "Parent_Nuclei"], "Cells": ["Parent_Nuclei"]}.get(table, [])


def _table(draw: st.DrawFn, keys: Line, rows: list[Line], columns: Line, parents: Line) -> list[Line]:
    """Add columns to rows of keys, put rows and columns into another order."""
    present = draw(st.lists(st.sampled_from(columns), unique=True))
    parent = st.one_of(st.integers(0, 5).map(str), st.integers(0, 5).map(str), nothing)
    strategies = [*(parent for _ in parents), *(KINDS[name] for name in present)]
    lines = [[*keys, *parents, *present], *([*row, *(draw(value) for value in strategies)] for row in rows)]
    order = draw(st.permutations(range(len(lines[0]))))
    shuffled = draw(st.permutations(lines[1:]))
    return [[line[i] for i in order] for line in [lines[0], *shuffled]]


def write_tree(tree: Mapping[str, Tables], out: Path) -> Path:
    """Write a tree as CSV folders."""
    return write_sheets(out, tree)


@dataclass(frozen=True)
class SqliteLayout:
    """How a tree is stored in one SQLite file.

    Attributes
    ----------
    rows
        For each table the order of its rows and the gap before each row's number, drawn beforehand for up to 64 rows.
    """

    kind: Literal["cellprofiler_sqlite", "cytominer_database"]
    table_number: Literal["integer", "text"]
    index: bool
    order: list[int]
    gaps: list[int]


@st.composite
def sqlite_layouts(draw: st.DrawFn) -> SqliteLayout:
    """Draw how a tree is stored."""
    return SqliteLayout(
        kind=draw(st.sampled_from(["cellprofiler_sqlite", "cytominer_database"])),
        table_number=draw(st.sampled_from(["integer", "text"])),
        index=draw(st.booleans()),
        order=draw(st.permutations(range(64))),
        gaps=draw(st.lists(st.integers(1, 3), min_size=64, max_size=64)),
    )


def write_sqlite_tree(tree: Mapping[str, Tables], out: Path, layout: SqliteLayout) -> Path:
    """Write a tree as one SQLite file, each folder under a `TableNumber` or with image numbers of its own."""
    connection = sqlite3.connect(out)
    with connection:
        connection.execute("PRAGMA synchronous = OFF")
        for name in ("Image", "Cells", "Cytoplasm", "Nuclei"):
            _store(connection, name, [tables[name] for tables in tree.values()], layout)
    connection.close()
    return out


def _store(connection: sqlite3.Connection, name: str, datasets: list[list[Line]], layout: SqliteLayout) -> None:
    style = SqliteStyle(layout.kind)
    columns = list(dict.fromkeys(column for lines in datasets for column in lines[0]))
    cytominer = layout.kind == "cytominer_database"
    declared = [f"{quoted(_stored_name(style, name, column))} {_declared(column)}" for column in columns]
    if cytominer:
        declared.append(f"TableNumber {'TEXT' if layout.table_number == 'text' else 'BIGINT'}")
    table = quoted(style.table_name(name))
    connection.execute(f"CREATE TABLE {table} ({', '.join(declared)})")
    rows = []
    for number, lines in enumerate(datasets, start=1):
        for line in lines[1:]:
            row: dict[str, str | int | None] = dict(zip(lines[0], line, strict=True))
            if not cytominer:
                row["ImageNumber"] = int(line[lines[0].index("ImageNumber")]) + 100 * number
            stored: list[str | int | None] = [row.get(column) for column in columns]
            rows.append([*stored, f"t{number}" if layout.table_number == "text" else number] if cytominer else stored)
    marks = ", ".join("?" * (len(declared) + 1))
    names = ", ".join(["rowid", *(column.rsplit(" ", 1)[0] for column in declared)])
    rowid = 0
    for place, gap in zip([i for i in layout.order if i < len(rows)], layout.gaps, strict=False):
        rowid += gap
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", [rowid, *rows[place]])
    if layout.index:
        scope = "TableNumber, ImageNumber" if cytominer else "ImageNumber"
        connection.execute(f"CREATE INDEX {quoted(f'by_image_{name}')} ON {table} ({scope})")


def _stored_name(style: SqliteStyle, table: str, column: str) -> str:
    if column == "ObjectNumber" and style.kind == "cellprofiler_sqlite":
        return f"{table}_Number_Object_Number"
    return style.column_name(table, column)


def _declared(column: str) -> str:
    if column in ("Classify_Phase", "FileName_DNA") or column.startswith("Metadata_"):
        return "TEXT"
    return "BIGINT" if "Number" in column or "Count" in column or "Parent" in column else "FLOAT"
