"""How the tables of a source join: the anchor, and for each other table the column of the anchor that leads to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.join.children import Aggregate, aggregated_columns
from pycytominer_transform.common.model.manifest import MANIFESTS_KEPT, Column, Manifest, TableSchema
from pycytominer_transform.common.model.naming import (
    DATASET,
    OBJECT_NUMBER,
    TABLE_NUMBER,
    listed,
    profile_order,
)
from pycytominer_transform.common.model.options import did_you_mean, search_regex
from pycytominer_transform.common.model.parents import object_number, parent_number


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
    """The way to one row per object of the anchor.

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
    passed_over : tuple of str
        The columns of the image table that the profiles leave out.
    """

    anchor: str
    anchor_number: str
    order: tuple[str, ...]
    partners: tuple[Partner, ...]
    children: tuple[Children, ...]
    columns: tuple[tuple[str, str], ...]
    passed_over: tuple[str, ...]

    @property
    def joined(self) -> list[str]:
        """The anchor and its partners."""
        return [self.anchor, *(partner.table for partner in self.partners)]

    @property
    def tables(self) -> list[str]:
        """The anchor, its partners, and the tables that are aggregated."""
        return [*self.joined, *(children.partner.table for children in self.children)]


@lru_cache(MANIFESTS_KEPT)
def plan_join(manifest: Manifest, image_columns: str, aggregate: Aggregate) -> JoinPlan:
    """Return the join that follows from the preset and the tables' columns.

    ``Parent_`` columns lead from the anchor to other tables, and from those to further ones, always by the shortest
    way. A table to which no column leads is a child of the nearest table whose objects it names as parents.

    Parameters
    ----------
    manifest : Manifest
        Its tables and their columns; a cache key, so without the sources (`Manifest.shared`).
    image_columns : str
        Further columns of the image table to put beside every cell: ``all``, or a regular expression that finds their
        names; empty for those that the preset names.
    aggregate : {'', 'mean', 'count'}
        How to make one row per parent of the objects of a child table; empty to join them as they are.

    Raises
    ------
    UsageError
        A table is not related to the anchor, is a child's child, there is nothing to aggregate, or the pattern finds
        no column of the image table.
    """
    anchor = manifest.schema_of(manifest.anchor)
    partners = _image_partner(manifest, anchor)
    partners += _upwards(manifest, anchor)
    children = _children(manifest, [anchor.table, *(each.table for each in partners if each.object_number)])
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
    number = object_number(manifest.preset, anchor)
    scope = tuple(name for name in _key_names(manifest) if name in _names(manifest, anchor))
    columns = _output_columns(manifest, anchor.table, image_columns, aggregated)
    image = [column for schema in manifest.tables if schema.table == manifest.preset.image for column in schema.columns]
    if image_columns not in ("", "all") and not any(_matches(column, image_columns) for column in image):
        near = did_you_mean(image_columns, [column.name for column in image])
        raise UsageError(f"--image-columns {image_columns!r} matches no column of the image table{near}")
    taken = {*_key_names(manifest), *(name for name, _ in columns)}
    return JoinPlan(
        anchor=anchor.table,
        anchor_number=number,
        order=(*scope, number) if number else scope,
        partners=tuple(partners),
        children=aggregated,
        columns=columns,
        passed_over=tuple(column.name for column in image if column.name not in taken),
    )


def _image_partner(manifest: Manifest, anchor: TableSchema) -> list[Partner]:
    image = [schema for schema in manifest.tables if schema.table == manifest.preset.image]
    return [Partner(schema.table, anchor.table, _scope(manifest, anchor, schema), "", "", "") for schema in image]


def _upwards(manifest: Manifest, anchor: TableSchema) -> list[Partner]:
    """Return the tables that the anchor leads to, by the shortest way."""
    partners: list[Partner] = []
    reached = [anchor]
    for via in reached:
        for name in manifest.compartments:
            schema = manifest.schema_of(name)
            number, via_number = object_number(manifest.preset, schema), parent_number(manifest.preset, via, name)
            if schema not in reached and number and via_number:
                partners.append(Partner(name, via.table, _scope(manifest, via, schema), number, via_number, number))
                reached.append(schema)
    return partners


def _children(manifest: Manifest, reached: Sequence[str]) -> list[Partner]:
    """Return the tables whose objects name an object of a reached table as their parent."""
    children = []
    for name in manifest.compartments:
        schema = manifest.schema_of(name)
        parents = [table for table in reached if parent_number(manifest.preset, schema, table)]
        if name not in reached and parents:
            via = manifest.schema_of(parents[0])
            children.append(
                Partner(
                    name, via.table, _scope(manifest, via, schema),
                    own_number=parent_number(manifest.preset, schema, via.table),
                    via_number=object_number(manifest.preset, via),
                    object_number=object_number(manifest.preset, schema), is_child=True,
                )
            )  # fmt: skip
    return children


def _refuse_unrelated(manifest: Manifest, anchor: TableSchema, partners: Sequence[Partner]) -> None:
    """Refuse tables that no known relation connects with the anchor."""
    preset = manifest.preset
    tables = [anchor.table, *(partner.table for partner in partners)]
    left = [manifest.schema_of(name) for name in manifest.compartments if name not in tables]
    if not left:
        return
    one, names = left[0], listed([schema.table for schema in left])
    kept = ",".join(name for name in manifest.compartments if manifest.schema_of(name) not in left)
    advice = f"take the others alone with pct-discover --compartments {kept}, or join by a query of your own with --sql"
    for child in (partner.table for partner in partners if partner.is_child):
        if column := parent_number(preset, one, child):
            raise UsageError(f"{one.table} is a child of {child} by {column}, and {child} is itself a child; {advice}")
    raise UsageError(
        f"nothing relates {names} to the anchor {anchor.table}: no table that it leads to has a column such as "
        f"{preset.parent_column(anchor.prefix, one.prefix)!r} that leads to {one.table}, and that has none such as "
        f"{preset.parent_column(one.prefix, anchor.prefix)!r}; {advice}"
    )


def _scope(manifest: Manifest, left: TableSchema, right: TableSchema) -> tuple[str, ...]:
    """List the columns by which the rows of two tables belong to one image set."""
    return tuple(
        name
        for name in _key_names(manifest)
        if name in _names(manifest, left)
        and name in _names(manifest, right)
        # The tools' own table number says no more than the dataset, and never equals one from the source.
        and (name != TABLE_NUMBER or left.has_table_number == right.has_table_number)
    )


def _key_names(manifest: Manifest) -> tuple[str, ...]:
    """List the columns by which the rows of two tables belong to one image set, where both have them."""
    return (DATASET, TABLE_NUMBER, *manifest.preset.image_set)


def _names(manifest: Manifest, schema: TableSchema) -> set[str]:
    return {column.name for column in (*schema.columns, *manifest.own_columns(schema))}


def _output_columns(
    manifest: Manifest, anchor: str, image_columns: str, children: Sequence[Children]
) -> tuple[tuple[str, str], ...]:
    """Return the columns of profiles, each with its table; of columns with the same name the anchor's is used."""
    image = manifest.preset.image
    aggregated = [child.partner.table for child in children]
    taking: Sequence[str] = [anchor, *(name for name in manifest.compartments if name != anchor), image]
    columns_of: dict[str, list[str]] = {}
    table_of: dict[str, str] = {}
    for schema in sorted(manifest.tables, key=lambda schema: taking.index(schema.table)):
        if schema.table in aggregated:
            continue
        columns = [*manifest.own_columns(schema), *schema.columns]
        if schema.table == image:
            columns = [column for column in schema.columns if _is_wanted(manifest, column, image_columns)]
        # A number of its own, such as Metadata_ObjectNumber of cells, is what the anchor's parent column holds.
        others = () if schema.table == anchor else (*_key_names(manifest), OBJECT_NUMBER)
        columns_of[schema.table] = [column.name for column in columns if column.name not in others]
        for name in columns_of[schema.table]:
            table_of.setdefault(name, schema.table)
    own = [column.name for column in manifest.own_columns(manifest.schema_of(anchor))]
    order = [*own, *columns_of.get(image, ()), *(name for names in columns_of.values() for name in names)]
    for child in children:
        for column in child.columns:
            if column.name in table_of:
                raise UsageError(
                    f"--aggregate-children would name a column of {child.partner.table} {column.name!r}, as one of "
                    f"{table_of[column.name]} is named already; join {child.partner.table} with --sql"
                )
            table_of[column.name] = child.partner.table
            order.append(column.name)
    return tuple((name, table_of[name]) for name in profile_order(dict.fromkeys(order)))


def _is_wanted(manifest: Manifest, column: Column, image_columns: str) -> bool:
    if image_columns == "all" or manifest.preset.is_image_column(column.source):
        return True
    return bool(image_columns) and _matches(column, image_columns)


def _matches(column: Column, pattern: str) -> bool:
    return any(search_regex(pattern, name) for name in (column.source, column.name))
