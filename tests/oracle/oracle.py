"""The independent oracle: single-cell profiles joined with nothing but the standard library.

Takes what a microscope screen leaves behind (a tree of CellProfiler CSV folders, a SQLite file or a folder of such
files) and gives the profiles as a list of rows, one row per object of the anchor compartment, in the order and with
the names and values that the design promises. It shares no code with the tools it judges and holds everything in
memory, so it is for small sources. `compare` then lists every difference between these rows and what a tool wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import oracle_cell_ids as cell_ids
from oracle_compare import compare
from oracle_paths import path_metadata
from oracle_sources import Dataset, Sheet, Value, csv_datasets, sqlite_datasets
from oracle_types import column_kinds, typed

__all__ = ["LAYOUTS", "Choices", "Layout", "column_order", "compare", "final_name", "profiles"]

Row = dict[str, Value]
Key = tuple[Value, int, int]

_KEYS = frozenset({"Metadata_TableNumber", "Metadata_ImageNumber", "Metadata_ObjectNumber"})


@dataclass(frozen=True)
class Layout:
    """What one kind of source looks like: its tables, its keys and which of its columns identify.

    Attributes
    ----------
    tables
        Canonical table name to the name in the source: a CSV file's stem in any letter case, or a SQLite table.
    object_number, parent
        Names of the key columns; `{T}` stands for the table's capitalised name, `{A}` for the anchor's,
        `{P}` for the partner's.
    identifying
        Pattern that the whole name of an identifying column matches.
    image_columns
        Pattern that the whole name of an image column matches which comes out by default.
    """

    kind: Literal["csv", "sqlite"]
    tables: Mapping[str, str]
    object_number: str
    parent: str
    identifying: str
    image_columns: str
    anchor: str = "cytoplasm"
    table_number: str | None = None

    @property
    def partners(self) -> list[str]:
        """The compartments that join to the anchor."""
        return [name for name in self.tables if name not in (self.anchor, "image")]


def _tables(pattern: str) -> dict[str, str]:
    return {name: pattern.format(name.capitalize()) for name in ("image", "cytoplasm", "cells", "nuclei")}


LAYOUTS: Mapping[str, Layout] = {
    "cellprofiler_csv": Layout(
        kind="csv",
        tables=_tables("{}"),
        object_number="ObjectNumber",
        parent="Parent_{P}",
        identifying=r"ImageNumber|ObjectNumber|TableNumber|Metadata_.*|Parent_Cells|Parent_Nuclei",
        image_columns=r"FileName_.*|Metadata_.*",
    ),
    # Names as CytoTable's preset cellprofiler_sqlite gives them: parents and object numbers stay plain columns.
    "cellprofiler_sqlite": Layout(
        kind="sqlite",
        tables=_tables("Per_{}"),
        object_number="{T}_Number_Object_Number",
        parent="{A}_Parent_{P}",
        identifying=r"ImageNumber|Metadata_.*",
        image_columns=r"Image_FileName_.*|Image_Metadata_.*",
    ),
    # Names as in shared/data/expected/cell_health.parquet.
    "cytominer_database": Layout(
        kind="sqlite",
        tables=_tables("{}"),
        object_number="ObjectNumber",
        parent="{A}_Parent_{P}",
        identifying=r"TableNumber|ImageNumber|Metadata_.*|Cytoplasm_Parent_Cells|Cytoplasm_Parent_Nuclei",
        image_columns=r"Image_FileName_.*|Image_Metadata_.*",
        table_number="TableNumber",
    ),
}


@dataclass(frozen=True)
class Choices:
    """What a user may choose; the defaults are the tools' defaults.

    Attributes
    ----------
    image_columns
        Pattern for the whole source name of an image column; None takes the layout's own, `.*` takes all.
    image_required
        Whether `unmatched="drop"` also drops objects whose image has no row in the image table.
    empty_text
        What an empty CSV field of a text column is.
    """

    unmatched: Literal["drop", "keep"] = "drop"
    columns: Literal["union", "intersection"] = "union"
    image_columns: str | None = None
    image_required: bool = True
    empty_text: str | None = ""


def profiles(source: Path, layout: str | Layout = "cellprofiler_csv", choices: Choices | None = None) -> list[Row]:
    """Join a source by hand: one row per object of the anchor, each with the same columns in the promised order.

    Parameters
    ----------
    source
        A tree of CSV folders, a SQLite file, or a folder of SQLite files.
    layout
        A name in `LAYOUTS`, or a layout of one's own.
    choices
        The user's choices; None for the defaults.

    Returns
    -------
    list of dict
        Sorted by dataset, table number, image and object number. Integers are int, measurements float, missing None.

    Raises
    ------
    ValueError
        A dataset lacks a table, an object number occurs twice, or two columns end up with one name.
    """
    plan = LAYOUTS[layout] if isinstance(layout, str) else layout
    datasets = csv_datasets(source, plan.tables) if plan.kind == "csv" else sqlite_datasets(source, plan.tables)
    paths = path_metadata(source, [dataset.path for dataset in datasets]) if plan.kind == "csv" else {}
    join = _Join(plan, choices or Choices(), source.resolve().name, paths)
    kinds = {table: column_kinds([d.sheets[table] for d in datasets], join.choices.columns) for table in plan.tables}
    identified = [
        identity_and_row
        for ordinal, dataset in enumerate(datasets, start=1)
        for identity_and_row in join.dataset_rows(dataset, kinds, ordinal if len(datasets) > 1 else None)
    ]
    rows = cell_ids.with_cell_ids(identified, join.image_sets)
    names = column_order(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]


def final_name(table: str, column: str, identifying: str) -> str:
    """Name of a source column in the profiles, by the rules of design.md, "Column names"."""
    compartment = table.capitalize()
    if not re.fullmatch(identifying, column):
        return column if column.startswith(compartment) else f"{compartment}_{column}"
    if column.startswith("Metadata_"):
        return column
    if column.startswith(compartment) or any(word in column for word in ("Image", "ObjectNumber", "TableNumber")):
        return f"Metadata_{column}"
    return f"Metadata_{compartment}_{column}"


def column_order(names: Iterable[str]) -> list[str]:
    """Sort columns by group: keys, other metadata, image, cytoplasm, cells, nuclei, the rest; each in its order."""
    first = ["Metadata_TableNumber", "Metadata_ImageNumber", "Metadata_ObjectNumber", "Metadata_CellID"]
    groups = ["Image_", "Cytoplasm_", "Cells_", "Nuclei_"]

    def rank(name: str) -> int:
        if name in first:
            return first.index(name)
        if "Metadata" in name:
            return len(first)
        return len(first) + 1 + next((i for i, prefix in enumerate(groups) if name.startswith(prefix)), len(groups))

    return sorted(names, key=rank)


@dataclass(frozen=True)
class _Join:
    """The join of one dataset after another under one layout and one set of choices."""

    layout: Layout
    choices: Choices
    source_name: str
    paths: Mapping[str, Row] = field(default_factory=dict)
    image_sets: list[cell_ids.Place] = field(default_factory=list)

    def dataset_rows(
        self, dataset: Dataset, kinds: Mapping[str, Mapping[str, str]], ordinal: int | None
    ) -> list[tuple[cell_ids.Identity, Row]]:
        """Profiles of one dataset; `ordinal` is its number among several, None where it is alone."""
        layout = self.layout
        typed = {table: self._rows(dataset.sheets[table], kinds[table]) for table in layout.tables}
        path = self.paths.get(dataset.path, {})
        fills = {name: value for name, value in path.items() if _fits(value, kinds["image"].get(name))}
        for image in typed["image"]:
            image.update({name: value for name, value in fills.items() if image[name] in (None, "")})
        by_object = {table: self._index(table, typed[table]) for table in layout.partners}
        by_image = {self._image_key(row): row for row in typed["image"]}
        empty = {table: dict.fromkeys(kinds[table]) for table in layout.tables}
        own_path = {name: value for name, value in path.items() if name not in kinds["image"]}
        self.image_sets.extend(cell_ids.place_of(image, own_path) for image in typed["image"])
        result: list[tuple[Key, tuple[cell_ids.Identity, Row]]] = []
        for row in typed[layout.anchor]:
            scope = self._image_key(row)
            found: dict[str, Row | None] = {layout.anchor: row, "image": by_image.get(scope)}
            for partner in layout.partners:
                number = row[layout.parent.format(A=layout.anchor.capitalize(), P=partner.capitalize())]
                found[partner] = by_object[partner].get((*scope, number))
            required = found if self.choices.image_required else {t: r for t, r in found.items() if t != "image"}
            if self.choices.unmatched == "drop" and any(r is None for r in required.values()):
                continue
            named = self._named({table: r if r is not None else empty[table] for table, r in found.items()})
            own: Row = {"Metadata_Dataset": dataset.path if dataset.path != "." else self.source_name}
            if ordinal is not None:
                own["Metadata_TableNumber"] = ordinal
            own |= own_path
            out = own | named
            number = row[layout.object_number.format(T=layout.anchor.capitalize())]
            numbers = [str(scope[0])] if layout.table_number else []
            place = cell_ids.place_of(found["image"], own_path) if found["image"] is not None else None
            identity = cell_ids.Identity([str(own["Metadata_Dataset"]), *numbers, str(scope[1])], place, str(number))
            result.append(((*scope, number), (identity, out)))  # type: ignore[arg-type]
        return [row for _, row in sorted(result, key=lambda item: item[0])]

    def _rows(self, sheet: Sheet, kinds: Mapping[str, str]) -> list[Row]:
        place = {name: i for i, name in enumerate(sheet.columns)}
        empty = self.choices.empty_text
        return [
            {name: typed(row[place[name]], kind, empty) if name in place else None for name, kind in kinds.items()}
            for row in sheet.rows
        ]

    def _image_key(self, row: Row) -> tuple[Value, Value]:
        table_number = self.layout.table_number
        return (row[table_number] if table_number else 0), row["ImageNumber"]

    def _index(self, table: str, rows: list[Row]) -> dict[tuple[Value, Value, Value], Row]:
        number = self.layout.object_number.format(T=table.capitalize())
        index = {(*self._image_key(row), row[number]): row for row in rows}
        if len(index) != len(rows):
            raise ValueError(f"{table}: {len(rows) - len(index)} rows repeat an object number")
        return index

    def _named(self, found: Mapping[str, Row]) -> Row:
        """Put the tables' columns side by side under their final names; shared keys come from the anchor."""
        layout = self.layout
        wanted = self.choices.image_columns or layout.image_columns
        out: Row = {}
        names: dict[str, list[str]] = {}
        for table in [layout.anchor, "image", *layout.partners]:
            here = names[table] = []
            for column, value in found[table].items():
                if table == "image" and not re.fullmatch(wanted, column):
                    continue
                name = final_name(table, column, layout.identifying)
                if name in here:
                    raise ValueError(f"two columns of {table} are both named {name}")
                here.append(name)
                if name not in out or (out[name] is None and name not in _KEYS):
                    out[name] = value
        return {name: out[name] for table in ["image", *names] for name in names[table]}


def _fits(value: Value, kind: str | None) -> bool:
    """Say whether what a path says can stand in an image table's column."""
    return kind is not None and (kind == "text" or not isinstance(value, str))
