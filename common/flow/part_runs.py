"""Runs the parts of a flow: a few at a time, with retries after transient errors and a limit of failures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from pycytominer_transform.common.errors import PctError, StorageError, UsageError, is_transient
from pycytominer_transform.common.flow.stage_task import literal_name
from pycytominer_transform.common.runtime.messages import count, logger, reports_json
from pycytominer_transform.common.runtime.signals import raise_if_interrupted

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.futures import PrefectFuture
    from prefect.tasks import Task
    from pycytominer_transform.common.flow.stage_task import StageTask

R = TypeVar("R")
# Dask raises these when a worker, or the connection to it, is lost.
_LOST = frozenset(("CommClosedError", "FutureCancelledError", "FuturesCancelledError", "KilledWorker"))
RETRY_DELAYS = (1.0, 4.0, 16.0, 60.0)
"""Seconds before the first, second, third and every further retry."""


class Tasks:
    """Submits the stages' tasks to the flow's task runner, with Prefect's retries.

    Parameters
    ----------
    retries : int
        How often a run is retried after a transient error.
    on_threads : bool
        The task runner runs tasks on threads of this process.

    Attributes
    ----------
    retried : list of str
        The name of each run that was retried in this process.
    """

    def __init__(self, retries: int, *, on_threads: bool) -> None:
        retried = self.retried = list[str]()

        def retry_condition(_: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
            error = state.data
            if not isinstance(error, Exception) or not is_transient(error):
                return False
            logger.debug("retrying %s after a transient error: %s", run.name, reason_of(error))
            retried.append(run.name)
            return True

        self._retrying: dict[str, Any] = {
            "retries": retries, "retry_delay_seconds": list(RETRY_DELAYS), "retry_condition_fn": retry_condition,
        }  # fmt: skip
        self._on_threads = on_threads

    def submit(
        self, stage: StageTask[R], name: str, *, wait_for: Sequence[State[Any]] = (), **arguments: Any
    ) -> PrefectFuture[R]:
        """Submit a run of a stage.

        Parameters
        ----------
        stage : StageTask
            The stage.
        name : str
            The run's name on the server, such as ``extract part 3 of 24``.
        wait_for : sequence of State
            States of runs that must have succeeded before.
        **arguments
            The function's arguments. A future among them becomes its result, and an edge of the graph.
        """
        from prefect.futures import PrefectFuture
        from prefect.utilities.annotations import quote

        task = stage.prefect_task.with_options(task_run_name=literal_name(name), **self._retrying)
        # Unquoted, Prefect would search every value, such as thousands of columns, for futures. Dask takes no quotes.
        quoted = {
            key: value if isinstance(value, PrefectFuture) or not self._on_threads else quote(value)
            for key, value in arguments.items()
        }
        future: PrefectFuture[R] = task.submit(wait_for=list(wait_for) or None, **quoted)
        return future


@dataclass
class PartRuns:
    """Runs parts, only a few at once, each as a few tasks one after the other.

    Attributes
    ----------
    submit : callable
        Submits a part's tasks, in their order.
    collect : callable
        Takes the results of a part's tasks.
    at_once : int
        Parts that are submitted and not yet done.
    max_failures : int, optional
        Submit no further part when more than this have failed.
    failures : dict
        The reason of each failed part.
    """

    submit: Callable[[int], list[PrefectFuture[Any]]]
    collect: Callable[[int, list[Any]], None]
    at_once: int
    max_failures: int | None
    failures: dict[int, str] = field(default_factory=dict)

    def run(self, parts: Iterable[int]) -> None:
        """Run the parts; when one fails, the others go on.

        Raises
        ------
        UsageError
            A part failed for a reason that all parts share.
        """
        running: dict[int, list[PrefectFuture[Any]]] = {}
        done = SimpleQueue[int]()
        for part in parts:
            if len(running) >= self.at_once:
                self._end(running, done.get())
            if self.max_failures is not None and len(self.failures) > self.max_failures:
                break
            running[part] = self.submit(part)
            running[part][-1].add_done_callback(partial(_tell, done, part))
        while running:
            self._end(running, done.get())

    def _end(self, running: dict[int, list[PrefectFuture[Any]]], part: int) -> None:
        raise_if_interrupted()
        try:
            # In their order: the error of a task after a failed one only says that it could not begin.
            results = [future.result() for future in running.pop(part)]
        except UsageError:
            raise
        except Exception as error:
            reason = self.failures[part] = reason_of(error)
            # On a terminal it stands in the run's last line, see `describe`.
            level = logging.ERROR if reports_json() else logging.DEBUG
            fields = {"part": part, "outcome": "failed"}
            logger.log(level, "part %d failed: %s", part, reason, extra={"fields": fields})
        else:
            self.collect(part, results)

    def describe(self, parts: int, finished: int) -> str:
        """Return in one line how many parts failed, and why."""
        failed = f"{len(self.failures)} of {count(parts, 'part')} failed"
        if untried := parts - finished - len(self.failures):
            failed += f" and {untried} were not begun, for --max-failures is {self.max_failures}"
        return f"{failed}: " + "; ".join(f"part {part}: {reason}" for part, reason in sorted(self.failures.items()))


def _tell(done: SimpleQueue[int], part: int, _: PrefectFuture[Any]) -> None:
    done.put(part)


def result_of(future: PrefectFuture[R]) -> R:
    """Return the result of a run that was submitted alone.

    Raises
    ------
    StorageError
        Its Dask worker was lost, or another transient error is left after all retries.
    """
    try:
        return future.result()
    except PctError:
        raise
    except Exception as error:
        is_lost = type(error).__module__.startswith("distributed.") and type(error).__name__ in _LOST
        if not is_lost and not is_transient(error):
            raise
        raise StorageError(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """Return in one line why a task failed."""
    if type(error).__name__ == "KilledWorker":
        return "the Dask worker that had it was lost: killed, out of memory, or its machine is gone"
    return str(error) or type(error).__name__
