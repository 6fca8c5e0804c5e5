"""`.npz` files: zip archives of NumPy arrays, whose sizes are checked before they are read.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html (the format of an array).
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from pycytominer_transform.common.errors import DataError, describe_os_error
from pycytominer_transform.common.runtime.messages import size as size_text
from pycytominer_transform.common.storage.location import Location

if TYPE_CHECKING:
    import numpy as np

SUFFIX = ".npz"

_MAX_HEADER = 10_012
"""NumPy's own limit of a header, and the bytes before it."""
_MAX_OBJECT = 1 << 20
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class ArrayHeader:
    """The shape and the type of an array, and the bytes of the header before its data."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def bytes(self) -> int:
        """Bytes of the data."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass
class NpzFile:
    """An open `.npz` file; `shown` is its name in messages."""

    shown: str
    _zip: zipfile.ZipFile

    @property
    def inflated(self) -> int:
        """Bytes that its members inflate to, as the archive states."""
        return sum(member.file_size for member in self._zip.infolist())

    def __contains__(self, name: str) -> bool:
        """Return whether there is an array of that name."""
        return f"{name}.npy" in self._zip.namelist()

    def header(self, name: str) -> ArrayHeader:
        """Read the header of an array, and check it against the size of the member.

        Raises
        ------
        DataError
            It is damaged, or the data have another size than its shape says.
        """
        with self._open(name) as (member, file):
            # No more than a header's bytes: its own length may be wrong.
            header = _read_header(io.BytesIO(file.read(_MAX_HEADER)))
        if not header.dtype.hasobject and header.start + header.bytes != member.file_size:
            raise DataError(
                f"{self.shown}: its member {name} says it is an array of shape {header.shape}, which is "
                f"{header.bytes} bytes, but holds {member.file_size - header.start}; it is damaged"
            )
        return header

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """Read an array of numbers whose header was checked by `header`.

        Raises
        ------
        DataError
            It is damaged or cut off.
        """
        from numpy.lib import format as npy

        return npy.read_array(io.BytesIO(self._read(name)), allow_pickle=False)

    def pickled(self, name: str) -> bytes:
        """Read the pickle of one object, without loading it.

        Raises
        ------
        DataError
            It is no single object, or larger than the description of an image.
        """
        header = self.header(name)
        if not header.dtype.hasobject or header.shape:
            raise DataError(f"{self.shown}: its member {name} is not one object but an array of shape {header.shape}")
        size = self._zip.getinfo(f"{name}.npy").file_size
        if size > _MAX_OBJECT:
            raise DataError(f"{self.shown}: its member {name} inflates to {size} bytes, more than {_MAX_OBJECT}")
        return bytes(self._read(name)[header.start :])

    def _read(self, name: str) -> bytearray:
        content = bytearray()
        with self._open(name) as (member, file):
            # Block by block: memory is taken for the bytes that are there, not for the size that the file names.
            while block := file.read(_BLOCK_BYTES):
                content += block
            if len(content) != member.file_size:
                raise ValueError("is cut off")
        return content

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[zipfile.ZipInfo, Any]]:
        if name not in self:
            members = ", ".join(sorted(self._zip.namelist())[:6]) or "nothing"
            raise DataError(f"{self.shown}: there is no member {name} in it (there is {members!r})")
        member = self._zip.getinfo(f"{name}.npy")
        try:
            with self._zip.open(member) as file:
                yield member, file
        except OSError:
            raise
        except Exception as error:  # NumPy and zipfile fail in many ways on a damaged file.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(f"{self.shown}: its member {name} cannot be read: {reason}") from error


def _read_header(file: BinaryIO) -> ArrayHeader:
    from numpy.lib import format as npy

    # NumPy reads the headers that Python 2 wrote, with a warning that a user can do nothing about.
    warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required additional header", UserWarning)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"is of version {version[0]} of NumPy's format, which numbers are not written in")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.kind not in "iufO" or dtype.itemsize not in (1, 2, 4, 8) or dtype.str[1:] == "f2":
        raise ValueError(f"has a header of values of type {dtype.str!r}, not of numbers")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"has a header with the shape {shape}")
    return ArrayHeader(shape, dtype, file.tell())


@contextmanager
def open_npz(path: Location, shown: str, *, max_inflate: int = 0) -> Iterator[NpzFile]:
    """Open an `.npz` file.

    Parameters
    ----------
    max_inflate : int
        Bytes that its members together may inflate to; 0 for any, where only headers are to be read.

    Raises
    ------
    DataError
        It is no `.npz` file, is cut off, or would inflate to too much.
    StorageError
        It cannot be opened.
    """
    try:
        with path.open("rb") as file, _open_zip(file, shown) as archive:
            npz = NpzFile(shown, archive)
            if max_inflate and npz.inflated > max_inflate:
                figures = f"{size_text(npz.inflated)} ({npz.inflated} bytes), more than the {max_inflate} allowed"
                raise DataError(f"{shown}: inflates to {figures}; if it is no bomb, allow more with --max-inflate")
            yield npz
    except OSError as error:
        raise describe_os_error(error, f"read {path}") from error


def _open_zip(file: BinaryIO, shown: str) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(file)
    except OSError:
        raise
    except Exception as error:  # zipfile fails in many ways on a damaged file.
        file.seek(0)
        start = file.read(4)
        fault = "is cut off or damaged" if start[:2] == b"PK" else "is not an .npz file" if start else "is empty"
        raise DataError(f"{shown}: {fault}") from error
    if repeated := [name for name, number in Counter(archive.namelist()).items() if number > 1]:
        raise DataError(f"{shown}: holds the member {repeated[0]!r} twice; it is damaged")
    for member in archive.infolist():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
            raise DataError(f"{shown}: its member {member.filename!r} is packed in a way that NumPy does not write")
    return archive
