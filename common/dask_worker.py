"""What a Dask worker does before its first task and after its last, told to by ``--preload`` or Dask's settings."""

from __future__ import annotations

import gc
from contextlib import ExitStack

from pycytominer_transform.common.dask_clock import go_steady
from pycytominer_transform.common.duckdb_connections import keeping_connections
from pycytominer_transform.common.libraries import import_libraries
from pycytominer_transform.common.prefect_certificates import read_certificates_once
from pycytominer_transform.common.prefect_environment import drop_unrecorded_events

_HELD = ExitStack()


def dask_setup(_worker: object) -> None:
    """Take up the steady clock, and import what the tasks need while nobody waits for it."""
    go_steady()
    gc.disable()
    import_libraries()
    drop_unrecorded_events()
    read_certificates_once()
    _HELD.enter_context(keeping_connections())
    gc.freeze()
    gc.enable()


def dask_teardown(_worker: object) -> None:
    """Let go of what was kept from task to task."""
    _HELD.close()
