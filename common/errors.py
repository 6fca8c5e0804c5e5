"""What can go wrong, and the exit code each kind of fault ends a tool with."""

from __future__ import annotations

import errno

EXIT_DONE = 0
EXIT_DATA = 1
EXIT_USAGE = 2
EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
EXIT_TERMINATED = 143

# What a store, a network or a busy machine says of a fault that may be gone in a moment.
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "EINTR", "EIO",
        "ENETDOWN", "ENETRESET", "ENETUNREACH", "ENOTCONN", "EREMOTEIO", "ESHUTDOWN", "ESTALE", "ETIMEDOUT",
    )
    if hasattr(errno, name)
)  # fmt: skip


class PctError(Exception):
    """A fault that is not ours; its text is one line: what failed, where, and what to do.

    Attributes
    ----------
    exit_code : int
        What a command-line tool exits with when this reaches its end.
    is_passing : bool
        The fault may be gone in a moment, so that trying again makes sense.
    """

    exit_code = EXIT_DATA
    is_passing = False


class UsageError(PctError, ValueError):
    """The command line, a preset or a query asks for something that does not make sense."""

    exit_code = EXIT_USAGE


class DataError(PctError, ValueError):
    """The measurement files hold something that cannot be converted exactly."""


class BadDatasetError(DataError):
    """One dataset of many cannot be converted; ``--on-bad-dataset skip`` goes on without it."""


class BadValueError(DataError):
    """A text in a number column; names file, row and column."""


class SourceNotFoundError(PctError, FileNotFoundError):
    """There is nothing at the path that was given."""


class SourceChangedError(DataError):
    """A measurement file is no longer the one that the manifest describes."""


class StageEndedEarlyError(DataError, EOFError):
    """An Arrow stream ends without its closing record, or with other counts than that record gives."""


class DestinationExistsError(PctError, FileExistsError):
    """The output is there already and ``--overwrite`` was not given."""


class StorageError(PctError, OSError):
    """A disk or a mount refused: full, unreadable, unwritable."""


class PassingStorageError(StorageError):
    """A disk, a mount, a store or a network refused for a reason that may pass: a timeout, a lost connection."""

    is_passing = True


class WorkDirInUseError(PctError, BlockingIOError):
    """Another process works in the folder where a flow's parts lie."""


class FailedPartsError(PctError, RuntimeError):
    """Some parts of a flow failed; the others' work is kept."""


class TerminatedError(BaseException):
    """SIGTERM arrived; derives from BaseException so that only clean-up code sees it."""


def is_passing(error: BaseException) -> bool:
    """Say whether a fault may be gone in a moment, so that the same work may succeed when it is tried again."""
    if isinstance(error, PctError):
        return error.is_passing
    return isinstance(error, OSError) and (
        error.errno in _PASSING or (isinstance(error, (ConnectionError, TimeoutError)) and error.errno is None)
    )


def describe_os_error(error: OSError, doing: str) -> StorageError:
    """Give an operating system's error the form of ours; one that has it already is raised as it is.

    Parameters
    ----------
    error : OSError
        What the operating system said.
    doing : str
        What was being done to what, such as ``"read /plate/Cells.csv"``.
    """
    if isinstance(error, PctError):
        raise error
    reason = error.strerror or str(error) or type(error).__name__
    return (PassingStorageError if is_passing(error) else StorageError)(f"cannot {doing}: {reason}")
