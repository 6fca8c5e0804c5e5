"""The project's own plates: measurement sources as CellProfiler leaves them, the same bytes for the same seed.

Takes a `Plate` (how many folders, cells and features, what is missing) and gives a tree of CSV folders or one SQLite
file with the same cells. Memory stays that of one folder. As a program:

    python tests/inputs/plates.py OUT --folders 36 --cells 100 --features 600 --kind csv
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from plates_columns import CHANNELS, Feature, feature_values, features, uniform_values

__all__ = ["COMPARTMENTS", "Folder", "ImageSet", "Plate", "folder_tables", "folders", "main", "write_csv"]

COMPARTMENTS = ("Cells", "Cytoplasm", "Nuclei")
_LOSSY = 0.5
"""Share of objects that a lossy well loses at each step."""


@dataclass(frozen=True)
class Plate:
    """What a generated plate is like.

    Attributes
    ----------
    folders, images
        Export folders, and image sets in each.
    cells
        Nuclei per image set on average; each has between three and five quarters of that.
    features
        Measurement columns per compartment, beside numbers, parents and counts of children.
    from_one
        Whether every folder numbers its image sets from 1, or the plate numbers them through.
    missing
        Share of cells lost to a filter, of cytoplasms lost, and of cytoplasms whose parent is gone.
    empty
        Share of image sets without any object.
    nan_share, nan_words
        Share of values that could not be measured in the columns where that happens, and how a CSV writes them.
    sites
        Sites per well.
    wells
        Wells of a plate: 384 or 96.
    missing_wells
        Wells that no folder is made of, such as `BR00117001/A05`.
    lossy_wells
        Wells in which half of the cells and cytoplasms, and of their parents, are lost.
    """

    folders: int = 36
    cells: int = 100
    features: int = 600
    images: int = 1
    from_one: bool = True
    missing: float = 0.02
    empty: float = 0.0
    nan_share: float = 0.02
    nan_words: tuple[str, ...] = ("nan",)
    sites: int = 9
    seed: int = 1
    wells: int = 384
    missing_wells: tuple[str, ...] = ()
    lossy_wells: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageSet:
    """One image set and how its objects belong together; lists are by object number, the first object's first.

    Attributes
    ----------
    cell_nuclei
        Each cell's nucleus.
    cytoplasm_cells, cytoplasm_nuclei
        Each cytoplasm's cell and nucleus; 0 where CellProfiler knows none.
    """

    number: int
    nuclei: int
    cell_nuclei: list[int]
    cytoplasm_cells: list[int]
    cytoplasm_nuclei: list[int]


@dataclass(frozen=True)
class Folder:
    """One export folder: its place on the plate and its image sets."""

    index: int
    plate: str
    well: str
    site: int
    image_sets: list[ImageSet]

    @property
    def path(self) -> str:
        """Where it lies in the tree: PLATE/WELL-SITE."""
        return f"{self.plate}/{self.well}-{self.site}"


def folders(plate: Plate) -> Iterator[Folder]:
    """Lay out the plate: which folders there are, and which objects belong together in each."""
    rows, columns = {384: ("ABCDEFGHIJKLMNOP", 24), 96: ("ABCDEFGH", 12)}[plate.wells]
    wells = [f"{row}{column:02d}" for row in rows for column in range(1, columns + 1)]
    for index in range(plate.folders):
        well, site = divmod(index, plate.sites)
        on_plate, well = divmod(well, len(wells))
        name = f"BR{117001 + on_plate:08d}"
        if f"{name}/{wells[well]}" in plate.missing_wells:
            continue
        is_lossy = f"{name}/{wells[well]}" in plate.lossy_wells
        source = random.Random(f"{plate.seed}/{index}/layout")
        first = 1 if plate.from_one else 1 + index * plate.images
        of_well = replace(plate, missing=_LOSSY) if is_lossy else plate
        image_sets = [_image_set(of_well, source, first + i) for i in range(plate.images)]
        yield Folder(index, name, wells[well], site + 1, image_sets)


def folder_tables(plate: Plate, folder: Folder) -> dict[str, Any]:
    """Give a folder's tables as Arrow tables with CellProfiler's CSV names; keys are `Image` and the compartments."""
    columns = features(plate.features)
    tables = {"Image": _image_table(plate, folder)}
    for compartment in COMPARTMENTS:
        numbers = _numbers(folder, compartment)
        source = random.Random(f"{plate.seed}/{folder.index}/{compartment}")
        tables[compartment] = _with_features(numbers, columns, source, plate.nan_share)
    return tables


def write_csv(plate: Plate, out: Path) -> Path:
    """Write the plate as a tree PLATE/WELL-SITE/{Image,Cells,Cytoplasm,Nuclei}.csv below `out`, and return `out`."""
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    for folder in folders(plate):
        place = out / folder.path
        place.mkdir(parents=True)
        source = random.Random(f"{plate.seed}/{folder.index}/words")
        for name, table in folder_tables(plate, folder).items():
            if plate.nan_words != ("nan",):
                table = _with_words(table, plate.nan_words, source)
            with (place / f"{name}.csv").open("wb") as stream:
                stream.write((",".join(table.column_names) + "\n").encode())
                if table.num_rows:
                    pyarrow.csv.write_csv(table, stream, options)
    return out


def _image_set(plate: Plate, source: random.Random, number: int) -> ImageSet:
    nuclei = source.randint(plate.cells * 3 // 4, plate.cells * 5 // 4) if source.random() >= plate.empty else 0
    cell_nuclei = [nucleus for nucleus in range(1, nuclei + 1) if source.random() >= plate.missing]
    cytoplasms = [
        (0 if source.random() < plate.missing / 2 else cell, 0 if source.random() < plate.missing / 2 else nucleus)
        for cell, nucleus in enumerate(cell_nuclei, start=1)
        if source.random() >= plate.missing
    ]
    return ImageSet(
        number, nuclei, cell_nuclei, [cell for cell, _ in cytoplasms], [nucleus for _, nucleus in cytoplasms]
    )


def _numbers(folder: Folder, compartment: str) -> dict[str, list[int]]:
    """Give the identifying columns of a compartment, all image sets of the folder below each other."""
    columns: dict[str, list[int]] = {}
    for image in folder.image_sets:
        for name, values in _image_numbers(image, compartment).items():
            columns.setdefault(name, []).extend(values)
    return columns


def _image_numbers(image: ImageSet, compartment: str) -> dict[str, list[int]]:
    own: dict[str, list[int]]
    if compartment == "Nuclei":
        nuclei = range(1, image.nuclei + 1)
        with_cell, with_cytoplasm = set(image.cell_nuclei), set(image.cytoplasm_nuclei)
        own = {
            "Children_Cells_Count": [int(n in with_cell) for n in nuclei],
            "Children_Cytoplasm_Count": [int(n in with_cytoplasm) for n in nuclei],
        }
        count = image.nuclei
    elif compartment == "Cells":
        count = len(image.cell_nuclei)
        with_cytoplasm = set(image.cytoplasm_cells)
        own = {
            "Children_Cytoplasm_Count": [int(n in with_cytoplasm) for n in range(1, count + 1)],
            "Parent_Nuclei": image.cell_nuclei,
        }
    else:
        count = len(image.cytoplasm_cells)
        own = {"Parent_Cells": image.cytoplasm_cells, "Parent_Nuclei": image.cytoplasm_nuclei}
    numbers = list(range(1, count + 1))
    return {"ImageNumber": [image.number] * count, "ObjectNumber": numbers, "Number_Object_Number": numbers, **own}


def _with_features(
    numbers: Mapping[str, list[int]], columns: list[Feature], source: random.Random, nan_share: float
) -> Any:
    count = len(numbers["ImageNumber"])
    uniform = uniform_values(source, count * len(columns))
    arrays: dict[str, Any] = {name: pa.array(values, pa.int64()) for name, values in numbers.items()}
    for i, feature in enumerate(columns):
        arrays[feature.name] = feature_values(feature, uniform.slice(i * count, count), nan_share)
    first = ["ImageNumber", "ObjectNumber"]
    return pa.table({name: arrays[name] for name in first + sorted(arrays.keys() - set(first))})


def _image_table(plate: Plate, folder: Folder) -> Any:
    source = random.Random(f"{plate.seed}/{folder.index}/Image")
    rows = [_image_row(folder, image, source) for image in folder.image_sets]
    return pa.Table.from_pylist([dict(sorted(row.items())) for row in rows])


def _image_row(folder: Folder, image: ImageSet, source: random.Random) -> dict[str, int | float | str]:
    row: dict[str, int | float | str] = {
        "Count_Cells": len(image.cell_nuclei),
        "Count_Cytoplasm": len(image.cytoplasm_cells),
        "Count_Nuclei": image.nuclei,
        "ExecutionTime_01Images": source.random(),
        "Group_Index": image.number,
        "Group_Number": 1,
        "ImageNumber": image.number,
        "Metadata_Plate": folder.plate,
        "Metadata_Site": folder.site,
        "Metadata_Well": folder.well,
        "ModuleError_01Images": 0,
        "Threshold_FinalThreshold_Nuclei": source.random(),
    }
    for k, channel in enumerate(CHANNELS, start=1):
        row[f"FileName_{channel}"] = f"{folder.well}-s{folder.site:02d}-i{image.number:05d}-ch{k}.tiff"
        row[f"PathName_{channel}"] = f"/data/images/{folder.plate}"
        row[f"Height_{channel}"] = 1080
        row[f"ImageQuality_MeanIntensity_{channel}"] = source.random()
    return row


def _with_words(table: Any, words: tuple[str, ...], source: random.Random) -> Any:
    """Write NaN as one word or another; columns with any become text."""
    for i, name in enumerate(table.column_names):
        column = table[name]
        if column.type == pa.float64() and pc.any(pc.is_nan(column)).as_py():
            written = pa.array([source.choice(words) for _ in range(len(column))])
            texts = pc.if_else(pc.is_nan(column), written, pc.cast(column, pa.string()))
            table = table.set_column(i, name, texts)
    return table


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    plate = Plate()
    parser = argparse.ArgumentParser(prog="plates.py", description="Write a plate of measurement files.")
    parser.add_argument("out", type=Path, help="folder (csv) or file (SQLite) to write; must not exist")
    parser.add_argument("--kind", choices=("csv", "cellprofiler_sqlite", "cytominer_database"), default="csv")
    parser.add_argument("--folders", type=int, default=plate.folders, metavar="N")
    parser.add_argument("--images", type=int, default=plate.images, metavar="N", help="image sets in each folder")
    parser.add_argument("--cells", type=int, default=plate.cells, metavar="N", help="about so many per image set")
    parser.add_argument("--features", type=int, default=plate.features, metavar="N", help="columns per compartment")
    parser.add_argument("--sites", type=int, default=plate.sites, metavar="N", help="sites per well")
    parser.add_argument("--wells", type=int, choices=(96, 384), default=plate.wells, help="wells of a plate")
    parser.add_argument("--missing-wells", default="", metavar="PLATE/WELL,...", help="wells without a folder")
    parser.add_argument(
        "--lossy-wells", default="", metavar="PLATE/WELL,...", help="wells that lose half of their cells"
    )
    parser.add_argument("--through", action="store_true", help="number image sets through, not from 1 in each folder")
    parser.add_argument("--missing", type=float, default=plate.missing, metavar="SHARE", help="objects without partner")
    parser.add_argument("--empty", type=float, default=plate.empty, metavar="SHARE", help="image sets without objects")
    parser.add_argument("--nan-share", type=float, default=plate.nan_share, metavar="SHARE")
    parser.add_argument("--nan-words", default="nan", metavar="A,B", help="how CSV files write a missing value")
    parser.add_argument("--seed", type=int, default=plate.seed)
    parser.add_argument("--order", choices=("image", "interleaved", "shuffled"), default="image", help="rows in SQLite")
    parser.add_argument("--index", action="store_true", help="SQLite with indices on the image")
    parser.add_argument("--table-number", choices=("integer", "text"), default="integer", help="in cytominer_database")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Write the plate that the command line describes."""
    words = build_parser().parse_args(argv)
    if words.out.exists():
        print(f"plates.py: {words.out} exists", file=sys.stderr)
        return 2
    plate = Plate(
        folders=words.folders,
        cells=words.cells,
        features=words.features,
        images=words.images,
        from_one=not words.through,
        missing=words.missing,
        empty=words.empty,
        nan_share=words.nan_share,
        nan_words=tuple(words.nan_words.split(",")),
        sites=words.sites,
        seed=words.seed,
        wells=words.wells,
        missing_wells=tuple(words.missing_wells.split(",")),
        lossy_wells=tuple(words.lossy_wells.split(",")),
    )
    if words.kind == "csv":
        write_csv(plate, words.out)
    else:
        from plates_sqlite import SqliteStyle, write_sqlite

        style = SqliteStyle(words.kind, order=words.order, index=words.index, table_number=words.table_number)
        write_sqlite(plate, words.out, style)
    return 0


if __name__ == "__main__":
    sys.exit(main())
