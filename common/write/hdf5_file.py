"""A file for HDF5, whose writes fail only afterwards."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py


@contextmanager
def hdf5_file(path: Path) -> Iterator[tuple[h5py.File, UnfailingFile]]:
    """Open a file that exists, to write it anew.

    Raises
    ------
    OSError
        A write failed; also from the file's `raise_error`, to be called from time to time.
    """
    import h5py

    with path.open("r+b", buffering=0) as raw, UnfailingFile(raw) as file:
        try:
            with h5py.File(file, "w") as root:
                yield root, file
        finally:
            file.raise_error()


class UnfailingFile(io.RawIOBase):
    """A file whose writes fail only afterwards, in `raise_error`.

    After a failed write, HDF5 can neither be closed nor tell the reason in a way that a program understands.
    """

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._error: OSError | None = None

    def raise_error(self) -> None:
        """Raise the error of the first write that failed."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place."""
        return self._raw.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        return self._raw.readinto(buffer) or 0

    def write(self, content: Any) -> int:
        """Write all of a buffer."""
        size = len(content)
        with self._kept_error():
            while len(content):
                content = content[self._raw.write(content) :]
        return size

    def truncate(self, size: int | None = None) -> int:
        """Cut the file, or make it longer."""
        with self._kept_error():
            return self._raw.truncate(size)
        return size or 0

    @contextmanager
    def _kept_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error
