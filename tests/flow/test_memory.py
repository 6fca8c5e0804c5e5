"""What `--memory` makes of a flow: fewer parts at once, and smaller ones where one would not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from converting import parquet_table
from hypothesis import given
from hypothesis import strategies as st
from plates import Plate, write_csv
from pycytominer_transform.common.runtime.resources import fitting_parts
from pycytominer_transform.tools import flow

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("memory", "at_once", "part_size"),
    [(10_000, 2, 64), (700, 2, 64), (500, 1, 64), (400, 1, 33), (330, 1, 13), (1, 1, 1)],
)
def test_parts_fit_into_the_memory(memory: int, at_once: int, part_size: int) -> None:
    given = fitting_parts(memory * MEGABYTE, 64 * MEGABYTE, beside=300 * MEGABYTE, workers=2)
    assert (given[0], given[1] // MEGABYTE) == (at_once, part_size)


@given(
    memory=st.integers(1, 1 << 40), part_size=st.integers(1, 1 << 34), beside=st.integers(0, 1 << 30),
    workers=st.integers(1, 200),
)  # fmt: skip
def test_parts_are_never_more_nor_larger_than_asked_for(memory: int, part_size: int, beside: int, workers: int) -> None:
    at_once, size = fitting_parts(memory, part_size, beside=beside, workers=workers)
    assert 1 <= at_once <= workers
    assert 1 <= size <= part_size
    assert at_once == 1 or at_once * size * 3 <= max(memory - beside, memory // 8)


def test_a_flow_with_little_memory_cuts_smaller_parts_and_gives_the_same_cells(tmp_path: Path) -> None:
    source = write_csv(Plate(folders=8, cells=200, features=60), tmp_path / "plate")
    parts = {}
    for memory in ("8GB", "60MB"):
        out, work = tmp_path / f"{memory}.parquet", tmp_path / memory
        words = [str(source), "-o", str(out), "--work-dir", str(work), "--keep-work", "--memory", memory, "--quiet"]
        assert flow.main(words) == 0
        parts[memory] = len(list(work.rglob("parts/**/part-*.arrow")))
    assert parts["8GB"] == 1
    assert parts["60MB"] > 1
    assert parquet_table(tmp_path / "60MB.parquet").equals(parquet_table(tmp_path / "8GB.parquet"))
