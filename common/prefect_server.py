"""A Prefect server of the run's own, for flows that no server was named for, and a quiet environment for Prefect.

Prefect's own temporary server takes 7 to 14 s, a port that may clash, and a child process that outlives its parent.
This one listens on a port that the system picks, has its home and database under ``TMPDIR``, and is gone when the flow
is; see `prefect_server_process`. Nothing here may import Prefect at the top: it reads its environment once, while it is
imported.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pycytominer_transform.common.errors import PctError, StorageError, describe_os_error
from pycytominer_transform.common.prefect_environment import (
    DATABASE_NAME,
    HOME_PREFIX,
    end_fast,
    only_these,
    only_these_settings,
    prepare_prefect_environment,
    private_variables,
    require_prefect_api,
)
from pycytominer_transform.common.reporting import logger
from pycytominer_transform.common.scratch import scratch_folder

LOOPBACK = "127.0.0.1"
SERVER_MODULE = "pycytominer_transform.common.prefect_server_process"

_START_SECONDS = 120.0
_STARTS = 3
"""How often the server is started again."""
_ROOM_BYTES = 1 << 20
"""What the database grows by within a moment, at most."""


@dataclass(frozen=True)
class PrefectApi:
    """A Prefect API, which may still be starting.

    Attributes
    ----------
    url : str
        Its address.
    await_start : callable
        Waits until it answers; to be called before it is asked anything, and when all that a flow needs is imported.
    """

    url: str
    await_start: Callable[[], None]


@contextmanager
def prefect_api(*, tracked: bool, verbose: bool = False, host: str = LOOPBACK) -> Iterator[PrefectApi]:
    """Give the flow a Prefect API: the user's, or else a private server for the length of the block.

    Parameters
    ----------
    tracked
        The user's environment names a server; see `prefect_environment.prefect_api_configured`.
    verbose
        Let Prefect's lines through to standard error.
    host
        Where a private server listens.

    Raises
    ------
    StorageError
        The server that the user named does not answer.
    """
    if not tracked:
        with private_prefect_server(verbose=verbose, host=host) as api:
            yield api
        return
    with _collector_paused() as end_pause:
        prepare_prefect_environment(verbose=verbose)
        require_prefect_api()
        yield PrefectApi(os.environ["PREFECT_API_URL"], end_pause)


@contextmanager
def private_prefect_server(*, verbose: bool = False, host: str = LOOPBACK) -> Iterator[PrefectApi]:
    """Run a Prefect server in a process of its own for the length of the block.

    The environment names it, so that child processes find it as well. It is meant for one flow: it keeps nothing, has
    no web page, and is told nothing of task runs. Who wants records starts ``prefect server start``.

    Parameters
    ----------
    verbose
        Let Prefect's lines through to standard error.
    host
        Address to listen on. Anybody who reaches it may read and change the records of this run, so stay on the
        loopback unless workers on other machines must reach it.

    Yields
    ------
    PrefectApi
        Its address is ``http://127.0.0.1:PORT/api``. As it starts, which takes two seconds, there is time to import
        what the flow needs.

    Raises
    ------
    StorageError
        There is no room for its database under ``TMPDIR``, from the beginning or while the block runs.
    RuntimeError
        The server did not start.
    """
    with ExitStack() as stack:
        end_pause = stack.enter_context(_collector_paused())
        home = stack.enter_context(scratch_folder(HOME_PREFIX))
        stack.enter_context(_room_in(home))
        # asyncio sends at once only on sockets declared as TCP; with protocol 0 each answer takes 40 ms longer.
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
        listener.bind((host, 0))
        listener.listen()
        url = f"http://{host}:{listener.getsockname()[1]}/api"
        variables = private_variables(home, url, verbose=verbose)
        process = stack.enter_context(
            _server_process(listener, home / DATABASE_NAME, only_these(variables), verbose=verbose)
        )
        stack.enter_context(only_these_settings(variables))
        end_fast()

        def await_start() -> None:
            process.await_start()
            end_pause()

        yield PrefectApi(url, await_start)


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
def _collector_paused() -> Iterator[Callable[[], None]]:
    """Keep Python from looking for garbage among the classes that Prefect makes: a third of the time of its import.

    Gives what ends the pause. Nor are they looked through after that, until the end of the block: it takes most of a
    second, for which no thread of a flow gets on.
    """
    enabled = gc.isenabled()
    gc.disable()

    def end() -> None:
        gc.freeze()
        if enabled:
            gc.enable()

    try:
        yield end
    finally:
        end()
        gc.unfreeze()


class _ServerProcess:
    """The server's process, which is started again where somebody ends it: the kernel, when memory is out."""

    def __init__(self, listener: socket.socket, database: Path, environment: dict[str, str], *, verbose: bool) -> None:
        self._listener = listener
        # Safe path: no file of the folder that the flow is started in may pass for a module.
        self._command = [sys.executable, "-P", "-m", SERVER_MODULE, str(listener.fileno()), str(database)]
        self._environment = environment
        self._verbose = verbose
        self._lock = threading.Lock()
        self._ending = False
        self.is_lost = False
        self._watch = threading.Thread(target=self._start_again, name="pct-prefect-server", daemon=True)
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment,
            stderr=None if self._verbose else subprocess.DEVNULL, pass_fds=[self._listener.fileno()],
        )  # fmt: skip

    def await_start(self) -> None:
        """Wait until it serves, and watch it from then on."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_SECONDS)
        if not ready or not self._process.stdout.read(1):
            message = "the private Prefect server did not start; try --verbose, or name another by PREFECT_API_URL"
            raise RuntimeError(message)
        self._watch.start()

    def _start_again(self) -> None:
        for _ in range(_STARTS):
            self._process.wait()
            with self._lock:
                if self._ending:
                    return
                logger.debug("the private Prefect server was ended by %s; starting it again", self._process.returncode)
                with self._process:
                    self._process = self._started()
        self._process.wait()
        self.is_lost = not self._ending
        # Who asks it is refused then, rather than left to wait.
        self._listener.close()

    def end(self) -> None:
        """End it; it keeps nothing that it could lose."""
        with self._lock:
            self._ending = True
        with self._process:
            self._process.kill()


@contextmanager
def _server_process(
    listener: socket.socket, database: Path, environment: dict[str, str], *, verbose: bool
) -> Iterator[_ServerProcess]:
    """Start the server's process; it is ended with the block."""
    process = _ServerProcess(listener, database, environment, verbose=verbose)
    try:
        yield process
    except PctError:
        raise
    except Exception as error:
        if not process.is_lost:
            raise
        raise StorageError(
            f"the private Prefect server was ended {_STARTS + 1} times; is there too little memory? PREFECT_API_URL "
            "may name another server"
        ) from error
    finally:
        process.end()
