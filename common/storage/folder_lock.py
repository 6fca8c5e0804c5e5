"""A folder that one process at a time works in, by a lock file inside that names the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pycytominer_transform.common.errors import WorkDirInUseError, describe_os_error
from pycytominer_transform.common.storage.destination import make_lasting_folder
from pycytominer_transform.common.storage.temporary_names import NO_LOCKS

LOCK_FILE = "lock"
_WAIT_SECONDS = 0.1
"""Long enough to try again where the lock file was removed with its folder."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Create a folder and lock it against other processes while the block lasts; the block may remove it.

    On a file system without locks there is no protection.

    Raises
    ------
    WorkDirInUseError
        Another process works in it.
    StorageError
        It cannot be created or written to.
    """
    from filelock import FileLock, Timeout

    path = folder / LOCK_FILE
    lock = FileLock(path, timeout=_WAIT_SECONDS, thread_local=False)
    try:
        try:
            while not path.exists() or not lock.is_locked:
                lock.release(force=True)
                make_lasting_folder(folder)
                with suppress(FileNotFoundError):  # The other process removed the folder; create it again.
                    lock.acquire()
            path.write_text(f"process {os.getpid()} on {os.uname().nodename}")
        except Timeout:
            raise WorkDirInUseError(
                f"the work dir {folder} is in use by {_user(path)}; wait for its end, or name another by --work-dir"
            ) from None
        except (OSError, NotImplementedError) as error:
            if not isinstance(error, NotImplementedError) and error.errno not in NO_LOCKS:
                raise describe_os_error(error, f"make the work dir {folder}") from error
        yield
    finally:
        lock.release(force=True)


def _user(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace").strip() or "another process"
    return "another process"
