"""Sources with all that a report has to tell: missing wells and sites, lost objects, faulty features."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

from plates import Plate, write_csv

__all__ = ["PLATE", "change_columns", "telling_source"]

PLATE = Plate(folders=48, cells=12, features=24, sites=2, missing=0.15, empty=0.1, nan_share=0.2, seed=7)


def telling_source(out: Path) -> Path:
    """Write a plate of 24 wells that lacks two wells and a site, has a site twice, and features with each fault."""
    write_csv(PLATE, out)
    plate = out / "BR00117001"
    shutil.rmtree(plate / "A05-1")
    shutil.rmtree(plate / "A05-2")
    shutil.rmtree(plate / "A20-1")
    shutil.rmtree(plate / "A20-2")
    shutil.rmtree(plate / "A07-2")
    shutil.copytree(plate / "A09-1", plate / "A09-3")
    infinite = iter(["inf", "-inf", "inf"])
    change_columns(out, "Cells", "Intensity_IntegratedIntensityEdge_DNA", lambda text: next(infinite, text))
    change_columns(out, "Nuclei", "Intensity_IntegratedIntensityEdge_ER", lambda _: "nan")
    change_columns(out, "Cytoplasm", "Neighbors_NumberOfNeighbors_Adjacent", lambda _: "3")
    rows = iter(range(10**6))
    change_columns(out, "Cytoplasm", "Correlation_Correlation_DNA_ER", lambda text: text if next(rows) % 5 == 0 else "")
    return out


def change_columns(source: Path, table: str, column: str, change: Callable[[str], str]) -> None:
    """Change every value of a column in all of a source's files of a table."""
    for file in sorted(source.rglob(f"{table}.csv")):
        with file.open(newline="") as opened:
            reader = csv.DictReader(opened)
            names, rows = list(reader.fieldnames or ()), list(reader)
        assert column in names
        with file.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, names)
            writer.writeheader()
            for row in rows:
                writer.writerow(row | {column: change(row[column])})
