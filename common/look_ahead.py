"""Asking for the beginnings and ends of many objects before they are looked at, since each answer takes its time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pycytominer_transform.common.object_store import ObjectStore, StoredObject
from pycytominer_transform.common.retrying import retried

_REQUESTS = 16
_AHEAD, _BEHIND = 128, 16

Pieces = list[tuple[int, bytes]]
"""Some of an object's bytes: where each run of them begins, and the run."""


class LookAhead:
    """Has the beginnings and ends of the next objects ready; they are taken in the order given, or nearly so.

    Parameters
    ----------
    objects : sequence of StoredObject
        What will be looked at.
    first, last : int
        Bytes of each object's beginning and end.
    """

    def __init__(self, store: ObjectStore, objects: Sequence[StoredObject], first: int, last: int) -> None:
        self._store = store
        self._first = first
        self._last = last
        self._objects = objects
        self._place_of = {stored.key: place for place, stored in enumerate(objects)}
        self._asked: dict[int, Future[Pieces]] = {}
        self._next = 0
        self._pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="look-ahead")

    def take(self, key: str) -> Pieces:
        """Give what is ready of an object, waiting where it is on its way; nothing where it failed or was taken."""
        place = self._place_of.get(key, -1)
        while 0 <= place and self._next < min(place + _AHEAD, len(self._objects)):
            self._asked[self._next] = self._pool.submit(self._read, self._objects[self._next])
            self._next += 1
        for passed_over in [earlier for earlier in self._asked if earlier < place - _BEHIND]:
            self._asked.pop(passed_over).cancel()
        wanted = self._asked.pop(place, None)
        return wanted.result() if wanted is not None and wanted.exception() is None else []

    def __enter__(self) -> LookAhead:
        """Begin with the first `take`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ask for nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, stored: StoredObject) -> Pieces:
        if stored.size <= self._first + self._last:
            return [(0, self._range(stored, 0, stored.size))]
        return [
            (0, self._range(stored, 0, self._first)),
            (stored.size - self._last, self._range(stored, stored.size - self._last, stored.size)),
        ]

    def _range(self, stored: StoredObject, start: int, end: int) -> bytes:
        return retried(lambda: self._store.read(stored, start, end)) if start < end else b""
