"""The real measurement files and their twins fit one description: folders, columns, types, and how values are written.

Each test holds the twins to it, and the real files too where they are there, so that no twin can drift away.
"""

from __future__ import annotations

import csv
import pickletools
import re
import sqlite3
import zipfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from figures import REAL_DATA, REAL_DATA_IS_THERE, Figures
from oracle_peer import PEER
from plates_sheets import Line
from twins_columns import columns_of

PATTERNS = {
    "empty": "",
    "whole": r"-?\d+",
    "point": r"-?\d+\.0",
    "real": r"-?\d+\.\d+",
    "exponent": r"-?\d+(\.\d+)?e-\d+",
    "EXPONENT": r"-?\d+(\.\d+)?E-\d+",
}
WRITTEN = {
    "ExampleHuman/Cells": "exponent point real whole",
    "ExampleHuman/Cytoplasm": "exponent point real whole",
    "ExampleHuman/Nuclei": "exponent point real whole",
    "ExampleHuman/PH3": "real whole",
    "ExampleHuman/Image": "point real text whole",
    "data_a/Cells": "exponent point real whole",
    "data_a/Cytoplasm": "exponent point real whole",
    "data_a/Nuclei": "exponent point real whole",
    "data_a/image": "exponent real text whole",
    "in_carta/objects": "empty real text whole",
}
LAYOUT = {
    "ExampleHuman/Cells.csv", "ExampleHuman/Cytoplasm.csv", "ExampleHuman/Experiment.csv", "ExampleHuman/Image.csv",
    "ExampleHuman/Nuclei.csv", "ExampleHuman/PH3.csv", "cell_health/*.sqlite", "deepprofiler/*.npz",
    *(f"data_a/{folder}/{name}.csv" for folder in "12" for name in ("Cells", "Cytoplasm", "Nuclei", "image", "object")),
    *(f"expected/{name}.parquet" for name in PEER), "in_carta/*.csv",
}  # fmt: skip
METADATA = {
    "Metadata_Plate": str, "Metadata_Well": str, "Metadata_Site": int, "Plate_Map_Name": str,
    "RNA": str, "ER": str, "AGP": str, "Mito": str, "DNA": str, "Treatment_ID": int, "Treatment_Replicate": int,
    "Treatment": str, "Compound": str, "Concentration": str, "Split": str, "Metadata_Model": str,
}  # fmt: skip
STORED = {
    "whole": {"BIGINT", "integer"},
    "real": {"FLOAT", "real"},
    "text": {"TEXT", "text"},
    "time": {"DATETIME", "text"},
}


def files_of(folder: Path, table: str) -> list[Path]:
    source, name = table.split("/")
    return sorted((folder / source).rglob("*.csv" if source == "in_carta" else f"{name}.csv"))


def lines_of(path: Path) -> list[Line]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def written(value: str) -> str:
    return next((name for name, pattern in PATTERNS.items() if re.fullmatch(pattern, value)), "text")


def holds(ways: set[str]) -> str:
    """Say what a column holds of which values are written in these ways."""
    filled = ways - {"empty"}
    if "text" in filled or not filled or filled == {"whole"}:
        return "text" if "text" in filled else "whole" if filled else "empty"
    return "gappy" if "empty" in ways else "real"


def by_column(tables: Iterable[list[Line]]) -> dict[str, set[str]]:
    ways: dict[str, set[str]] = {}
    for header, *lines in tables:
        for name, values in zip(header, zip(*lines, strict=True), strict=True):
            ways.setdefault(name, set()).update(map(written, values))
    return ways


def test_the_same_files_lie_in_the_same_folders(shared_data: Path) -> None:
    found = {path.relative_to(shared_data) for path in shared_data.rglob("*") if path.is_file()}
    found -= {Path("README.md")}
    named = {
        path.as_posix() if path.as_posix() in LAYOUT else f"{path.parent.as_posix()}/*{path.suffix}" for path in found
    }
    assert named == LAYOUT
    names = sorted(path.name for path in (shared_data / "in_carta").iterdir())
    assert len(names) == 2
    assert [name.split(" ")[0].lower() for name in names] == [names[1].split(" ")[0]] * 2
    assert len(found) == len(LAYOUT) + 1


@pytest.mark.parametrize("table", WRITTEN)
def test_csv_files_have_these_columns_and_values_written_so(table: str, shared_data: Path) -> None:
    tables = [lines_of(path) for path in files_of(shared_data, table)]
    for header, *_ in tables:
        assert header == [name for name, _ in columns_of(table)]
    ways = by_column(tables)
    assert {name: holds(found) for name, found in ways.items()} == dict(columns_of(table))
    assert " ".join(sorted(set().union(*ways.values()))) == WRITTEN[table]


def test_combined_files_hold_what_the_others_do_as_a_spreadsheet_writes_it(shared_data: Path) -> None:
    for folder in (shared_data / "data_a").iterdir():
        above, header, *lines = lines_of(folder / "object.csv")
        assert (above[0], header[:2]) == ("Image", ["ImageNumber", "ObjectNumber"])
        ways = by_column([[[f"{a}/{b}" for a, b in zip(above, header, strict=True)], *lines]])
        assert " ".join(sorted(set().union(*ways.values()))) == "EXPONENT real whole"
        own = {
            name: [c for c, _ in columns_of(f"data_a/{name}") if c not in ("ImageNumber", "ObjectNumber")]
            for name in ("Cells", "Cytoplasm", "Nuclei")
        }
        assert header[2:] == [column for columns in own.values() for column in columns]
        assert above[1:] == ["Cells", *(name for name, columns in own.items() for _ in columns)]
        for name, columns in own.items():
            first, *rows = lines_of(folder / f"{name}.csv")
            places = [
                place for place, compartment in enumerate(above) if compartment == name and header[place] in columns
            ]
            together = [[float(line[place]) for place in places] for line in lines]
            assert together == [[float(line[first.index(column)]) for column in columns] for line in rows]


def test_lines_end_and_words_are_quoted_as_their_programs_do(shared_data: Path) -> None:
    for path in (shared_data / "ExampleHuman").iterdir():
        assert path.read_bytes().count(b"\r\n") == len(lines_of(path))
    for path in (shared_data / "data_a").rglob("*.csv"):
        assert b"\r" not in path.read_bytes()
    experiment = dict(lines_of(shared_data / "ExampleHuman" / "Experiment.csv"))
    assert list(experiment)[-3:] == ["Metadata_Tags", "Pipeline_Pipeline", "Run_Timestamp"]
    assert experiment["Pipeline_Pipeline"].startswith("CellProfiler Pipeline: http://www.cellprofiler.org\nVersion:5\n")
    assert experiment["Metadata_Tags"] == '["ImageNumber"]'
    quote = [what == "text" for _, what in columns_of("in_carta/objects")]
    for path in (shared_data / "in_carta").iterdir():
        header, *lines = path.read_text().split("\n")
        assert header[0] == header[-1] == '"'
        assert header.count('"') == 2 * len(quote)
        assert lines.pop() == ""
        assert {tuple(value.startswith('"') for value in line.split(",")) for line in lines} == {tuple(quote)}


def test_children_and_object_numbers(shared_data: Path) -> None:
    header, *lines = lines_of(shared_data / "ExampleHuman" / "PH3.csv")
    parents = [line[header.index("Parent_Nuclei")] for line in lines]
    assert max(parents.count(parent) for parent in parents) == 2
    header, *lines = lines_of(shared_data / "ExampleHuman" / "Nuclei.csv")
    place = header.index("Children_PH3_Count")
    assert {line[place] for line in lines} == {"0", "1", "2"}
    assert all(line[place] == str(parents.count(line[1])) for line in lines)
    numbers = {
        path.parent.name: [line[:2] for line in lines_of(path)[1:]] for path in files_of(shared_data, "data_a/Cells")
    }
    assert sorted({image for image, _ in numbers["1"]}) == ["1", "2", "3", "4"]
    assert sorted({image for image, _ in numbers["2"]}) == ["19", "20", "21", "22"]
    assert ["2", "200"] in numbers["1"]
    assert ["2", "1"] not in numbers["1"]


def test_sqlite_has_these_columns_types_and_indices(shared_data: Path) -> None:
    [path] = (shared_data / "cell_health").iterdir()
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (1024,)
        made = connection.execute("SELECT type, name FROM sqlite_master ORDER BY 1, 2").fetchall()
        assert made == [
            ("index", "plate_well_image_idx"),
            ("index", "table_image_idx"),
            *(("index", f"table_image_object_{name}_idx") for name in ("cells", "cytoplasm", "nuclei")),
            *(("table", name) for name in ("Cells", "Cytoplasm", "Image", "Nuclei")),
        ]
        for table in ("Image", "Cells", "Cytoplasm", "Nuclei"):
            info = connection.execute(f"PRAGMA table_info({table})").fetchall()
            columns = columns_of(f"cell_health/{table}")
            assert [row[1].removeprefix(f"{table}_") for row in info] == [name for name, _ in columns]
            assert [row[3] for row in info] == [int(what in ("whole", "real")) for _, what in columns]
            for (_, name, declared, *_), (_, what) in zip(info, columns, strict=True):
                stored = {row[0] for row in connection.execute(f'SELECT typeof("{name}") FROM {table}')}
                word = {"text"} if name == "Nuclei_Correlation_Costes_AGP_DNA" else set()
                assert {declared} | stored == STORED[what] | word, name
        words = connection.execute("SELECT Nuclei_Correlation_Costes_AGP_DNA FROM Nuclei").fetchall()
        assert words.count(("nan",)) == 1
        tables = connection.execute("SELECT DISTINCT TableNumber, ImageNumber FROM Image ORDER BY 2").fetchall()
        assert [number for _, number in tables] == [2, 3186]
        assert all(re.fullmatch("[0-9a-f]{32}", table) for table, _ in tables)


def test_the_npz_file_has_these_arrays_and_a_pickled_dictionary_of_numpy_1(shared_data: Path, figures: Figures) -> None:
    import numpy as np

    [path] = (shared_data / "deepprofiler").iterdir()
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["features.npy", "metadata.npy", "locations.npy"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        heads = [archive.read(name)[10:].split(b"\n")[0].decode().strip() for name in archive.namelist()]
        pickled = archive.read("metadata.npy").split(b"\n", 1)[1]
    rows = figures.deepprofiler
    assert heads == [
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 6400), }}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (), }",
        f"{{'descr': '<f8', 'fortran_order': True, 'shape': ({rows}, 2), }}",
    ]
    operations = [(operation.name, argument) for operation, argument, _ in pickletools.genops(pickled)]
    assert operations[0] == ("PROTO", 3)
    assert [argument for name, argument in operations if name == "GLOBAL"] == [
        "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"
    ]  # fmt: skip
    with np.load(path, allow_pickle=True) as file:
        metadata = file["metadata"].item()
    assert {name: type(value) for name, value in metadata.items()} == METADATA
    assert list(metadata) == list(METADATA)
    assert metadata["Concentration"] == ""


if REAL_DATA_IS_THERE:
    # What is expected of the twins comes from this oracle, so there only the real files can judge it.
    @pytest.mark.parametrize("name", PEER)
    def test_the_oracle_gives_what_the_peer_gave_for_the_real_files(name: str) -> None:
        expected = pq.read_table(REAL_DATA / "expected" / f"{name}.parquet").replace_schema_metadata(None)
        made = PEER[name](REAL_DATA)
        assert sorted(made.column_names) == sorted(expected.column_names)
        made = made.select(expected.column_names)
        assert made.schema.types == expected.schema.types
        keys = {"deepprofiler": ["Location_Center_X"], "in_carta": ["Plate ID", "Primary Target cg X wv1"]}
        first = keys.get(name, [column for column in made.column_names if column.startswith("Metadata_")])
        order = [(key, "ascending") for key in first]
        assert made.sort_by(order).equals(expected.sort_by(order))
