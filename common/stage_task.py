"""One pure function, one Prefect task: how a tool's work runs in process or tracked by a Prefect server.

A tool's file says ``extract_task = StageTask(extract, name="extract")`` and no more about Prefect. Prefect is imported
only when a run is to be tracked: importing it costs most of a second, starting a server several.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pycytominer_transform.common.prefect_environment import prepare_prefect_environment, require_prefect_api
from pycytominer_transform.common.reporting import logger

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.tasks import Task

R = TypeVar("R")


@dataclass(frozen=True)
class StageTask(Generic[R]):
    """A pure keyword-only function and the one Prefect task that wraps it.

    Instances are hashable and can be pickled as long as the function can, that is, when it is defined at the top of a
    module.

    Attributes
    ----------
    function
        The work itself; called with keywords only.
    name
        The task's name on a Prefect server.
    """

    function: Callable[..., R]
    name: str

    def prefect_task(self) -> Task[..., R]:
        """Give the Prefect task, the same object each time.

        Returns
        -------
        Task
            It neither caches nor keeps results: whether an output is up to date is read from the output itself.

        """
        made: Task[..., R] = _prefect_task(self)
        return made

    def run(self, *, tracked: bool, run_name: str, **arguments: Any) -> R:
        """Do the work now and return what the function returns.

        Parameters
        ----------
        tracked
            Run as a task run on the Prefect server of the environment, with its state and log lines, instead of
            plainly.
        run_name
            What the run is called on that server, such as ``extract plate1``.
        **arguments
            The function's keyword arguments.

        Returns
        -------
        R
            The function's own result.

        Raises
        ------
        Exception
            Whatever the function raises, the very same object, tracked or not.
        StorageError
            The Prefect server does not answer; nothing was done.

        """
        if not tracked:
            return self.function(**arguments)
        prepare_prefect_environment(verbose=logger.isEnabledFor(logging.DEBUG))
        require_prefect_api()
        with _log_lines_to_run():
            result: R = self._named(run_name)(**arguments)
        return result

    def submit(
        self, *, run_name: str, wait_for: Sequence[PrefectFuture[Any]] = (), **arguments: Any
    ) -> PrefectFuture[R]:
        """Hand the work to the task runner of the flow that calls this.

        Parameters
        ----------
        run_name
            What the run is called on the server, such as ``extract plate1 part 3 of 24``.
        wait_for
            Runs that must have succeeded before this one starts.
        **arguments
            The function's keyword arguments. A future among them is replaced by its result.

        Returns
        -------
        PrefectFuture
            See `pycytominer_transform.common.task_runners.outcomes` for collecting many.

        """
        future: PrefectFuture[R] = self._named(run_name).submit(wait_for=wait_for or None, **arguments)
        return future

    def _named(self, run_name: str) -> Task[..., R]:
        # A copy, for `with_options` makes a task anew, which looks for its source code each time.
        named = copy(self.prefect_task())
        # Prefect takes the name for a format string, so a plate called "{x}" would fail the run.
        named.task_run_name = run_name.replace("{", "{{").replace("}", "}}")
        return named


@functools.cache
def _prefect_task(stage: StageTask[Any]) -> Task[..., Any]:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    wrap = task(name=stage.name, cache_policy=NO_CACHE, persist_result=False, log_prints=False)
    wrapped: Task[..., Any] = wrap(stage.function)
    return wrapped


@contextmanager
def _log_lines_to_run() -> Iterator[None]:
    """Send our log lines to the run in progress, also where Prefect was imported before our environment was set."""
    from prefect.logging.handlers import APILogHandler

    level, handler = logger.level, APILogHandler()
    present = any(isinstance(other, APILogHandler) for other in logger.handlers)
    if logger.level == logging.NOTSET:
        # Prefect sets the root logger to WARNING, which would keep the lines that tell what a run did from the server.
        logger.setLevel(logging.INFO)
    if not present:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        if not present:
            logger.removeHandler(handler)
