"""What a Dask worker does before its first task, told to by ``--preload`` or Dask's settings."""

from __future__ import annotations

import gc

from pycytominer_transform.common.dask_clock import go_steady
from pycytominer_transform.common.libraries import import_libraries
from pycytominer_transform.common.prefect_certificates import read_certificates_once
from pycytominer_transform.common.prefect_environment import drop_unrecorded_events


def dask_setup(_worker: object) -> None:
    """Take up the steady clock, and import what the tasks need while nobody waits for it."""
    go_steady()
    gc.disable()
    import_libraries()
    drop_unrecorded_events()
    read_certificates_once()
    gc.freeze()
    gc.enable()
