"""Reading objects: each read is a request for a range of the version that was listed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from pycytominer_transform.common.storage.cloud.object_store import ObjectStore, StoredObject
from pycytominer_transform.common.storage.cloud.request_retries import retried

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LEAST_BYTES, _MOST_BYTES = 1 << 16, 1 << 24
"""Size of one request."""
_MOST_PIECES = 2
_REQUESTS = 16
_MOST_AHEAD, _MOST_BEHIND = 128, 16

Pieces = list[tuple[int, bytes]]
"""Some ranges of an object's bytes, each with its first position."""


class ObjectReader(io.RawIOBase):
    """The bytes of an object, as a file that can be read from any position."""

    def __init__(self, store: ObjectStore, stored: StoredObject, pieces: Pieces) -> None:
        super().__init__()
        self._store = store
        self._stored = stored
        self._position = 0
        self._pieces = pieces

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it."""
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._stored.size}[whence]
        if position < 0:
            raise OSError(22, "Invalid argument")
        self._position = position
        return position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read the next bytes into a buffer."""
        into = memoryview(buffer).cast("B")
        if not len(into) or self._position >= self._stored.size:
            return 0
        content = self._from_pieces(len(into))
        if not content:
            start = self._position
            # The first pieces are kept, such as the list of members at the end of an archive.
            size = min(max(len(into), LEAST_BYTES), _MOST_BYTES)
            self._pieces[_MOST_PIECES:] = [(start, _request(self._store, self._stored, start, start + size))]
            content = self._from_pieces(len(into))
        into[: len(content)] = content
        self._position += len(content)
        return len(content)

    def readall(self) -> bytes:
        """Read all bytes that follow."""
        content = []
        while self._position < self._stored.size:
            content.append(_request(self._store, self._stored, self._position, self._position + _MOST_BYTES))
            self._position += len(content[-1])
        # Most objects are one piece, which need not be copied.
        return content[0] if len(content) == 1 else b"".join(content)

    def _from_pieces(self, most: int) -> bytes:
        """Return the next bytes as far as a piece has them."""
        for start, piece in reversed(self._pieces):
            if start <= self._position < start + len(piece):
                return piece[self._position - start : self._position - start + most]
        return b""


class Prefetch:
    """Prefetches the first and last bytes of many objects, which are used in nearly the order given.

    Parameters
    ----------
    objects : sequence of StoredObject
        The objects that will be read.
    first, last : int
        Bytes at each object's beginning and end.
    """

    def __init__(self, store: ObjectStore, objects: Sequence[StoredObject], first: int, last: int) -> None:
        self._store = store
        self._first = first
        self._last = last
        self._objects = objects
        self._place_of = {stored.key: place for place, stored in enumerate(objects)}
        self._requested: dict[int, Future[Pieces]] = {}
        self._next = 0
        self._pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="prefetch")

    def take(self, key: str) -> Pieces:
        """Wait for the bytes of an object and return them; none if the request failed or they were taken before."""
        place = self._place_of.get(key, -1)
        while 0 <= place and self._next < min(place + _MOST_AHEAD, len(self._objects)):
            self._requested[self._next] = self._pool.submit(self._read, self._objects[self._next])
            self._next += 1
        for passed_over in [earlier for earlier in self._requested if earlier < place - _MOST_BEHIND]:
            self._requested.pop(passed_over).cancel()
        request = self._requested.pop(place, None)
        return request.result() if request is not None and request.exception() is None else []

    def close(self) -> None:
        """Request nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, stored: StoredObject) -> Pieces:
        ranges = [(0, self._first), (stored.size - self._last, stored.size)]
        if stored.size <= self._first + self._last:
            ranges = [(0, stored.size)]
        return [(start, _request(self._store, stored, start, end)) for start, end in ranges if start < end]


def _request(store: ObjectStore, stored: StoredObject, start: int, end: int) -> bytes:
    return retried(lambda: store.read(stored, start, min(end, stored.size)))
