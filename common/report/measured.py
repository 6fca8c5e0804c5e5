"""What the pass over an output's files has found: sums of wells, of features, and cells of image sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.model.provenance import Step
from pycytominer_transform.common.model.roles import Role
from pycytominer_transform.common.report.contents import File

if TYPE_CHECKING:
    import pyarrow as pa

WellKey = tuple[str, str | None]
"""A plate and a well as the file writes them; None for a row that names no well."""
KEYS = ("plate", "well", "site", "dataset", "table_number", "image_number")
"""What tells image sets apart, and says where they are."""


@dataclass
class FeatureSums:
    """What is known of one feature so far; ``nulls`` counts NaN too, and the bounds are of finite values."""

    values: int = 0
    nulls: int = 0
    infinite: int = 0
    minimum: float | None = None
    maximum: float | None = None

    def add(self, other: FeatureSums) -> None:
        """Add other rows of the same feature."""
        self.values += other.values
        self.nulls += other.nulls
        self.infinite += other.infinite
        lows = [low for low in (self.minimum, other.minimum) if low is not None]
        highs = [high for high in (self.maximum, other.maximum) if high is not None]
        self.minimum, self.maximum = min(lows, default=None), max(highs, default=None)


@dataclass
class WellSums:
    """What is known of one well so far; ``areas`` has by compartment the sum of the areas and how many they are."""

    cells: int = 0
    values: int = 0
    nulls: int = 0
    areas: dict[str, tuple[float, int]] = field(default_factory=dict)
    control: str = ""

    def add(self, other: WellSums) -> None:
        """Add other rows of the same well."""
        self.cells += other.cells
        self.values += other.values
        self.nulls += other.nulls
        for name, (total, number) in other.areas.items():
            before = self.areas.get(name, (0.0, 0))
            self.areas[name] = (before[0] + total, before[1] + number)
        self.control = self.control or other.control


@dataclass
class Measured:
    """What the pass has found so far.

    Attributes
    ----------
    provenance : list
        For each file its preset, its steps and its rows.
    roles : dict
        The role of every column.
    columns_of_files : dict
        By column, the number of files that have it.
    images : list of pyarrow.Table
        Columns of `KEYS` and ``cells``; a row per image set, or several that are to be added up.
    """

    files: list[File] = field(default_factory=list)
    provenance: list[tuple[str, tuple[Step, ...], int]] = field(default_factory=list)
    roles: dict[str, Role] = field(default_factory=dict)
    columns_of_files: dict[str, int] = field(default_factory=dict)
    wells: dict[WellKey, WellSums] = field(default_factory=dict)
    features: dict[str, FeatureSums] = field(default_factory=dict)
    area_counts: dict[str, Any] = field(default_factory=dict)
    images: list[pa.Table] = field(default_factory=list)
    image_rows: int = 0

    def add(self, other: Measured) -> None:
        """Add what was found in other row groups."""
        for key, sums in other.wells.items():
            self.wells.setdefault(key, WellSums()).add(sums)
        for name, feature in other.features.items():
            self.features.setdefault(name, FeatureSums()).add(feature)
        for name, counts in other.area_counts.items():
            self.area_counts[name] = self.area_counts[name] + counts if name in self.area_counts else counts
        self.images += other.images
        if sum(table.num_rows for table in self.images) > 2 * self.image_rows + 10_000:
            self.images = [added_images(self.images)]
            self.image_rows = self.images[0].num_rows


def added_images(tables: Sequence[pa.Table]) -> pa.Table:
    """Return one row per image set, its cells added up."""
    import pyarrow as pa

    together = pa.concat_tables(tables)
    added = together.group_by(list(KEYS), use_threads=False).aggregate([("cells", "sum")])
    return added.rename_columns({"cells_sum": "cells"})
