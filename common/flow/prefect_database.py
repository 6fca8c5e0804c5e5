"""The database that a private Prefect server starts with: one that the installed Prefect migrated, kept in a cache.

Migrating an empty SQLite file takes Prefect 4 s, copying one 10 ms. The first private server of a Prefect version
migrates; its database, still without any run, is copied into the user's cache folder. An image may bring one.
"""

from __future__ import annotations

import importlib.metadata
import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from pycytominer_transform.common.runtime.messages import logger

IMAGE_FOLDER = "PCT_PREFECT_DATABASES"
"""Environment variable that names a folder with migrated databases, such as one in an image."""


def copy_migrated_database(path: Path) -> bool:
    """Copy a migrated database to a path; return False if there is none for the installed Prefect."""
    candidates = [_user_folder() / _file_name()]
    if folder := os.environ.get(IMAGE_FOLDER):
        candidates.insert(0, Path(folder, _file_name()))
    for candidate in candidates:
        # A damaged file counts as missing.
        with suppress(OSError, sqlite3.Error):
            if candidate.is_file():
                _copy(candidate, path)
                return True
    return False


def cache_migrated_database(path: Path) -> None:
    """Copy a database that Prefect has just migrated, and that holds no run, into the user's cache folder.

    If there is no writable folder, nothing is copied, and the next run migrates again.
    """
    target = _user_folder() / _file_name()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            copy = Path(folder, target.name)
            _copy(path, copy)
            copy.replace(target)
    except (OSError, sqlite3.Error) as error:
        logger.debug("cannot cache the database of the private Prefect server: %s", error)


def _user_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~"), ".cache")
    return home / "pycytominer-transform"


def _file_name() -> str:
    return f"prefect-{importlib.metadata.version('prefect')}.db"


def _copy(source: Path, target: Path) -> None:
    """Copy a database, which another process may have open.

    Raises
    ------
    sqlite3.Error
        The source is not a complete database of Prefect.
    """
    try:
        with closing(sqlite3.connect(source.absolute().as_uri() + "?mode=ro", uri=True)) as from_database:
            from_database.execute("SELECT version_num FROM alembic_version")
            with closing(sqlite3.connect(target)) as to_database:
                # A copy cut short by a crash is never used, so nothing needs to be synced.
                to_database.execute("PRAGMA synchronous = OFF")
                from_database.backup(to_database)
                # A write-ahead log would need a second file beside a copy, also in a folder that is read only.
                to_database.execute("PRAGMA journal_mode = DELETE")
                (state,) = to_database.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
    except (OSError, sqlite3.Error):
        target.unlink(missing_ok=True)
        raise
