"""DuckDB in memory, without access to anything but the tables registered with it."""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import StorageError
from pycytominer_transform.common.runtime.messages import size
from pycytominer_transform.common.runtime.signals import interruptible
from pycytominer_transform.common.storage.temporary_names import scratch_folder

if TYPE_CHECKING:
    import duckdb


class _Database:
    """A database and the folder that it may spill to; closed when it is garbage-collected, or when Python ends."""

    def __init__(self, *, threads: int, memory: int) -> None:
        import duckdb

        self.settings = threads, memory
        with ExitStack() as stack:
            spill = stack.enter_context(scratch_folder("pct-join-"))
            self.connection = duckdb.connect(
                ":memory:",
                config={
                    "threads": threads,
                    "memory_limit": f"{memory}B",
                    "temp_directory": str(spill),
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                    "python_enable_replacements": False,
                    # The defaults show where the home of the user is.
                    "secret_directory": "none",
                    "extension_directory": "none",
                },
            )
            stack.callback(self.connection.close)
            self.connection.execute("SET enable_external_access = false")
            self.connection.execute("SET lock_configuration = true")
            self.close = weakref.finalize(self, stack.pop_all().close)


class _Thread(threading.local):
    """The database of this thread; opening one takes as long as joining a small part."""

    database: _Database | None = None


_thread = _Thread()


@contextmanager
def open_duckdb(*, threads: int, memory: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection without access to files, network, extensions, and this program's variables.

    Parameters
    ----------
    threads : int
        Threads to use.
    memory : int
        Bytes of memory to use; beyond that DuckDB spills to a temporary folder under ``TMPDIR``.

    Raises
    ------
    StorageError
        There is not enough room in memory and under ``TMPDIR``.
    """
    import duckdb

    if _thread.database is None or _thread.database.settings != (threads, memory):
        _thread.database = _Database(threads=threads, memory=memory)
    # Tables are registered with a cursor, so they go with it.
    cursor = _thread.database.connection.cursor()
    try:
        with interruptible(cursor.interrupt):
            yield cursor
    except BaseException as error:
        _thread.database.close()
        _thread.database = None
        if not isinstance(error, (duckdb.OutOfMemoryException, duckdb.IOException)):
            raise
        raise StorageError(
            f"cannot join: it takes more than {size(memory)} of memory (--memory), and more than there is room for in "
            f"{tempfile.gettempdir()} (TMPDIR); make the parts smaller with pct-discover --part-size"
        ) from error
    finally:
        cursor.close()
