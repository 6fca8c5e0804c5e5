"""Parquet files: odd columns, odd names, spoilt bytes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from judging import Judge
from mutation import NUMBERS, hostile_name, spoil

__all__ = ["check", "make"]

_VALUES: tuple[Any, ...] = (
    pa.array([1, 2, None, 4], pa.int8()), pa.array([1.0, 2.0**53, None, 4.5]), pa.array([0, 1 << 63] * 2, pa.uint64()),
    pa.array([b"\xff", b"", None, b"x"]), pa.array([[1], [], None, [2]]), pa.nulls(4), pa.array([True, None] * 2),
    pa.array([float("nan"), float("inf"), 0.0, None]), pa.array(["a", None, "", "b"]).dictionary_encode(),
)  # fmt: skip
_WORDS = (
    b"PAR1",
    b"PARE",
    b"\x15\x00",
    b"\x15\x02",
    b"\x19\x1c",
    b"ARROW:schema",
    b"Metadata_ImageNumber",
    b"\xff" * 9,
)


def make(random: Random, folder: Path) -> None:
    """Write one or two files of cells, or a folder of tables."""
    source = folder / "source"
    source.mkdir(parents=True)
    names = random.choice((("a",), ("a", "b"), ("Cells", "Cytoplasm", "Nuclei", "Image")))
    for name in names:
        table, path = _table(random, name), source / f"{name}.parquet"
        pq.write_table(
            table, path, row_group_size=random.choice((1, 3, 100)), write_page_checksum=random.random() < 0.5,
            compression=random.choice(("none", "snappy", "zstd", "gzip")), use_dictionary=random.random() < 0.5,
            data_page_version=random.choice(("1.0", "2.0")),
        )  # fmt: skip
        if random.random() < 0.6:
            path.write_bytes(spoil(random, path.read_bytes(), _WORDS))
    options = {"discover": random.choice(([], ["--part-size", "1"], ["--on-bad-dataset", "skip"]))}
    options |= {"extract": random.choice(([], ["--max-inflate", "3kB"], ["--float32"], ["--on-bad-value", "null"]))}
    (folder / "case.json").write_text(json.dumps({"options": options}))


def check(folder: Path) -> list[str]:
    """Convert them."""
    judge = Judge(folder)
    judge.convert(folder / "source", json.loads((folder / "case.json").read_text())["options"])
    return judge.judge_files()


def _table(random: Random, name: str) -> pa.Table:
    before = "" if name[0].isupper() else "Metadata_"
    columns: dict[str, Any] = {
        f"{before}ImageNumber": random.choice(([1, 1, 2, 2], [2, 1, 2, 1], [1.0, 1.0, None, 2.0]))
    }
    if name != "Image":
        columns[f"{before}ObjectNumber"] = [1, 2, 1, 2]
    if name == "Cytoplasm":
        columns |= {"Parent_Cells": [1, 2, 1, 2], "Parent_Nuclei": [1, 2, 1, 2]}
    columns["AreaShape_Area"] = [0.5, 1.5, None, 2.5]
    for _ in range(random.choice((0, 1, 2))):
        values = random.choice((*_VALUES, pa.array([random.choice(NUMBERS) for _ in range(4)])))
        columns[random.choice((hostile_name(random), *columns)).encode("utf-8", "replace").decode()] = values
    return pa.table(columns)
