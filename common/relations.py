"""How the tables of a source join: the anchor, and for each other table the column of the anchor that leads to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.manifest import Column, Manifest, TableSchema
from pycytominer_transform.common.naming import (
    DATASET,
    IMAGE_NUMBER,
    OBJECT_NUMBER,
    TABLE_NUMBER,
    profile_order,
)

KEY_NAMES = (DATASET, TABLE_NUMBER, IMAGE_NUMBER)


@dataclass(frozen=True)
class Partner:
    """One table that is joined to the anchor.

    Attributes
    ----------
    table : str
        Its name.
    scope : tuple of str
        Columns that both tables have and that must be equal: dataset, table number, image number.
    own_number : str
        Its column that numbers its objects; empty for the image table.
    anchor_number : str
        The anchor's column that holds that number; empty for the image table.
    """

    table: str
    scope: tuple[str, ...]
    own_number: str
    anchor_number: str


@dataclass(frozen=True)
class JoinPlan:
    """How one row per object of the anchor comes about.

    Attributes
    ----------
    anchor : str
        The table whose objects the rows are.
    anchor_number : str
        Its column that numbers its objects.
    order : tuple of str
        Columns of the anchor that rows are sorted by.
    partners : tuple of Partner
        The tables joined to it.
    columns : tuple of (str, str)
        The columns of profiles in their order: final name, and the table it comes from.
    """

    anchor: str
    anchor_number: str
    order: tuple[str, ...]
    partners: tuple[Partner, ...]
    columns: tuple[tuple[str, str], ...]

    @property
    def tables(self) -> list[str]:
        """The anchor and its partners."""
        return [self.anchor, *(partner.table for partner in self.partners)]


def plan_join(manifest: Manifest, *, image_columns: str = "") -> JoinPlan:
    """Work out the join from the preset and the tables' columns.

    Parameters
    ----------
    manifest : Manifest
        Says which tables there are and what columns they have.
    image_columns : str
        Further columns of the image table to put beside every cell: ``all``, or a regular expression that finds their
        names; empty for those that the preset names.

    Raises
    ------
    UsageError
        The anchor does not say to which object of another compartment its objects belong.
    """
    preset = manifest.preset
    anchor = manifest.schema_of(_anchor_of(manifest))
    partners = []
    for schema in manifest.tables:
        if schema.table == anchor.table:
            continue
        scope = tuple(
            name
            for name in KEY_NAMES
            if name in _names(manifest, anchor)
            and name in _names(manifest, schema)
            # The tools' own table number says no more than the dataset, and never equals one from the source.
            and (name != TABLE_NUMBER or _has_table_number(anchor) == _has_table_number(schema))
        )
        own = source = ""
        if schema.table != preset.image:
            own = _number(schema, preset.object_number_of(schema.prefix))
            source = _number(anchor, preset.parent_column(anchor.prefix, schema.table))
            if not own or not source:
                raise UsageError(
                    f"the anchor {anchor.table} has no column {preset.parent_column(anchor.prefix, schema.table)!r} "
                    f"that leads to {schema.table}; leave {schema.table} out with pct-discover --compartments, or say "
                    "with --sql how to join it"
                )
        partners.append(Partner(schema.table, scope, own, source))
    number = _number(anchor, preset.object_number_of(anchor.prefix))
    scope = tuple(name for name in KEY_NAMES if name in _names(manifest, anchor))
    return JoinPlan(
        anchor=anchor.table,
        anchor_number=number,
        order=(*scope, number) if number else scope,
        partners=tuple(partners),
        columns=_output_columns(manifest, anchor.table, image_columns),
    )


def _anchor_of(manifest: Manifest) -> str:
    """Choose the anchor: the preset's first choice, else the compartment that leads to most of the others."""
    compartments = manifest.compartments
    for name in manifest.preset.anchors:
        if name in compartments:
            return name

    def reached(table: str) -> int:
        schema = manifest.schema_of(table)
        wanted = (manifest.preset.parent_column(schema.prefix, other) for other in compartments if other != table)
        return sum(bool(_number(schema, column)) for column in wanted)

    return max(compartments, key=reached)


def _number(schema: TableSchema, source: str) -> str:
    """Give the final name of a column of object numbers, also called ``Metadata_...`` by a source; empty if none."""
    return schema.final_name(source) or schema.final_name(f"Metadata_{source}") or ""


def _has_table_number(schema: TableSchema) -> bool:
    return any(column.name == TABLE_NUMBER for column in schema.columns)


def _names(manifest: Manifest, schema: TableSchema) -> set[str]:
    return {column.name for column in (*schema.columns, *manifest.own_columns(schema))}


def _output_columns(manifest: Manifest, anchor: str, image_columns: str) -> tuple[tuple[str, str], ...]:
    """Say which table gives which column; where two have one of the same name, the anchor's comes first."""
    image = manifest.preset.image
    order: Sequence[str] = [anchor, *(name for name in manifest.compartments if name != anchor), image]
    table_of: dict[str, str] = {}
    for table in order:
        schema = next((schema for schema in manifest.tables if schema.table == table), None)
        if schema is None:
            continue
        for column in (*schema.columns, *manifest.own_columns(schema)):
            # Where nothing else says where a row comes from, its file does.
            if column.name == DATASET and not (manifest.has_many_datasets or manifest.preset.is_single_table):
                continue
            # A number of its own, such as Metadata_ObjectNumber of cells, is what the anchor's parent column holds.
            if table != anchor and column.name in (*KEY_NAMES, OBJECT_NUMBER):
                continue
            if table == image and not _is_wanted(manifest, column, image_columns):
                continue
            table_of.setdefault(column.name, table)
    return tuple((name, table_of[name]) for name in profile_order(table_of))


def _is_wanted(manifest: Manifest, column: Column, image_columns: str) -> bool:
    if image_columns == "all" or manifest.preset.is_image_column(column.source):
        return True
    return bool(image_columns) and any(re.search(image_columns, name) for name in (column.source, column.name))
