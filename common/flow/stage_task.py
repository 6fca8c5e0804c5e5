"""One pure function, one Prefect task: a tool runs in process, or tracked by a Prefect server.

A tool's file says ``extract_task = StageTask(extract, name="extract")`` and no more about Prefect. Prefect is imported
only when a run is to be tracked: importing it costs most of a second, starting a server several.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pycytominer_transform.common.flow.prefect_environment import prepare_prefect_environment, require_prefect_api
from pycytominer_transform.common.runtime.messages import logger

if TYPE_CHECKING:
    from prefect.tasks import Task

R = TypeVar("R")


@dataclass(frozen=True)
class StageTask(Generic[R]):
    """A pure keyword-only function and the one Prefect task that wraps it.

    Attributes
    ----------
    function
        The function; called with keywords only.
    name
        The task's name on a Prefect server.
    """

    function: Callable[..., R]
    name: str

    def prefect_task(self) -> Task[..., R]:
        """Return the Prefect task, the same object each time.

        It neither caches nor keeps results: whether an output is up to date is read from the output itself.
        """
        task: Task[..., R] = _prefect_task(self)
        return task

    def run(self, *, tracked: bool, run_name: str, **arguments: Any) -> R:
        """Call the function now and return its result.

        Parameters
        ----------
        tracked
            Run as a task run on the Prefect server of the environment, with its state and log lines, instead of
            plainly.
        run_name
            What the run is called on that server, such as ``extract plate1``.
        **arguments
            The function's keyword arguments.

        Raises
        ------
        Exception
            The exception that the function raised, the same object, tracked or not.
        StorageError
            The Prefect server does not answer; nothing was done.

        """
        if not tracked:
            return self.function(**arguments)
        prepare_prefect_environment(verbose=logger.isEnabledFor(logging.DEBUG))
        require_prefect_api()
        with _log_lines_to_run():
            result: R = self.prefect_task().with_options(task_run_name=literal_name(run_name))(**arguments)
        return result


def literal_name(run_name: str) -> str:
    """Return a task run's name as the format string that Prefect takes it for: a plate may be called ``{x}``."""
    return run_name.replace("{", "{{").replace("}", "}}")


@functools.cache
def _prefect_task(stage: StageTask[Any]) -> Task[..., Any]:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    wrapped: Task[..., Any] = task(name=stage.name, cache_policy=NO_CACHE, persist_result=False)(stage.function)
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
