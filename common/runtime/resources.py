"""The processors and the memory that this process may use, not those that the host has."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_REQUESTS = 16
# Bytes of memory that a byte of source takes at most, while its part is read, joined and written.
_PART_MEMORY = 3
_LEAST_PART = 1_000_000


def usable_threads() -> int:
    """Return the processors this process may use: its CPU affinity, cut by its cgroups' quotas; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_numbers_in(folder / "cpu.max") for folder in _cgroup_folders()]
    for folder in _cgroup_folders("cpu"):
        quotas.append(_numbers_in(folder / "cpu.cfs_quota_us") + _numbers_in(folder / "cpu.cfs_period_us"))
    limits = [numbers[0] // numbers[1] for numbers in quotas if len(numbers) == 2 and numbers[0] > 0 and numbers[1]]
    return max(1, min([affinity, *limits]))


def reading_threads(*, remote: bool) -> int:
    """Return how many files to read at once: one per processor, more where each comes over a network."""
    return max(_REQUESTS, usable_threads()) if remote else usable_threads()


def usable_memory() -> int:
    """Return the bytes of memory this process may use: the machine's, cut by its cgroups' and its own limit."""
    import resource

    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    if own != resource.RLIM_INFINITY:
        limits.append(own)
    for folder in _cgroup_folders():
        limits += _numbers_in(folder / "memory.max")[:1]
    for folder in _cgroup_folders("memory"):
        limits += _numbers_in(folder / "memory.limit_in_bytes")[:1]
    return min(limits)


def _cgroup_folders(controller: str = "") -> list[Path]:
    """List the cgroup of this process and its parents, of version 2 or of a controller in version 1."""
    top = _CGROUP / controller
    folders = [top]
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controller in controllers.split(","):
            inner = top / place.strip().lstrip("/")
            folders.extend(folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))
    return folders


def _numbers_in(path: Path) -> list[int]:
    """Return the numbers in a cgroup's file; ``max`` stands for no limit."""
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def fitting_parts(memory: int, part_size: int, *, beside: int, workers: int) -> tuple[int, int]:
    """Return how many parts fit into memory at once, and their size.

    Parameters
    ----------
    memory
        Limit of the process in bytes.
    part_size
        Greatest size of a part in bytes of source.
    beside
        Bytes that the process needs without any part.
    workers
        Greatest number of parts at once.
    """
    # However low the limit, one part has to fit.
    room = max(memory - beside, memory // 8)
    at_once = max(1, min(workers, room // (_PART_MEMORY * part_size)))
    return at_once, min(part_size, max(room // (_PART_MEMORY * at_once), _LEAST_PART))


def release_memory() -> None:
    """Return free memory of Arrow and the C library to the system."""
    import ctypes

    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    # Only glibc has it.
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
