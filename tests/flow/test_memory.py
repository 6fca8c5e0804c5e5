"""What `--memory` makes of a flow: fewer parts at once, and smaller ones where one would not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from converting import parquet_table
from hypothesis import given
from hypothesis import strategies as st
from plates import Plate, write_csv
from pycytominer_transform.common.resources import fitting_parts
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


@pytest.mark.parametrize(("called", "pool"), [("hold_no_free_memory", "system"), ("hold_no_large_memory", "none")])
def test_a_process_that_is_to_hold_no_free_memory_gives_it_back(called: str, pool: str) -> None:
    """Six threads free what they had; what stays is less than one of them had."""
    script = """
import os, resource, sys, threading
from pycytominer_transform.common import resources
getattr(resources, sys.argv[1])()
with_arrow = sys.argv[1] == "hold_no_free_memory"
import pyarrow as pa

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def work():
    for megabytes in range(1, 30, 4):
        kept = [bytearray(megabytes << 20)]
        if with_arrow:
            kept.append(pa.allocate_buffer(megabytes << 20))
            pa.compute.fill_null(pa.array([0.5, None] * (megabytes << 13)), 1.0)

import pyarrow.compute
work()
before = resident()
for _ in range(6):
    threads = [threading.Thread(target=work) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print(pa.default_memory_pool().backend_name if with_arrow else "none", resident() - before)
"""
    environment = {name: text for name, text in os.environ.items() if "MALLOC" not in name and "ARROW" not in name}
    found, more = (
        subprocess.run(
            [sys.executable, "-c", script, called], env=environment, check=True, text=True, stdout=subprocess.PIPE
        )
        .stdout.split()
    )  # fmt: skip
    assert found == pool
    assert int(more) < 30 * MEGABYTE


def test_a_flow_with_little_memory_cuts_smaller_parts_and_gives_the_same_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What this sets for the whole process goes with the test.
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(MEGABYTE))
    source = write_csv(Plate(folders=8, cells=200, features=60), tmp_path / "plate")
    parts = {}
    for memory in ("8GB", "60MB"):
        out, work = tmp_path / f"{memory}.parquet", tmp_path / memory
        words = [str(source), "-o", str(out), "--work-dir", str(work), "--keep-work", "--memory", memory, "--quiet"]
        assert flow.main(words) == 0
        parts[memory] = len(list(work.rglob("profiles/**/part-*.arrow")))
    assert parts["8GB"] == 1
    assert parts["60MB"] > 1
    assert parquet_table(tmp_path / "60MB.parquet").equals(parquet_table(tmp_path / "8GB.parquet"))
