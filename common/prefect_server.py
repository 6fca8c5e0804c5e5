"""A Prefect server of the run's own, for flows that no server was named for, and a quiet environment for Prefect.

Prefect's own temporary server takes 7 to 14 s, a port that may clash, and a child process that outlives its parent.
This one is a thread of the process: bound to a port that the system picks, with its home and database under ``TMPDIR``,
and gone when the flow is. Nothing here may import Prefect at the top: it reads its environment once, while it is
imported.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import queue
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .prefect_schema import create_database
from .stage_task import LOGGER_NAME, require_prefect_api

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = "127.0.0.1"
HOME_PREFIX = "pct-prefect-"

# Prefect opens a single connection to a database with ":memory:" in its address, and several to any other. With
# several, one that wants to write is refused now and then (SQLITE_BUSY_SNAPSHOT), and the client then sleeps for 2 s.
_DATABASE_NAME = "prefect:memory:.db"

_START_SECONDS = 120.0
_STOP_SECONDS = 10.0

# Services that look after schedules, workers and other people's runs. A private server has none of those, and serves
# one flow.
_IDLE_SERVICES = (
    "CANCELLATION_CLEANUP",
    "CLEANUP_RECONCILER",
    "EVENT_LOGGER",
    "EVENT_PERSISTER",
    "FOREMAN",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
    "SCHEDULER",
    "TRIGGERS",
)


def prepare_prefect_environment(*, verbose: bool = False) -> None:
    """Set the environment variables that keep Prefect quiet, except those that the user has set.

    To be called before Prefect is first imported. What Prefect says about a run still goes to its server; only the
    terminal is spared, because tools report failures themselves, in one line.

    Parameters
    ----------
    verbose
        Let Prefect's lines through to standard error.

    """
    for name, text in _quiet_variables(verbose=verbose).items():
        os.environ.setdefault(name, text)
    if "PREFECT_HOME" not in os.environ and not _can_have_home():
        # Without one Prefect warns of every step; a cluster job or a container may have no home that can be written to.
        folder = tempfile.mkdtemp(prefix=HOME_PREFIX)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["PREFECT_HOME"] = folder
    _reread_environment()
    _end_fast()


@contextmanager
def prefect_api(*, tracked: bool, verbose: bool = False, host: str = LOOPBACK) -> Iterator[str]:
    """Give the flow a Prefect API: the user's, or else a private server for the length of the block.

    Parameters
    ----------
    tracked
        The user's environment names a server; see `pycytominer_transform.common.stage_task.prefect_api_configured`.
    verbose
        Let Prefect's lines through to standard error.
    host
        Where a private server listens.

    Yields
    ------
    str
        Address of the API.

    Raises
    ------
    StorageError
        The server that the user named does not answer.

    """
    if tracked:
        prepare_prefect_environment(verbose=verbose)
        require_prefect_api()
        yield os.environ["PREFECT_API_URL"]
    else:
        with private_prefect_server(verbose=verbose, host=host) as url:
            yield url


@contextmanager
def private_prefect_server(*, verbose: bool = False, host: str = LOOPBACK) -> Iterator[str]:
    """Run a Prefect server in a thread of this process for the length of the block.

    The environment names it, so that child processes find it as well. It is meant for one flow: it keeps nothing, has
    no web page, and may lose task run records of flows of many thousands of parts. Who wants those starts ``prefect
    server start``.

    Parameters
    ----------
    verbose
        Let Prefect's lines through to standard error.
    host
        Address to listen on. Anybody who reaches it may read and change the records of this run, so stay on the
        loopback unless workers on other machines must reach it.

    Yields
    ------
    str
        Address of the API, ``http://127.0.0.1:PORT/api``.

    Raises
    ------
    RuntimeError
        The server did not start.

    """
    with ExitStack() as stack:
        with _collector_paused():
            # A file that a thread is just closing is no reason to fail a finished flow.
            folder = tempfile.TemporaryDirectory(prefix=HOME_PREFIX, ignore_cleanup_errors=True)
            home = Path(stack.enter_context(folder))
            # asyncio sends at once only on sockets declared as TCP; with protocol 0 each answer takes 40 ms longer.
            listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listener.bind((host, 0))
            url = f"http://{host}:{listener.getsockname()[1]}/api"
            migrated = create_database(home / _DATABASE_NAME)
            stack.enter_context(_only_these_settings(_private_variables(home, url, migrated=migrated, verbose=verbose)))
            _end_fast()
            stack.enter_context(_serving(listener))
        yield url


def _can_have_home() -> bool:
    home = Path(os.path.expanduser("~"))
    return os.access(home / ".prefect" if (home / ".prefect").exists() else home, os.W_OK | os.X_OK)


def _quiet_variables(*, verbose: bool) -> dict[str, str]:
    variables = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Nothing may start Prefect's temporary server by the way: its child survives us and holds our pipes open.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_EXTRA_LOGGERS": LOGGER_NAME,
    }
    # Somebody who sets Prefect's logging level wants to see those lines.
    if not verbose and "PREFECT_LOGGING_LEVEL" not in os.environ:
        variables["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
        variables["PREFECT_INTERNAL_LOGGING_LEVEL"] = "CRITICAL"
        variables["PREFECT_SERVER_LOGGING_LEVEL"] = "CRITICAL"
    return variables


def _private_variables(home: Path, url: str, *, migrated: bool, verbose: bool) -> dict[str, str]:
    variables = {f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in _IDLE_SERVICES}
    variables |= _quiet_variables(verbose=verbose)
    variables |= {
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(home),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / _DATABASE_NAME}",
        "PREFECT_API_DATABASE_MIGRATE_ON_START": str(not migrated).lower(),
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_UI_ENABLED": "false",
        # Two questions that every client asks before its first own, answered.
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        # One transaction for each of the three events of a task run is what the recorder falls behind with.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
        # Whole seconds: Prefect rounds down, and with 0 its recorder keeps a processor busy until the flow ends.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # Nobody can read log lines on a server that ends with the run.
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    variables.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "ERROR")
    return variables


@contextmanager
def _only_these_settings(variables: Mapping[str, str]) -> Iterator[None]:
    """Replace all of Prefect's environment variables: no key, profile or database of the user's reaches the server."""
    kept = {name: text for name, text in os.environ.items() if name.startswith("PREFECT_") or name in variables}
    for name in kept:
        # How much to log is the one thing that a user may say about a private server.
        if not name.startswith("PREFECT_LOGGING_"):
            del os.environ[name]
    os.environ.update(variables)
    try:
        _reread_environment()
        with _without_heartbeats():
            yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(kept)
        _reread_environment()
        _detach_from_api()


def _detach_from_api() -> None:
    """Take our logger back from Prefect, which gave it a handler that complains of every line outside a run."""
    logger = logging.getLogger(LOGGER_NAME)
    logger.handlers[:] = [handler for handler in logger.handlers if type(handler).__module__.split(".")[0] != "prefect"]


def _reread_environment() -> None:
    if "prefect" not in sys.modules:
        return
    from prefect import context
    from prefect.settings import Settings

    # Prefect's own refresh would also create ~/.prefect.
    with suppress(ValueError):
        profile = context.GLOBAL_SETTINGS_CONTEXT.profile
        context.GLOBAL_SETTINGS_CONTEXT = context.SettingsContext(profile=profile, settings=Settings())


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage among the classes that Prefect makes: a third of the time of its import."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@cache
def _end_fast() -> None:
    """Keep Python from a last search for garbage among Prefect's classes, 1.3 s, when the process is about to end."""
    atexit.register(gc.freeze)


@contextmanager
def _without_heartbeats() -> Iterator[None]:
    """Save the second that every flow waits at its end for the thread that tells the server that it is alive."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@contextmanager
def _serving(listener: socket.socket) -> Iterator[None]:
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.server.database.dependencies import temporary_database_config

    # Prefect keeps the first database that a process used; a second flow in the same Python has another one.
    with temporary_database_config(None):
        app = create_app(ephemeral=True, ignore_cache=True)
        config = uvicorn.Config(
            app, loop="asyncio", lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        # The thread must see the settings of this context. It is a daemon so that it can never keep the process from
        # ending.
        thread = threading.Thread(
            target=copy_context().run, args=(_serve, server, listener), name="pct-prefect-server", daemon=True
        )
        thread.start()
        try:
            _await_start(server, thread)
            yield
        finally:
            _drain_clients()
            server.should_exit = True
            thread.join(_STOP_SECONDS)


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        server.run(sockets=[listener])
    except SystemExit:
        # uvicorn's way to say that it could not start; the main thread sees that it has not, and says so.
        return


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        thread.join(0.005)
        if not thread.is_alive() or time.monotonic() > deadline:
            message = "the private Prefect server did not start; try --verbose, or name another by PREFECT_API_URL"
            raise RuntimeError(message)


def _drain_clients() -> None:
    """Stop the thread that sends task run events, dropping those that wait: nobody can ask for them any more."""
    from prefect.events.worker import EventsWorker

    workers: dict[int, EventsWorker] = getattr(EventsWorker, "_instances", {})
    for worker in list(workers.values()):
        with suppress(queue.Empty):
            while True:
                worker._queue.get_nowait()
    EventsWorker.drain_all(timeout=_STOP_SECONDS)
