"""Ways to spoil bytes and texts, the same for the same random source."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

__all__ = ["HOSTILE", "NUMBERS", "hostile_name", "spoil"]

HOSTILE = (
    "'", '"', "`", "\n", "\r", "../", "/etc/passwd", "--", ";", "%s", "%n", "{}", "{0}", "*", "?", "[", "]", "\\",
    "$(id)", "\x1b[31m", "\u202e", "\N{GRINNING FACE}", "é", "e\u0301", " ", "\t", "a" * 300, "\x07", "\x7f", "\x9b",
    "\ufeff", "x' OR '1'='1", '"; DROP TABLE cells; --', "NULL", "nan", "-inf", "=cmd()", "",
)  # fmt: skip
"""Pieces of names that mean something to a shell, to SQL, to a terminal, to a format string or to a path."""

NUMBERS = (
    "0", "1", "-1", "1e400", "-1e400", "1e-400", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
    "0.1", "1.", ".5", "+5", "00", "0012", "1_000", "0x10", "1e5", " 1", "1 ", "inf", "Infinity", "NaN", "NA",
    "1,5", "1;5", "٣", "1e", "--1", "true", "True", "no", "1.0", "1.50", "4.9e-324", "9007199254740993", "1" * 400,
)  # fmt: skip
"""Words that are numbers, nearly numbers, or numbers to some readers alone."""

_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)


def hostile_name(random: Random) -> str:
    """Put a name together of up to three hostile pieces and a plain one."""
    pieces = [random.choice(HOSTILE) for _ in range(random.randint(1, 3))]
    pieces.insert(random.randint(0, len(pieces)), random.choice(["", "Area", "Cells", "x"]))
    return "".join(pieces)


def spoil(random: Random, data: bytes, words: Sequence[bytes] = ()) -> bytes:
    """Spoil bytes in one to five places; `words` are pieces that mean something in their format."""
    spoilt = bytearray(data)
    ways = [_flip, _replace, _cut, _repeat, _overwrite, _truncate, _swap]
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        if words and random.random() < 0.4:
            _insert(random, spoilt, random.choice(words))
        elif spoilt:
            way: Callable[[Random, bytearray], None] = random.choice(ways)
            way(random, spoilt)
    return bytes(spoilt)


def _place(random: Random, data: bytearray) -> int:
    """Choose a place; beginnings and ends, where formats say what they are, more often."""
    kind = random.random()
    if kind < 0.3:
        return random.randrange(min(len(data), 100))
    if kind < 0.5:
        return len(data) - 1 - random.randrange(min(len(data), 100))
    return random.randrange(len(data))


def _flip(random: Random, data: bytearray) -> None:
    data[_place(random, data)] ^= 1 << random.randrange(8)


def _replace(random: Random, data: bytearray) -> None:
    data[_place(random, data)] = random.choice((0, 0xFF, 0x7F, 0x80, random.randrange(256)))


def _cut(random: Random, data: bytearray) -> None:
    start = _place(random, data)
    del data[start : start + random.choice((1, 2, 4, 16, random.randint(1, len(data))))]


def _repeat(random: Random, data: bytearray) -> None:
    start = _place(random, data)
    piece = data[start : start + random.randint(1, 64)]
    data[start:start] = piece * random.choice((1, 1, 2, 100))


def _overwrite(random: Random, data: bytearray) -> None:
    number, width, order = random.choice(_EDGES), random.choice("BHIQ"), random.choice("<>")
    start, packed = (
        _place(random, data),
        struct.pack(f"{order}{width}", number & ((1 << 8 * struct.calcsize(width)) - 1)),
    )
    data[start : start + len(packed)] = packed


def _truncate(random: Random, data: bytearray) -> None:
    del data[_place(random, data) :]


def _swap(random: Random, data: bytearray) -> None:
    width = random.randint(1, 32)
    a, b = sorted((_place(random, data), _place(random, data)))
    first, second = bytes(data[a : a + width]), bytes(data[b : b + width])
    data[b : b + width] = first
    data[a : a + width] = second


def _insert(random: Random, data: bytearray, word: bytes) -> None:
    start = random.randint(0, len(data))
    data[start : start + random.choice((0, 0, len(word)))] = word
