"""Folders under ``TMPDIR`` for the length of a run; what a killed one left is removed by the next.

They are locked while their maker lives, as temporary names beside an output are; see `temporary_names`.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pycytominer_transform.common.temporary_names import (
    TEMPORARY_SUFFIX,
    forget,
    host_name,
    is_still,
    remove_at_end,
    remove_dead,
    try_lock,
)

_PREFIX = "pct-[a-z]+-"


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Make a folder under ``TMPDIR`` for the length of the block, which `temporary_names.end_all` removes too.

    Parameters
    ----------
    prefix : str
        What it is for, ``pct-join-``.
    """
    folder, descriptor = _made(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        forget(folder)
        os.close(descriptor)


def scratch_for_process(prefix: str) -> Path:
    """Make a folder under ``TMPDIR`` that stays until the process ends."""
    folder, _ = _made(prefix)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _made(prefix: str) -> tuple[Path, int]:
    _clean_once(tempfile.gettempdir())
    while True:
        folder = Path(tempfile.gettempdir(), f"{prefix}{host_name()}-{secrets.token_hex(4)}")
        remove_at_end(folder)
        try:
            folder.mkdir(0o700)
            descriptor = os.open(folder, os.O_RDONLY)
        except (FileExistsError, FileNotFoundError):
            forget(folder)
            continue
        # Somebody who cleans up may have come between.
        if try_lock(descriptor) is not False and is_still(descriptor, folder):
            return folder, descriptor
        os.close(descriptor)
        forget(folder)


@functools.cache
def _clean_once(place: str) -> None:
    remove_dead_scratch(place)


def remove_dead_scratch(place: str) -> None:
    """Remove what processes of this user that were killed on this machine left."""
    token = f"{re.escape(host_name())}-[0-9a-f]{{8}}"
    # Or what was being removed.
    pattern = re.compile(rf"\.?{_PREFIX}{token}(\.{token}{re.escape(TEMPORARY_SUFFIX)})?")
    with suppress(OSError):
        for entry in os.scandir(place):
            if pattern.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                remove_dead(Path(entry.path))
