"""The cache of cloud files that must be read from a disk: downloaded once, shared by all processes.

A file's folder is named after the object and its version. Readers hold a shared lock, a download an exclusive one; the
last reader removes the file, unless the cache is to be kept. `flock` is used itself, since filelock's locks are either
exclusive or cannot be removed while others wait for them.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pycytominer_transform.common.errors import BadDatasetError, StorageError, describe_os_error
from pycytominer_transform.common.runtime.messages import logger, progress, size
from pycytominer_transform.common.runtime.signals import on_exit
from pycytominer_transform.common.storage.cloud.object_store import ObjectStore, StoredObject
from pycytominer_transform.common.storage.cloud.request_retries import retried
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.uri import CloudUri

_PIECE_BYTES = 1 << 24
_PIECES_AT_ONCE = 4
_STALE_SECONDS = 86_400.0
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_UNSAFE = re.compile(r"[^\w.+-]")

_locks: dict[Path, tuple[int, bool]] = {}
"""By the folder of each file in use, its lock and whether to keep the file."""


def cached_file(store: ObjectStore, stored: StoredObject, uri: CloudUri, options: StorageOptions) -> Path:
    """Download an object, if it is not in the cache; return the file, which exists until this process ends.

    Raises
    ------
    BadDatasetError
        The database has a log, and the rows in it would be missing.
    SourceChangedError
        The object is gone or has changed.
    StorageError
        The disk is too small or cannot be written to.
    """
    base = Path(os.path.abspath(options.cache_dir or Path(tempfile.gettempdir(), f"pct-cache-{os.getuid()}")))
    folder = base / hashlib.sha256(f"{uri}\n{stored.size}-{stored.mark}".encode()).hexdigest()[:24]
    file = folder / _UNSAFE.sub("_", uri.key.rpartition("/")[2])[-100:]
    with _thread_lock(folder):
        if folder not in _locks:
            _refuse_logs(store, stored, uri)
            try:
                base.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not options.cache_dir:
                    _check_temporary(base)
                _locks[folder] = _lock_whole(file, store, stored, uri), options.keep_cache
            except OSError as error:
                raise describe_os_error(error, f"keep {uri} in {base}") from error
    return file


@on_exit
def release_cache() -> None:
    """Unlock all files and remove those that no other process reads, unless the cache is to be kept."""
    while _locks:
        folder, (lock, keep) = _locks.popitem()
        _release(lock, folder, keep=keep)


@functools.cache
def _thread_lock(folder: Path) -> threading.Lock:
    """Return the lock of this process's threads for a folder."""
    return threading.Lock()


def _check_temporary(base: Path) -> None:
    """Refuse a temporary cache of another user; remove what killed processes left in it more than a day ago."""
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        raise StorageError(f"{base} belongs to another user; name a folder with --cache-dir")
    for lock_file in base.glob("*.lock"):
        with suppress(OSError):
            if time.time() - lock_file.stat().st_mtime > _STALE_SECONDS:
                _release(os.open(lock_file, os.O_RDWR), lock_file.with_suffix(""), keep=False)


def _refuse_logs(store: ObjectStore, stored: StoredObject, uri: CloudUri) -> None:
    for suffix in ("-wal", "-journal"):
        log = retried(functools.partial(store.find, f"{stored.key}{suffix}"))
        if log is not None and log.size:
            raise BadDatasetError(
                f"{uri}: the rows in its log {suffix} would be missing; close the database, or run PRAGMA "
                "wal_checkpoint(TRUNCATE), and upload it again"
            )


def _lock_whole(file: Path, store: ObjectStore, stored: StoredObject, uri: CloudUri) -> int:
    """Download a file if it is missing, and return its lock, which is shared with other readers."""
    lock_file = file.parent.with_suffix(".lock")
    partial = file.with_name(f"{file.name}.partial")

    def is_current() -> bool:
        # The lock file is removed together with the cached file.
        return lock_file.exists() and os.fstat(lock).st_ino == lock_file.stat().st_ino

    def is_whole() -> bool:
        return file.exists() and file.stat().st_size == stored.size

    while True:
        lock = _open_lock(lock_file)
        try:
            _wait_for(lock, fcntl.LOCK_SH, uri)
            if is_current() and is_whole():
                return lock
            _wait_for(lock, fcntl.LOCK_EX, uri)
            if is_current() and not is_whole():
                _download(partial, store, stored, uri)
                os.replace(partial, file)
        except BaseException:
            # The next download resumes a partial one.
            _release(lock, file.parent, keep=partial.exists())
            raise
        # An exclusive lock cannot become a shared one without being released, so check again from the beginning.
        os.close(lock)


def _open_lock(lock_file: Path) -> int:
    try:
        return os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        if lock_file.exists():
            # The cache is shared and read-only.
            return os.open(lock_file, os.O_RDONLY)
        raise


def _wait_for(lock: int, kind: int, uri: CloudUri) -> None:
    if not _flock(lock, kind | fcntl.LOCK_NB):
        logger.info("waiting for another process that is downloading %s", uri)
        _flock(lock, kind)


def _flock(lock: int, kind: int) -> bool:
    """Take a lock; return False if another process has it. A file system without locks counts as success."""
    try:
        fcntl.flock(lock, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _release(lock: int, folder: Path, *, keep: bool) -> None:
    """Unlock a file; remove it unless another process reads it or it is to be kept."""
    with suppress(OSError):
        if not keep and _flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".lock").unlink(missing_ok=True)
    os.close(lock)


def _download(partial: Path, store: ObjectStore, stored: StoredObject, uri: CloudUri) -> None:
    """Download the missing bytes; every request names the version."""
    partial.parent.mkdir(mode=0o700, exist_ok=True)
    done = partial.stat().st_size // _PIECE_BYTES * _PIECE_BYTES if partial.exists() else 0
    free = shutil.disk_usage(partial.parent).free
    if free < stored.size - done:
        raise StorageError(
            f"{uri} has {size(stored.size)}, but there is room for {size(free)} in {partial.parent.parent}; name "
            "another folder with --cache-dir"
        )
    logger.info("downloading %s (%s)%s", uri, size(stored.size), f", {size(done)} are there" if done else "")

    def read(start: int) -> bytes:
        return retried(lambda: store.read(stored, start, min(start + _PIECE_BYTES, stored.size)))

    with partial.open("ab") as file, ThreadPoolExecutor(_PIECES_AT_ONCE, thread_name_prefix="download") as pool:
        file.truncate(done)
        starts = iter(range(done, stored.size, _PIECE_BYTES))
        pending = deque(pool.submit(read, start) for start in islice(starts, _PIECES_AT_ONCE))
        while pending:
            done += file.write(pending.popleft().result())
            pending.extend(pool.submit(read, start) for start in islice(starts, 1))
            progress(f"downloading {partial.stem} (MB)", done // 1_000_000, stored.size // 1_000_000)
        file.flush()
        os.fsync(file.fileno())
