"""Files from the cloud that have to lie on a disk to be read: downloaded once, shared by all who need them.

A file's folder is named after the object and its mark, so another version is another file. Who reads it holds a shared
lock, who downloads it an exclusive one; the last to leave removes it, unless it is to stay.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pycytominer_transform.common.cloud_uri import CloudUri
from pycytominer_transform.common.errors import BadDatasetError, StorageError, describe_os_error
from pycytominer_transform.common.object_store import ObjectStore, StoredObject
from pycytominer_transform.common.reporting import logger, progress, size
from pycytominer_transform.common.retrying import retried
from pycytominer_transform.common.storage_options import StorageOptions

_PIECE_BYTES = 1 << 24
_PIECES_AHEAD = 4
_STALE_SECONDS = 86_400.0
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_UNSAFE = re.compile(r"[^\w.+-]")


@dataclass
class _Entry:
    """One file of a cache: its folder, its name, and the lock of those who use it."""

    folder: Path
    name: str
    size: int
    stays: bool
    lock: int = -1

    @property
    def file(self) -> Path:
        return self.folder / self.name

    @property
    def partial(self) -> Path:
        return self.folder / f"{self.name}.partial"

    @property
    def lock_file(self) -> Path:
        return self.folder.with_suffix(".lock")

    def unlock(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
        self.lock = -1

    def is_whole(self) -> bool:
        with suppress(OSError):
            return self.file.stat().st_size == self.size
        return False


_held: dict[Path, _Entry] = {}
_being_made: dict[Path, threading.Lock] = {}
_registry = threading.Lock()


def cached_file(store: ObjectStore, stored: StoredObject, uri: CloudUri, options: StorageOptions) -> Path:
    """Give a file on this machine with an object's content; it stays at least until this process ends.

    Raises
    ------
    BadDatasetError
        A log lies beside the object, whose rows would be missing.
    SourceChangedError
        The object is gone, or another one by now.
    StorageError
        The disk is too small, or refuses.
    """
    base = Path(os.path.abspath(options.cache_dir)) if options.cache_dir else _temporary_base()
    named = f"{uri}\n{stored.size}-{stored.mark}"
    folder = base / hashlib.sha256(named.encode()).hexdigest()[:24]
    with _registry:
        making = _being_made.setdefault(folder, threading.Lock())
    with making:
        if folder not in _held:
            _refuse_logs(store, stored, uri)
            name = _UNSAFE.sub("_", uri.key.rpartition("/")[2])[-100:]
            entry = _Entry(folder, name, stored.size, stays=options.keep_cache)
            try:
                base.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not options.cache_dir:
                    _remove_stale(base)
                _obtain(entry, store, stored, uri)
            except BaseException as error:
                _let_go(entry)
                if isinstance(error, OSError):
                    raise describe_os_error(error, f"keep {uri} in {base}") from error
                raise
            _held[folder] = entry
        return _held[folder].file


@atexit.register
def release_cache() -> None:
    """Let go of all files; those that nobody else holds are removed, unless they are to stay."""
    with _registry:
        entries = list(_held.values())
        _held.clear()
    for entry in entries:
        with suppress(OSError):
            if not entry.stays and _locks(entry.lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _remove(entry.folder)
        entry.unlock()


def _let_go(entry: _Entry) -> None:
    """Leave nothing of a file that could not be had, but what a next download can go on from."""
    with suppress(OSError):
        if not entry.partial.exists() and _locks(entry.lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            _remove(entry.folder)
    entry.unlock()


def _temporary_base() -> Path:
    base = Path(tempfile.gettempdir(), f"pct-cache-{os.getuid()}")
    base.mkdir(mode=0o700, exist_ok=True)
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        raise StorageError(f"{base} is somebody else's; name a folder with --cache-dir")
    return base


def _refuse_logs(store: ObjectStore, stored: StoredObject, uri: CloudUri) -> None:
    for suffix in ("-wal", "-journal"):
        log = retried(partial(store.found, f"{stored.key}{suffix}"))
        if log is not None and log.size:
            raise BadDatasetError(
                f"{uri}: what its log {suffix} holds would be missing; close the database, or run PRAGMA "
                "wal_checkpoint(TRUNCATE), and upload it again"
            )


def _obtain(entry: _Entry, store: ObjectStore, stored: StoredObject, uri: CloudUri) -> None:
    """Have the whole file there, and hold its shared lock."""
    while True:
        entry.lock = _open_lock(entry)
        if entry.lock < 0 and entry.is_whole():
            return
        _wait_for(entry, fcntl.LOCK_SH, uri)
        if _is_current(entry) and entry.is_whole():
            return
        _wait_for(entry, fcntl.LOCK_EX, uri)
        if _is_current(entry) and not entry.is_whole():
            _download(entry, store, stored, uri)
        # A lock cannot be made a shared one without letting go of it, so look again from the beginning.
        entry.unlock()


def _open_lock(entry: _Entry) -> int:
    """Open the lock file; -1 where the cache cannot be written to but has the file."""
    try:
        return os.open(entry.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS) and entry.is_whole():
            return -1
        raise


def _wait_for(entry: _Entry, kind: int, uri: CloudUri) -> None:
    if not _locks(entry.lock, kind | fcntl.LOCK_NB):
        logger.info("waiting for another process that is downloading %s", uri)
        _locks(entry.lock, kind)


def _locks(lock: int, kind: int) -> bool:
    """Take a lock; also where the file system knows none, since then there is no better way."""
    try:
        fcntl.flock(lock, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def _is_current(entry: _Entry) -> bool:
    """Say whether the lock is still that of the file's name; who removes a file removes its lock too."""
    with suppress(FileNotFoundError):
        return os.fstat(entry.lock).st_ino == entry.lock_file.stat().st_ino
    return False


def _download(entry: _Entry, store: ObjectStore, stored: StoredObject, uri: CloudUri) -> None:
    """Download what is not there yet; every request is for the object with this mark alone."""
    entry.folder.mkdir(mode=0o700, exist_ok=True)
    there = entry.partial.stat().st_size if entry.partial.exists() else 0
    there -= there % _PIECE_BYTES
    free = shutil.disk_usage(entry.folder).free
    if free < stored.size - there:
        raise StorageError(
            f"{uri} has {size(stored.size)}, but there is room for {size(free)} in {entry.folder.parent}; name another "
            "folder with --cache-dir"
        )
    logger.info("downloading %s (%s)%s", uri, size(stored.size), f", {size(there)} are there" if there else "")
    starts = range(there, stored.size, _PIECE_BYTES)
    with entry.partial.open("ab") as file, ThreadPoolExecutor(_PIECES_AHEAD, thread_name_prefix="download") as pool:
        file.truncate(there)
        pending: deque[Future[bytes]] = deque()
        try:
            for number in range(len(starts) + _PIECES_AHEAD):
                if number < len(starts):
                    end = min(starts[number] + _PIECE_BYTES, stored.size)
                    read = partial(store.read, stored, starts[number], end)
                    pending.append(pool.submit(retried, read))
                if number >= _PIECES_AHEAD - 1 and pending:
                    there += file.write(pending.popleft().result())
                    progress(f"downloading {entry.name} (MB)", there // 1_000_000, stored.size // 1_000_000)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(entry.partial, entry.file)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)


def _remove_stale(base: Path) -> None:
    """Remove from the temporary cache what killed processes left there long ago."""
    for lock_file in base.glob("*.lock"):
        with suppress(OSError):
            if time.time() - lock_file.stat().st_mtime > _STALE_SECONDS:
                lock = os.open(lock_file, os.O_RDWR)
                if _locks(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    _remove(lock_file.with_suffix(""))
                os.close(lock)
