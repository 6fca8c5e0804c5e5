"""Sending objects to a store while they are written: part by part, several parts at a time, in bounded memory."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from pycytominer_transform.common.errors import PctError, StorageError
from pycytominer_transform.common.interruption import heed_interruption
from pycytominer_transform.common.object_store import ObjectStore, Upload
from pycytominer_transform.common.reporting import logger
from pycytominer_transform.common.retrying import retried

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

R = TypeVar("R")

_REQUESTS = 16
"""Uploads that are completed or aborted at the same time."""
_PATIENCE = 3.0
"""Seconds that requests on their way are waited for before all is taken back."""


class Sender:
    """Sends objects; none of them is to be seen before `complete`.

    It holds `ObjectStore.parts_at_once` parts on their way, and one that is being gathered.

    Parameters
    ----------
    store : ObjectStore
        Where they go.
    overwrite : bool
        Replace objects that are there.
    """

    def __init__(self, store: ObjectStore, *, overwrite: bool) -> None:
        self.store = store
        self._overwrite = overwrite
        self._pool = ThreadPoolExecutor(store.parts_at_once, thread_name_prefix="upload")
        self._free = threading.BoundedSemaphore(store.parts_at_once)
        self._uploads: dict[str, Future[Upload]] = {}
        self._sent: list[Future[None]] = []
        self._completing: list[Future[None]] = []
        self._completed: set[str] = set()
        self._failure: BaseException | None = None

    def open(self, key: str) -> ObjectSink:
        """Begin an object; what is written to it is on its way when `ObjectSink.finish` has been called."""
        # Known before it is begun: an interruption may come before a pool says what it was given.
        begun: Future[Upload] = Future()
        self._uploads[key] = begun
        self._pool.submit(self._begin, key, begun)
        return ObjectSink(self, key)

    def send(self, key: str, number: int, content: bytes) -> None:
        """Send a part, once there are few enough on their way.

        Raises
        ------
        PctError
            What went wrong with an earlier part.
        """
        self._free.acquire()
        try:
            if self._failure is not None:
                raise self._failure
            self._sent = [sent for sent in self._sent if not sent.done()]
            self._sent.append(self._pool.submit(self._send, key, number, content))
        except BaseException:
            self._free.release()
            raise

    def complete(self, keys: Sequence[str]) -> None:
        """Make objects of what was sent.

        Raises
        ------
        DestinationExistsError
            There is one of the name, and it is not to be overwritten.
        """
        wait(self._sent)
        heed_interruption()
        if self._failure is not None:
            raise self._failure
        pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="complete")
        try:
            self._completing = [pool.submit(self._complete, key) for key in keys]
            for done in self._completing:
                done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def completed(self) -> list[str]:
        """The objects that are there by now."""
        return sorted(self._completed)

    def abort(self) -> None:
        """Take back all that was sent and not completed."""
        self._failure = self._failure or StorageError("the writing was ended")
        self._pool.shutdown(wait=False, cancel_futures=True)
        for begun in self._uploads.values():
            begun.cancel()
        on_their_way: list[Future[Any]] = [*self._uploads.values(), *self._sent, *self._completing]
        wait(on_their_way, timeout=_PATIENCE)
        with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="abort") as pool:
            list(pool.map(self._take_back, set(self._uploads) - self._completed))

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, key: str, begun: Future[Upload]) -> None:
        if not begun.set_running_or_notify_cancel():
            return
        try:
            begun.set_result(self._unless_failed(partial(self.store.begin_upload, key, overwrite=self._overwrite)))
        except BaseException as error:
            begun.set_exception(error)
        if self._failure is not None:
            # All else may have been taken back already.
            self._take_back(key)

    def _send(self, key: str, number: int, content: bytes) -> None:
        try:
            upload = self._uploads[key].result()
            self._unless_failed(partial(upload.put_part, number, content))
            if self._failure is not None:
                # A part that arrives after its upload was aborted may be kept.
                self._take_back(key)
        except BaseException as error:
            # Whatever ended this thread's work, the object must not be taken for whole.
            self._failure = self._failure or error
        finally:
            self._free.release()

    def _unless_failed(self, call: Callable[[], R]) -> R:
        def tried() -> R:
            if self._failure is not None:
                raise self._failure
            return call()

        return retried(tried)

    def _complete(self, key: str) -> None:
        upload = self._uploads[key].result()
        self._unless_failed(upload.complete)
        self._completed.add(key)

    def _take_back(self, key: str) -> None:
        begun = self._uploads[key]
        if not begun.done() or begun.cancelled() or begun.exception() is not None:
            return
        try:
            retried(begun.result().abort)
        except PctError as error:
            logger.warning("parts of an unfinished upload may be left: %s", error)


class ObjectSink(io.BufferedIOBase):
    """An object that is being written; an open file as far as writing takes."""

    def __init__(self, sender: Sender, key: str) -> None:
        super().__init__()
        self._sender = sender
        self._key = key
        self._parts = 0
        self._sent_bytes = 0
        self._gathered = io.BytesIO()

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def tell(self) -> int:
        """Give how many bytes were written."""
        return self._sent_bytes + self._gathered.tell()

    def write(self, content: ReadableBuffer) -> int:
        """Take bytes, and send them off whenever they make a part."""
        rest = memoryview(content).cast("B")
        size = len(rest)
        while rest:
            room = self._sender.store.part_bytes - self._gathered.tell()
            self._gathered.write(rest[:room])
            rest = rest[room:]
            if self._gathered.tell() == self._sender.store.part_bytes:
                self._send()
        return size

    def finish(self) -> None:
        """Send the last part; closing does not, since a file that is given up is closed as well."""
        if self._gathered.tell() or not self._parts:
            self._send()

    def as_file(self) -> BinaryIO:
        """Give it as what functions that write to open files take."""
        return cast(BinaryIO, self)

    def _send(self) -> None:
        self._parts += 1
        self._sent_bytes += self._gathered.tell()
        content, self._gathered = self._gathered.getvalue(), io.BytesIO()
        self._sender.send(self._key, self._parts, content)
