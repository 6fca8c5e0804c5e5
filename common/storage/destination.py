"""Outputs that appear under their final name only when complete.

They are written beside the destination under a temporary name, synced to the disk, then renamed; see
`temporary_names`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from pycytominer_transform.common.errors import DestinationExistsError, StorageError, describe_os_error
from pycytominer_transform.common.runtime.signals import committing
from pycytominer_transform.common.storage.temporary_names import (
    REPLACED_SUFFIX,
    beside,
    discard,
    temporary_beside,
)
from pycytominer_transform.common.storage.tree import entry_names

_COPIED_BYTES = 1 << 22


@runtime_checkable
class OutputFolder(Protocol):
    """A folder that is being filled."""

    def open(self, relative: str) -> AbstractContextManager[BinaryIO]:
        """Open a new file in it, by its path with slashes; one at a time."""

    def tree(self, *, last: str) -> AbstractContextManager[Path]:
        """Yield a local folder to write into; its files become the output's when the block ends.

        In a cloud store the file `last` is uploaded after all others.
        """


class LocalFolder:
    """A folder of this machine; see `OutputFolder`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def open(self, relative: str) -> Iterator[BinaryIO]:
        """Open a new file in it."""
        path = self._path / relative
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            yield file

    @contextmanager
    def tree(self, *, last: str) -> Iterator[Path]:
        """Yield the folder itself; see `OutputFolder`."""
        yield self._path


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Refuse a destination before any work is done for it.

    Raises
    ------
    DestinationExistsError
        It exists and is not to be overwritten.
    StorageError
        Its folder does not exist or cannot be written to.
    """
    if os.path.lexists(path) and not overwrite:
        raise DestinationExistsError(f"{path} exists already; give --overwrite to replace it")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise StorageError(f"cannot write {path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"cannot write {path}: no permission to write in {folder}")


@contextmanager
def complete_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file under a temporary name; it is renamed to its final name when the block ends without an error.

    Raises
    ------
    DestinationExistsError
        The destination exists, or another process created it, and it is not to be overwritten.
    StorageError
        The disk refused.
    """
    check_destination(path, overwrite=overwrite)
    if path.exists() and not path.is_file():
        raise StorageError(f"cannot write {path}: it is {'a folder' if path.is_dir() else 'no regular file'}")
    with storage_errors(path), temporary_beside(path, is_folder=False) as temporary:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            _sync_open(file.fileno())
        with committing():
            _rename_file(temporary, path, overwrite=overwrite)
        sync(path.absolute().parent)


@contextmanager
def complete_folder(
    path: Path, *, overwrite: bool, is_ours: Callable[[str], bool], lasting: bool = True
) -> Iterator[OutputFolder]:
    """Create a folder under a temporary name; it is renamed to its final name when the block ends without an error.

    Parameters
    ----------
    path : Path
        The destination.
    overwrite : bool
        Replace an existing folder, if it holds only entries that the tool itself writes.
    is_ours : callable
        Whether the tool wrote an entry of this name; names of folders end in a slash.
    lasting : bool
        Whether it must survive a power cut.

    Raises
    ------
    DestinationExistsError
        The destination exists and is not to be overwritten, or holds other things too.
    StorageError
        The disk refused.
    """
    _check_folder(path, overwrite=overwrite, is_ours=is_ours)
    with storage_errors(path), temporary_beside(path, is_folder=True) as temporary:
        yield LocalFolder(temporary)
        if lasting:
            sync_all(temporary)
        _name_folder(temporary, path, overwrite=overwrite, lasting=lasting)


def move_folder(folder: Path, path: Path, *, overwrite: bool, is_ours: Callable[[str], bool]) -> None:
    """Rename a folder of synced files to its final name; copy it if that is on another disk.

    Parameters and errors are those of `complete_folder`.
    """
    if os.stat(folder).st_dev != os.stat(path.absolute().parent).st_dev:
        with complete_folder(path, overwrite=overwrite, is_ours=is_ours) as copy:
            for name in entry_names(folder):
                with (folder / name).open("rb") as source, copy.open(name) as target:
                    shutil.copyfileobj(source, target, _COPIED_BYTES)
        return
    _check_folder(path, overwrite=overwrite, is_ours=is_ours)
    with storage_errors(path):
        _name_folder(folder, path, overwrite=overwrite, lasting=True)


def _check_folder(path: Path, *, overwrite: bool, is_ours: Callable[[str], bool]) -> None:
    check_destination(path, overwrite=overwrite)
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or not all(map(is_ours, entry_names(path)))):
        raise DestinationExistsError(f"{path} holds other things than this tool writes; it will not be overwritten")


def _name_folder(folder: Path, path: Path, *, overwrite: bool, lasting: bool) -> None:
    """Rename a folder to its final name and remove the folder that had it."""
    with committing():
        replaced = _replace_folder(path, folder, overwrite=overwrite)
    if lasting:
        sync(path.absolute().parent)
    if replaced is not None:
        shutil.rmtree(replaced, ignore_errors=True)


def _replace_folder(path: Path, temporary: Path, *, overwrite: bool) -> Path | None:
    """Rename a folder to its final name; return the name that the replaced folder has now, if there is one."""
    if not os.path.lexists(path):
        os.rename(temporary, path)
        return None
    if not overwrite:
        raise created_by_another(path)
    if _exchanged(temporary, path):
        return temporary
    # For a moment the name does not exist. If the process is killed then, the next run puts the replaced folder back.
    replaced = beside(path, REPLACED_SUFFIX)
    try:
        os.rename(path, replaced)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The folder belongs to a lower layer of an overlay, that of an image.
        raise StorageError(
            f"cannot replace {path}: its name belongs to another file system; remove it first"
        ) from error
    os.rename(temporary, path)
    return replaced


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False if the system cannot."""
    import ctypes

    at_working_folder, exchange = -100, 2
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    # A failure for another reason shows in the plain rename that follows.
    return not rename(at_working_folder, os.fsencode(one), at_working_folder, os.fsencode(other), exchange)


def created_by_another(place: object) -> DestinationExistsError:
    """Return the error for an output that another process created first."""
    return DestinationExistsError(f"{place} was created by another process; give --overwrite to replace it")


@contextmanager
def temporary_folder(path: Path, *, keep: bool) -> Iterator[Path]:
    """Create a folder beside a destination; it stays after the block only with `keep` and without an error."""
    with storage_errors(path), temporary_beside(path, is_folder=True) as folder:
        yield folder
        if not keep:
            discard(folder)


def _rename_file(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Rename a file to its final name; unless `overwrite`, never replace one that another process created."""
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise created_by_another(path) from None
    except OSError:
        # This file system has no hard links, so check before the rename.
        if os.path.lexists(path):
            raise created_by_another(path) from None
        os.rename(temporary, path)
    else:
        os.unlink(temporary)


def make_lasting_folder(path: Path) -> None:
    """Create a folder, and those above it that are missing, so that they survive a power cut."""
    if path.is_dir():
        return
    make_lasting_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def sync_all(path: Path) -> None:
    """Sync a folder and all that is in it to the disk."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))


def sync(path: Path) -> None:
    """Sync a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync_open(descriptor)
    finally:
        os.close(descriptor)


def _sync_open(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


@contextmanager
def storage_errors(path: object, doing: str = "write") -> Iterator[None]:
    """Turn the operating system's errors within the block into `StorageError` with the path."""
    try:
        yield
    except OSError as error:
        # Errors of this program, and those of Arrow, have no number.
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        raise describe_os_error(error, f"{doing} {path}") from error
