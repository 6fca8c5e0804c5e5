"""Prefect's Dask task runner without the time that it spends on the settings of every single task.

For each task `prefect_dask` writes out all 700 of Prefect's settings and hashes them, which takes 75 to 150 ms of the
flow's own process: more than many parts take to be read. They do not change during a flow, so here they are written
once by the flow and built once by the scheduler.
"""

from __future__ import annotations

import copy
import functools
import logging
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from prefect.context import SettingsContext
from prefect.futures import PrefectFuture
from prefect.settings import Settings
from prefect.tasks import Task
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture
from pycytominer_transform.common.dask_cluster import DEFAULT_TIMEOUT, await_workers
from pycytominer_transform.common.dask_logging import LogRoute
from pycytominer_transform.common.prefect_certificates import read_certificates_once
from pycytominer_transform.common.reporting import logger


@functools.lru_cache(maxsize=4)
def _settings_from(written: bytes) -> Settings:
    return Settings(**pickle.loads(written))


class _CarriedSettings:
    """Settings on the way to a worker, where unpickling gives the `Settings` already built from the same bytes."""

    def __init__(self, written: bytes) -> None:
        self.written = written

    def __reduce__(self) -> tuple[Callable[[bytes], Settings], tuple[bytes]]:
        return _settings_from, (self.written,)


class _SettingsWrittenOnce(SettingsContext):
    """The settings in force, with their serialized form remembered."""

    written: dict[str, Any]

    @classmethod
    def of_now(cls) -> _SettingsWrittenOnce:
        """Take the settings of the current context."""
        current = SettingsContext.get()
        if current is None:
            message = "Prefect has no settings"
            raise RuntimeError(message)
        written = current.serialize()
        written["settings"] = _CarriedSettings(pickle.dumps(written["settings"]))
        # Without validation, which would read the environment again.
        return cls.model_construct(profile=current.profile, settings=current.settings, written=written)

    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        """Give the form that workers build the same settings from."""
        return self.written


@functools.cache
def _send_log_lines() -> None:
    """Send our log lines to the run in progress, in a worker that somebody started without Prefect's settings for it.

    Once for the whole process, for several threads of it may have runs. Whether lines are sent is for the flow's
    settings to say, which come with every run.
    """
    from prefect.logging.handlers import APILogHandler

    if logger.level == logging.NOTSET:
        # Prefect sets the root logger to WARNING, which would keep the lines that tell what a run did from the server.
        logger.setLevel(logging.INFO)
    if not any(isinstance(handler, APILogHandler) for handler in logger.handlers):
        logger.addHandler(APILogHandler())


def _travels(error: Exception) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


def _for_worker(function: Callable[..., Any], route: LogRoute) -> Callable[..., Any]:
    """Have log lines sent, and errors replaced that a worker can pickle and the flow cannot unpickle.

    Those would lose even their message.
    """

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        _send_log_lines()
        # Of a worker that somebody else started, for the tasks after this one.
        read_certificates_once()
        try:
            with route.taken():
                return function(*arguments, **named)
        except Exception as error:
            if _travels(error):
                raise
            message = f"{type(error).__name__}: {error}"
        # Out here it does not carry the other along as its context, which Dask would pickle as well.
        raise RuntimeError(message)

    return call


class QuickDaskTaskRunner(DaskTaskRunner):
    """A `prefect_dask.DaskTaskRunner` that submits a task in a few milliseconds."""

    _settings: _SettingsWrittenOnce | None = None
    _route: LogRoute | None = None
    # Seconds to wait for the first worker.
    timeout: float = DEFAULT_TIMEOUT

    def duplicate(self) -> QuickDaskTaskRunner:
        """Give another with the same settings, which is what a flow runs on."""
        other: QuickDaskTaskRunner = super().duplicate()  # type: ignore[no-untyped-call]
        other.timeout = self.timeout
        return other

    def submit(  # type: ignore[override]  # the base class is declared for threads, with an overload for coroutines
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[Any]] | None = None,
    ) -> PrefectDaskFuture[Any]:
        """Submit a task to the cluster.

        Parameters
        ----------
        task
            The task to run.
        parameters
            Its keyword arguments; futures among them become their results on the worker.
        wait_for
            Futures that must be done before.
        dependencies
            Other runs that this one is shown to depend on.

        Returns
        -------
        PrefectDaskFuture
            Of the task run's state.

        """
        # The cluster starts with the first task, and its progress belongs to no task's settings.
        client: Any = self.client
        if self._settings is None or self._route is None:
            await_workers(client, self.timeout)
            self._settings = _SettingsWrittenOnce.of_now()
            self._route = LogRoute()
            self._route.subscribe(client)
        task = copy.copy(task)
        task.fn = _for_worker(task.fn, self._route)
        with self._settings:
            # "Not pure" keeps Dask from hashing everything for the sake of a result that it might already have.
            future = client.submit(
                task,
                parameters=self._optimize_futures(parameters),
                wait_for=self._optimize_futures(wait_for) if wait_for else None,
                dependencies=dependencies,
                return_type="state",
                pure=False,
            )
        return PrefectDaskFuture(wrapped_future=future, task_run_id=future.task_run_id)
