"""The task runners of a flow: threads of this process, or processes of a Dask cluster."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.flow.dask_batch_jobs import (
    DEFAULT_TIMEOUT,
    DaskCluster,
    await_workers,
    quieten_dask,
    submit_jobs,
)
from pycytominer_transform.common.runtime.signals import exits_at_once, wait_for_children


class InterruptibleThreadPoolTaskRunner(ThreadPoolTaskRunner[Any]):
    """Prefect's thread runner, but it does not wait for its threads if an interruption ends the whole process."""

    def cancel_all(self) -> None:
        """Cancel the tasks and wait for those that have begun."""
        if not exits_at_once():
            super().cancel_all()

    def __exit__(self, *exception: Any) -> None:
        """Wait for the threads' end."""
        if not exits_at_once():
            super().__exit__(*exception)


@contextmanager
def task_runner(
    kind: Literal["concurrent", "dask"], *, workers: int, dask_scheduler: str = "",
    dask_cluster: DaskCluster | None = None,
) -> Iterator[TaskRunner[Any]]:  # fmt: skip
    """Provide the task runner for ``@flow(task_runner=...)``; Dask workers of this machine run while the block lasts.

    Parameters
    ----------
    kind
        ``concurrent``: threads of this process; ``dask``: processes.
    workers
        Tasks that may run at once, including those that wait for another. A running Dask scheduler decides by itself.
    dask_scheduler
        Address of a running Dask scheduler, such as ``tcp://node7:8786``. Its workers need this package, the paths of
        source and work directory, and a way to the Prefect API.
    dask_cluster
        Batch jobs to submit as workers, which need the same.

    Raises
    ------
    StorageError
        No scheduler answers, or Dask workers do not start.
    """
    if kind == "concurrent":
        yield InterruptibleThreadPoolTaskRunner(max_workers=workers)
        return
    if dask_scheduler:
        _require_scheduler(dask_scheduler)
    quieten_dask()
    wait_for_children()
    import distributed
    from pycytominer_transform.common.flow.dask_compat import QuickDaskTaskRunner
    from pycytominer_transform.common.flow.dask_workers import local_workers, set_up_workers

    # Without certificates of the run's own any user of this machine could have the workers run code.
    certificates: Any = distributed.Security
    try:
        security: Any = None if dask_scheduler else certificates.temporary()
    except ImportError as error:
        raise UsageError(
            "Dask workers cannot talk by TLS here, so any user of this machine could have them run code: pip install "
            "cryptography, or take --runner concurrent, or a --dask-scheduler of your own"
        ) from error
    with ExitStack() as stack:
        if dask_scheduler:
            address = dask_scheduler
        elif dask_cluster:
            address = stack.enter_context(submit_jobs(dask_cluster, security)).scheduler_address
        else:
            address = stack.enter_context(local_workers(workers, security))
        connect: Any = distributed.Client
        client = stack.enter_context(connect(address, security=security, set_as_default=False))
        await_workers(client, dask_cluster.timeout if dask_cluster else DEFAULT_TIMEOUT)
        stack.enter_context(set_up_workers(client))
        yield QuickDaskTaskRunner(address=address, client_kwargs={"security": security} if security else None)


def _require_scheduler(address: str) -> None:
    """Check that a Dask scheduler accepts connections; Dask itself would try for half a minute."""
    place = urlsplit(address if "://" in address else f"tcp://{address}")
    if place.scheme not in ("tcp", "tls") or place.hostname is None or place.port is None:
        return
    try:
        socket.create_connection((place.hostname, place.port), timeout=10).close()
    except OSError as error:
        raise StorageError(
            f"no Dask scheduler answers at {address} ({error}); start one, or leave --dask-scheduler out"
        ) from error
