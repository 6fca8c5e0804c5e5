"""How many parts of a flow run at once, and where: threads of this process, or processes of a Dask cluster.

Also how they are submitted and collected, so that one part that fails takes no other's work with it.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from pycytominer_transform.common.dask_cluster import DaskCluster, quieten_dask, submit_jobs
from pycytominer_transform.common.dask_local import local_workers
from pycytominer_transform.common.ending import end_others_first
from pycytominer_transform.common.errors import StorageError, is_passing

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

K = TypeVar("K")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

# What Dask says when a worker, or the way to it, is no more.
_LOST = frozenset(("CommClosedError", "FutureCancelledError", "FuturesCancelledError", "KilledWorker"))

RunnerKind = Literal["concurrent", "dask", "sequential"]


class Submitted(Protocol[R_co]):
    """Work that somebody has begun: a future of Prefect's, or several taken together."""

    def result(self) -> R_co:
        """Wait for the end, and give what came of it or raise what ended it."""
        ...


@contextmanager
def task_runner(
    kind: RunnerKind, *, workers: int, beside: int = 0, dask_scheduler: str | None = None,
    dask_cluster: DaskCluster | None = None,
) -> Iterator[TaskRunner[Any]]:  # fmt: skip
    """Give the task runner for ``@flow(task_runner=...)``; Dask workers of this machine run while the block lasts.

    Parameters
    ----------
    kind
        ``concurrent``: threads of this process; ``sequential``: one such thread; ``dask``: processes.
    workers
        Parts that may run at once. A running Dask scheduler decides that by itself.
    beside
        Threads for what goes on beside the parts, where those run on threads.
    dask_scheduler
        Address of a running Dask scheduler, such as ``tcp://node7:8786``. Its workers need this package, the paths of
        source and work directory, and a way to the Prefect API.
    dask_cluster
        Batch jobs to submit as workers, for which the same holds.

    Raises
    ------
    ValueError
        `workers` is below 1, or a scheduler was named for another kind than ``dask``.
    StorageError
        Dask workers do not start.
    """
    if workers < 1:
        message = f"workers must be 1 or more, not {workers}"
        raise ValueError(message)
    if dask_scheduler is not None and kind != "dask":
        message = f"a Dask scheduler ({dask_scheduler}) goes with the runner 'dask', not {kind!r}"
        raise ValueError(message)
    if kind == "dask":
        with _dask_runner(workers, dask_scheduler, dask_cluster) as runner:
            yield runner
        return
    from pycytominer_transform.common.thread_runner import QuickThreadTaskRunner

    yield QuickThreadTaskRunner(max_workers=(workers if kind == "concurrent" else 1) + beside)


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


def outcomes(submissions: Iterable[tuple[K, Submitted[R]]], *, in_flight: int) -> Iterator[tuple[K, R | Exception]]:
    """Take submissions a few at a time and yield what each gave, in their order, whatever becomes of the others.

    Ten thousand parts submitted at once would each keep a future, a state and, with Dask, a graph entry until the flow
    ends.

    Parameters
    ----------
    submissions
        What each is called, and the work, which a generator submits when it is asked for the next: as room comes up.
    in_flight
        Submissions that may be taken and not yet yielded. A few times the number of workers keeps them all busy.

    Yields
    ------
    tuple
        What the submission is called, and its result or the exception that ended it.

    """
    waiting: deque[tuple[K, Submitted[R]]] = deque()
    for submission in submissions:
        waiting.append(submission)
        if len(waiting) >= in_flight:
            yield _ended(*waiting.popleft())
    while waiting:
        yield _ended(*waiting.popleft())


def forget_runs(*runs: PrefectFuture[Any]) -> None:
    """Drop what Prefect keeps of task runs, 8 kB of two, until the flow ends: which results and assets are of which.

    To be called within the flow, of runs that nothing waits for any more.
    """
    from prefect.context import FlowRunContext

    if (context := FlowRunContext.get()) is not None:
        context.run_results.clear()
        for run in runs:
            context.task_run_assets.pop(run.task_run_id, None)


def is_passing_here(error: Exception) -> bool:
    """Say whether work may succeed when it is tried again: see `errors.is_passing`, or its Dask worker was lost."""
    return is_passing(error) or (type(error).__module__.startswith("distributed.") and type(error).__name__ in _LOST)


def reason_of(error: Exception) -> str:
    """Say in a line why work failed."""
    if type(error).__name__ == "KilledWorker":
        return "the Dask worker that had it was lost: killed, out of memory, or its machine is gone"
    return str(error) or type(error).__name__


def _ended(key: K, submitted: Submitted[R]) -> tuple[K, R | Exception]:
    # Waiting alone would not do: a Dask future whose worker died has no final state, and only its result says so.
    try:
        return key, submitted.result()
    except Exception as error:
        return key, error


@contextmanager
def _dask_runner(
    workers: int, dask_scheduler: str | None, dask_cluster: DaskCluster | None
) -> Iterator[TaskRunner[Any]]:
    quieten_dask()
    end_others_first()
    from pycytominer_transform.common.dask_clock import go_steady
    from pycytominer_transform.common.dask_runner import QuickDaskTaskRunner

    go_steady()
    if dask_scheduler is not None:
        yield QuickDaskTaskRunner(address=dask_scheduler)
    elif dask_cluster is not None:
        submit: Any = submit_jobs
        runner = QuickDaskTaskRunner(cluster_class=submit, cluster_kwargs={"cluster": dask_cluster})
        runner.timeout = dask_cluster.timeout
        yield runner
    else:
        with local_workers(workers) as address:
            yield QuickDaskTaskRunner(address=address)
