"""The columns that number objects or lead to parents in other tables, and the anchor that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycytominer_transform.common.model.manifest import TableSchema
    from pycytominer_transform.common.model.preset import Preset


def image_number(preset: Preset, schema: TableSchema) -> str:
    """Return the final name of the column that numbers a table's image sets; empty if there is none."""
    return _final_name(schema, preset.image_number)


def object_number(preset: Preset, schema: TableSchema) -> str:
    """Return the final name of the column that numbers a table's objects; empty if there is none."""
    return _final_name(schema, preset.object_number_of(schema.prefix))


def parent_number(preset: Preset, schema: TableSchema, parent: str) -> str:
    """Return the final name of the column that leads from a table's objects to a parent's; empty if there is none."""
    return _final_name(schema, preset.parent_column(schema.prefix, parent))


def choose_anchor(preset: Preset, schemas: Sequence[TableSchema]) -> str:
    """Return the preset's first choice among compartments, else the one from which most others can be reached."""
    tables = [schema.table for schema in schemas]
    for name in preset.anchors:
        if name in tables:
            return name
    parents = {
        schema.table: [name for name in tables if name != schema.table and parent_number(preset, schema, name)]
        for schema in schemas
    }

    def reachable(table: str) -> int:
        reached = [table]
        for name in reached:
            reached += [parent for parent in parents[name] if parent not in reached]
        return len(reached)

    return max(tables, key=reachable)


def _final_name(schema: TableSchema, source: str) -> str:
    # Some sources write Metadata_ in front of a number's name.
    return schema.final_name(source) or schema.final_name(f"Metadata_{source}") or ""
