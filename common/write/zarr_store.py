"""A Zarr store in a folder, into which nothing is written any more when its block has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pycytominer_transform.common.errors import StorageError
from pycytominer_transform.common.runtime.signals import cleanup
from pycytominer_transform.common.storage.temporary_names import discard
from zarr.abc.buffer import Buffer
from zarr.storage import LocalStore, WrapperStore

_PATIENCE = 10.0
"""Seconds in which running writes may end."""


@contextmanager
def zarr_store(folder: Path) -> Iterator[ZarrStore]:
    """Open a store in an empty temporary folder.

    Zarr writes in threads that go on after an error, and would make the removed folder again.
    """
    store = ZarrStore(LocalStore(folder))

    def end_and_discard() -> None:
        store.end()
        discard(folder)

    with cleanup(end_and_discard):
        try:
            yield store
        finally:
            store.end()


class ZarrStore(WrapperStore[LocalStore]):
    """A store that counts the writes that are running; see `zarr_store`."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self._idle = threading.Condition()
        self._running = 0
        self._is_ended = False

    def end(self) -> None:
        """Refuse further writes, and wait for those that are running."""
        with self._idle:
            self._is_ended = True
            self._idle.wait_for(lambda: not self._running, timeout=_PATIENCE)

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object; see `zarr.abc.store.Store`."""
        with self._counted():
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object unless there is one; see `zarr.abc.store.Store`."""
        with self._counted():
            await super().set_if_not_exists(key, value)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            if self._is_ended:
                raise StorageError("the output is not written any more")
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()
