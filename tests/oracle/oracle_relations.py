"""Tables of any name joined and aggregated by hand, with nothing but loops, for plates that are given as text.

A relation says of a table by which other it is reached, and by whose column: ``up`` where the other's objects hold the
number of this table's object, ``down`` where this table's objects hold the number of their parent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from plates_sheets import Line, Tables

__all__ = ["Relation", "add_children", "expected_mean", "joined_by_hand", "new_name", "renamed", "siblings_by_hand"]

Object = dict[str, str]


@dataclass(frozen=True)
class Relation:
    """How one table is reached."""

    table: str
    via: str
    way: Literal["up", "down"]


def objects(lines: Sequence[Line]) -> list[Object]:
    """Give a table's rows by column name."""
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def joined_by_hand(
    trees: Mapping[str, Tables], anchor: str, relations: Sequence[Relation]
) -> Iterator[dict[str, Object | None]]:
    """Give for each object of the anchor the objects of all tables that belong to it, None where there is none."""
    for path in sorted(trees):
        tables = {name: objects(lines) for name, lines in trees[path].items()}
        for row in tables[anchor]:
            found: dict[str, Object | None] = {anchor: row}
            for relation in relations:
                via = found[relation.via]
                there = siblings(tables[relation.table], via, relation) if via else []
                assert len(there) < 2, f"{relation} multiplies {via}"
                found[relation.table] = there[0] if there else None
            yield found


def siblings(rows: Sequence[Object], via: Object, relation: Relation) -> list[Object]:
    """List the rows of a table that belong to one object of the table by which it is reached."""
    left, right = ("ObjectNumber", f"Parent_{relation.table}")
    if relation.way == "down":
        left, right = f"Parent_{relation.via}", "ObjectNumber"
    return [row for row in rows if row["ImageNumber"] == via["ImageNumber"] and row[left] == via[right]]


def siblings_by_hand(trees: Mapping[str, Tables], child: str, parent: str) -> dict[tuple[str, str, str], list[Object]]:
    """Give all children of every object, by the parent's folder, image and object number."""
    found: dict[tuple[str, str, str], list[Object]] = {}
    for path, tables in trees.items():
        rows = objects(tables[child])
        for row in objects(tables[parent]):
            key = path, row["ImageNumber"], row["ObjectNumber"]
            found[key] = siblings(rows, row, Relation(child, parent, "down"))
    return found


def expected_mean(rows: Sequence[Object], column: str) -> float | None:
    """Add up a column's values one after the other; None where there is none, or no number comes of it."""
    values = [float(row[column]) for row in rows if row[column] not in ("", "nan")]
    total = 0.0
    for value in values:
        total += value
    return None if not values or math.isnan(total) else total / len(values)


def add_children(tables: Tables, name: str, parent: str, children: Sequence[int]) -> None:
    """Give the objects of `parent`, in their order, so many children each, in turn; the last of all has no parent."""
    header, *lines = tables[parent]
    place = {column: header.index(column) for column in ("ImageNumber", "ObjectNumber")}
    made: list[Line] = [["ImageNumber", "ObjectNumber", "Location_Center_X", "AreaShape_Area", f"Parent_{parent}"]]
    for at, line in enumerate(lines):
        for _ in range(children[at % len(children)]):
            number = len(made)
            area = "nan" if number % 5 == 0 else repr(math.exp(number) / 7)
            made.append([line[place["ImageNumber"]], str(number), repr(number / 3), area, line[place["ObjectNumber"]]])
    made.append([*made[-1][:1], str(len(made)), "0.5", "0.5", "0"])
    tables[name] = made


def renamed(trees: Mapping[str, Tables], after: str) -> dict[str, Tables]:
    """Give the compartments other names, as a second segmentation has them: `after` behind each."""
    return {
        path: {
            name if name == "Image" else name + after: lines
            if name == "Image"
            else [[new_name(column, after) for column in lines[0]], *lines[1:]]
            for name, lines in tables.items()
        }
        for path, tables in trees.items()
    }


def new_name(column: str, after: str) -> str:
    """Rename the compartments within a column's name."""
    return re.sub("Cells|Cytoplasm|Nuclei", lambda match: match[0] + after, column)
