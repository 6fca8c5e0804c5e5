"""Dask workers of a flow: processes of this machine, and what any worker does before its first task of the flow.

To be imported after `dask_batch_jobs.quieten_dask`, for Dask sets its loggers up when it is imported.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import dask
import distributed
from distributed.security import Security
from pycytominer_transform.common.errors import StorageError, TransientStorageError
from pycytominer_transform.common.flow.prefect_compat import drop_events
from pycytominer_transform.common.flow.prefect_environment import import_libraries, is_private
from pycytominer_transform.common.runtime.messages import logger, say_line, terminal_level
from pycytominer_transform.common.storage.cloud.request_retries import retried
from pycytominer_transform.common.storage.temporary_names import remove_dead_scratch, scratch_folder

_PAUSES = (0.0, 1.0, 4.0)
"""Seconds before it is tried again to start workers."""


@contextmanager
def local_workers(number: int, security: Security) -> Iterator[str]:
    """Run a Dask scheduler in this process, and worker processes, while the block lasts.

    Yields
    ------
    str
        The scheduler's address. All workers have been started.

    Raises
    ------
    StorageError
        They do not start, however often that is tried.
    """
    with scratch_folder("pct-dask-") as scratch:
        dask.config.set({"temporary-directory": str(scratch)})
        cluster = _started(
            n_workers=number,
            # As on a cluster a worker is a processor.
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            # Its server listens all the same, by default always at 8787: a second flow on the machine gets a warning.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            local_directory=str(scratch),
            # Dask would kill a worker for the tables that Arrow and DuckDB hold within limits of their own.
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            env={name: text for name, text in os.environ.items() if name.startswith("PREFECT_")},
        )
        try:
            with cluster:
                yield cluster.scheduler_address
        finally:
            # Of workers that were killed; the flow went on without them.
            remove_dead_scratch(tempfile.gettempdir())


def _started(**arguments: Any) -> Any:
    start: Any = distributed.LocalCluster
    # Dask gives up the whole cluster, with a plain RuntimeError, when one worker is killed while it starts.
    for pause in (*_PAUSES, None):
        try:
            return _whole(partial(start, **arguments))
        except RuntimeError as error:
            reason = error.__cause__ or error
            if pause is None:
                raise StorageError(
                    f"the Dask workers do not start ({reason}); look whether memory and processes are "
                    "limited here, or take --runner concurrent"
                ) from error
            logger.debug("trying again in %g s to start Dask workers: %s", pause, reason)
            time.sleep(pause)
    raise AssertionError


def _whole(start: Callable[[], Any]) -> Any:
    """Return the cluster that a call starts; close it if an interruption comes first.

    Interrupted itself, the call would leave workers that go on to start, and make their folders again.
    """
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start)
        try:
            return starting.result()
        except BaseException:
            if starting.exception() is None:
                starting.result().close()
            raise


@contextmanager
def set_up_workers(client: distributed.Client) -> Iterator[None]:
    """Set up every worker of a scheduler for this flow, those that join during the block too.

    Raises
    ------
    StorageError
        The scheduler is lost, or its workers are, one after another.
    """
    plugin = _FlowPlugin()
    untyped: Any = client
    untyped.subscribe_topic(plugin.name, _show)
    retried(partial(_register, untyped, plugin))
    try:
        yield
    finally:
        with suppress(Exception):
            untyped.unregister_worker_plugin(plugin.name)


def _register(client: Any, plugin: _FlowPlugin) -> None:
    try:
        client.register_plugin(plugin)
    except OSError as error:
        # The scheduler asks all workers, and one of them is gone.
        raise TransientStorageError(f"a Dask worker was lost while it was set up: {error}") from error


class _FlowPlugin(distributed.WorkerPlugin):
    """Imports libraries while no task waits for them, and sends the tasks' log lines to the flow's terminal."""

    def __init__(self) -> None:
        # Also the topic of its lines among the scheduler's events.
        self.name = f"pct-flow-{uuid.uuid4().hex}"
        self.level = terminal_level()
        self.is_private = is_private()

    def setup(self, worker: distributed.Worker) -> None:
        """Prepare a worker."""
        self._stack = ExitStack()
        import_libraries()
        handlers: list[logging.Handler] = [_Sender(worker, self.name, self.level)]
        if self.is_private:
            drop_events()
        else:
            from prefect.logging.handlers import APILogHandler

            # Somebody else may have started the worker without Prefect's settings for this.
            handlers.append(APILogHandler())
        for handler in handlers:
            logger.addHandler(handler)
            self._stack.callback(logger.removeHandler, handler)
        # Lines on the worker's own stderr, which may be the same terminal, would come twice.
        logger.propagate = False
        level = self.level if self.is_private else min(self.level, logging.INFO)
        if logger.level == logging.NOTSET or level < logger.level:
            logger.setLevel(level)

    def teardown(self, worker: distributed.Worker) -> None:
        """Undo it."""
        self._stack.close()


class _Sender(logging.Handler):
    """Sends log lines to the flow by way of the scheduler's events."""

    def __init__(self, worker: Any, topic: str, level: int) -> None:
        super().__init__(level)
        self._worker = worker
        self._topic = topic

    def emit(self, record: logging.LogRecord) -> None:
        line = {"level": record.levelno, "message": record.getMessage(), "fields": getattr(record, "fields", {})}
        with suppress(Exception):
            self._worker.log_event(self._topic, line)


def _show(event: tuple[float, Any]) -> None:
    _, line = event
    say_line(line["level"], line["message"], line["fields"])
