"""DuckDB, opened so that it reaches nothing but what it is given; in a flow opened once for many parts."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import StorageError
from pycytominer_transform.common.reporting import size as shown_size
from pycytominer_transform.common.scratch import scratch_folder

if TYPE_CHECKING:
    import duckdb

_Settings = tuple[int, int]


class _Kept:
    """Connections that nobody is at, by their settings; None where they are not to be kept."""

    lock = threading.Lock()
    idle: dict[_Settings, list[tuple[duckdb.DuckDBPyConnection, ExitStack]]] | None = None


@contextmanager
def keeping_connections() -> Iterator[None]:
    """Keep connections for the next part while the block lasts: to open one takes longer than to join a small part."""
    with _Kept.lock:
        _Kept.idle = {}
    try:
        yield
    finally:
        with _Kept.lock:
            idle, _Kept.idle = _Kept.idle, None
        for connections in (idle or {}).values():
            for _, held in connections:
                held.close()


@contextmanager
def open_duckdb(*, threads: int, memory: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB in memory, without access to files, network and extensions, nor to this program's variables.

    Whoever uses it leaves nothing in it.

    Parameters
    ----------
    threads : int
        Threads to use.
    memory : int
        Bytes of memory to use; beyond that DuckDB goes to a temporary folder under ``TMPDIR``.

    Raises
    ------
    StorageError
        What the block asks for fits neither into memory nor there.
    """
    import duckdb

    settings = threads, memory
    connection, held = _taken(settings) or _opened(settings)
    try:
        yield connection
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        held.close()
        raise StorageError(
            f"cannot join: it takes more than {shown_size(memory)} of memory (--memory), and more than there is room "
            f"for in {tempfile.gettempdir()} (TMPDIR); make the parts smaller with pct-discover --part-size"
        ) from error
    except BaseException:
        held.close()
        raise
    with _Kept.lock:
        if _Kept.idle is not None:
            _Kept.idle.setdefault(settings, []).append((connection, held))
            return
    held.close()


def _taken(settings: _Settings) -> tuple[duckdb.DuckDBPyConnection, ExitStack] | None:
    with _Kept.lock:
        connections = (_Kept.idle or {}).get(settings)
        return connections.pop() if connections else None


def _opened(settings: _Settings) -> tuple[duckdb.DuckDBPyConnection, ExitStack]:
    import duckdb

    threads, memory = settings
    with ExitStack() as stack:
        spill = stack.enter_context(scratch_folder("pct-join-"))
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": threads,
                "memory_limit": f"{memory}B",
                "temp_directory": str(spill),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
                # The default shows where the home of the user is.
                "secret_directory": "none",
            },
        )
        stack.callback(connection.close)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection, stack.pop_all()
