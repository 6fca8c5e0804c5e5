"""The task of a stage: a pure function that runs plainly, or as a Prefect task that a server tracks.

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

    @functools.cached_property
    def prefect_task(self) -> Task[..., R]:
        """The Prefect task, which neither caches nor keeps results: the output itself shows whether it is current."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        wrapped: Task[..., R] = task(name=self.name, cache_policy=NO_CACHE, persist_result=False)(self.function)
        return wrapped

    def run(self, *, tracked: bool, run_name: str, **arguments: Any) -> R:
        """Call the function now and return its result.

        Parameters
        ----------
        tracked
            Run as a task run on the Prefect server of the environment, with its state and log lines, instead of
            plainly.
        run_name
            Name of the run on that server, such as ``extract plate1``.
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
            result: R = self.prefect_task.with_options(task_run_name=literal_name(run_name))(**arguments)
        return result


def literal_name(run_name: str) -> str:
    """Return a task run's name as a format string, which Prefect expects: a plate may be called ``{x}``."""
    return run_name.replace("{", "{{").replace("}", "}}")


@contextmanager
def _log_lines_to_run() -> Iterator[None]:
    """Send our log lines to the current run, even if Prefect was imported before our environment was set."""
    from prefect.logging.handlers import APILogHandler

    level, handler = logger.level, APILogHandler()
    present = any(isinstance(other, APILogHandler) for other in logger.handlers)
    if logger.level == logging.NOTSET:
        # Prefect sets the root logger to WARNING, so the server would not get the lines that say what a run did.
        logger.setLevel(logging.INFO)
    if not present:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        if not present:
            logger.removeHandler(handler)
