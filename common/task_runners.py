"""How many parts of a flow run at once, and where: threads of this process, or processes of a Dask cluster.

Also the two ways to collect what they gave, so that one part that fails takes no other's work with it.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pycytominer_transform.common.errors import StorageError

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

R = TypeVar("R")

RunnerKind = Literal["concurrent", "dask", "sequential"]

_DASK_SETTINGS = {
    # Whatever Dask wants to say about a worker that dies comes out as the failure of the part it was at.
    "distributed.logging": {"distributed": "critical", "tornado": "critical", "tornado.application": "critical"},
    # DuckDB and Arrow hold a worker's event loop up for as long as one call takes; that is no reason to warn.
    "distributed.admin.tick.limit": "1h",
}


def task_runner(kind: RunnerKind, *, workers: int, dask_scheduler: str | None = None) -> TaskRunner[Any]:
    """Give the task runner for ``@flow(task_runner=...)``.

    Parameters
    ----------
    kind
        ``concurrent``: threads of this process; ``sequential``: one such thread; ``dask``: processes.
    workers
        Parts that may run at once. A running Dask scheduler decides that by itself.
    dask_scheduler
        Address of a running Dask scheduler, such as ``tcp://node7:8786``. Its workers need this package, the paths of
        source and work directory, and a way to the Prefect API.

    Returns
    -------
    TaskRunner
        Nothing is started yet: the flow does that.

    Raises
    ------
    ValueError
        `workers` is below 1, or a scheduler was named for another kind than ``dask``.

    """
    if workers < 1:
        message = f"workers must be 1 or more, not {workers}"
        raise ValueError(message)
    if kind == "dask":
        return _dask_runner(workers, dask_scheduler)
    if dask_scheduler is not None:
        message = f"a Dask scheduler ({dask_scheduler}) goes with the runner 'dask', not {kind!r}"
        raise ValueError(message)
    from prefect.task_runners import ThreadPoolTaskRunner

    return ThreadPoolTaskRunner(max_workers=workers if kind == "concurrent" else 1)


def require_scheduler(address: str) -> None:
    """Make sure that somebody listens where a Dask scheduler is said to be.

    Raises
    ------
    StorageError
        Nobody does. Dask itself would try for half a minute and end in a traceback.
    """
    place = urlsplit(address if "://" in address else f"tcp://{address}")
    if place.scheme not in ("tcp", "tls") or place.hostname is None or place.port is None:
        return
    try:
        socket.create_connection((place.hostname, place.port), timeout=10).close()
    except OSError as error:
        raise StorageError(
            f"no Dask scheduler answers at {address} ({error}); start one, or leave --dask-scheduler out"
        ) from error


def wait_all(futures: Iterable[PrefectFuture[R]]) -> list[R | Exception]:
    """Wait for all futures, whatever becomes of each.

    Parameters
    ----------
    futures
        Submitted runs.

    Returns
    -------
    list
        For each future, in the same order, its result or the exception that ended it.

    """
    results: list[R | Exception] = []
    for future in futures:
        found = _outcome(future)
        results.append(found)
    return results


def outcomes(submissions: Iterable[Callable[[], PrefectFuture[R]]], *, in_flight: int) -> Iterator[R | Exception]:
    """Submit runs a few at a time and yield what each gave, in the order of the submissions.

    Ten thousand parts submitted at once would each keep a future, a state and, with Dask, a graph entry until the flow
    ends.

    Parameters
    ----------
    submissions
        Calls that submit one run each; taken one after the other, as room comes up.
    in_flight
        Runs that may be submitted and not yet yielded. A few times the number of workers keeps them all busy.

    Yields
    ------
    R or Exception
        The run's result or the exception that ended it.

    """
    waiting: deque[PrefectFuture[R]] = deque()
    for submit in submissions:
        waiting.append(submit())
        if len(waiting) >= in_flight:
            found = _outcome(waiting.popleft())
            yield found
    while waiting:
        found = _outcome(waiting.popleft())
        yield found


def _outcome(future: PrefectFuture[R]) -> R | Exception:
    # Waiting alone would not do: a Dask future whose worker died has no final state, and only its result says so.
    try:
        return future.result()
    except Exception as error:
        return error


def _dask_runner(workers: int, dask_scheduler: str | None) -> TaskRunner[Any]:
    import dask

    # Distributed sets its loggers up from this while it is imported.
    dask.config.set(_DASK_SETTINGS)
    import distributed

    from .dask_runner import QuickDaskTaskRunner

    if dask_scheduler is not None:
        return QuickDaskTaskRunner(address=dask_scheduler)
    return QuickDaskTaskRunner(
        cluster_class=distributed.LocalCluster,
        cluster_kwargs={
            "n_workers": workers,
            "threads_per_worker": 1,
            "processes": True,
            "dashboard_address": None,
            "host": "127.0.0.1",
            "local_directory": tempfile.gettempdir(),
            # Dask would kill a worker for the tables that Arrow and DuckDB hold within limits of their own.
            "memory_limit": 0,
            "silence_logs": logging.CRITICAL,
            "env": {name: text for name, text in os.environ.items() if name.startswith("PREFECT_")},
        },
    )
