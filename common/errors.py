"""The tree of errors, and the exit code of each."""

from __future__ import annotations

import errno

EXIT_DONE = 0
EXIT_DATA = 1
EXIT_USAGE = 2
EXIT_DEFECT = 70
EXIT_CLOSED_PIPE = 141

# Transient errors of a store, a network or a busy machine.
_TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "EINTR", "EIO",
        "ENETDOWN", "ENETRESET", "ENETUNREACH", "ENOTCONN", "EREMOTEIO", "ESHUTDOWN", "ESTALE", "ETIMEDOUT",
    )
    if hasattr(errno, name)
)  # fmt: skip


class PctError(Exception):
    """An error for the user; its text is one line: what failed, where, and what to do.

    Attributes
    ----------
    exit_code : int
        Exit code of a tool that ends with this error.
    is_transient : bool
        Whether a retry may succeed.
    """

    exit_code = EXIT_DATA
    is_transient = False


class UsageError(PctError, ValueError):
    """The command line, a preset or a query is wrong."""

    exit_code = EXIT_USAGE


class DataError(PctError, ValueError):
    """A measurement file cannot be converted exactly."""


class BadDatasetError(DataError):
    """One dataset of many cannot be converted; ``--on-bad-dataset skip`` goes on without it.

    Attributes
    ----------
    dataset : str
        Its name, where the message alone would not do.
    """

    dataset = ""


class BadValueError(DataError):
    """A text in a number column; names file, row and column."""


class SourceNotFoundError(PctError, FileNotFoundError):
    """The source does not exist."""


class SourceChangedError(DataError):
    """A measurement file is no longer the one that the manifest describes."""


class StageEndedEarlyError(DataError, EOFError):
    """An Arrow stream ends without its closing record, or with other counts than that record gives."""


class DestinationExistsError(PctError, FileExistsError):
    """The output exists and ``--overwrite`` was not given."""


class StorageError(PctError, OSError):
    """A disk or a mount refused: full, unreadable, unwritable."""


class TransientStorageError(StorageError):
    """A transient error of a disk, a mount, a store or a network: a timeout, a lost connection."""

    is_transient = True


class WorkDirInUseError(PctError, BlockingIOError):
    """Another process works in the folder where a flow's parts lie."""


class FailedPartsError(PctError, RuntimeError):
    """Some parts of a flow failed; the others' work is kept.

    Attributes
    ----------
    work_dir : str
        Value of ``--work-dir`` to resume with, if the same command alone would not resume.
    """

    work_dir = ""


class FailedCheckError(PctError, RuntimeError):
    """A condition of ``pct-report --fail-if`` is true."""


class TerminatedError(BaseException):
    """SIGTERM arrived; derives from BaseException so that only clean-up code sees it."""


class TimedOutError(TerminatedError):
    """The time of ``--timeout`` is over."""


class HangUpError(TerminatedError):
    """SIGHUP arrived: the terminal was closed."""


def is_transient(error: BaseException) -> bool:
    """Return whether an error is transient, so that a retry may succeed."""
    if isinstance(error, PctError):
        return error.is_transient
    return isinstance(error, OSError) and (
        error.errno in _TRANSIENT or (isinstance(error, (ConnectionError, TimeoutError)) and error.errno is None)
    )


def describe_os_error(error: OSError, doing: str) -> StorageError:
    """Return the `StorageError` for an error of the operating system; a `PctError` is raised as it is.

    Parameters
    ----------
    error : OSError
        The error of the operating system.
    doing : str
        The verb and the file, such as ``"read /plate/Cells.csv"``.
    """
    if isinstance(error, PctError):
        raise error
    reason = error.strerror or str(error) or type(error).__name__
    return (TransientStorageError if is_transient(error) else StorageError)(f"cannot {doing}: {reason}")
