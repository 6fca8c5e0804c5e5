"""Folders of CSV files: odd cells, odd headers, odd layouts, spoilt bytes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

from judging import Judge
from mutation import HOSTILE, NUMBERS, hostile_name, spoil
from oracle import Choices, profiles
from plates import Plate
from plates_sheets import Tables, small_tables

__all__ = ["check", "make"]

_WORDS = (
    b'"', b'""', b",", b";", b"\n", b"\r\n", b"\r", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b'"\n', b",,", b"nan",
    b"\t", b"1e999", b"ImageNumber", b"\n\n", b'"a\nb"', b"\x1a", b"\xe2\x80\xa8", b"\x85", b"\xed\xa0\x80",
)  # fmt: skip
_OPTIONS = (
    ("--columns", "intersection"), ("--part-size", "1"), ("--on-bad-dataset", "skip"),
    ("--compartments", "cells"), ("--compartments", "cells,nuclei"),
)  # fmt: skip


def make(random: Random, folder: Path) -> None:
    """Write a source and the options to convert it with."""
    tables = {place: {n: [list(row) for row in rows] for n, rows in t.items()} for place, t in _good().items()}
    if random.random() < 0.3:
        tables = dict(list(tables.items())[:1])
    for _ in range(random.choice((0, 0, 1, 1, 2, 4))):
        _change(random, random.choice(list(tables.values())))
    combined = random.random() < 0.15
    style = random.choice((",", ",", ",", ";")), random.choice(("\n", "\n", "\r\n", "\r")), random.random() < 0.15
    plain = style[0] == "," and not combined
    for place, sheets in tables.items():
        (folder / "source" / place).mkdir(parents=True)
        for name, content in _files(sheets, combined, style):
            packed = _write(random, folder / "source" / place / name, content)
            plain = plain and not packed
    (folder / "case.json").write_text(json.dumps({"options": _options(random), "plain": plain}))


def _write(random: Random, path: Path, content: bytes) -> bool:
    """Write a file, some spoilt, some gzipped; say whether it is."""
    if random.random() < 0.05:
        content = b"\xef\xbb\xbf" + content
    if random.random() < 0.08:
        content = spoil(random, content, _WORDS)
    packed = random.random() < 0.08
    if packed:
        path = path.with_name(f"{path.name}.gz")
        content = gzip.compress(content, 1, mtime=0)
        if random.random() < 0.5:
            content = _spoil_gzip(random, content)
    path.write_bytes(content)
    return packed


def _options(random: Random) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    if random.random() < 0.25:
        options["discover"] = list(random.choice(_OPTIONS))
    if random.random() < 0.15:
        options["extract"] = random.choice((["--on-bad-value", "null"], ["--float32"], ["--max-inflate", "100kB"]))
    if random.random() < 0.15:
        options["join"] = random.choice((["--unmatched", "keep"], ["--image-columns", "all"]))
    return options


def check(folder: Path) -> list[str]:
    """Convert it, and compare the cells with those of an independent reading."""
    said = json.loads((folder / "case.json").read_text())
    judge = Judge(folder)
    ran = judge.convert(folder / "source", said["options"])
    options = [word for words in said["options"].values() for word in words]
    known = all(word in ("--part-size", "1", "--unmatched", "keep") for word in options)
    if ran.code == 0 and ran.tool == "write" and said["plain"] and known:
        choices = Choices(unmatched="keep") if "keep" in options else Choices()
        try:
            rows = profiles(folder / "source", choices=choices)
        except (ValueError, KeyError, UnicodeError, csv.Error, OverflowError) as error:
            # It decides by the name alone what is whole, and knows no other way than the cytoplasm's parents.
            if not any(word in str(error) for word in ("no whole number", "infinity to integer", "Parent_")):
                judge.complaints.append(f"converted what the oracle refuses: {type(error).__name__} {error}")
        else:
            judge.judge_cells(rows)
    return judge.judge_files()


@cache
def _good() -> dict[str, Tables]:
    return small_tables(Plate(folders=2, cells=4, features=4, missing=0.1, nan_share=0.1, sites=2))


def _change(random: Random, sheets: Tables) -> None:
    """Change a table's cells, columns or rows."""
    lines = sheets[random.choice(list(sheets))]
    if not lines or not lines[0]:
        return
    column = random.randrange(len(lines[0]))
    if random.random() < 0.6:
        _change_column(random, lines, column)
    elif len(lines) > 1:
        kind = random.randrange(4)
        if kind == 0:
            lines.insert(random.randint(1, len(lines)), list(random.choice(lines[1:])))
        elif kind == 1:
            del lines[random.randint(1, len(lines) - 1) :]
        elif kind == 2:
            random.choice(lines).append("")
        elif column < len(row := random.choice(lines[1:])):
            row[column] = random.choice(NUMBERS)


def _change_column(random: Random, lines: list[list[str]], column: int) -> None:
    kind = random.randrange(5)
    there = [line for line in lines if len(line) > column]
    if kind == 0 and len(there) > 1:
        random.choice(there[1:])[column] = random.choice((*NUMBERS, hostile_name(random)))
    elif kind == 1:
        word = random.choice((*NUMBERS, *HOSTILE))
        for line in there[1:]:
            line[column] = word
    elif kind == 2:
        lines[0][column] = hostile_name(random)
    elif kind == 3:
        for line in there:
            del line[column]
    else:
        name = random.choice([*lines[0], hostile_name(random), "Metadata_X", "Metadata_Dataset", "FileName_a"])
        for line in lines:
            line.append(random.choice((*NUMBERS, *HOSTILE)) if line is not lines[0] else name)


def _files(sheets: Tables, combined: bool, style: tuple[str, str, bool]) -> list[tuple[str, bytes]]:
    if not combined:
        return [(f"{name}.csv", _written(lines, style)) for name, lines in sheets.items()]
    sides = [(name, lines) for name, lines in sheets.items() if name != "Image"]
    labels = ["Image", *(name for name, lines in sides for _ in lines[0][1:])]
    rows = [labels, ["ImageNumber", *(column for _, lines in sides for column in lines[0][1:])]]
    for place in range(1, max((len(lines) for _, lines in sides), default=1)):
        row = ["1"]
        for _, lines in sides:
            row += lines[place][1:] if place < len(lines) else [""] * (len(lines[0]) - 1)
        rows.append(row)
    return [("Image.csv", _written(sheets["Image"], style)), ("Object.csv", _written(rows, style))]


def _written(lines: list[list[str]], style: tuple[str, str, bool]) -> bytes:
    delimiter, end, quotes_all = style
    text = io.StringIO(newline="")
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quotes_all else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(lines)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _spoil_gzip(random: Random, content: bytes) -> bytes:
    kind = random.randrange(4)
    if kind == 0:
        return content + content
    if kind == 1:
        return content[:-4] + struct.pack("<I", random.choice((0, 1, 0xFFFFFFFF, 1 << 31)))
    if kind == 2:
        return gzip.compress(b"ImageNumber,ObjectNumber\n" + b"1,1\n" * 200_000, 9, mtime=0)
    return spoil(random, content)
