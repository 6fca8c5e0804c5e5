"""Opening `.npz` files: zip archives of `.npy` arrays, read without trusting what they say of themselves.

Sources: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html (the format of an array), APPNOTE.TXT of
PKWARE (zip).
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from pycytominer_transform.common.errors import DataError, describe_os_error
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.reporting import size as shown_size

SUFFIX = ".npz"
NUMBER_TYPES = {f"{kind}{width}": width for kind in "iu" for width in (1, 2, 4, 8)} | {"f4": 4, "f8": 8}
"""The numbers that an array may hold, by NumPy's letters, and their bytes."""

_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 10_000  # NumPy's own limit.
_MOST_OBJECT = 1 << 20
_BLOCK_BYTES = 1 << 20
_ENTRY = r"'(?:descr'\s*:\s*'[^'\\]{1,16}'|fortran_order'\s*:\s*(?:True|False)|shape'\s*:\s*\([\d\s,L]*\))"
_HEADER = re.compile(rf"\{{\s*{_ENTRY}\s*,\s*{_ENTRY}\s*,\s*{_ENTRY}\s*,?\s*\}}\s*")
_KEYS = re.compile(r"'(descr|fortran_order|shape)'\s*:\s*('[^']*'|True|False|\([^)]*\))")
_FAULTS = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, ValueError,
    OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class NpyHeader:
    """What an array's header says.

    Attributes
    ----------
    kind : str
        NumPy's letter and width, ``f4``; ``O`` for pickled objects.
    big_endian : bool
        Whether the bytes of a number begin with its most significant one.
    columns_first : bool
        Whether a column's values lie side by side (Fortran's order), rather than a row's.
    start : int
        Bytes of header before the data.
    """

    kind: str
    big_endian: bool
    columns_first: bool
    shape: tuple[int, ...]
    start: int

    @property
    def bytes(self) -> int:
        """Bytes that the data of this shape take."""
        return math.prod(self.shape) * NUMBER_TYPES[self.kind]


def parse_npy_header(first: bytes) -> NpyHeader:
    """Read the header of a `.npy` file from its first bytes.

    Raises
    ------
    ValueError
        They are none, or those of an array of something else than numbers or objects.
    """
    if first[:6] != _MAGIC or len(first) < 12:
        raise ValueError("is no NumPy array")
    version = first[6]
    if version not in (1, 2, 3):
        raise ValueError(f"is of version {version} of NumPy's format, which is not known")
    length, start = (
        (struct.unpack("<H", first[8:10])[0], 10) if version == 1 else (*struct.unpack("<I", first[8:12]), 12)
    )
    text = first[start : start + length].decode("utf-8" if version == 3 else "latin-1")
    if length > _MOST_HEADER or len(first) < start + length:
        raise ValueError("has a header that is cut off or too long")
    keys = dict(_KEYS.findall(text)) if _HEADER.fullmatch(text) else {}
    if len(keys) < 3:
        raise ValueError("has a header that does not say what a plain array of numbers is")
    letters = keys["descr"].strip("'")
    order, kind = (letters[0], letters[1:]) if letters[0] in "<>|=" else ("=", letters)
    if kind not in NUMBER_TYPES and kind != "O":
        raise ValueError(f"holds values of type {letters!r}, not numbers")
    shape = tuple(int(number.rstrip("L")) for number in re.findall(r"\d+L?", keys["shape"]))
    return NpyHeader(kind, order == ">", keys["fortran_order"] == "True", shape, start + length)


@dataclass
class NpzFile:
    """An open `.npz` file; `shown` is how messages call it."""

    shown: str
    _zip: zipfile.ZipFile
    _members: dict[str, zipfile.ZipInfo]

    @property
    def inflated(self) -> int:
        """Bytes that its members say they inflate to."""
        return sum(member.file_size for member in self._members.values())

    def __contains__(self, name: str) -> bool:
        """Say whether there is an array of that name."""
        return f"{name}.npy" in self._members

    def header(self, name: str) -> NpyHeader:
        """Read the header of an array, and check it against the size of the member.

        Raises
        ------
        DataError
            It is damaged, or the data have another size than its shape says.
        """
        member = self._member(name)
        with self._faults(name), self._zip.open(member) as file:
            header = parse_npy_header(file.read(_MOST_HEADER + 12))
        if header.kind != "O" and header.start + header.bytes != member.file_size:
            raise DataError(
                f"{self.shown}: its member {name} says it is an array of shape {_shape(header)}, which is "
                f"{header.bytes} bytes, but holds {member.file_size - header.start}; it is damaged"
            )
        return header

    def data(self, name: str, header: NpyHeader) -> bytearray:
        """Read the data of an array of numbers.

        Raises
        ------
        DataError
            It is damaged or cut off.
        """
        return self._read(name, header.start, header.start + header.bytes)

    def pickled(self, name: str) -> bytes:
        """Read the pickle of one object; it must be small.

        Raises
        ------
        DataError
            It is no single object, or too large for what describes an image.
        """
        header, size = self.header(name), self._member(name).file_size
        if header.kind != "O" or header.shape:
            raise DataError(f"{self.shown}: its member {name} is not one object but an array of shape {_shape(header)}")
        if size > _MOST_OBJECT:
            raise DataError(f"{self.shown}: its member {name} inflates to {size} bytes, more than {_MOST_OBJECT}")
        return bytes(self._read(name, header.start, size))

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self:
            there = ", ".join(sorted(self._members)[:6]) or "nothing"
            raise DataError(f"{self.shown}: there is no member {name} in it (there is {there!r})")
        return self._members[f"{name}.npy"]

    def _read(self, name: str, start: int, end: int) -> bytearray:
        found = bytearray()
        with self._faults(name), self._zip.open(self._member(name)) as file:
            # Block by block: what a file says of its size is not believed before the bytes are there.
            while block := file.read(_BLOCK_BYTES):
                found += block
        if len(found) != end:
            raise DataError(f"{self.shown}: its member {name} is cut off or damaged")
        del found[:start]
        return found

    @contextmanager
    def _faults(self, name: str) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except _FAULTS as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self.shown}: its member {name} cannot be read: {said}") from error


@contextmanager
def open_npz(path: Place, shown: str, *, max_inflate: int = 0) -> Iterator[NpzFile]:
    """Open an `.npz` file.

    Parameters
    ----------
    max_inflate : int
        Bytes that its members together may inflate to; 0 for any, where only headers are to be read.

    Raises
    ------
    DataError
        It is no such file, is cut off, or would inflate to too much.
    StorageError
        It cannot be opened.
    """
    try:
        with path.open("rb") as file, _archive(file, shown) as archive:
            npz = NpzFile(shown, archive, _members(archive, shown))
            if max_inflate and npz.inflated > max_inflate:
                figures = f"{shown_size(npz.inflated)} ({npz.inflated} bytes), more than the {max_inflate} allowed"
                raise DataError(f"{shown}: inflates to {figures}; if it is no bomb, allow more with --max-inflate")
            yield npz
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise describe_os_error(error, f"read {path}") from error


def _archive(file: BinaryIO, shown: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _FAULTS as error:
        file.seek(0)
        first = file.read(4)
        what = "is cut off or damaged" if first[:2] == b"PK" else "is empty" if not first else "is not an .npz file"
        raise DataError(f"{shown}: {what}") from error


def _members(archive: zipfile.ZipFile, shown: str) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if member.filename in members:
            raise DataError(f"{shown}: holds the member {member.filename!r} twice; it is damaged")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
            raise DataError(f"{shown}: its member {member.filename!r} is packed in a way that NumPy does not write")
        members[member.filename] = member
    return members


def _shape(header: NpyHeader) -> str:
    return f"({', '.join(map(str, header.shape))})"
