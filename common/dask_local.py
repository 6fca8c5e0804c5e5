"""Dask workers that are processes of this machine, started again where one of them dies before it is ready."""

from __future__ import annotations

import time
from typing import Any

from pycytominer_transform.common.errors import StorageError
from pycytominer_transform.common.reporting import logger

_PAUSES = (0.0, 1.0, 4.0)
"""Seconds before it is tried again."""


def start_workers(**arguments: Any) -> Any:
    """Start a scheduler here, and its workers.

    Returns
    -------
    distributed.LocalCluster
        To be closed, which ends them.

    Raises
    ------
    StorageError
        They do not start, however often that is tried.
    """
    import distributed

    start: Any = distributed.LocalCluster
    # Dask gives up the whole cluster, with a plain RuntimeError, when one worker is killed while it starts.
    for pause in _PAUSES:
        try:
            return start(**arguments)
        except RuntimeError as error:
            logger.debug("trying again in %g s to start Dask workers: %s", pause, error.__cause__ or error)
            time.sleep(pause)
    try:
        return start(**arguments)
    except RuntimeError as error:
        raise StorageError(
            f"the Dask workers do not start ({error.__cause__ or error}); look whether memory and processes are "
            "limited here, or take --runner concurrent"
        ) from error
