"""Temporary names: ``.NAME.HOST-TOKEN.pct-tmp`` beside an output, folders under ``TMPDIR``; locked while in use.

A killed process can leave a temporary name behind, but not its lock. So the next run on the same machine
knows that the name is unused, and removes it. The lock is ``flock`` on the file or folder itself:
it ends with its process, and needs neither a second file, nor a clock, nor process numbers, which mean nothing to
another container.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from pycytominer_transform.common.errors import describe_os_error
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.runtime.signals import cleanup, on_exit

TEMPORARY_SUFFIX = ".pct-tmp"
REPLACED_SUFFIX = ".pct-old"
NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL))
"""Error numbers of file systems without locks."""

_TOKEN = re.compile(rf"[0-9a-f]{{8}}(?=({re.escape(TEMPORARY_SUFFIX)})?$)")


def beside(path: Path, suffix: str = TEMPORARY_SUFFIX) -> Path:
    """Return a new hidden name beside a path."""
    return _new_name(path.absolute().parent, f".{_stem(path)}.", suffix)


def _new_name(folder: Path, prefix: str, suffix: str = "") -> Path:
    return folder / f"{prefix}{host_name()}-{secrets.token_hex(4)}{suffix}"


def _stem(path: Path) -> str:
    # A name may have up to 255 bytes, and the cut may be within a character.
    return os.fsdecode(os.fsencode(path.name)[:100])


def host_name() -> str:
    """Return this machine's name as temporary names carry it."""
    return re.sub("[^A-Za-z0-9_-]", "_", os.uname().nodename)[:32]


def temporary_beside(path: Path, *, is_folder: bool) -> AbstractContextManager[Path]:
    """Create a temporary file or folder beside a path, locked while the block lasts and removed if the block fails.

    At the end of the block it may have another name, or be gone.
    """
    return _new_temporary(partial(beside, path), is_folder=is_folder)


@contextmanager
def _new_temporary(new_name: Callable[[], Path], *, is_folder: bool, mode: int = 0o777) -> Iterator[Path]:
    """Create a temporary file or folder; see `temporary_beside`. `new_name` returns another name at each call."""
    while True:
        temporary = new_name()
        with cleanup(partial(discard, temporary)):
            try:
                descriptor = _create_locked(temporary, is_folder=is_folder, mode=mode)
                if descriptor is None:
                    continue
                try:
                    yield temporary
                finally:
                    os.close(descriptor)
            except BaseException:
                discard(temporary)
                raise
            return


def _create_locked(path: Path, *, is_folder: bool, mode: int) -> int | None:
    """Return an open descriptor that holds the lock; None if another process removed the name as a leftover."""
    if is_folder:
        path.mkdir(mode)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
    else:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode & 0o666)
    if _try_lock(descriptor) is not False and _names(path, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _try_lock(descriptor: int) -> bool | None:
    """Lock an open file or folder; return False if another process has locked it, None if there are no locks."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


def _names(path: Path, descriptor: int) -> bool:
    """Return whether a path still names the file or folder that was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def discard(path: Path) -> None:
    """Remove a file or folder. It is renamed first, so that a thread that works in it creates nothing there."""
    with suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        renamed = path.with_name(_TOKEN.sub(secrets.token_hex(4), path.name))
        if renamed == path:
            renamed = beside(path)
        os.rename(path, renamed)
        shutil.rmtree(renamed, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary names that a killed run left beside an output.

    If the process was killed while it replaced a folder, that folder gets its name back. Names of other machines are
    only reported.
    """
    pattern = re.compile(rf"\.{re.escape(_stem(path))}\.([A-Za-z0-9_-]*)-[0-9a-f]{{8}}\.pct-(tmp|old)")
    with suppress(OSError):
        entries = [(match, entry.path) for entry in os.scandir(path.absolute().parent)
                   if (match := pattern.fullmatch(entry.name))]  # fmt: skip
        # The newest first: of several replaced folders that one is put back.
        for match, name in sorted(entries, key=lambda entry: os.lstat(entry[1]).st_mtime, reverse=True):
            if match[2] == "old" and not os.path.lexists(path):
                os.rename(name, path)
                logger.warning("%s was about to be replaced when that was interrupted; it is put back", path)
            elif match[1] != host_name():
                logger.info("%s was left by a run on %s; if that run has ended, remove it", name, match[1])
            elif remove_dead(Path(name)):
                logger.info("removed %s, which an interrupted run left behind", name)


def remove_dead(temporary: Path) -> bool:
    """Remove a temporary file or folder if no living process has locked it; return whether it was removed."""
    with suppress(OSError):
        descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _try_lock(descriptor) and _names(temporary, descriptor):
                discard(temporary)
                return True
        finally:
            os.close(descriptor)
    return False


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Create a temporary folder for the length of the block.

    Parameters
    ----------
    prefix : str
        Beginning of its name, such as ``pct-join-``.

    Raises
    ------
    StorageError
        It cannot be created.
    """
    place = Path(tempfile.gettempdir())
    _remove_dead_once(place)
    with ExitStack() as stack:
        try:
            new_name = partial(_new_name, place, prefix)
            folder = stack.enter_context(_new_temporary(new_name, is_folder=True, mode=0o700))
        except OSError as error:
            raise describe_os_error(error, f"make a temporary folder in {place} (TMPDIR)") from error
        stack.callback(discard, folder)
        yield folder


def scratch_for_process(prefix: str) -> Path:
    """Create a temporary folder that stays until the process ends."""
    stack = ExitStack()
    on_exit(stack.close)
    return stack.enter_context(scratch_folder(prefix))


def remove_dead_scratch(place: str | Path) -> None:
    """Remove the folders that killed processes of this user left on this machine."""
    pattern = re.compile(rf"pct-[a-z]+-{re.escape(host_name())}-[0-9a-f]{{8}}")
    with suppress(OSError):
        for entry in os.scandir(place):
            if pattern.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                remove_dead(Path(entry.path))


_remove_dead_once = cache(remove_dead_scratch)
