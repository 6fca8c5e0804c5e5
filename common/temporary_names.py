"""Names for what is not complete yet: ``.NAME.HOST-TOKEN.pct-tmp`` beside the output, locked while its maker lives.

A process that is killed can leave such a name behind, but not its lock; so whoever makes the same output next, on the
same machine, knows that nobody is at work on it any more, and removes it. Locks are ``flock``'s: they need no clock and
no process numbers, which mean nothing to another container.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pycytominer_transform.common.errors import TerminatedError
from pycytominer_transform.common.interruption import heed_interruption
from pycytominer_transform.common.reporting import logger

TEMPORARY_SUFFIX = ".pct-tmp"
REPLACED_SUFFIX = ".pct-old"

_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL))


class _Held:
    """What this process is making, and whether it still may: one that ends must not give a final name any more."""

    paths: set[Path] = set()  # noqa: RUF012
    calls: set[Callable[[], None]] = set()  # noqa: RUF012
    lock = threading.Lock()
    ended = False


def beside(path: Path, suffix: str = TEMPORARY_SUFFIX) -> Path:
    """Give a new hidden name beside a path."""
    return path.absolute().with_name(f".{_stem(path)}.{host_name()}-{secrets.token_hex(4)}{suffix}")


def _stem(path: Path) -> str:
    # A name may have 255 bytes, and be cut within a character.
    return os.fsdecode(os.fsencode(path.name)[:100])


def host_name() -> str:
    """Give the name that this machine's temporary names carry."""
    return re.sub("[^A-Za-z0-9_-]", "_", os.uname().nodename)[:32]


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file or folder without waiting.

    Returns
    -------
    bool or None
        False where another has locked it; None where this file system has no locks.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def is_still(descriptor: int, path: Path) -> bool:
    """Say whether a name still belongs to the file that was opened by it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


@contextmanager
def temporary_beside(path: Path, *, is_folder: bool) -> Iterator[Path]:
    """Make a temporary file or folder beside a path, locked while the block lasts and removed if the block fails.

    At the end it may have another name, or none.
    """
    temporary, descriptor = _made(path, is_folder=is_folder)
    try:
        yield temporary
    except BaseException:
        discard(temporary)
        raise
    finally:
        _Held.paths.discard(temporary)
        os.close(descriptor)


def _made(path: Path, *, is_folder: bool) -> tuple[Path, int]:
    while True:
        temporary = beside(path)
        with _Held.lock:
            if _Held.ended:
                raise TerminatedError
            _Held.paths.add(temporary)
        try:
            if is_folder:
                temporary.mkdir()
            descriptor = os.open(temporary, os.O_RDONLY if is_folder else os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except BaseException:
            _Held.paths.discard(temporary)
            discard(temporary)
            raise
        # Somebody who cleans up may have come between.
        if try_lock(descriptor) is not False and is_still(descriptor, temporary):
            return temporary, descriptor
        _Held.paths.discard(temporary)
        os.close(descriptor)


@contextmanager
def committing() -> Iterator[None]:
    """Give a final name within this block; refused once the process is ending."""
    heed_interruption()
    with _Held.lock:
        if _Held.ended:
            raise TerminatedError
        yield


def end_all() -> None:
    """Remove all that this process is making, whichever thread is at it; none of it gets a final name any more."""
    with _Held.lock:
        _Held.ended = True
    for temporary in list(_Held.paths):
        discard(temporary)
    for call in list(_Held.calls):
        call()


@contextmanager
def called_at_end(call: Callable[[], None]) -> Iterator[None]:
    """Let `end_all` call a function too, should it come to that within this block."""
    with _Held.lock:
        if _Held.ended:
            raise TerminatedError
        _Held.calls.add(call)
    try:
        yield
    finally:
        _Held.calls.discard(call)


def remove_at_end(path: Path) -> None:
    """Let `end_all` remove another file or folder too."""
    _Held.paths.add(path)


def forget(path: Path) -> None:
    """Undo `remove_at_end`."""
    _Held.paths.discard(path)


def discard(path: Path) -> None:
    """Remove a file or folder, renamed first: a thread still at work in it makes no new file there."""
    with suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        gone = beside(path) if not path.name.endswith(TEMPORARY_SUFFIX) else path.with_name(f"{_fresh(path.name)}")
        os.rename(path, gone)
        shutil.rmtree(gone, ignore_errors=True)


def _fresh(name: str) -> str:
    """Give a temporary name another token."""
    return f"{name.removesuffix(TEMPORARY_SUFFIX)[:-8]}{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left behind while they made this output, and say so.

    What another machine left is only named: its locks may not be seen here. A folder that was to be replaced when
    its maker was killed gets its name back.
    """
    pattern = re.compile(rf"\.{re.escape(_stem(path))}\.([A-Za-z0-9_-]*)-[0-9a-f]{{8}}\.pct-(tmp|old)")
    folder = path.absolute().parent
    with suppress(OSError):
        found = [(match, entry.path) for entry in os.scandir(folder) if (match := pattern.fullmatch(entry.name))]
        # Of several old folders, the last.
        for match, name in sorted(found, key=lambda item: os.lstat(item[1]).st_mtime, reverse=True):
            if match[2] == "old" and not os.path.lexists(path):
                os.rename(name, path)
                logger.warning("%s was about to be replaced when that was interrupted; it is put back", path)
            elif match[1] != host_name():
                logger.info("%s is there from a run on %s; if that has ended, remove it", name, match[1])
            elif remove_dead(Path(name)):
                logger.info("removed %s, which an interrupted run left behind", name)


def remove_dead(temporary: Path) -> bool:
    """Remove a temporary name if nobody holds its lock; says whether it did."""
    with suppress(OSError):
        descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if try_lock(descriptor) and is_still(descriptor, temporary):
                discard(temporary)
                return True
        finally:
            os.close(descriptor)
    return False
