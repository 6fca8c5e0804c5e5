"""Spoiling sources, and running the stages one after the other up to the one that notices."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet
from plates_sheets import Tables, small_tables, write_sheets
from running import STAGES, Ran, entries, run

__all__ = ["FOLDERS", "convert", "first_failure", "rows_of", "write_and_spoil"]

FOLDERS = tuple(small_tables())
Words = Mapping[str, Sequence[str]]


def convert(source: Path, out: Path, words: Words | None = None) -> list[Ran]:
    """Run the stages in a row, each fed with what the one before wrote, whether that failed or not.

    `words` are further options by stage. The last stage writes `out`/made.parquet.
    """
    out.mkdir(exist_ok=True)
    ended: list[Ran] = []
    for stage in STAGES:
        last = ["-o", str(out / "made.parquet")] if stage == "write" else []
        given = {"stdin": ended[-1].out} if ended else {}
        first = [] if ended else [str(source)]
        ended.append(run(stage, *first, "-q", *last, *(words or {}).get(stage, ()), **given))
    return ended


def first_failure(source: Path, out: Path, words: Words | None = None) -> Ran:
    """Run the stages in a row, see that all that follow a failed one fail too and leave nothing, and give the first."""
    ended = convert(source, out, words)
    codes = [ran.code for ran in ended]
    first = next((place for place, code in enumerate(codes) if code), None)
    assert first is not None, f"all stages exit 0: {ended}"
    for ran in ended[first + 1 :]:
        ran.failed(1, "the stage before this one ended early")
    assert not entries(out)
    return ended[first]


def rows_of(source: Path, out: Path, words: Words | None = None) -> list[dict[str, object]]:
    """Run the stages in a row, see that all succeed, and give the rows of what was written."""
    for ran in convert(source, out, words):
        ran.done()
    rows: list[dict[str, object]] = pyarrow.parquet.read_table(out / "made.parquet").to_pylist()
    return rows


def write_and_spoil(out: Path, file: str, spoil: Callable[[bytes], bytes]) -> Path:
    """Write a good small source with one file of it spoilt; `file` is like ``Cells.csv``, of the second folder."""
    write_sheets(out, small_tables())
    path = out / FOLDERS[1] / file
    path.write_bytes(spoil(path.read_bytes()))
    return out


def without_objects(tables: Tables) -> None:
    """Take all objects out of a folder's tables, and out of what its image table counts."""
    header, *rows = tables["Image"]
    for name in ("Cells", "Cytoplasm", "Nuclei"):
        del tables[name][1:]
        for row in rows:
            row[header.index(f"Count_{name}")] = "0"


def restore_times(path: Path, like: os.stat_result) -> None:
    """Give a file the modification time that it had."""
    os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))
