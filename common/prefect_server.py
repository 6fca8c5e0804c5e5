"""A Prefect server of the run's own, for flows that no server was named for, and a quiet environment for Prefect.

Prefect's own temporary server takes 7 to 14 s, a port that may clash, and a child process that outlives its parent.
This one is a thread of the process: bound to a port that the system picks, with its home and database under ``TMPDIR``,
and gone when the flow is. Nothing here may import Prefect at the top: it reads its environment once, while it is
imported.
"""

from __future__ import annotations

import gc
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING

from pycytominer_transform.common.ending import ends_at_once
from pycytominer_transform.common.errors import PctError, describe_os_error
from pycytominer_transform.common.prefect_environment import (
    DATABASE_NAME,
    HOME_PREFIX,
    end_fast,
    only_these_settings,
    prepare_prefect_environment,
    private_variables,
    require_prefect_api,
)
from pycytominer_transform.common.prefect_schema import create_database
from pycytominer_transform.common.scratch import scratch_folder

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = "127.0.0.1"

_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_ROOM_BYTES = 1 << 20
"""What the database grows by within a moment, at most."""


@contextmanager
def prefect_api(*, tracked: bool, verbose: bool = False, host: str = LOOPBACK) -> Iterator[str]:
    """Give the flow a Prefect API: the user's, or else a private server for the length of the block.

    Parameters
    ----------
    tracked
        The user's environment names a server; see `prefect_environment.prefect_api_configured`.
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
    StorageError
        There is no room for its database under ``TMPDIR``, from the beginning or while the block runs.
    RuntimeError
        The server did not start.

    """
    with ExitStack() as stack:
        stack.callback(gc.unfreeze)
        with _collector_paused():
            home = stack.enter_context(scratch_folder(HOME_PREFIX))
            stack.enter_context(_room_in(home))
            # asyncio sends at once only on sockets declared as TCP; with protocol 0 each answer takes 40 ms longer.
            listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listener.bind((host, 0))
            url = f"http://{host}:{listener.getsockname()[1]}/api"
            migrated = create_database(home / DATABASE_NAME)
            stack.enter_context(only_these_settings(private_variables(home, url, migrated=migrated, verbose=verbose)))
            end_fast()
            stack.enter_context(_serving(listener))
        yield url


@contextmanager
def _room_in(home: Path) -> Iterator[None]:
    """Say what is behind a fault of the server, or of those that ask it, where it cannot write to its database."""
    try:
        yield
    except PctError:
        raise
    except Exception as error:
        # The server's own words come as "Internal Server Error".
        try:
            (home / "room").write_bytes(bytes(_ROOM_BYTES))
        except OSError as refused:
            doing = f"write the database of the private Prefect server in {home.parent} (TMPDIR)"
            raise describe_os_error(refused, doing) from error
        raise


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage among the classes that Prefect makes: a third of the time of its import.

    Nor does it later, until `gc.unfreeze`: that takes most of a second, for which no thread of a flow gets on.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


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
            if not ends_at_once():
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
