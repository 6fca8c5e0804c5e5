"""Small awkward sources for the exactness tests, each with one thing in it that real exports do.

`AWKWARD` maps a name to an `Awkward`; its `write(folder)` makes the source below an existing empty folder and returns
the source's path. All of them are valid: the tools must give exactly what the oracle gives.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from plates import COMPARTMENTS, ImageSet, folders, write_csv
from plates_sheets import (
    SMALL,
    Tables,
    as_text,
    column_place,
    measured_name,
    set_column,
    small_tables,
    write_sheets,
    write_sqlite_sheets,
)
from plates_sqlite import SqliteStyle, write_sqlite

__all__ = ["AWKWARD", "Awkward"]

EXTREMES = (
    "1e308 -1e308 1.7976931348623157e308 5e-324 2.2250738585072014e-308 0.30000000000000004 -0.0 0 1e22 1e23 "
    "123456789012345680 0.1234567890123456789 9007199254740993 1.0000000000000002 .5 5. 1E+05 inf -inf"
).split()


@dataclass(frozen=True)
class Awkward:
    """One awkward source: the oracle's layout for it, and what writes it."""

    layout: str
    write: Callable[[Path], Path]


def four_folders(out: Path) -> Path:
    """Four folders that all number their image set 1, 100 cells each, whose numbers differ from their nuclei's."""
    plate = replace(SMALL, folders=4)
    trees: dict[str, Tables] = {}
    for folder in folders(plate):
        source = random.Random(folder.index)
        parents = source.sample(range(1, 101), 100)
        cells = source.sample(range(1, 101), 100)
        image = ImageSet(1, 100, parents, cells, [parents[cell - 1] for cell in cells])
        trees[folder.path] = as_text(plate, replace(folder, image_sets=[image]))
    return write_sheets(out, trees)


def missing_partners(out: Path) -> Path:
    """Objects lost at every step: parents 0, parents that point at nothing, nuclei and cells without cytoplasm."""
    trees = small_tables(replace(SMALL, cells=30, missing=0.3, images=2))
    for tables in trees.values():
        del tables["Cells"][3], tables["Nuclei"][5], tables["Nuclei"][1]
        set_column(tables["Cytoplasm"], "Parent_Cells", ["9999"])
    return write_sheets(out, trees)


def column_order(out: Path) -> Path:
    """Columns in another order in every file, two of them missing from one file, one that only one file has."""
    trees = small_tables()
    source = random.Random(3)
    for index, tables in enumerate(trees.values()):
        for name, lines in tables.items():
            order = source.sample(range(len(lines[0])), len(lines[0]))
            lines[:] = [[line[i] for i in order] for line in lines]
            if name == "Cells" and index == 1:
                gone = sorted((column_place(lines, measured_name(lines, k)) for k in (0, 1)), reverse=True)
                lines[:] = [[v for i, v in enumerate(line) if i not in gone] for line in lines]
            if name == "Nuclei" and index == 2:
                lines[:] = [[*line, "0.25" if i else "Intensity_OnlyHere_DNA"] for i, line in enumerate(lines)]
    return write_sheets(out, trees)


def null_words(out: Path) -> Path:
    """Write the words for no value into float columns, a count, and a whole column of one folder."""
    trees = small_tables(replace(SMALL, cells=12))
    words = ["nan", "NaN", "NA", "NULL", ""]
    for index, tables in enumerate(trees.values()):
        for name in COMPARTMENTS:
            set_column(tables[name], measured_name(tables[name], 0), words)
            set_column(tables[name], measured_name(tables[name], 1), [*words, "0.5"])
        set_column(tables["Cells"], "Children_Cytoplasm_Count", words)
        if index == 0:
            set_column(tables["Nuclei"], measured_name(tables["Nuclei"], 2), ["nan"] * 100)
    return write_sheets(out, trees)


def extreme_numbers(out: Path) -> Path:
    """Floats at the ends of their range, with 17 digits and more, infinite, negative zero; and whole numbers as 5.0."""
    trees = small_tables(replace(SMALL, cells=30))
    for tables in trees.values():
        for name in COMPARTMENTS:
            set_column(tables[name], measured_name(tables[name]), EXTREMES)
        set_column(
            tables["Image"], "Count_Cells", [tables["Image"][1][column_place(tables["Image"], "Count_Cells")] + ".0"]
        )
    return write_sheets(out, trees)


def large_numbers(out: Path) -> Path:
    """Image and object numbers beyond 32 bits, with gaps, images and objects not in order, several images a file."""
    trees = small_tables(replace(SMALL, images=3))
    shift = {"ImageNumber": 1 << 40, "ObjectNumber": 5_000_000_000, "Parent_Cells": 5_000_000_000}
    for tables in trees.values():
        for name, lines in tables.items():
            for column, by in shift.items():
                if column in lines[0]:
                    own = by if column == "ImageNumber" or name == "Cells" or column == "Parent_Cells" else 0
                    i = column_place(lines, column)
                    set_column(lines, column, [str(int(line[i]) * 3 + own) for line in lines[1:]])
            if "Parent_Nuclei" in lines[0]:
                i = column_place(lines, "Parent_Nuclei")
                set_column(lines, "Parent_Nuclei", [str(int(line[i]) * 3) for line in lines[1:]])
            lines[1:] = random.Random(name).sample(lines[1:], len(lines) - 1)
    return write_sheets(out, trees)


def quoted_text(out: Path) -> Path:
    """Text with commas, quotes, line breaks and blanks in the image table and in a compartment."""
    trees = small_tables()
    texts = ['a, "b"\nc.tiff', "two\r\nlines", "  blanks  ", "'; DROP TABLE cells; --", "nan", "tab\there"]
    for index, tables in enumerate(trees.values()):
        set_column(tables["Image"], "FileName_DNA", [texts[2 * index]])
        set_column(tables["Image"], "Metadata_Well", [texts[2 * index + 1]])
        words = [*texts, *["x"] * 100]
        for i, line in enumerate(tables["Cells"]):
            line.append(words[i - 1] if i else "Classify_Phase")
    return write_sheets(out, trees)


def strange_names(out: Path) -> Path:
    """Unicode, quotes, blanks, semicolons and percent signs in folder, file and column names."""
    trees = small_tables()
    places = ["Plåte 1/A01 'x'", 'Plåte 1/B"02";--', "細胞 %20/{curly}#?"]
    for tables in trees.values():
        for name, new in zip(COMPARTMENTS, ["Größe_µm²", 'Say_"cheese"; DROP', "It's_50%_{x}"], strict=True):
            tables[name][0][column_place(tables[name], measured_name(tables[name]))] = new
        set_column(tables["Image"], "FileName_DNA", ["Zelle_ä_細胞.tiff"])
    return write_sheets(out, dict(zip(places, trees.values(), strict=True)))


def metadata_kinds(out: Path) -> Path:
    """Write a plate named 0012, wells that look like numbers, a numeric site, a file name that looks like a number."""
    trees = small_tables()
    for index, tables in enumerate(trees.values()):
        for column, value in {"Plate": "0012", "Well": str(101 + index), "Site": str(index)}.items():
            set_column(tables["Image"], f"Metadata_{column}", [value])
        set_column(tables["Image"], "FileName_ER", [f"{index}.50"])
    return write_sheets(out, trees)


def no_objects(out: Path) -> Path:
    """Write an image set without objects, a folder of headers only, a folder of empty compartment files."""
    trees = small_tables(replace(SMALL, folders=4, images=2))
    for index, tables in enumerate(trees.values()):
        for name in COMPARTMENTS:
            lines = tables[name]
            image = column_place(lines, "ImageNumber")
            kept = [line for line in lines[1:] if index == 0 or line[image] == "2"]
            lines[1:] = kept if index < 2 else []
            if index == 3:
                lines.clear()
        if index > 1:
            for count in ("Count_Cells", "Count_Cytoplasm", "Count_Nuclei"):
                set_column(tables["Image"], count, ["0", "0"])
    return write_sheets(out, trees)


def _with_features(count: int) -> Callable[[Path], Path]:
    def write(out: Path) -> Path:
        """Compartments with that many measurement columns."""
        return write_csv(replace(SMALL, folders=2, features=count), out)

    return write


def _with_bytes(end: str, before: str, rename: Callable[[str], str] = str) -> Callable[[Path], Path]:
    def write(out: Path) -> Path:
        """Files with other line ends, a byte order mark, or names in other letter cases."""
        trees = small_tables()
        renamed = {path: {rename(name): lines for name, lines in tables.items()} for path, tables in trees.items()}
        return write_sheets(out, renamed, end, before)

    return write


def image_without_names(out: Path) -> Path:
    """Write an image table with no file names, plate or well."""
    trees = small_tables()
    for tables in trees.values():
        lines = tables["Image"]
        keep = [i for i, name in enumerate(lines[0]) if not name.startswith(("FileName", "Metadata"))]
        lines[:] = [[line[i] for i in keep] for line in lines]
    return write_sheets(out, trees)


def clutter(out: Path) -> Path:
    """Unrelated and hidden files and folders, a dataset at another depth, a folder reached by a link, a cycle."""
    trees = list(small_tables(replace(SMALL, folders=4)).values())
    elsewhere = out.parent / f"{out.name}-elsewhere"
    write_sheets(elsewhere, {"staged": trees[0]})
    write_sheets(out, {"p/A01-1": trees[1], "p/deep/er/B02": trees[2], ".hidden/A01-1": trees[3]})
    (out / "linked").symlink_to(elsewhere / "staged", target_is_directory=True)
    (out / "p" / "cycle").symlink_to(out, target_is_directory=True)
    (out / "p" / "A01-1" / "Experiment.csv").write_text("Key,Value\nCellProfiler_Version,4.2.6\n")
    (out / "p" / "A01-1" / ".Cells.csv").write_text("not for us")
    (out / "p" / "notes.txt").write_text("not for us either")
    return out


def single_folder(out: Path) -> Path:
    """One folder alone: no dataset or table number comes out."""
    return write_sheets(out, {".": next(iter(small_tables().values()))})


def sqlite_two_files(out: Path) -> Path:
    """Two ExportToDatabase files, both of which number their images from 1."""
    for seed in (1, 2):
        write_sqlite(replace(SMALL, seed=seed, missing=0.1, cells=20), out / f"plate {seed}.sqlite")
    return out


def cytominer_two_files(out: Path) -> Path:
    """Two cytominer-database files, both of which number their tables from 1, in folders."""
    for seed in (1, 2):
        (out / f"p{seed}").mkdir()
        plate = replace(SMALL, seed=seed, missing=0.1, cells=20)
        write_sqlite(plate, out / f"p{seed}" / "backend.sqlite", SqliteStyle("cytominer_database", order="shuffled"))
    return out


def _one_file(style: SqliteStyle) -> Callable[[Path], Path]:
    def write(out: Path) -> Path:
        """One SQLite file of several folders' images, with gaps and missing partners."""
        plate = replace(SMALL, cells=20, images=2, missing=0.1, empty=0.3, nan_share=0.2)
        return write_sqlite(plate, out / "plate.sqlite", style)

    return write


def sqlite_mixed(out: Path) -> Path:
    """Whole numbers, words for no value and extreme numbers in one FLOAT column; Unicode and quotes in names."""
    tables = next(iter(small_tables(replace(SMALL, cells=40, folders=1)).values()))
    for name in COMPARTMENTS:
        set_column(tables[name], measured_name(tables[name], 0), ["nan", "1", *EXTREMES[:17]])
        set_column(tables[name], measured_name(tables[name], 1), ["NA", "NULL", "NaN", "", "7"])
        tables[name][0][column_place(tables[name], measured_name(tables[name], 2))] = 'Größe_"µm" it\'s'
    return write_sqlite_sheets(out / "mixed 'x' ä.sqlite", tables, SqliteStyle("cytominer_database"), ["b", "a"])


def _upside_down(name: str) -> str:
    return name.upper() if name in ("Cells", "Image") else name.lower()


_SQLITE: Final = "cellprofiler_sqlite"
_CYTOMINER: Final = "cytominer_database"

AWKWARD: Mapping[str, Awkward] = {
    **{
        name: Awkward("cellprofiler_csv", write)
        for name, write in {
            "four_folders": four_folders,
            "missing_partners": missing_partners,
            "column_order": column_order,
            "null_words": null_words,
            "extreme_numbers": extreme_numbers,
            "large_numbers": large_numbers,
            "quoted_text": quoted_text,
            "strange_names": strange_names,
            "metadata_kinds": metadata_kinds,
            "no_objects": no_objects,
            "one_feature": _with_features(1),
            "wide": _with_features(3000),
            "windows_lines": _with_bytes("\r\n", ""),
            "byte_order_mark": _with_bytes("\n", "\ufeff"),
            "letter_case": _with_bytes("\r\n", "\ufeff", _upside_down),
            "image_without_names": image_without_names,
            "clutter": clutter,
            "single_folder": single_folder,
        }.items()
    },
    "sqlite_two_files": Awkward(_SQLITE, sqlite_two_files),
    "sqlite_interleaved": Awkward(_SQLITE, _one_file(SqliteStyle(_SQLITE, order="interleaved"))),
    "sqlite_indexed": Awkward(_SQLITE, _one_file(SqliteStyle(_SQLITE, index=True))),
    "sqlite_shuffled": Awkward(_SQLITE, _one_file(SqliteStyle(_SQLITE, order="shuffled"))),
    "cytominer_two_files": Awkward(_CYTOMINER, cytominer_two_files),
    "cytominer_text": Awkward(_CYTOMINER, _one_file(SqliteStyle(_CYTOMINER, table_number="text", index=True))),
    "cytominer_interleaved": Awkward(_CYTOMINER, _one_file(SqliteStyle(_CYTOMINER, order="interleaved"))),
    "sqlite_mixed": Awkward(_CYTOMINER, sqlite_mixed),
}
