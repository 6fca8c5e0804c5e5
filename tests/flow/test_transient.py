"""Which faults are said to pass, so that a part is tried again: those of the operating system, by their number."""

from __future__ import annotations

import errno
import pickle

import pytest
from pycytominer_transform.common import errors

TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENETUNREACH, errno.ECONNRESET, errno.EINTR)
LASTING = (errno.ENOSPC, errno.EACCES, errno.ENOENT, errno.EROFS, errno.EDQUOT, errno.EISDIR, errno.EPIPE)


@pytest.mark.parametrize("number", [*TRANSIENT, *LASTING], ids=lambda number: errno.errorcode[number])
def test_an_error_of_the_system_passes_by_its_number(number: int) -> None:
    raised = OSError(number, "told")
    described = errors.describe_os_error(raised, "read Cells.csv")
    assert errors.is_transient(raised) is errors.is_transient(described) is (number in TRANSIENT)
    assert isinstance(described, errors.StorageError)
    assert str(described) == "cannot read Cells.csv: told"


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionError("reset by peer"), True),
        (TimeoutError("no answer"), True),
        (errors.TransientStorageError("slow down"), True),
        (errors.StorageError("full"), False),
        (errors.DataError("row 3"), False),
        (errors.UsageError("--sql"), False),
        (MemoryError(), False),
        (ValueError("a defect"), False),
        (KeyboardInterrupt(), False),
    ],
    ids=repr,
)
def test_other_errors(error: BaseException, transient: bool) -> None:
    assert errors.is_transient(error) is transient
    assert errors.is_transient(pickle.loads(pickle.dumps(error))) is transient
