"""A Prefect server of the run's own, for flows that no server was named for.

Prefect's own temporary server takes 7 to 14 s to start, and its child process outlives a parent that is killed. This
one starts from a database that is migrated already, listens on a port that the system picks, wants a password that is
made for the run, has its home under ``TMPDIR``, and is gone when the flow is. See `prefect_server_main`. Nothing
here may import Prefect at the top: it reads its environment once, while it is imported.
"""

from __future__ import annotations

import gc
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pycytominer_transform.common.errors import PctError, StorageError, describe_os_error
from pycytominer_transform.common.flow import prefect_server_main
from pycytominer_transform.common.flow.prefect_database import cache_migrated_database, copy_migrated_database
from pycytominer_transform.common.flow.prefect_environment import (
    HOME_PREFIX,
    client_variables,
    only_these,
    only_these_settings,
    prepare_prefect_environment,
    require_prefect_api,
    server_variables,
)
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.storage.temporary_names import scratch_folder

LOOPBACK = "127.0.0.1"

_START_SECONDS = 300.0
_RESTARTS = 3
"""How often a server that a signal ended is started again."""
_GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_GONE_SECONDS, _GONE_BYTES = 5.0, 1 << 16
_MARK = "made-by-pct"
"""A file in the home, by which it is told from one that was made again."""
_REQUIRED_BYTES = 1 << 20
"""Room on the disk below which the database is taken to be what failed."""


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
    """Provide the flow with a Prefect API: the user's, or else a private server for the length of the block.

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
        The server that the user named does not answer, or the private one does not start.
    """
    with _garbage_collector_paused() as resume:
        if not tracked:
            with private_prefect_server(verbose=verbose, host=host) as server:

                def await_start() -> None:
                    server.await_start()
                    resume()

                yield PrefectApi(server.url, await_start)
            return
        prepare_prefect_environment(verbose=verbose)
        require_prefect_api()
        yield PrefectApi(os.environ["PREFECT_API_URL"], resume)


@contextmanager
def private_prefect_server(*, verbose: bool = False, host: str = LOOPBACK) -> Iterator[PrivateServer]:
    """Run a Prefect server in a process of its own for the length of the block.

    Prefect's settings name it, so that child processes find it as well. It is meant for one flow: it keeps nothing and
    has no web page. For records there is ``prefect server start``.

    Parameters
    ----------
    verbose
        Let Prefect's lines through to standard error.
    host
        Address to listen on.

    Raises
    ------
    StorageError
        The server ended and cannot be started again, or there is no room for its database under ``TMPDIR``.
    """
    with scratch_folder(HOME_PREFIX) as home:
        server = PrivateServer(home, host, verbose=verbose)
        try:
            with only_these_settings(client_variables(home, server.url, server.password, verbose=verbose)):
                yield server
        except PctError:
            raise
        except Exception as error:
            # The block's error may only be a consequence of the server's end.
            if (fault := server.fault() or _fault_of_home(home)) is not None:
                raise fault from error
            raise
        finally:
            server.end()


def _fault_of_home(home: Path) -> StorageError | None:
    """Return the error of a home that was removed, or of a full disk.

    The server tells its clients only "Internal Server Error". Prefect makes a home that is missing, but without tables.
    """
    if not (home / _MARK).exists():
        return StorageError(f"the folder of the private Prefect server, {home}, was removed during the run")
    try:
        (home / "room").write_bytes(bytes(_REQUIRED_BYTES))
    except OSError as error:
        return describe_os_error(error, f"write the database of the private Prefect server in {home.parent} (TMPDIR)")
    return None


class PrivateServer:
    """A Prefect server in a process of its own, which is started again where a signal ends it, as lack of memory does.

    Parameters
    ----------
    home
        A folder for its database and its log.
    host
        Address to listen on, at a free port.
    verbose
        Let its lines through to standard error.

    Attributes
    ----------
    url : str
        Its address, ``http://127.0.0.1:PORT/api``.
    password : str
        Its ``PREFECT_API_AUTH_STRING``.
    """

    def __init__(self, home: Path, host: str, *, verbose: bool) -> None:
        self._home, self._database, self._log = home, home / "prefect.db", home / "server.log"
        # asyncio sends at once only on sockets declared as TCP; with protocol 0 each answer takes 40 ms longer.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind((host, 0))
        self._listener.listen()
        self.url = f"http://{host}:{self._listener.getsockname()[1]}/api"
        self.password = f"pct:{secrets.token_urlsafe(32)}"
        (home / _MARK).touch()
        self._is_migrated = copy_migrated_database(self._database)
        self._environment = only_these(server_variables(home, self._database, self.password))
        self._verbose = verbose
        self._lock = threading.Lock()
        self._ending = False
        self._is_lost = threading.Event()
        try:
            self._process = self._started()
        except OSError as error:
            self._listener.close()
            raise describe_os_error(error, "start the private Prefect server") from error
        self._watch = threading.Thread(target=self._restart_when_killed, name="pct-prefect-server", daemon=True)
        self._watch.start()

    def _started(self) -> subprocess.Popen[bytes]:
        if not self._is_migrated:
            # The remains of a database whose migration was killed.
            for file in self._home.glob(f"{self._database.name}*"):
                file.unlink()
        # Prefect looks for migrations for half a second where there are none to do.
        migrate = {"PREFECT_API_DATABASE_MIGRATE_ON_START": str(not self._is_migrated).lower()}
        descriptor = self._listener.fileno()
        with self._log.open("ab") as log:
            return subprocess.Popen(
                # Safe path: no file of the folder that the flow is started in may pass for a module.
                [sys.executable, "-P", "-m", prefect_server_main.__name__, str(descriptor)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=None if self._verbose else log,
                env=self._environment | migrate, pass_fds=[descriptor],
            )  # fmt: skip

    def await_start(self) -> None:
        """Wait until it answers.

        Raises
        ------
        StorageError
            It ended, or did not answer in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if (fault := self.fault()) is not None:
                raise fault
            if time.monotonic() > deadline:
                raise StorageError(
                    f"the private Prefect server did not answer within {_START_SECONDS:g} s; is the machine very busy? "
                    "PREFECT_API_URL may name another server"
                )
        if not self._is_migrated:
            cache_migrated_database(self._database)
            self._is_migrated = True

    def _answers(self) -> bool:
        # Until it serves, or is lost, the connection waits in the listening socket's queue.
        request = urllib.request.Request(f"{self.url}/health")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5):
                return True
        except OSError:
            return False

    def _restart_when_killed(self) -> None:
        for left in reversed(range(_RESTARTS + 1)):
            code = self._process.wait()
            with self._lock:
                if self._ending:
                    return
                if left == 0 or code >= 0 or _fault_of_home(self._home) is not None:
                    break
                logger.debug("signal %d ended the private Prefect server; starting it again", -code)
                try:
                    with self._process:
                        self._process = self._started()
                except OSError as error:
                    logger.debug("the private Prefect server cannot be started again: %s", error)
                    break
        self._is_lost.set()
        # The run may close the listener at any moment.
        with suppress(OSError):
            self._answer_that_it_is_gone()

    def _answer_that_it_is_gone(self) -> None:
        """Answer each request with an error; where connections are refused, Prefect tries again for minutes."""
        # It may still have been set not to wait by the server, with which it is shared.
        self._listener.setblocking(True)
        while True:
            connection, _ = self._listener.accept()
            with suppress(OSError), connection:
                connection.settimeout(_GONE_SECONDS)
                connection.recv(_GONE_BYTES)
                connection.sendall(_GONE)
                connection.shutdown(socket.SHUT_WR)
                # If what the client still sends were not read, it would not see the answer.
                while connection.recv(_GONE_BYTES):
                    pass

    def fault(self) -> StorageError | None:
        """Return the error that its end is reported as, or None while it runs."""
        if not self._is_lost.is_set():
            return None
        if (full := _fault_of_home(self._home)) is not None:
            return full
        reason = ""
        with suppress(OSError):
            # The last lines of its traceback, as one.
            lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
            reason = ": " + " ".join(" ".join(lines[-3:]).split()) if lines else ""
        return StorageError(
            f"the private Prefect server ended (code {self._process.returncode}){reason}; "
            "PREFECT_API_URL may name another server"
        )

    def end(self) -> None:
        """End it; it keeps nothing that it could lose."""
        with self._lock:
            self._ending = True
        with self._process:
            self._process.kill()
        with suppress(OSError):
            # To close a socket does not wake a thread that waits for its next client.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def _garbage_collector_paused() -> Iterator[Callable[[], None]]:
    """Pause the garbage collector while Prefect is imported: looking through its classes takes a third of that time.

    Yields what ends the pause. The classes are left out until the end of the block: looking through them takes most of
    a second, in which no thread of a flow gets on.
    """
    enabled = gc.isenabled()
    gc.disable()

    def resume() -> None:
        gc.freeze()
        if enabled:
            gc.enable()

    try:
        yield resume
    finally:
        resume()
        gc.unfreeze()
