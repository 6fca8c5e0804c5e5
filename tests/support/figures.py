"""The real measurement files, which may be missing, and figures of them and of their twins, counted by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["REAL", "REAL_DATA", "REAL_DATA_IS_THERE", "TWINS", "Figures"]

REAL_DATA = Path(os.environ.get("PCT_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
REAL_DATA_IS_THERE = (REAL_DATA / "expected").is_dir()


@dataclass(frozen=True)
class Figures:
    """Figures of one set of files.

    Attributes
    ----------
    example_human, cell_health
        Rows and columns of what CytoTable makes of the source.
    children
        Rows of `ExampleHuman/PH3.csv`.
    cells_per_folder
        Cells in each of the two folders of `data_a`.
    rows_per_run
        Rows in each of the two files of `in_carta`.
    deepprofiler
        Cells in the `.npz` file.
    """

    example_human: tuple[int, int]
    cell_health: tuple[int, int]
    children: int
    cells_per_folder: int
    rows_per_run: int
    deepprofiler: int


REAL = Figures((289, 312), (12, 1802), children=22, cells_per_folder=20, rows_per_run=144, deepprofiler=158)
TWINS = Figures((40, 312), (8, 1802), children=7, cells_per_folder=12, rows_per_run=12, deepprofiler=5)
