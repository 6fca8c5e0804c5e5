"""A folder that one process at a time works in: a lock file inside, which says who that is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pycytominer_transform.common.destination import make_lasting_folder
from pycytominer_transform.common.errors import WorkDirInUseError, describe_os_error
from pycytominer_transform.common.temporary_names import is_still, try_lock

LOCK_FILE = "lock"


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make a folder and keep others out of it while the block lasts; the folder may be gone at its end.

    On a file system without locks it is open to everybody.

    Raises
    ------
    WorkDirInUseError
        Another process works in it. Nobody waits here for another's lock.
    StorageError
        It cannot be made or written to.
    """
    try:
        descriptor = _locked(folder)
    except WorkDirInUseError:
        raise
    except OSError as error:
        raise describe_os_error(error, f"make the work dir {folder}") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int:
    path = folder / LOCK_FILE
    while True:
        make_lasting_folder(folder)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # Its user has just ended, and the folder went with it.
        try:
            if try_lock(descriptor) is False:
                raise WorkDirInUseError(
                    f"the work dir {folder} is in use by {_holder(descriptor)}; wait for its end, or name another by "
                    "--work-dir"
                )
            if is_still(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Locked, but no longer by this name: as above.
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
