"""Prefect's thread runner, but one whose threads do not wait for each other, and that an interruption ends at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import ThreadPoolTaskRunner
from pycytominer_transform.common.ending import ends_at_once

_SWITCH_SECONDS = 0.0005


class QuickThreadTaskRunner(ThreadPoolTaskRunner[Any]):
    """A `ThreadPoolTaskRunner` whose every thread is at work.

    Prefect's own gives a thread to a task that waits for another one: with as many threads as parts are to be worked
    on, half of them would wait. And Python lets a thread wait for 5 ms before it takes the lock from another, which is
    as long as reading a file.
    """

    _switch_seconds: float | None = None

    def __enter__(self) -> Self:
        """Start the threads."""
        super().__enter__()
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(min(_SWITCH_SECONDS, self._switch_seconds))
        if self._executor is not None:
            self._executor.shutdown(wait=False)
        self._executor = _SuccessionExecutor(self._max_workers, initializer=self._register_worker_thread)
        return self

    def __exit__(self, *exception: Any) -> None:
        """Wait for the threads' end."""
        try:
            super().__exit__(*exception)
        finally:
            if self._switch_seconds is not None:
                sys.setswitchinterval(self._switch_seconds)

    def submit(self, *args: Any, **kwargs: Any) -> PrefectConcurrentFuture[Any]:
        """Submit a task; what would cancel it is forgotten when it is done, not when the flow is."""
        future: PrefectConcurrentFuture[Any] = super().submit(*args, **kwargs)
        run = future.task_run_id
        future.wrapped_future.add_done_callback(lambda _: self._cancel_events.pop(run, None))
        return future

    def cancel_all(self) -> None:
        """Cancel what has not begun; wait for the rest, unless an interruption ends the process."""
        if ends_at_once() and self._executor is not None:
            for event in list(self._cancel_events.values()):
                event.set()
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        super().cancel_all()


class _SuccessionExecutor(ThreadPoolExecutor):
    """A pool in which work that waits for other work of the pool is done right after it, on the same thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call; the futures of Prefect's tasks that its ``wait_for`` names are done before it is begun."""
        open_ones = list(_open_ones(kwargs.get("wait_for") or ()))
        if len(open_ones) != 1:
            return super().submit(fn, *args, **kwargs)
        succeeding: Future[Any] = Future()

        def succeed(before: Future[Any]) -> None:
            if before.cancelled():
                succeeding.cancel()
            if not succeeding.set_running_or_notify_cancel():
                return
            try:
                succeeding.set_result(fn(*args, **kwargs))
            except BaseException as error:
                succeeding.set_exception(error)

        open_ones[0].add_done_callback(succeed)
        return succeeding


def _open_ones(awaited: Iterable[object]) -> Iterable[Future[Any]]:
    for future in awaited:
        if isinstance(future, PrefectConcurrentFuture) and not future.wrapped_future.done():
            yield future.wrapped_future
