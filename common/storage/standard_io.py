"""A stage's input and output: paths, and the standard streams, which carry data alone."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import BinaryIO

from pycytominer_transform.common.errors import PctError, SourceNotFoundError, UsageError
from pycytominer_transform.common.runtime.messages import size
from pycytominer_transform.common.storage.destination import OutputFolder, storage_errors
from pycytominer_transform.common.storage.location import LocalLocation, Location, named_location
from pycytominer_transform.common.storage.options import StorageOptions

Sink = BinaryIO | OutputFolder | None
"""A stream, a folder or prefix that is being filled, or memory."""
STANDARD = "-"
_OTHER_SUFFIXES = frozenset(".parquet .pq .csv .tsv .txt .gz .h5ad .json .xlsx .zarr .sqlite .db .arrow".split())
"""Of files that nobody would expect a stage's own output in; other names may have dots in them."""
_PIPE_BYTES = 1 << 20
_MOST_BYTES = 50_000_000
"""Of a file that an option names."""


@contextmanager
def open_input(path: str, what: str, storage: StorageOptions | None = None) -> Iterator[BinaryIO]:
    """Open a file or an object to read, or standard input for ``-``; `what` names it in messages.

    Raises
    ------
    UsageError
        Standard input is a terminal.
    """
    if path == STANDARD:
        if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
            raise UsageError(f"nothing to read: give a path to {what}, or pipe it in")
        grow_pipe(0)
        yield io.BufferedReader(io.FileIO(0, "rb", closefd=False), 1 << 16)
        return
    place = named_location(path, storage)
    with storage_errors(place, "read"), _opened(place) as file:
        yield file


def _opened(place: Location) -> BinaryIO:
    """Open what the command line names, which may be a pipe: ``pct-join <(pct-extract ...)``."""
    return open(place, "rb") if isinstance(place, LocalLocation) else place.open("rb")


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
        It is missing, cannot be read, or is larger than any such file.
    StorageError
        The cloud store refused.
    """
    try:
        with _opened(named_location(path, storage)) as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it is larger than {size(_MOST_BYTES)}")
        return content
    except (OSError, ValueError) as error:
        if isinstance(error, PctError) and not isinstance(error, SourceNotFoundError):
            raise
        raise UsageError(f"cannot read {what} {path}: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def open_standard_output(what: str = "Arrow") -> Iterator[BinaryIO]:
    """Open standard output for data; `what` names their format in messages.

    While it is open, descriptor 1 points at stderr, so that nothing else that prints can mix with the data.

    Raises
    ------
    UsageError
        Standard output is a terminal, or closed.
    """
    if sys.stdout is None:
        raise UsageError(f"standard output is closed: give -o PATH for {what}, or pipe it on")
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


@contextmanager
def open_output(
    output: str | None, is_ours: Callable[[str], bool], *, what: str, overwrite: bool, sync: bool,
    storage: StorageOptions | None,
) -> Iterator[Sink]:  # fmt: skip
    """Open an output before anything is read: a stream, a folder that is there when the block ends well, or memory.

    Parameters
    ----------
    output : str, optional
        A path or a prefix; ``-`` for standard output; None for memory.
    is_ours : callable
        Whether an entry of a folder is one that this program wrote, and may be overwritten.
    what : str
        What the output is, for messages.
    sync : bool
        Wait until a folder is on the disk.

    Raises
    ------
    UsageError
        Standard output is a terminal, or the output is named like another kind of file.
    DestinationExistsError, StorageError
        The output exists, or the disk or the store refuses.
    """
    if output is None:
        yield None
    elif output == STANDARD:
        with open_standard_output() as stream:
            yield stream
    else:
        place = named_location(output, storage)
        place.check_destination(overwrite=overwrite, is_folder=True)
        with place.complete_folder(overwrite=overwrite, is_ours=is_ours, lasting=sync) as folder:
            check_suffix(output, place, what)
            yield folder


def check_suffix(output: str, place: Location, what: str, suffix: str = "") -> None:
    """Refuse the name of another kind of file, so that nobody gets what its name does not say.

    Parameters
    ----------
    suffix : str
        That of a file; empty for a folder, which may have any name before a ``/``.

    Raises
    ------
    UsageError
        It is named so.
    """
    found = PurePosixPath(place.name).suffix
    if found.lower() not in _OTHER_SUFFIXES - {suffix} or place.is_dir() or (output.endswith("/") and not suffix):
        return
    bare = output.rstrip("/").removesuffix(found)
    if suffix:
        raise UsageError(f"{output}: {what} is an Arrow file; give {bare}{suffix}")
    raise UsageError(f"{output}: the output is {what}, a folder; give {bare}, or {output}/ for a folder of this name")


def grow_pipe(descriptor: int) -> None:
    """Enlarge the buffer of a pipe, so that two stages wait for each other less; do nothing if it is no pipe."""
    import fcntl

    if hasattr(fcntl, "F_SETPIPE_SZ") and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        with suppress(OSError):  # The user's limit on pipe memory is reached; the default size does.
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
