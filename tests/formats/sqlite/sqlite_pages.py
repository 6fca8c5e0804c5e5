"""Which pages of an SQLite file hold which rows of a table, and destroying some of them.

Source: https://www.sqlite.org/fileformat.html, "B-tree Pages".
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Leaf", "leaves", "rows_of_table", "spoil"]

_INTERIOR, _LEAF = 0x05, 0x0D
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True)
class Leaf:
    """A page with rows, its number from 1, and between which row numbers its rows may lie."""

    page: int
    first: int
    last: int


def leaves(path: Path, table: str) -> Iterator[Leaf]:
    """Walk through a table's tree and give its pages with rows, in the order of their rows."""
    content = path.read_bytes()
    size = struct.unpack(">H", content[16:18])[0]
    connection = sqlite3.connect(path)
    query = "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = ?"
    (root,) = connection.execute(query, [table]).fetchone()
    connection.close()
    yield from _below(content, 65536 if size == 1 else size, root, (_LEAST, _MOST))


def rows_of_table(path: Path, table: str) -> list[int]:
    """List the row numbers of a table, ascending."""
    connection = sqlite3.connect(path)
    rowids = [row[0] for row in connection.execute(f'SELECT rowid FROM "{table}" ORDER BY 1')]
    connection.close()
    return rowids


def spoil(path: Path, pages: Sequence[int]) -> None:
    """Overwrite pages with bytes that are no page."""
    with path.open("r+b") as file:
        size = struct.unpack(">H", file.read(18)[16:])[0]
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)


def _below(content: bytes, size: int, page: int, span: tuple[int, int]) -> Iterator[Leaf]:
    start = (page - 1) * size
    header = start + (100 if page == 1 else 0)
    kind, cells = content[header], struct.unpack(">H", content[header + 3 : header + 5])[0]
    if kind == _LEAF:
        yield Leaf(page, *span)
        return
    assert kind == _INTERIOR, f"page {page} is no page of a table"
    first = span[0]
    for place in range(cells):
        at = header + 12 + 2 * place
        cell = start + struct.unpack(">H", content[at : at + 2])[0]
        key = _varint(content[cell + 4 : cell + 13])
        yield from _below(content, size, struct.unpack(">I", content[cell : cell + 4])[0], (first, key))
        first = key + 1
    yield from _below(content, size, struct.unpack(">I", content[header + 8 : header + 12])[0], (first, span[1]))


def _varint(content: bytes) -> int:
    number = 0
    for place, byte in enumerate(content):
        if place == 8:
            return (number << 8 | byte) - (1 << 64 if number >> 55 else 0)
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number
    raise ValueError("a number that does not end")
