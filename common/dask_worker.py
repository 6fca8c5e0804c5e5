"""What a Dask worker does before its first task, told to by ``--preload`` or Dask's settings."""

from __future__ import annotations

import gc
import ssl
from functools import cache
from typing import Any

from pycytominer_transform.common.dask_clock import go_steady
from pycytominer_transform.common.libraries import import_libraries
from pycytominer_transform.common.prefect_environment import drop_unrecorded_events


def dask_setup(_worker: object) -> None:
    """Take up the steady clock, and import what the tasks need while nobody waits for it."""
    go_steady()
    gc.disable()
    import_libraries()
    drop_unrecorded_events()
    _read_certificates_once()
    gc.freeze()
    gc.enable()


def _read_certificates_once() -> None:
    """Read a file of those who sign certificates once in this process.

    Prefect makes two clients for each task, also of a server without encryption, and each reads that file: 60 ms, a
    quarter of what a task took.
    """
    make: Any = ssl.create_default_context

    @cache
    def made_of(cafile: str) -> ssl.SSLContext:
        context: ssl.SSLContext = make(cafile=cafile)
        return context

    def create_default_context(*arguments: Any, **named: Any) -> ssl.SSLContext:
        if not arguments and named.keys() == {"cafile"} and isinstance(named["cafile"], str):
            return made_of(named["cafile"])
        context: ssl.SSLContext = make(*arguments, **named)
        return context

    ssl.create_default_context = create_default_context
