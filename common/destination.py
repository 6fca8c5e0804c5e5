"""Outputs that appear under their final name only when complete.

Everything is written beside the destination under a name that begins with a dot and ends in ``.pct-tmp``, synced to
disk, then renamed. A process that is killed can leave such a name behind; see `temporary_names`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from pycytominer_transform.common.errors import DestinationExistsError, StorageError, describe_os_error
from pycytominer_transform.common.place import entry_names
from pycytominer_transform.common.temporary_names import REPLACED_SUFFIX, beside, committing, discard, temporary_beside


class OutputFolder(Protocol):
    """A folder that is being filled."""

    def open(self, relative: str) -> AbstractContextManager[BinaryIO]:
        """Open a new file in it, by its path with slashes; one at a time."""


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
    """Open a file under a temporary name; give it its final name when the block ends well.

    Raises
    ------
    DestinationExistsError
        The destination exists, or came to exist meanwhile, and is not to be overwritten.
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
            if overwrite:
                os.replace(temporary, path)
            else:
                _rename_to_new(temporary, path)
        sync(path.absolute().parent)


@contextmanager
def complete_folder(
    path: Path, *, overwrite: bool, is_ours: Callable[[str], bool], lasting: bool = True
) -> Iterator[OutputFolder]:
    """Give a folder with a temporary name to fill; give it its final name when the block ends well.

    Parameters
    ----------
    path : Path
        The destination.
    overwrite : bool
        Replace a folder that is there. Only one that holds nothing but what the tool itself writes is replaced.
    is_ours : callable
        Says of an entry's name, a folder's with a slash behind it, whether the tool wrote it.
    lasting : bool
        Whether it must survive a power cut.

    Raises
    ------
    DestinationExistsError
        The destination exists and is not to be overwritten, or holds other things too.
    StorageError
        The disk refused.
    """
    check_destination(path, overwrite=overwrite)
    if os.path.lexists(path) and not _is_replaceable(path, is_ours):
        raise DestinationExistsError(f"{path} holds other things than this tool writes; it will not be overwritten")
    with storage_errors(path), temporary_beside(path, is_folder=True) as temporary:
        yield LocalFolder(temporary)
        if lasting:
            sync_all(temporary)
        with committing():
            old = _replace_folder(path, temporary, overwrite=overwrite)
        if lasting:
            sync(path.absolute().parent)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def _replace_folder(path: Path, temporary: Path, *, overwrite: bool) -> Path | None:
    """Give a folder its final name; gives the name that the folder it replaces has now."""
    if not os.path.lexists(path):
        os.rename(temporary, path)
        return None
    if not overwrite:
        raise DestinationExistsError(f"{path} came to exist meanwhile; give --overwrite to replace it")
    if _exchanged(temporary, path):
        return temporary
    # For a moment there is neither; who is killed then finds the old one put back by the next run.
    old = beside(path, REPLACED_SUFFIX)
    try:
        os.rename(path, old)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # So says an overlay of a folder that came with an image.
        raise StorageError(
            f"cannot replace {path}: its name belongs to another file system; remove it first"
        ) from error
    os.rename(temporary, path)
    return old


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step, where the system can."""
    import ctypes

    at_working_folder, exchange = -100, 2
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    # What else than "cannot" goes wrong here goes wrong in a plain rename too, and is reported there.
    failed = rename(at_working_folder, os.fsencode(one), at_working_folder, os.fsencode(other), exchange)
    return not failed


def refuse_among_sources(path: Path, sources: Iterable[Path]) -> None:
    """Refuse a destination that is one of the files that are to be read.

    Raises
    ------
    DestinationExistsError
        It is, by whatever name.
    """
    if not path.exists():
        return
    for source in sources:
        if source.exists() and path.samefile(source):
            raise DestinationExistsError(f"{path} is one of the source's own files; it will not be overwritten")


@contextmanager
def temporary_folder(path: Path, *, keep: bool) -> Iterator[Path]:
    """Give a folder beside a destination for what leads to it; removed at the end unless all went well and `keep`."""
    with storage_errors(path), temporary_beside(path, is_folder=True) as folder:
        yield folder
        if not keep:
            discard(folder)


def _is_replaceable(path: Path, is_ours: Callable[[str], bool]) -> bool:
    return path.is_dir() and not path.is_symlink() and all(map(is_ours, entry_names(path)))


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename without ever replacing a file that another process put there meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise DestinationExistsError(f"{path} came to exist meanwhile; give --overwrite to replace it") from error
    except OSError:
        # No hard links on this file system: the look before the rename is the best there is.
        if os.path.lexists(path):
            raise DestinationExistsError(f"{path} came to exist meanwhile; give --overwrite to replace it") from None
        os.rename(temporary, path)
    else:
        os.unlink(temporary)


def make_lasting_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, so that a power cut leaves them there."""
    if path.is_dir():
        return
    make_lasting_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def sync_all(path: Path) -> None:
    """Have a folder, and all that is in it, put on the disk."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))


def sync(path: Path) -> None:
    """Have a file's content, or a folder's list of names, put on the disk."""
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
def storage_errors(path: Path) -> Iterator[None]:
    """Give what the operating system says while a path is written the form of our errors."""
    try:
        yield
    except (StorageError, DestinationExistsError, BrokenPipeError):
        raise
    except OSError as error:
        if error.errno is None:
            raise
        raise describe_os_error(error, f"write {path}") from error
