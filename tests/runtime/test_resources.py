"""What a process may use is the least of what the machine, its cgroups and its own limits allow."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from pathlib import Path

import pytest
from pycytominer_transform.common.runtime import resources

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
JOB = "/slurm/job7"


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty cgroup tree in place of the machine's, with this process in a job two levels down."""
    (tmp_path / "tree" / "slurm" / "job7").mkdir(parents=True)
    (tmp_path / "self").write_text(f"9:name=systemd:/\n4:cpu,cpuacct:{JOB}\n3:memory:{JOB}\n0::{JOB}\n")
    monkeypatch.setattr(resources, "_CGROUP", tmp_path / "tree")

    def moved(*names: str | Path) -> Path:
        return tmp_path / "self" if names == ("/proc/self/cgroup",) else Path(*names)

    monkeypatch.setattr(resources, "Path", moved)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return tmp_path / "tree"


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "300000 100000\n"}, 3),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.max": "rubbish\n"}, 8),
        ({"cpu.max": ""}, 8),
        ({"cpu/slurm/cpu.cfs_quota_us": "300000", "cpu/slurm/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/other/cpu.cfs_quota_us": "300000", "cpu/other/cpu.cfs_period_us": "100000"}, 8),
        ({"slurm/cpu.max": "400000 100000", "slurm/job7/cpu.max": "max 100000"}, 4),
        ({"slurm/cpu.max": "400000 100000", "slurm/job7/cpu.max": "200000 100000"}, 2),
        ({"other/cpu.max": "100000 100000"}, 8),
    ],
)
def test_threads_are_those_of_the_affinity_cut_by_any_quota_above(
    cgroups: Path, files: dict[str, str], threads: int
) -> None:
    write(cgroups, files)
    assert resources.usable_threads() == threads


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({}, MACHINE),
        ({"memory.max": "max\n"}, MACHINE),
        ({"memory.max": "1048576\n"}, 1 << 20),
        ({"memory/memory.limit_in_bytes": "2097152\n"}, 1 << 21),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE),
        ({"memory/slurm/job7/memory.limit_in_bytes": "1048576"}, 1 << 20),
        ({"slurm/memory.max": "4194304", "slurm/job7/memory.max": "max"}, 1 << 22),
        ({"slurm/memory.max": "max", "slurm/job7/memory.max": "8388608"}, 1 << 23),
    ],
)
def test_memory_is_the_machines_cut_by_any_limit_above(cgroups: Path, files: dict[str, str], size: int) -> None:
    write(cgroups, files)
    assert resources.usable_memory() == size


@pytest.mark.usefixtures("cgroups")
def test_memory_is_cut_by_the_process_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1 << 24, resource.RLIM_INFINITY))
    assert resources.usable_memory() == 1 << 24


@pytest.mark.usefixtures("cgroups")
def test_the_affinity_counts_and_not_the_machines_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3}, raising=False)
    assert resources.usable_threads() == 1


def test_the_real_process_may_use_something() -> None:
    assert 1 <= resources.usable_threads() <= len(os.sched_getaffinity(0))
    assert (1 << 20) < resources.usable_memory() <= MACHINE
