"""The role of a column: what it is for; and its unit. Decided by its name, by its type, and by what the preset says.

Sources of the rules: the manual of CellProfiler's measurement modules; docs/roles.md has a table of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Literal, get_args

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.column_types import ColumnType, names_metadata, names_whole_number
from pycytominer_transform.common.model.options import did_you_mean, name_list

if TYPE_CHECKING:
    import pyarrow as pa

Role = Literal["identifier", "metadata", "location", "count", "image", "feature"]
ROLES: tuple[Role, ...] = get_args(Role)
_KEY = b"pct.column_role"
_UNIT_KEY = b"pct.unit"
_UNIT = re.compile(r"\[([^\[\]]+)\](?: ?- [^\[\]]*)?$")
"""A unit in brackets at the end of a name, or before the statistic that was made of the values."""

# Also of averages over children (Cells_Mean_Spots_Location_Center_X): an average of positions is a position.
_IDENTIFIER = re.compile(
    r"(?:^|_)(?:ImageNumber|ObjectNumber|TableNumber|CellID|Number_Object_Number|Parent_[^/]+"
    r"|Neighbors_(?:First|Second)ClosestObjectNumber(?:_.+)?|TrackObjects_(?:Label|Parent(?:Image|Object)Number)(?:_.+)?)$"
)
_LOCATION = re.compile(
    r"(?:^|_)(?:Location_|AreaShape_(?:Center_|BoundingBox|Orientation$)|TrackObjects_Trajectory[XYZ](?:_|$))"
)
_COUNT = re.compile(r"(?:^|_)(?:Children_.+_Count|Count_.+)$")
_IMAGE_FILE = re.compile(r"(?:^|_)(?:FileName|PathName|URL|MD5Digest)_")


def role_of(name: str, kind: ColumnType, *, is_of_image: bool = False) -> Role:
    """Return the role that a column's final name and type say.

    Parameters
    ----------
    is_of_image : bool
        Whether it is a column of the table of image sets. The measurements there are of whole images, so they are no
        features of a cell.
    """
    if names_metadata(name):
        return "identifier" if names_whole_number(name) or _IDENTIFIER.search(name) else "metadata"
    if _IDENTIFIER.search(name):
        return "identifier"
    if _COUNT.search(name):
        return "count"
    if is_of_image or name.startswith("Image_") or _IMAGE_FILE.search(name):
        return "image"
    if _LOCATION.search(name):
        return "location"
    return "feature" if kind in ("int64", "float64", "float32") else "metadata"


def unit_in_name(name: str) -> str:
    """Return the unit that a column's name ends in (``Position X [µm]``); empty if there is none."""
    unit = _UNIT.search(name)
    return unit[1] if unit else ""


def field_metadata(role: Role, unit: str = "") -> dict[bytes, bytes]:
    """Return the metadata of an Arrow field: its role, and its unit if it has one."""
    return {_KEY: role.encode()} | ({_UNIT_KEY: unit.encode()} if unit else {})


def said_role(field: pa.Field) -> Role | None:
    """Return the role that an Arrow field's metadata say, else None."""
    said = (field.metadata or {}).get(_KEY, b"").decode(errors="replace")
    return next((role for role in ROLES if said == role), None)


def role_of_field(field: pa.Field) -> Role:
    """Return the role that an Arrow field's metadata say, else what its name and type say."""
    import pyarrow as pa

    if role := said_role(field):
        return role
    is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
    return role_of(field.name, "float64" if is_number else "string")


def unit_of_field(field: pa.Field) -> str:
    """Return the unit that an Arrow field's metadata say, else the one in its name; empty if there is none."""
    said = (field.metadata or {}).get(_UNIT_KEY, b"").decode(errors="replace")
    return said or unit_in_name(field.name)


def role_list(text: str) -> tuple[Role, ...]:
    """Parse roles separated by commas.

    Raises
    ------
    UsageError
        One is no role.
    """
    names = name_list(text)
    for name in names:
        if name not in ROLES:
            raise UsageError(f"{name!r} is no role; the roles are {', '.join(ROLES)}{did_you_mean(name, ROLES)}")
    return tuple(role for role in ROLES if role in names)


def with_roles(schema: pa.Schema, fields: Iterable[pa.Field]) -> pa.Schema:
    """Return a schema whose fields have the role and unit of the given field of their name, else by their own name."""
    import pyarrow as pa

    known = {field.name: field for field in fields}
    sources = [known.get(field.name, field) for field in schema]
    return pa.schema(
        [
            field.with_metadata(field_metadata(role_of_field(source), unit_of_field(source)))
            for field, source in zip(schema, sources, strict=True)
        ],
        schema.metadata,
    )


def chosen_columns(schema: pa.Schema, only: Collection[str], drop: Collection[str]) -> pa.Schema:
    """Return the columns that have one of the wanted roles, or any if none is named, and none of the unwanted.

    Raises
    ------
    UsageError
        There are none.
    """
    import pyarrow as pa

    roles = {role_of_field(field) for field in schema}
    chosen = [
        field for field in schema if (not only or role_of_field(field) in only) and role_of_field(field) not in drop
    ]
    if not chosen and len(schema):
        there = ", ".join(role for role in ROLES if role in roles)
        raise UsageError(f"--only and --drop leave no column; the columns have the roles {there}")
    return pa.schema(chosen)
