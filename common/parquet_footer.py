"""Moving what a Parquet footer says of a row group to where that comes to lie in a longer file.

A footer is one Thrift struct in compact form. Which of its numbers are places in the file, field by field:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift; how it is written down:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_PLACE: Final = "place"
_Fields = Mapping[int, "_Fields | str"]
_NOTHING: _Fields = {}
_COLUMN_META_DATA: _Fields = {9: _PLACE, 10: _PLACE, 11: _PLACE, 14: _PLACE}
"""The first page of data, of the index, of the dictionary, and the Bloom filter."""
_COLUMN_CHUNK: _Fields = {2: _PLACE, 3: _COLUMN_META_DATA, 4: _PLACE, 6: _PLACE}
"""Of its own, what it consists of, and the page indexes."""
_ROW_GROUP: _Fields = {1: _COLUMN_CHUNK, 5: _PLACE}

_BOOLEANS, _BYTE, _NUMBERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12
_MORE = 0x80
_LONG = 15
_NUMBER = rb"[\x80-\xff]*[\x00-\x7f]"
_BEGINNING = 12
"""Bytes of a column's description that tell its type and the length of its name: what else it looks like follows."""
_MOST_SHAPES = 1_000
"""Of columns of text there are many: the least and the greatest, of whatever length, are in them."""


def varint(number: int) -> bytes:
    """Write a number of no sign, seven bits a byte."""
    found = bytearray()
    while number >= _MORE:
        found.append(number & 0x7F | _MORE)
        number >>= 7
    return bytes([*found, number])


class GroupMover:
    """Moves the descriptions of row groups to where those come to lie; of one file's, for it learns their columns.

    A file describes each column of each row group, and most descriptions differ in little but their numbers. So what
    one looked like is kept as a regular expression, which goes through the next one ten times faster than Python can.
    Where it does not fit, the column is gone through, and learnt, anew.
    """

    def __init__(self) -> None:
        self._shapes: dict[bytes, re.Pattern[bytes]] = {}
        self._compiled: dict[bytes, re.Pattern[bytes]] = {}

    def moved(self, group: bytes, by: int) -> bytes:
        """Give the description of a row group that lies further down.

        Parameters
        ----------
        group : bytes
            A RowGroup struct as a footer holds it.
        by : int
            Bytes. A place 0 stands for none, as Arrow writes it.

        Raises
        ------
        ValueError
            It is not one such struct.
        """
        moving = _Moving(group, by, self)
        try:
            end = moving.struct(0, _ROW_GROUP)
        except IndexError as error:
            raise ValueError("the description of a row group is cut off") from error
        if end != len(group):
            raise ValueError("the description of a row group is longer than it says")
        return moving.finished()

    def shape_of(self, beginning: bytes) -> re.Pattern[bytes] | None:
        """Give what a description that began like this looked like last; the groups are the places."""
        return self._shapes.get(beginning)

    def learn(self, beginning: bytes, shape: bytes) -> None:
        """Keep what a description that begins like this looks like."""
        if shape not in self._compiled:
            if len(self._compiled) >= _MOST_SHAPES:
                return
            self._compiled[shape] = re.compile(shape, re.DOTALL)
        self._shapes[beginning] = self._compiled[shape]


class _Moving:
    """Goes through a struct once; each method takes the place where something begins and gives that behind it."""

    def __init__(self, content: bytes, by: int, mover: GroupMover) -> None:
        self._content = content
        self._by = by
        self._mover = mover
        self._shape: list[bytes] = []
        self._done: list[bytes] = []
        self._taken = 0

    def finished(self) -> bytes:
        return b"".join([*self._done, self._content[self._taken :]])

    def struct(self, place: int, fields: _Fields) -> int:
        number = 0
        while header := self._content[place]:
            place = self._literal(place, 1)
            if not header >> 4:
                raise ValueError("the description of a row group has fields in an order that is not known")
            number += header >> 4
            known = fields.get(number, _NOTHING)
            if isinstance(known, str):
                self._shape.append(b"(" + _NUMBER + b")")
                place = self._place_in_file(place)
            else:
                place = self._value(place, header & 0x0F, known)
        return self._literal(place, 1)

    def _value(self, place: int, kind: int, fields: _Fields) -> int:
        if kind in _NUMBERS:
            self._shape.append(_NUMBER)
            return self._behind_varint(place)
        if kind in _BOOLEANS:
            return place  # The kind says which.
        if kind == _BINARY:
            size, behind = self._varint(place)
            return self._any(self._literal(place, behind - place), size)
        if kind in _LISTS:
            return self._list(place, fields)
        if kind == _STRUCT:
            return self.struct(place, fields)
        if kind in (_BYTE, _DOUBLE):
            return self._any(place, 1 if kind == _BYTE else 8)
        raise ValueError(f"the description of a row group has a value of a kind that is not known ({kind})")

    def _list(self, place: int, fields: _Fields) -> int:
        header, behind = self._content[place], place + 1
        size, kind = header >> 4, header & 0x0F
        if size == _LONG:
            size, behind = self._varint(behind)
        place = self._literal(place, behind - place)
        if kind in _BOOLEANS:
            return self._any(place, size)
        for _ in range(size):
            place = self._column(place) if fields is _COLUMN_CHUNK else self._value(place, kind, fields)
        return place

    def _column(self, place: int) -> int:
        """Go through what is said of a column, at once where it looks like one before."""
        beginning = self._content[place : place + _BEGINNING]
        shape = self._mover.shape_of(beginning)
        if shape is not None and (found := shape.match(self._content, place)) is not None:
            for group in range(1, shape.groups + 1):
                self._place_in_file(found.start(group))
            return found.end()
        self._shape.clear()
        end = self.struct(place, _COLUMN_CHUNK)
        self._mover.learn(beginning, b"".join(self._shape))
        return end

    def _literal(self, place: int, size: int) -> int:
        self._shape.append(re.escape(self._content[place : place + size]))
        return place + size

    def _any(self, place: int, size: int) -> int:
        self._shape.append(b".{%d}" % size)
        return place + size

    def _place_in_file(self, place: int) -> int:
        # Of signed numbers the lowest bit is the sign.
        number, end = self._varint(place)
        if number:
            self._done += [self._content[self._taken : place], varint(number + 2 * self._by)]
            self._taken = end
        return end

    def _varint(self, place: int) -> tuple[int, int]:
        number = shift = 0
        while (byte := self._content[place]) & _MORE:
            number |= (byte & 0x7F) << shift
            shift += 7
            place += 1
        return number | byte << shift, place + 1

    def _behind_varint(self, place: int) -> int:
        while self._content[place] & _MORE:
            place += 1
        return place + 1
