"""Prefect's Dask task runner without the time that it spends on the settings of every single task.

For each task `prefect_dask` writes out all 700 of Prefect's settings and hashes them: 40 ms of the flow's process, 70
of the worker's, which builds and checks them again. They do not change during a flow, so here they are written once by
the flow and built once by each worker. Where Prefect has changed what this leans on, its own runner does the work.
"""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect.context import SettingsContext
from prefect.futures import PrefectFuture
from prefect.settings import Settings
from prefect.tasks import Task
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture
from pycytominer_transform.common.runtime.messages import logger


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
        current: Any = SettingsContext.get()
        written = current.serialize()
        written["settings"] = _CarriedSettings(pickle.dumps(written["settings"]))
        # Without validation, which would read the environment again.
        return cls.model_construct(profile=current.profile, settings=current.settings, written=written)

    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        """Return the form that workers build the same settings from."""
        return self.written


def _settings_written_once() -> AbstractContextManager[object]:
    try:
        return _SettingsWrittenOnce.of_now()
    except Exception as error:
        logger.debug("this version of Prefect differs from those known here, so each task carries settings: %s", error)
        return nullcontext()


def _travels(error: Exception) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


def _for_worker(function: Callable[..., Any]) -> Callable[..., Any]:
    """Replace errors that a worker can pickle and the flow cannot unpickle: those would lose even their message."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
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

    _settings: AbstractContextManager[object] | None = None

    def submit(  # type: ignore[override]  # the base class is declared for threads, with an overload for coroutines
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[Any]] | None = None,
    ) -> PrefectDaskFuture[Any]:
        """Submit a task to the cluster; see the base class."""
        if self._settings is None:
            self._settings = _settings_written_once()
        task = copy.copy(task)
        task.fn = _for_worker(task.fn)
        submit: Any = super().submit
        with self._settings:
            future: PrefectDaskFuture[Any] = submit(task, parameters, wait_for, dependencies)
        return future
