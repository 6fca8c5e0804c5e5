"""Where a stage's bytes come from and go to: paths, and the standard streams kept for data alone."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pycytominer_transform.common.errors import (
    DataError,
    PctError,
    SourceNotFoundError,
    UsageError,
    describe_os_error,
)
from pycytominer_transform.common.place import Place, named_place
from pycytominer_transform.common.storage_options import StorageOptions

STANDARD = "-"
_PIPE_BYTES = 1 << 20


@contextmanager
def reading(path: Place) -> Iterator[None]:
    """Give what the operating system says while a path is read the form of our errors."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, DataError):
            raise
        raise describe_os_error(error, f"read {path}") from error


@contextmanager
def open_input(path: str, wanted: str, storage: StorageOptions | None = None) -> Iterator[BinaryIO]:
    """Open a stage's input: a file or an object, or standard input where the path is ``-``.

    Raises
    ------
    UsageError
        Standard input is a terminal.
    """
    if path == STANDARD:
        if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
            raise UsageError(f"nothing to read: give a path to {wanted}, or pipe it in")
        grow_pipe(0)
        yield io.BufferedReader(io.FileIO(0, "rb", closefd=False), 1 << 16)
        return
    place = named_place(path, storage)
    with reading(place), place.open("rb") as file:
        yield file


def read_small_file(path: str, what: str, storage: StorageOptions | None = None) -> bytes:
    """Read all of a file or an object that the command line names.

    Parameters
    ----------
    path : str
        Where it is.
    what : str
        What it is, for messages: ``"the platemap"``.

    Raises
    ------
    UsageError
        It is not there, or cannot be read.
    StorageError
        The cloud store refused.
    """
    try:
        return named_place(path, storage).read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, PctError) and not isinstance(error, SourceNotFoundError):
            raise
        raise UsageError(f"cannot read {what} {path}: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def open_standard_output(what: str = "Arrow") -> Iterator[BinaryIO]:
    """Open standard output for data, Arrow or whatever `what` names.

    While it is open, descriptor 1 points at stderr, so that nothing else that prints can mix with the data.

    Raises
    ------
    UsageError
        Standard output is a terminal.
    """
    if os.isatty(1):
        raise UsageError(f"the output is {what}, not text: give -o PATH, or pipe it on")
    grow_pipe(1)
    private = os.dup(1)
    os.dup2(2, 1)
    try:
        with io.FileIO(private, "wb", closefd=False) as raw, io.BufferedWriter(raw, 1 << 16) as buffered:
            yield buffered
            buffered.flush()
    finally:
        os.dup2(private, 1)
        os.close(private)


def grow_pipe(descriptor: int) -> None:
    """Let a pipe hold more, so that two stages wait for each other less; nothing where it is no pipe."""
    import fcntl

    if hasattr(fcntl, "F_SETPIPE_SZ") and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            return  # The user's limit on pipe memory is reached; the default size does.
