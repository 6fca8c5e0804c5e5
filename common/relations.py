"""How the tables of a source join: the anchor, and for each other table the column of the anchor that leads to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pycytominer_transform.common.aggregation import Aggregate, aggregated_columns
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.manifest import MANIFESTS_KEPT, Column, Manifest, TableSchema
from pycytominer_transform.common.naming import (
    DATASET,
    IMAGE_NUMBER,
    OBJECT_NUMBER,
    TABLE_NUMBER,
    listed,
    profile_order,
)
from pycytominer_transform.common.preset import Preset

KEY_NAMES = (DATASET, TABLE_NUMBER, IMAGE_NUMBER)


@dataclass(frozen=True)
class Partner:
    """One table that is joined to the anchor, or to a table that is.

    Attributes
    ----------
    table : str
        Its name.
    via : str
        The table it is joined to: the anchor, or one that the anchor leads to.
    scope : tuple of str
        Columns that both tables have and that must be equal: dataset, table number, image number.
    own_number : str
        Its column that must equal `via_number`; empty for the image table.
    via_number : str
        The column of `via` that must equal `own_number`; empty for the image table.
    object_number : str
        Its column that numbers its objects; empty for the image table.
    is_child : bool
        Whether its objects say which object of `via` is their parent, so that a parent may have several; else those of
        `via` say which of its objects is theirs.
    """

    table: str
    via: str
    scope: tuple[str, ...]
    own_number: str
    via_number: str
    object_number: str
    is_child: bool = False


@dataclass(frozen=True)
class Children:
    """A child table of which one row is made for each parent, and the columns of that row."""

    partner: Partner
    columns: tuple[Column, ...]


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
        The tables joined to it, each behind the one that leads to it.
    children : tuple of Children
        The tables that are aggregated before they are joined.
    columns : tuple of (str, str)
        The columns of profiles in their order: final name, and the table it comes from.
    """

    anchor: str
    anchor_number: str
    order: tuple[str, ...]
    partners: tuple[Partner, ...]
    children: tuple[Children, ...]
    columns: tuple[tuple[str, str], ...]

    @property
    def joined(self) -> list[str]:
        """The anchor and its partners."""
        return [self.anchor, *(partner.table for partner in self.partners)]

    @property
    def tables(self) -> list[str]:
        """The anchor, its partners, and the tables that are aggregated."""
        return [*self.joined, *(children.partner.table for children in self.children)]


def plan_join(manifest: Manifest, *, image_columns: str = "", aggregate: Aggregate = "") -> JoinPlan:
    """Work out the join from the preset and the tables' columns.

    From the anchor the way leads by ``Parent_`` columns to other tables, and from those to further ones, always the
    shortest. A table to which none leads is a child of the nearest whose objects it names as parents.

    Parameters
    ----------
    manifest : Manifest
        Says which tables there are and what columns they have.
    image_columns : str
        Further columns of the image table to put beside every cell: ``all``, or a regular expression that finds their
        names; empty for those that the preset names.
    aggregate : {'', 'mean', 'count'}
        What to make of the objects of a child table, one row per parent; empty to join them as they are.

    Raises
    ------
    UsageError
        A table is not related to the anchor, is a child's child, or there is nothing to aggregate.
    """
    return _plan(manifest.shared, image_columns, aggregate)


@lru_cache(MANIFESTS_KEPT)
def _plan(manifest: Manifest, image_columns: str, aggregate: Aggregate) -> JoinPlan:
    anchor = manifest.schema_of(
        anchor_of(manifest.preset, [manifest.schema_of(name) for name in manifest.compartments])
    )
    partners = _image_partner(manifest, anchor)
    partners += _upwards(manifest, anchor)
    children = _children(manifest, [anchor.table, *(found.table for found in partners if found.object_number)])
    _refuse_unrelated(manifest, anchor, [*partners, *children])
    if aggregate and not children:
        raise UsageError(
            f"--aggregate-children has nothing to do: {anchor.table} leads to all other tables; leave it out"
        )
    if not aggregate:
        partners += children
    aggregated = tuple(
        Children(child, aggregated_columns(manifest.schema_of(child.table), aggregate))
        for child in children
        if aggregate
    )
    number = _object_number(manifest, anchor)
    scope = tuple(name for name in KEY_NAMES if name in _names(manifest, anchor))
    return JoinPlan(
        anchor=anchor.table,
        anchor_number=number,
        order=(*scope, number) if number else scope,
        partners=tuple(partners),
        children=aggregated,
        columns=_output_columns(manifest, anchor.table, image_columns, aggregated),
    )


def anchor_of(preset: Preset, schemas: Sequence[TableSchema]) -> str:
    """Choose the anchor: the preset's first choice, else the compartment that leads to most of the others."""
    tables = [schema.table for schema in schemas]
    for name in preset.anchors:
        if name in tables:
            return name
    leads_to = {
        schema.table: [name for name in tables if name != schema.table and _parent_number(preset, schema, name)]
        for schema in schemas
    }

    def reached(table: str) -> int:
        way = [table]
        for at in way:
            way += [name for name in leads_to[at] if name not in way]
        return len(way)

    return max(tables, key=reached)


def _image_partner(manifest: Manifest, anchor: TableSchema) -> list[Partner]:
    image = [schema for schema in manifest.tables if schema.table == manifest.preset.image]
    return [Partner(schema.table, anchor.table, _scope(manifest, anchor, schema), "", "", "") for schema in image]


def _upwards(manifest: Manifest, anchor: TableSchema) -> list[Partner]:
    """Find the tables that the anchor leads to, by the shortest way."""
    partners: list[Partner] = []
    way = [anchor]
    for via in way:
        for name in manifest.compartments:
            schema = manifest.schema_of(name)
            own, there = _object_number(manifest, schema), _parent_number(manifest.preset, via, name)
            if schema not in way and own and there:
                partners.append(Partner(name, via.table, _scope(manifest, via, schema), own, there, own))
                way.append(schema)
    return partners


def _children(manifest: Manifest, reached: Sequence[str]) -> list[Partner]:
    """Find the tables whose objects name one of a table that is reached as their parent."""
    children = []
    for name in manifest.compartments:
        schema = manifest.schema_of(name)
        parents = [table for table in reached if _parent_number(manifest.preset, schema, table)]
        if name not in reached and parents:
            via = manifest.schema_of(parents[0])
            own, there = _parent_number(manifest.preset, schema, via.table), _object_number(manifest, via)
            number = _object_number(manifest, schema)
            children.append(Partner(name, via.table, _scope(manifest, via, schema), own, there, number, is_child=True))
    return children


def _refuse_unrelated(manifest: Manifest, anchor: TableSchema, found: Sequence[Partner]) -> None:
    """Refuse tables that are not related to the anchor in a way that is understood."""
    preset = manifest.preset
    tables = [anchor.table, *(partner.table for partner in found)]
    left = [manifest.schema_of(name) for name in manifest.compartments if name not in tables]
    if not left:
        return
    one, names = left[0], listed([schema.table for schema in left])
    ways = f"leave {names} out with pct-discover --compartments, or join by a query of your own with --sql"
    for child in (partner.table for partner in found if partner.is_child):
        if column := _parent_number(preset, one, child):
            raise UsageError(f"{one.table} is a child of {child} by {column}, and {child} is itself a child; {ways}")
    raise UsageError(
        f"nothing relates {names} to the anchor {anchor.table}: no table that it leads to has a column such as "
        f"{preset.parent_column(anchor.prefix, one.prefix)!r} that leads to {one.table}, and that has none such as "
        f"{preset.parent_column(one.prefix, anchor.prefix)!r}; {ways}"
    )


def _scope(manifest: Manifest, left: TableSchema, right: TableSchema) -> tuple[str, ...]:
    """List the columns by which the rows of two tables belong to one image set."""
    return tuple(
        name
        for name in KEY_NAMES
        if name in _names(manifest, left)
        and name in _names(manifest, right)
        # The tools' own table number says no more than the dataset, and never equals one from the source.
        and (name != TABLE_NUMBER or _has_table_number(left) == _has_table_number(right))
    )


def _object_number(manifest: Manifest, schema: TableSchema) -> str:
    return _number(schema, manifest.preset.object_number_of(schema.prefix))


def _parent_number(preset: Preset, schema: TableSchema, parent: str) -> str:
    """Give the final name of the column that leads from the objects of one table to those of another; empty if none."""
    return _number(schema, preset.parent_column(schema.prefix, parent))


def _number(schema: TableSchema, source: str) -> str:
    """Give the final name of a column of object numbers, also called ``Metadata_...`` by a source; empty if none."""
    return schema.final_name(source) or schema.final_name(f"Metadata_{source}") or ""


def _has_table_number(schema: TableSchema) -> bool:
    return any(column.name == TABLE_NUMBER for column in schema.columns)


def _names(manifest: Manifest, schema: TableSchema) -> set[str]:
    return {column.name for column in (*schema.columns, *manifest.own_columns(schema))}


def _output_columns(
    manifest: Manifest, anchor: str, image_columns: str, children: Sequence[Children]
) -> tuple[tuple[str, str], ...]:
    """Say which table gives which column; where two have one of the same name, the anchor's comes first."""
    image = manifest.preset.image
    aggregated = [found.partner.table for found in children]
    order: Sequence[str] = [anchor, *(name for name in manifest.compartments if name != anchor), image]
    table_of: dict[str, str] = {}
    for table in order:
        schema = next((schema for schema in manifest.tables if schema.table == table), None)
        if schema is None or table in aggregated:
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
    for found in children:
        for column in found.columns:
            if column.name in table_of:
                raise UsageError(
                    f"--aggregate-children would name a column of {found.partner.table} {column.name!r}, as one of "
                    f"{table_of[column.name]} is named already; join {found.partner.table} with --sql"
                )
            table_of[column.name] = found.partner.table
    return tuple((name, table_of[name]) for name in profile_order(table_of))


def _is_wanted(manifest: Manifest, column: Column, image_columns: str) -> bool:
    if image_columns == "all" or manifest.preset.is_image_column(column.source):
        return True
    return bool(image_columns) and any(re.search(image_columns, name) for name in (column.source, column.name))
