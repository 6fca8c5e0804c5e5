"""A prefix or an object of a cloud store, as much like a `pathlib.Path` as reading a source takes.

A prefix is listed once, flat. What is read is asked for by range, and of the object that was listed alone: one that has
changed since is an error, never a mixture of two.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pycytominer_transform.common.cloud_uri import CloudUri
from pycytominer_transform.common.errors import DataError, SourceNotFoundError
from pycytominer_transform.common.look_ahead import LookAhead, Pieces
from pycytominer_transform.common.object_store import ObjectStore, StoredObject, open_store
from pycytominer_transform.common.retrying import retried
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LEAST_BYTES, _MOST_BYTES = 1 << 16, 1 << 24
"""Of one request."""
_MOST_PIECES = 2


_MARK = re.compile(r"[\x21-\x7e]+")


class Status(NamedTuple):
    """As much of `os.stat_result` as an object has."""

    st_size: int


class CloudPlace:
    """A prefix or an object.

    Parameters
    ----------
    uri : CloudUri
        What it is called.
    options : StorageOptions
        How its store is reached.
    stored : StoredObject, optional
        The object, where it is known already.
    """

    def __init__(self, uri: CloudUri, options: StorageOptions, stored: StoredObject | None = None) -> None:
        self.uri = uri
        self.options = options
        self._known = stored
        self._ahead: LookAhead | None = None

    def __str__(self) -> str:
        """Write it as a URI."""
        return str(self.uri)

    def __truediv__(self, relative: str) -> CloudPlace:
        """Give what lies under a prefix; known at once where the prefix has been listed."""
        if relative == ".":
            return self
        key = f"{self.uri.key}/{relative}" if self.uri.key else relative
        stored = self.objects.get(relative) if "objects" in self.__dict__ else None
        inner = CloudPlace(CloudUri(self.uri.scheme, self.uri.bucket, key), self.options, stored)
        inner._ahead = self._ahead
        return inner

    @contextmanager
    def looking_ahead(self, relatives: Iterable[str], *, first: int, last: int) -> Iterator[None]:
        """Have the first and last bytes of what lies under a prefix ready when it is opened, in this order."""
        wanted = [self.objects[relative] for relative in relatives if relative in self.objects]
        with LookAhead(self.store, wanted, first, last) as self._ahead:
            yield
        self._ahead = None

    @property
    def name(self) -> str:
        """The last component; the bucket's name for a whole bucket."""
        return PurePosixPath(self.uri.key).name or self.uri.bucket

    @property
    def suffix(self) -> str:
        """The name's ending, with its dot."""
        return PurePosixPath(self.name).suffix

    def as_posix(self) -> str:
        """Write it as a URI."""
        return str(self.uri)

    @property
    def store(self) -> ObjectStore:
        """The bucket it lies in."""
        return open_store(self.uri, self.options)

    @cached_property
    def objects(self) -> Mapping[str, StoredObject]:
        """What lies under a prefix, by the keys' rest behind it; without the empty objects that stand for folders."""
        prefix = f"{self.uri.key}/" if self.uri.key else ""
        listed = self.store.listed(prefix)
        return {stored.key[len(prefix) :]: stored for stored in listed if not stored.key.endswith("/")}

    @cached_property
    def stored(self) -> StoredObject | None:
        """The object itself; None where there is none of that name."""
        return self._known or (retried(lambda: self.store.found(self.uri.key)) if self.uri.key else None)

    def as_recorded(self, fingerprint: str) -> CloudPlace:
        """Give the object that a manifest describes, without asking whether it is there still.

        Raises
        ------
        DataError
            The manifest was not made of objects.
        """
        size, _, mark = fingerprint.partition("-")
        if not size.isdecimal() or not _MARK.fullmatch(mark):
            raise DataError(f"{self}: the manifest gives it a fingerprint that is none; run pct-discover again")
        return CloudPlace(self.uri, self.options, StoredObject(self.uri.key, int(size), mark))

    def fingerprint(self) -> tuple[int, str]:
        """Give the object's size in bytes and its fingerprint: size and ETag."""
        stored = self._found()
        return stored.size, f"{stored.size}-{stored.mark}"

    def is_dir(self) -> bool:
        """Say whether anything lies under it."""
        return self._known is None and bool(self.objects)

    def is_file(self) -> bool:
        """Say whether it is an object."""
        return not self.is_dir() and self.stored is not None

    def exists(self) -> bool:
        """Say whether there is anything."""
        return self.is_dir() or self.is_file()

    def is_symlink(self) -> bool:
        """Say that it is no link."""
        return False

    def stat(self) -> Status:
        """Give its size.

        Raises
        ------
        SourceNotFoundError
            There is no such object.
        """
        return Status(self._found().size)

    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO:
        """Open an object for reading; every seek and read is a request, or comes from what the last ones gave."""
        ready = self._ahead.take(self.uri.key) if self._ahead else []
        raw = _ObjectBytes(self.store, self._found(), ready)
        return raw if buffering == 0 else io.BufferedReader(raw, _LEAST_BYTES)  # type: ignore[return-value]

    def read_bytes(self) -> bytes:
        """Read a whole object."""
        with self.open(buffering=0) as file:
            return file.read()

    def local(self) -> Path:
        """Give a file on this machine with the object's content."""
        from pycytominer_transform.common.cloud_cache import cached_file

        return cached_file(self.store, self._found(), self.uri, self.options)

    def _found(self) -> StoredObject:
        if self.stored is None:
            raise SourceNotFoundError(f"{self}: there is no such object")
        return self.stored


class _ObjectBytes(io.RawIOBase):
    """The bytes of an object, as a file that can be read from any place."""

    def __init__(self, store: ObjectStore, stored: StoredObject, ready: Pieces) -> None:
        super().__init__()
        self._store = store
        self._stored = stored
        self._place = 0
        self._held = ready

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it has places."""
        return True

    def tell(self) -> int:
        """Give the place of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._stored.size}[whence]
        if start + offset < 0:
            raise OSError(22, "Invalid argument")
        self._place = start + offset
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read the next bytes into a buffer."""
        into = memoryview(buffer).cast("B")
        if not len(into) or self._place >= self._stored.size:
            return 0
        found = self._ready(len(into))
        if not found:
            wanted = min(max(len(into), _LEAST_BYTES), _MOST_BYTES)
            start, end = self._place, min(self._place + wanted, self._stored.size)
            # What was ready at first stays, such as the list of members at an archive's end.
            self._held[_MOST_PIECES:] = [(start, retried(lambda: self._store.read(self._stored, start, end)))]
            found = self._ready(len(into))
        into[: len(found)] = found
        self._place += len(found)
        return len(found)

    def _ready(self, most: int) -> bytes:
        """Give the next bytes, so far as they are held."""
        for start, piece in reversed(self._held):
            if start <= self._place < start + len(piece):
                return piece[self._place - start : self._place - start + most]
        return b""

    def readall(self) -> bytes:
        """Read all that follows."""
        found = []
        while self._place < self._stored.size:
            start, end = self._place, min(self._place + _MOST_BYTES, self._stored.size)
            found.append(retried(lambda start=start, end=end: self._store.read(self._stored, start, end)))  # type: ignore[misc]
            self._place = end
        # Most objects are one piece, which need not be copied.
        return found[0] if len(found) == 1 else b"".join(found)
