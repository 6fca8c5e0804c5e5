"""Open SQLite files for reading only, and raise SQLite's errors as ours."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from pycytominer_transform.common.errors import DataError, StorageError, TransientStorageError, describe_os_error
from pycytominer_transform.common.model.naming import quoted
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.tree import Folder, checked_name

SUFFIXES = (".sqlite", ".sqlite3", ".db", ".db3")
MAGIC = b"SQLite format 3\0"
BUSY_SECONDS = 5.0
"""How long each query waits for a writer's lock."""
_MOST_BYTES = 1 << 24
"""Of one value, or of one row."""
_ROWID_NAMES = ("rowid", "_rowid_", "oid")


def read_only_uri(path: Path) -> str:
    """Return the URI by which SQLite opens a file for reading only.

    A file in write-ahead mode on a read-only mount opens only as immutable, and elsewhere reading it would leave a log
    and its index in the folder; immutable is right where no log lies beside the file, that is beside what a link to it
    leads to.
    """
    real = _real(path)
    logged = any(Path(f"{real}{suffix}").exists() for suffix in ("-wal", "-journal"))
    immutable = not logged and (_is_write_ahead(real) or not os.access(real.parent, os.W_OK))
    return f"file:{quote(str(real))}?mode=ro{'&immutable=1' if immutable else ''}"


def has_log(path: Path) -> bool:
    """Return whether a write-ahead log lies beside a file."""
    return Path(f"{_real(path)}-wal").exists()


def find_sqlite_files(root: Location, tree: Sequence[Folder]) -> list[str]:
    """List the files of a source that are named as SQLite files, relative to it; ``.`` where it is one itself."""
    if not root.is_dir():
        return ["."]
    return sorted(
        checked_name(folder.path_of(name))
        for folder in tree
        for name in folder.files
        if name.lower().endswith(SUFFIXES)
    )


def is_of_another_kind(path: Location) -> bool:
    """Return whether a file can be read, is not empty, and is not SQLite."""
    with suppress(OSError):
        return path.stat().st_size > 0 and not is_sqlite(path)
    return False  # It cannot be read, which is an error.


def is_sqlite(path: Location) -> bool:
    """Return whether a file begins as SQLite files do."""
    with path.open("rb") as file:
        return file.read(16) == MAGIC


@contextmanager
def connect(path: Path, shown: str) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file for reading.

    Raises
    ------
    DataError
        It is empty, cut off, damaged or not SQLite.
    TransientStorageError
        It is locked by a writer, and was for `BUSY_SECONDS`.
    StorageError
        It cannot be read.
    """
    check_file(path, shown)
    with sqlite_errors(shown):
        connection = sqlite3.connect(read_only_uri(path), uri=True, timeout=BUSY_SECONDS)
        # A view may make up values of any size.
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        # Text that is not UTF-8 is refused only where it would come into the output.
        connection.text_factory = _text
        try:
            yield connection
        finally:
            connection.close()


def check_file(path: Path, shown: str) -> None:
    """Check an SQLite file's size against what its own header says.

    Source: https://www.sqlite.org/fileformat.html, "The Database Header".
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise describe_os_error(error, f"read {path}") from error
    if not size:
        raise DataError(f"{shown}: is empty")
    if header[:16] != MAGIC or len(header) < 100:
        raise DataError(f"{shown}: is not an SQLite file")
    page_size = struct.unpack(">H", header[16:18])[0]
    page_size = 65536 if page_size == 1 else page_size
    changes, pages = struct.unpack(">II", header[24:32])
    valid_for = struct.unpack(">I", header[92:96])[0]
    if changes == valid_for and size < page_size * pages and not has_log(path):
        raise DataError(f"{shown}: is cut off: {size} bytes, its header says {page_size * pages}")


@contextmanager
def sqlite_errors(shown: str) -> Iterator[None]:
    """Raise SQLite's errors as ours, by their result codes."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_result_code(getattr(error, "sqlite_errorcode", 1), shown, str(error)) from error
    except UnicodeError as error:
        # A name, in a query or in what SQLite says of a damaged one.
        raise DataError(f"{shown}: is damaged: it holds a name that is not UTF-8") from error


def from_result_code(code: int, shown: str, said: str) -> DataError | StorageError:
    """Return our error for one of SQLite's result codes.

    Source: https://www.sqlite.org/rescode.html.
    """
    match code & 0xFF:
        case 5 | 6:
            return TransientStorageError(
                f"{shown}: is locked by a program that writes to it, for more than {BUSY_SECONDS:g} s; try again when "
                "that is done"
            )
        case 11:
            return DataError(f"{shown}: is damaged or cut off ({said})")
        case 26:
            return DataError(f"{shown}: is not an SQLite file")
        case 13:
            # The file itself is only read.
            return StorageError(f"cannot read {shown}: no space left for SQLite's temporary files; set TMPDIR")
        case 3 | 8 | 10 | 14 | 23:
            return StorageError(f"cannot read {shown}: {said}")
        case _:
            return DataError(f"{shown}: SQLite says: {said}")


def declared_columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Return the columns of ``SELECT *`` from a table or view, computed ones too, with their declared types."""
    # Columns whose sixth entry is 1 are hidden: https://www.sqlite.org/pragma.html#pragma_table_xinfo
    rows = connection.execute(f"PRAGMA table_xinfo({quoted(table)})")
    return {row[1]: str(row[2]).upper() for row in rows if row[6] != 1}


def rowid_name(columns: Iterable[str]) -> str:
    """Return a name for the row number that no column of the table has taken."""
    taken = {column.lower() for column in columns}
    return next(name for name in _ROWID_NAMES if name not in taken)


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _is_write_ahead(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(20)[18:] == b"\2\2"
    return False  # SQLite says what is wrong with it.
