"""Twins of the real measurement files: the same folders, columns, types and oddities, few rows, made-up values.

The real files may not be committed. Their twins are made anew for each run of the tests, the same for everyone, with
what CytoTable would make of them in `expected/`. As a program:

    PYTHONPATH=tests/oracle python tests/inputs/twins.py FOLDER
"""

from __future__ import annotations

import hashlib
import pickle
import random
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from npz_files import array_of, object_array, write_npz
from oracle_peer import write_expected
from plates_presets import combined
from plates_sheets import Line, Tables, set_column, write_sheets
from plates_sqlite import quoted
from twins_columns import Column, columns_of

__all__ = ["write_twins"]

Known = Mapping[str, Sequence[str]]

COMPARTMENTS = ("Cells", "Cytoplasm", "Nuclei")
PIPELINE = (
    "CellProfiler Pipeline: http://www.cellprofiler.org\nVersion:5\nDateRevision:400\n\n"
    'Images:[module_num:1|notes:[\'One, "two"\']]\n    :\n    Select the rule:and (directory doesnot "[\\\\\\\\/]")\n'
)
EXPERIMENT = {
    "CellProfiler_Version": "4.0.0",
    "ChannelType_DNA": "Grayscale",
    "ChannelType_PH3": "Grayscale",
    "ChannelType_cellbody": "Grayscale",
    "ImageSet_Zip_Dictionary": f"b'{'eJwr' * 40}=='",
    "Metadata_Tags": '["ImageNumber"]',
    "Pipeline_Pipeline": PIPELINE,
    "Run_Timestamp": "2025-01-02T03:04:05.678901",
}


def write_twins(out: Path) -> Path:
    """Write the twins of all real files below `out`, which must not exist, and return it."""
    _example_human(out / "ExampleHuman")
    _data_a(out / "data_a")
    _cell_health(out / "cell_health" / "twin-PL00000001.sqlite")
    _in_carta(out / "in_carta")
    _deepprofiler(out / "deepprofiler" / "B02_7.npz")
    write_expected(out)
    return out


def _example_human(out: Path) -> None:
    """Write one image set, every object with all its partners; some nuclei have a child, some two; CRLF lines."""
    count, children = 40, ["7", "3", "12", "3", "19", "12", "40"]
    numbers = [str(number) for number in range(1, count + 1)]
    own = {"ImageNumber": ["1"] * count, "ObjectNumber": numbers, "Number_Object_Number": numbers}
    counts = {f"Children_{name}_Count": ["1"] * count for name in COMPARTMENTS}
    counts["Children_PH3_Count"] = [str(children.count(number)) for number in numbers]
    parents = {f"Parent_{name}": numbers for name in COMPARTMENTS}
    forms = ("real", "point", "exponent")
    tables: Tables = {
        name: _lines(f"ExampleHuman/{name}", count, own | counts | parents, forms) for name in COMPARTMENTS
    }
    found = [str(number + 1) for number in range(len(children))]
    of_children = {"ImageNumber": ["1"] * len(found), "ObjectNumber": found, "Number_Object_Number": found}
    tables["PH3"] = _lines("ExampleHuman/PH3", len(found), of_children | {"Parent_Nuclei": children}, ("real",))
    tables["Image"] = _lines("ExampleHuman/Image", 1, _image_of_example(count, len(children)), ("real", "point"))
    tables["Experiment"] = [["Key", "Value"], *([key, value] for key, value in EXPERIMENT.items())]
    write_sheets(out, {".": tables}, end="\r\n")


def _image_of_example(count: int, children: int) -> dict[str, list[str]]:
    known = {f"Count_{name}": [f"{count}.0"] for name in COMPARTMENTS}
    known |= {"Count_PH3": [f"{children}.0"], "ImageNumber": ["1"], "Group_Index": ["1"], "Group_Number": ["1"]}
    known |= {"ImageSet_ImageSet": [f"b'{'eJxT' * 30}='"], "ExecutionTime_01Images": ["0.0"]}
    return known | {f"Channel_{name}": ["-1"] for name in ("DNA", "PH3", "cellbody")}


def _data_a(out: Path) -> None:
    """Write two folders, file names in mixed case, object numbers with gaps; in each the combined file as well.

    A spreadsheet has saved the combined files: the same numbers are written in another way.
    """
    folders = {
        "1": {"1": 1, "2": 200, "3": 299, "4": 112},
        "2": {"19": 200, "20": 76, "21": 69, "22": 124},
    }
    for folder, images in folders.items():
        objects = [(image, str(first + i)) for image, first in images.items() for i in range(3)]
        numbers = [number for _, number in objects]
        known = {"ImageNumber": [image for image, _ in objects], "ObjectNumber": numbers}
        known |= {f"Parent_{name}": numbers for name in COMPARTMENTS} | {"Number_Object_Number": numbers}
        known |= {f"Children_{name}_Count": ["1"] * len(objects) for name in COMPARTMENTS}
        known["Parent_AllNuclei"] = [str(int(number) + 11) for number in numbers]
        known["Correlation_Correlation_Alexa568_Alexa568"] = ["1"] * len(objects)
        forms = ("real", "point", "exponent")
        tables = {name: _lines(f"data_a/{name}", len(objects), known, forms, folder) for name in COMPARTMENTS}
        forms = ("real", "whole", "exponent")
        tables["image"] = _lines("data_a/image", len(images), _images_of_data_a(folder, list(images)), forms, folder)
        together = combined({"Image": tables["image"], **tables})
        set_column(together[1:], "ObjectNumber", numbers)
        tables["object"] = [*together[:2], *([_edited(value) for value in line] for line in together[2:])]
        write_sheets(out, {folder: tables})


def _images_of_data_a(folder: str, images: list[str]) -> dict[str, list[str]]:
    columns = ["1", "1", "2", "2"] if folder == "1" else ["10", "10", "11", "11"]
    return {
        "ImageNumber": images,
        "Group_Index": images,
        "Group_Number": ["1"] * len(images),
        "Metadata_Barcode": ["220000000001"] * len(images),
        "Metadata_Site": ["1", "2", "1", "2"],
        "Metadata_Well": [f"A{int(column):02d}" for column in columns],
        "Metadata_WellColumn": columns,
        "Metadata_WellRow": ["A"] * len(images),
        "Metadata_isDebris": ["0", "1", "0", "0"],
    }


def _cell_health(path: Path) -> None:
    """Write a cytominer-database file: hashes as table numbers, a word in a FLOAT column, types, indices."""
    path.parent.mkdir(parents=True)
    images = {hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(): name for name in ("2", "3186")}
    objects = [(table, image, str(number)) for table, image in images.items() for number in range(1, 5)]
    numbers = [number for _, _, number in objects]
    known = {"TableNumber": [table for table, _, _ in objects], "ImageNumber": [image for _, image, _ in objects]}
    known |= {"ObjectNumber": numbers, "Number_Object_Number": numbers}
    known |= {f"Parent_{name}": numbers for name in COMPARTMENTS}
    known |= {f"Children_{name}_Count": ["1"] * len(objects) for name in COMPARTMENTS}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA page_size = 1024")
        for name in ("Image", "Nuclei", "Cytoplasm", "Cells"):
            own = _images_of_cell_health(images) if name == "Image" else known
            if name == "Nuclei":
                own = {**own, "Correlation_Costes_AGP_DNA": ["1.0"] * 6 + ["nan", "1.0"]}
            _store(connection, name, _lines(f"cell_health/{name}", len(own["TableNumber"]), own, ("real", "point")))


def _images_of_cell_health(images: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        "TableNumber": list(images),
        "ImageNumber": list(images.values()),
        **{f"Count_{name}": ["150.0", "120.0"] for name in COMPARTMENTS},
        "Group_Index": ["1", "1"],
        "Group_Number": list(images.values()),
        "Metadata_AbsTime": ["2025-01-02T03:04:05.678-04:00", "2025-01-02T04:05:06.789-04:00"],
        "Metadata_Plate": ["PL00000001"] * 2,
        "Metadata_PositionZ": ["-6e-06"] * 2,
        "Metadata_Site": ["2", "9"],
        "Metadata_Well": ["A01", "O18"],
    }


def _store(connection: sqlite3.Connection, table: str, lines: list[Line]) -> None:
    declared = {"whole": "BIGINT NOT NULL", "real": "FLOAT NOT NULL", "text": "TEXT", "time": "DATETIME"}
    types = [declared[holds] for _, holds in columns_of(f"cell_health/{table}")]
    plain = ("TableNumber", "ImageNumber", "ObjectNumber")
    names = [quoted(name if name in plain else f"{table}_{name}") for name in lines[0]]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, types, strict=True))
    connection.execute(f"CREATE TABLE {quoted(table)} ({columns})")
    connection.executemany(f"INSERT INTO {quoted(table)} VALUES ({', '.join('?' * len(names))})", lines[1:])
    keys = plain[:2] if table == "Image" else plain
    name = "table_image_idx" if table == "Image" else f"table_image_object_{table.lower()}_idx"
    connection.execute(f"CREATE INDEX {name} ON {quoted(table)} ({', '.join(keys)})")
    if table == "Image":
        connection.execute("CREATE INDEX plate_well_image_idx ON Image (Image_Metadata_Plate, Image_Metadata_Well)")


def _in_carta(out: Path) -> None:
    """Write two runs whose names differ in letter case too; words in quotes, empty fields, columns never filled."""
    out.mkdir(parents=True)
    columns = columns_of("in_carta/objects")
    quote = [holds == "text" for _, holds in columns]
    wells = [(row, column) for row in "CD" for column in range(3, 9)]
    for run, name in enumerate(
        ["Run 0 Day0 Twin Twin_2025_Feb-02-10-20-30_Run.csv", "run 0 Day3 Twin Twin_2025_Feb-05-11-21-31_Run.csv"]
    ):
        known = {
            "Row": [row for row, _ in wells],
            "Column": [str(column) for _, column in wells],
            "WELL LABEL": [f"{row} - {column}" for row, column in wells],
            "FOV": [str(1 + i % 4) for i in range(len(wells))],
            "OBJECT ID": [str(1 + i % 3) for i in range(len(wells))],
            "Slice Algorithm": ["CurrentSlice"] * len(wells),
            "Slice Indicator": ["Yes"] * len(wells),
            "Plate ID": [f"2025-0{run + 1}-03 DAY{run} twin Phall Mito Dapi"] * len(wells),
        } | {letter: ["1"] * len(wells) for letter in "ZT"}
        header, *lines = _lines("in_carta/objects", len(wells), known, ("real", "whole"), name)
        rows = [
            ",".join(f'"{value}"' if is_quoted else value for value, is_quoted in zip(line, quote, strict=True))
            for line in lines
        ]
        (out / name).write_text("\n".join([",".join(f'"{column}"' for column in header), *rows, ""]))


def _deepprofiler(path: Path) -> None:
    """Write one image's `.npz` of NumPy 1: features by row, locations by column, a dictionary in a pickled array."""
    import numpy as np

    plate, source = "PL00000002", random.Random("deepprofiler")
    metadata = {
        "Metadata_Plate": plate, "Metadata_Well": "B02", "Metadata_Site": 7, "Plate_Map_Name": "T-0000-01",
        **{name: f"{plate}/r02c02f07p01-ch{i}.png" for i, name in enumerate(("RNA", "ER", "AGP", "Mito", "DNA"), 1)},
        "Treatment_ID": 0, "Treatment_Replicate": 1, "Treatment": "DMSO@NA", "Compound": "DMSO", "Concentration": "",
        "Split": "Training", "Metadata_Model": "efficientnet",
    }  # fmt: skip
    pickled = pickle.dumps(np.array(metadata, dtype=object), 3)
    # NumPy 2 names its module with an underscore.
    pickled = pickled.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    members = {
        "features": array_of([[source.uniform(-0.3, 6) for _ in range(6400)] for _ in range(5)]),
        "metadata": object_array(pickled),
        "locations": array_of([[source.uniform(0, 1080) for _ in "XY"] for _ in range(5)], "<f8", by_column=True),
    }
    write_npz(path, members)


def _lines(table: str, count: int, known: Known, forms: Sequence[str], seed: str = "") -> list[Line]:
    """Give a table's header and rows; columns that are not known get values of what they hold."""
    columns = columns_of(table)
    source = random.Random(f"{table}/{seed}")
    values = [known.get(column[0]) or list(_values(column, count, source, forms)) for column in columns]
    return [[name for name, _ in columns], *(list(line) for line in zip(*values, strict=True))]


def _values(column: Column, count: int, source: random.Random, forms: Sequence[str]) -> Iterator[str]:
    """Give a column's values; the first shows what the column holds, the second of a gappy one is missing."""
    name, holds = column
    for i in range(count):
        if holds == "empty" or (holds == "gappy" and (i == 1 or (i and source.random() < 0.3))):
            yield ""
        elif holds == "whole":
            yield str(source.randint(0, 300))
        elif holds == "text":
            yield hashlib.md5(source.randbytes(4)).hexdigest() if name.startswith("MD5") else f"twin/{name.lower()}.tif"
        else:
            yield _number(source, forms[0] if i == 0 or source.random() < 0.8 else source.choice(forms))


def _number(source: random.Random, form: str) -> str:
    if form == "whole":
        return str(source.randint(0, 300))
    if form == "point":
        return f"{source.randint(0, 300)}.0"
    if form == "exponent":
        return repr(source.randint(101, 999) / 10_000_000)
    return f"{source.uniform(-1, 1) * 10 ** source.randint(0, 4):.{source.choice((4, 9, 16))}f}7"


def _edited(value: str) -> str:
    """Write a number as a spreadsheet does."""
    return value.removesuffix(".0").replace("e-", "E-")


if __name__ == "__main__":
    write_twins(Path(sys.argv[1]))
