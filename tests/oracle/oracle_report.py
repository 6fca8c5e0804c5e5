"""What a report must say of a source, worked out from its files with `csv` or `sqlite3`, row by row."""

from __future__ import annotations

import csv
import math
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Expected", "expected_of_csv", "expected_of_sqlite", "expected_z", "recorded_by_well"]

OBJECTS = ("cells", "cytoplasm", "nuclei")
_NO_FEATURE = re.compile(
    r"^(?:ImageNumber|ObjectNumber|TableNumber|Number_Object_Number|Parent_\w+|Children_\w+_Count|Location_\w+"
    r"|AreaShape_(?:Center_|BoundingBox)\w+|AreaShape_Orientation)$"
)
Row = Mapping[str, Any]
Scope = tuple[str, int]
"""A dataset and its image number."""
WellOf = tuple[str, str]


@dataclass
class Expected:
    """The figures of a source whose cells without all partners are dropped; wells are pairs of plate and well."""

    rows: int = 0
    cells: Counter[WellOf] = field(default_factory=Counter)
    sites: dict[WellOf, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    image_sets_of_site: dict[WellOf, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    image_sets: Counter[WellOf] = field(default_factory=Counter)
    with_cells: Counter[WellOf] = field(default_factory=Counter)
    without_objects: Counter[WellOf] = field(default_factory=Counter)
    objects: dict[WellOf, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    unmatched: dict[WellOf, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    without: dict[WellOf, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    nulls: Counter[WellOf] = field(default_factory=Counter)
    areas: dict[WellOf, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    features: dict[str, list[float | None]] = field(default_factory=lambda: defaultdict(list))


def expected_of_csv(source: Path) -> Expected:
    """Return the figures of a tree of CellProfiler's CSV folders."""
    tables: dict[str, list[tuple[Scope, Row]]] = defaultdict(list)
    for file in sorted(source.rglob("*.csv")):
        with file.open(newline="") as opened:
            for row in csv.DictReader(opened):
                tables[file.stem.lower()].append(((str(file.parent), int(row["ImageNumber"])), row))
    return _expected(tables)


def expected_of_sqlite(source: Path) -> Expected:
    """Return the figures of a cytominer-database file."""
    tables: dict[str, list[tuple[Scope, Row]]] = defaultdict(list)
    with sqlite3.connect(source) as connection:
        connection.row_factory = sqlite3.Row
        for table in ("image", *OBJECTS):
            for row in connection.execute(f'SELECT * FROM "{table.capitalize()}"'):
                values = {re.sub(rf"^{table}_", "", name, flags=re.IGNORECASE): row[name] for name in row.keys()}
                scope = (str(values["TableNumber"]), int(values["ImageNumber"]))
                tables[table].append((scope, values))
    return _expected(tables)


def expected_z(values: Mapping[str, float]) -> dict[str, float]:
    """Return robust z scores, of at least eight values that are not mostly equal."""
    ordered = sorted(values.values())
    middle = median(ordered)
    spread = median(sorted(abs(value - middle) for value in ordered))
    if len(ordered) < 8 or not spread:
        return {}
    return {name: (value - middle) / (1.4826 * spread) for name, value in values.items()}


def _expected(tables: Mapping[str, list[tuple[Scope, Row]]]) -> Expected:
    found = Expected()
    wells = {scope: (row["Metadata_Plate"], row["Metadata_Well"]) for scope, row in tables["image"]}
    sites = {scope: str(row["Metadata_Site"]) for scope, row in tables["image"]}
    by_number = {table: {(scope, int(row["ObjectNumber"])): row for scope, row in tables[table]} for table in OBJECTS}
    used: dict[str, set[tuple[Scope, int]]] = defaultdict(set)
    scopes_with_cells = set()
    for scope, row in tables["cytoplasm"]:
        keys = {"cytoplasm": (scope, int(row["ObjectNumber"]))}
        keys |= {table: (scope, int(row[f"Parent_{table.capitalize()}"])) for table in ("cells", "nuclei")}
        lacking = [table for table, key in keys.items() if key not in by_number[table]]
        for table in lacking:
            found.without[wells[scope]][table] += 1
        if not lacking:
            scopes_with_cells.add(scope)
            _add_cell(found, wells[scope], sites[scope], {table: by_number[table][key] for table, key in keys.items()})
            for table, key in keys.items():
                used[table].add(key)
    for table in OBJECTS:
        for key in by_number[table]:
            found.objects[wells[key[0]]][table] += 1
            found.unmatched[wells[key[0]]][table] += key not in used[table]
    with_objects = {scope for table in OBJECTS for scope, _ in tables[table]}
    for scope, well in wells.items():
        found.image_sets[well] += 1
        found.with_cells[well] += scope in scopes_with_cells
        found.without_objects[well] += scope not in with_objects
        found.image_sets_of_site[well][sites[scope]] += scope in scopes_with_cells
    return found


def _add_cell(found: Expected, well: WellOf, site: str, rows: Mapping[str, Row]) -> None:
    found.rows += 1
    found.cells[well] += 1
    found.sites[well][site] += 1
    for table, row in rows.items():
        for name, text in _features(row):
            value = _number(text)
            found.features[f"{table.capitalize()}_{name}"].append(value)
            found.nulls[well] += value is None
            if name == "AreaShape_Area" and value is not None:
                found.areas[well][table.capitalize()].append(value)


def _features(row: Row) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in row.items() if not _NO_FEATURE.match(name))


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = float(value)
    return None if math.isnan(number) else number


def recorded_by_well(found: Expected) -> dict[str, Any]:
    """Return what `pct-join` records of the wells, by labels of their plate and name."""

    def labelled(counts: Mapping[WellOf, int]) -> dict[str, int]:
        return {f"{plate}/{well}": number for (plate, well), number in counts.items() if number}

    def of_tables(counts: Mapping[WellOf, Counter[str]]) -> dict[str, dict[str, int]]:
        return {table: labelled({well: numbers[table] for well, numbers in counts.items()}) for table in OBJECTS}

    without = {table: numbers for table, numbers in of_tables(found.without).items() if numbers}
    recorded: dict[str, Any] = {
        "well_images": labelled(found.image_sets),
        "well_rows": of_tables(found.objects),
        "well_unmatched": of_tables(found.unmatched),
        "well_without": without,
        "well_images_without_objects": labelled(found.without_objects),
    }
    return {name: numbers for name, numbers in recorded.items() if numbers}
