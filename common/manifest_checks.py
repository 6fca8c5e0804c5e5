"""What is not believed of a manifest, which may come from somebody else."""

from __future__ import annotations

from dataclasses import fields
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.preset import FORMATS

if TYPE_CHECKING:
    from pycytominer_transform.common.manifest import Source


def check_types(*made: Any) -> None:
    """Refuse values of other types than their fields have.

    Raises
    ------
    TypeError
        There is one.
    """
    types = {"str": str, "int": int, "dict[str, Any]": dict}
    for each in made:
        for field in fields(each):
            kind, value = types.get(str(field.type)), getattr(each, field.name)
            if kind is not None and type(value) is not kind:
                raise TypeError(f"{field.name} is of type {type(value).__name__}")


def check_source(source: Source) -> None:
    """Refuse a source that lies elsewhere than in the tree: a manifest may come from somebody else.

    Raises
    ------
    ValueError
        It does.
    """
    path = PurePosixPath(source.path)
    if path.is_absolute() or ".." in path.parts or "\0" in source.path:
        raise ValueError(f"a path that leads out of the source: {source.path!r}")
    if source.format not in FORMATS:
        raise ValueError("an unknown format")
    if any(type(number) is not int for run in source.row_ranges for number in run):
        raise ValueError("a row number that is none")
    if any(type(text) is not str for pair in source.path_values for text in pair):
        raise ValueError("metadata of a path that is no text")
