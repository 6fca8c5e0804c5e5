"""Dask workers that are processes of this machine, started again where one of them dies before it is ready."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pycytominer_transform.common.errors import StorageError
from pycytominer_transform.common.reporting import logger
from pycytominer_transform.common.scratch import remove_dead_scratch, scratch_folder

_PAUSES = (0.0, 1.0, 4.0)
"""Seconds before it is tried again."""


@contextmanager
def local_workers(number: int) -> Iterator[str]:
    """Run a Dask scheduler in this process, and worker processes, while the block lasts.

    Yields
    ------
    str
        The scheduler's address. All workers have been started.

    Raises
    ------
    StorageError
        They do not start, however often that is tried.
    """
    import dask

    with scratch_folder("pct-dask-") as scratch:
        dask.config.set({"temporary-directory": str(scratch)})
        cluster = _started(
            n_workers=number,
            # As on a cluster a worker is a processor.
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            # Its server listens all the same, by default always at 8787: a second flow on the machine gets a warning.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            host="127.0.0.1",
            local_directory=str(scratch),
            # Dask would kill a worker for the tables that Arrow and DuckDB hold within limits of their own.
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            env={name: text for name, text in os.environ.items() if name.startswith("PREFECT_")},
        )
        try:
            with cluster:
                yield cluster.scheduler_address
        finally:
            # Of workers that were killed; the flow went on without them.
            remove_dead_scratch(tempfile.gettempdir())


def _started(**arguments: Any) -> Any:
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
