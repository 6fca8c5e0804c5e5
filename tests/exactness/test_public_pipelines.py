"""Exports of pipelines as they are published: their tables by name and parents, and no word of configuration.

RNAscope spots of three genes in cells, organoids with nuclei, bacteria alone, several segmentations that lead to each
other, nuclei in three dimensions. Expected is what following the parents by hand gives, value by value.
"""

from __future__ import annotations

import csv
import random
import re
import shlex
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from converting import Convert, Options, parquet_table
from pycytominer_transform.tools import discover

Row = dict[str, Any]
Sheets = dict[str, list[Row]]
IMAGES = (1, 2, 3)
SHAPE = ("AreaShape_Area", "AreaShape_Center_X", "Intensity_MeanIntensity_DNA")
VOLUME = (
    "AreaShape_Volume", "AreaShape_Center_Z", "AreaShape_BoundingBoxMinimum_Z", "AreaShape_BoundingBoxMaximum_Z",
    "Location_Center_Z", "AreaShape_SurfaceArea",
)  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """One pipeline's objects, and what comes out by default.

    Attributes
    ----------
    parents
        By table, the tables whose objects each of its objects has as parents.
    anchor
        The table whose objects are the rows.
    way
        For each further table that comes out, the table that leads to it.
    """

    parents: Mapping[str, Sequence[str]]
    anchor: str
    way: Mapping[str, str]
    features: Sequence[str] = SHAPE


PIPELINES = {
    "RNAscope": Pipeline(
        {
            "Nuclei": (), "Cells": ("Nuclei",), "Cytoplasm": ("Cells", "Nuclei"),
            **dict.fromkeys(("SpotsPpib", "SpotsPolr2a", "SpotsUbc"), ("Cells",)),
        },
        "Cytoplasm", {"Cells": "Cytoplasm", "Nuclei": "Cytoplasm"},
    ),
    "cells and nuclei": Pipeline({"Nuclei": (), "Cells": ("Nuclei",)}, "Cells", {"Nuclei": "Cells"}),
    "organoids alone": Pipeline({"Organoids": ()}, "Organoids", {}),
    "organoids with nuclei": Pipeline(
        {"Organoids": (), "Nuclei": ("Organoids",)}, "Nuclei", {"Organoids": "Nuclei"}
    ),
    "bacteria": Pipeline({"Bacteria": ()}, "Bacteria", {}),
    "five segmentations": Pipeline(
        {
            "NucleiIncludingEdges": (), "CellsIncludingEdges": ("NucleiIncludingEdges",),
            "Nuclei": ("NucleiIncludingEdges",), "Cells": ("Nuclei", "CellsIncludingEdges"),
            "Cytoplasm": ("Cells", "Nuclei"),
        },
        "Cytoplasm", {"Cells": "Cytoplasm", "Nuclei": "Cytoplasm"},
    ),
    "two parents more": Pipeline(
        {
            "ShrunkenNuclei": (), "FilteredCells": (), "Nuclei": ("ShrunkenNuclei",), "Cells": ("Nuclei",),
            "Cytoplasm": ("Cells", "Nuclei", "ShrunkenNuclei", "FilteredCells"),
        },
        "Cytoplasm", dict.fromkeys(("Cells", "Nuclei", "ShrunkenNuclei", "FilteredCells"), "Cytoplasm"),
    ),
    "nuclei in three dimensions": Pipeline({"RealsizeNuclei": ()}, "RealsizeNuclei", {}, VOLUME),
}  # fmt: skip


def sheets_of(pipeline: Pipeline) -> Sheets:
    """Make the tables: objects of one parent in another order than the parents', and some parents without."""
    source, sheets = random.Random(7), Sheets()
    for table, parents in pipeline.parents.items():
        rows = sheets[table] = []
        for image in IMAGES:
            for number in range(1, 5 + 2 * table.startswith("Spots")):
                row: Row = {"ImageNumber": image, "ObjectNumber": number, "Number_Object_Number": number}
                row |= {
                    name: source.choice([source.random(), float(source.randint(1, 99))]) for name in pipeline.features
                }
                row |= {f"Parent_{parent}": source.randint(1, 4) for parent in parents}
                rows.append(row)
    for table, rows in sheets.items():
        for child, parents in pipeline.parents.items():
            if table in parents:
                for row in rows:
                    of_row = [c for c in sheets[child] if is_of(c, row, f"Parent_{table}")]
                    row[f"Children_{child}_Count"] = len(of_row)
                    row[f"Mean_{child}_Number_Object_Number"] = sum(c["ObjectNumber"] for c in of_row) / 4
    return sheets


def is_of(child: Row, parent: Row, by: str) -> bool:
    return (child["ImageNumber"], child[by]) == (parent["ImageNumber"], parent["ObjectNumber"])


def image_rows(sheets: Sheets) -> list[Row]:
    counts = {table: len(rows) // len(IMAGES) for table, rows in sheets.items()}
    return [
        {
            "ImageNumber": image, **{f"Count_{table}": number for table, number in counts.items()},
            "FileName_DNA": f"{image}.tif", "Metadata_Plate": "P1", "Metadata_Well": f"A0{image}", "Metadata_Site": 1,
        }
        for image in IMAGES
    ]  # fmt: skip


def write_csv(sheets: Sheets, folder: Path) -> Path:
    """Write them as ExportToSpreadsheet does by default."""
    folder.mkdir()
    for name, rows in {"Image": image_rows(sheets), "Experiment": [{"Key": "x", "Value": "y"}], **sheets}.items():
        with (folder / f"MyExpt_{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return folder


def store(connection: sqlite3.Connection, name: str, rows: Sequence[Row]) -> None:
    connection.execute(f"CREATE TABLE {name} ({', '.join(rows[0])})")
    connection.executemany(
        f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", [tuple(row.values()) for row in rows]
    )


def prefixed(table: str, row: Row) -> Row:
    return {name if name == "ImageNumber" else f"{table}_{name}": value for name, value in row.items()}


def write_tables(sheets: Sheets, folder: Path) -> Path:
    """Write them as ExportToDatabase does, a table for each kind of object."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "DefaultDB.db")) as connection, connection:
        store(connection, "MyExpt_Per_Image", [prefixed("Image", row) for row in image_rows(sheets)])
        for table, rows in sheets.items():
            columns = [{n: v for n, v in row.items() if n != "ObjectNumber"} for row in rows]
            store(connection, f"MyExpt_Per_{table}", [prefixed(table, row) for row in columns])
    return folder


def write_one_table(sheets: Sheets, folder: Path) -> Path:
    """Write them as ExportToDatabase does by default: objects of one number side by side."""
    folder.mkdir()
    wide: dict[tuple[int, int], Row] = {}
    names: Row = {"ImageNumber": None, "ObjectNumber": None}
    for table, rows in sheets.items():
        for row in rows:
            own = {
                f"{table}_{name}": value for name, value in row.items() if name not in ("ImageNumber", "ObjectNumber")
            }
            names |= dict.fromkeys(own)
            key = row["ImageNumber"], row["ObjectNumber"]
            wide.setdefault(key, {"ImageNumber": key[0], "ObjectNumber": key[1]}).update(own)
    with closing(sqlite3.connect(folder / "DefaultDB.db")) as connection, connection:
        store(connection, "MyExpt_Per_Image", [prefixed("Image", row) for row in image_rows(sheets)])
        store(connection, "MyExpt_Per_Object", [names | row for row in wide.values()])
    return folder


def by_hand(pipeline: Pipeline, sheets: Sheets) -> list[Row]:
    """Follow the parents from each object of the anchor; every measurement under its table's name."""
    rows = []
    for anchor in sheets[pipeline.anchor]:
        found = {pipeline.anchor: anchor}
        for table, via in pipeline.way.items():
            found[table] = next(row for row in sheets[table] if is_of(found[via], row, f"Parent_{table}"))
        image = image_rows(sheets)[anchor["ImageNumber"] - 1]
        out = {"Metadata_ImageNumber": anchor["ImageNumber"], "Image_FileName_DNA": image["FileName_DNA"]}
        for table, row in found.items():
            out |= {
                f"{table}_{name}": value
                for name, value in row.items()
                if name.startswith(("AreaShape", "Intensity", "Location", "Children", "Mean"))
            }
        rows.append(out)
    return rows


WRITERS: dict[str, Callable[[Sheets, Path], Path]] = {
    "spreadsheets": write_csv, "a table each": write_tables, "one table": write_one_table,
}  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", PIPELINES)
def test_a_published_pipeline(name: str, writer: str, tmp_path: Path, convert: Convert) -> None:
    pipeline = PIPELINES[name]
    sheets = sheets_of(pipeline)
    source = WRITERS[writer](sheets, tmp_path / "source")
    expected = by_hand(pipeline, sheets)
    for how in ("files", "concurrent") if name == "two parents more" else ("files",):
        table = parquet_table(convert(source, how))
        assert table.num_rows == len(expected)
        for column in expected[0]:
            values = table[column].to_pylist()
            assert values == [row[column] for row in expected], column
            assert {type(value) for value in values} == {type(expected[0][column])}, column
        measured = {column for column in table.column_names if "AreaShape" in column or "Location_" in column}
        assert measured == {column for column in expected[0] if "AreaShape" in column or "Location_" in column}


@pytest.mark.parametrize("writer", WRITERS)
def test_spots_of_three_genes_as_the_note_says(
    writer: str, tmp_path: Path, convert: Convert, capfd: pytest.CaptureFixture[str]
) -> None:
    sheets = sheets_of(PIPELINES["RNAscope"])
    source = WRITERS[writer](sheets, tmp_path / "source")
    assert discover.main([str(source), "-o", str(tmp_path / "m")]) == 0
    advice = re.findall("; (pct-discover .*) and (pct-join .*) take them", capfd.readouterr().err)[0]
    _, *discovering = shlex.split(advice[0])
    _, *joining = shlex.split(advice[1])
    table = parquet_table(convert(source, options=Options(discover=discovering, join=joining)))
    rows = by_hand(PIPELINES["RNAscope"], sheets)
    assert table.num_rows == len(rows)
    for gene in ("SpotsPpib", "SpotsPolr2a", "SpotsUbc"):
        for row, number, mean in zip(
            sheets["Cytoplasm"], table[f"{gene}_Count"].to_pylist(), table[f"{gene}_Mean_AreaShape_Area"].to_pylist(),
            strict=True,
        ):  # fmt: skip
            cell = next(cell for cell in sheets["Cells"] if is_of(row, cell, "Parent_Cells"))
            areas = [spot["AreaShape_Area"] for spot in sheets[gene] if is_of(spot, cell, "Parent_Cells")]
            assert number == len(areas)
            assert mean == (pytest.approx(sum(areas) / len(areas), rel=1e-15) if areas else None)
