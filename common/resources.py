"""How many processors and how much memory this process may really use, not how many the host has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycytominer_transform.common.place import Place

_CGROUP = Path("/sys/fs/cgroup")
_REQUESTS = 16
_PART_MEMORY = 3
"""Bytes of memory that a byte of source takes at most, while its part is read, joined and written."""
_LEAST_PART = 1_000_000
_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""
_LARGE_BYTES = 1 << 20


def usable_threads() -> int:
    """Count the processors this process may use: its CPU affinity, cut by its cgroup's quota; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, min(affinity, int(quota)) if quota is not None else affinity)


def reading_threads(place: Place) -> int:
    """Count the files to read at once: as many as there are processors, more where each has to come from afar."""
    return usable_threads() if isinstance(place, Path) else max(_REQUESTS, usable_threads())


def usable_memory() -> int:
    """Count the bytes of memory this process may use: the machine's, cut by its cgroup's and its own limit."""
    import resource

    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    for folder in _cgroup_folders():
        limits.extend(_numbers_in(folder / "memory.max")[:1])
    for folder in _cgroup_folders("memory"):
        limits.extend(_numbers_in(folder / "memory.limit_in_bytes")[:1])
    return min(limits)


def release_memory() -> None:
    """Give the system back what Arrow and the C library keep ready for tables to come."""
    import ctypes

    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    # Of glibc alone.
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def hold_no_large_memory() -> None:
    """Have the C library give large pieces of memory back to the system as soon as they are free.

    glibc keeps them for the thread that had them, and small ones that stay keep it from giving them back later: the
    longer a process runs, the more it holds.
    """
    import ctypes

    if (set_option := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def hold_no_free_memory() -> None:
    """Have memory that becomes free go back to the system at once; reading takes a tenth longer then.

    Arrow's own pool keeps what it has been given, too. To be called before Arrow is imported; child processes do the
    same.
    """
    # https://arrow.apache.org/docs/cpp/env_vars.html, and mallopt(3) for what glibc reads as it starts.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(_LARGE_BYTES))
    hold_no_large_memory()


def fitting_parts(memory: int, part_size: int, *, beside: int, workers: int) -> tuple[int, int]:
    """Say how many parts may be worked on at once within some memory, and how large they may be.

    Parameters
    ----------
    memory
        Bytes that the process is to stay within.
    part_size
        Bytes of source that a part is to have.
    beside
        Bytes that the process takes without any part.
    workers
        Parts that are to be worked on at once.

    Returns
    -------
    tuple of int
        Parts at once, from 1 to `workers`; bytes of source in each, at most `part_size`.
    """
    # A process that is given hardly more than it takes anyhow still has to do something.
    room = max(memory - beside, memory // 8)
    at_once = max(1, min(workers, room // (_PART_MEMORY * part_size)))
    return at_once, min(part_size, max(room // (_PART_MEMORY * at_once), _LEAST_PART))


def _cgroup_cpus() -> float | None:
    quotas = []
    for folder in _cgroup_folders():
        numbers = _numbers_in(folder / "cpu.max")
        if len(numbers) == 2 and numbers[1]:
            quotas.append(numbers[0] / numbers[1])
    for folder in _cgroup_folders("cpu"):
        old = _numbers_in(folder / "cpu.cfs_quota_us"), _numbers_in(folder / "cpu.cfs_period_us")
        if old[0] and old[1] and old[0][0] > 0:
            quotas.append(old[0][0] / old[1][0])
    return min(quotas) if quotas else None


def _cgroup_folders(controller: str = "") -> list[Path]:
    """List this process's cgroup and those above it: a limit on any of them holds.

    With a controller: in that controller's own tree, as the first version of cgroups has them.
    """
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
    """Read the numbers of a cgroup file; the word ``max`` is no limit, so no number."""
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
    return [int(word) for word in words] if all(word.lstrip("-").isdigit() for word in words) else []
