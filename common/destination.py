"""Outputs that appear under their final name only when complete.

Everything is written beside the destination under a name that begins with a dot and ends in ``.pct-tmp``, synced to
disk, then renamed. A process that is killed can leave such a name behind; it is safe to remove.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pycytominer_transform.common.errors import DestinationExistsError, StorageError, describe_os_error

TEMPORARY_SUFFIX = ".pct-tmp"


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
def complete_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary name to write a file under; give it its final name when the block ends well.

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
    temporary = _temporary_name(path)
    with _storage_errors(path), _removed_on_failure(temporary):
        yield temporary
        _sync(temporary)
        if overwrite:
            os.replace(temporary, path)
        else:
            _rename_to_new(temporary, path)
        _sync(path.absolute().parent)


@contextmanager
def complete_folder(path: Path, *, overwrite: bool, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a temporary folder to fill; give it its final name when the block ends well.

    Parameters
    ----------
    path : Path
        The destination.
    overwrite : bool
        Replace a folder that is there. Only one that holds nothing but what the tool itself writes is replaced.
    is_ours : callable
        Says of an entry of such a folder whether the tool wrote it.

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
    temporary = _temporary_name(path)
    with _storage_errors(path), _removed_on_failure(temporary):
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary, topdown=False):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        old = _temporary_name(path)
        if os.path.lexists(path):
            if not overwrite:
                raise DestinationExistsError(f"{path} came to exist meanwhile; give --overwrite to replace it")
            os.rename(path, old)
        os.rename(temporary, path)
        _sync(path.absolute().parent)
        if old.is_dir():
            shutil.rmtree(old)


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
    folder = _temporary_name(path)
    with _storage_errors(folder), _removed_on_failure(folder):
        folder.mkdir()
        yield folder
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _is_replaceable(path: Path, is_ours: Callable[[Path], bool]) -> bool:
    return path.is_dir() and not path.is_symlink() and all(is_ours(entry) for entry in path.iterdir())


def _temporary_name(path: Path) -> Path:
    # A name may have 255 bytes, and be cut within a character.
    name = os.fsdecode(os.fsencode(path.name)[:100])
    return path.absolute().with_name(f".{name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _removed_on_failure(temporary: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if temporary.is_dir() and not temporary.is_symlink():
                shutil.rmtree(temporary)
            else:
                temporary.unlink()
        raise


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (StorageError, DestinationExistsError, BrokenPipeError):
        raise
    except OSError as error:
        if error.errno is None:
            raise
        raise describe_os_error(error, f"write {path}") from error
