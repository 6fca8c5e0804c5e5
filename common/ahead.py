"""Work that is begun before somebody asks for it, because there is nothing else to do meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Generic, TypeVar

from pycytominer_transform.common.ending import ends_at_once

T = TypeVar("T")


class Ahead(Generic[T]):
    """One call on a thread of its own, which begins at once.

    Parameters
    ----------
    call : callable
        What to do.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._future: Future[T] = Future()
        self._began = time.monotonic()
        self._seconds: float | None = None
        # An interruption that ends the process does not wait for it.
        threading.Thread(target=self._run, name="ahead", daemon=True).start()

    def result(self) -> T:
        """Wait for the end, and give what came of it or raise what ended it."""
        return self._future.result()

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return time.monotonic() - self._began if self._seconds is None else self._seconds

    def end(self) -> None:
        """Wait for the end, whatever comes of it."""
        wait([self._future])

    def _run(self) -> None:
        try:
            made = self._call()
        except BaseException as error:
            self._seconds = self.seconds
            self._future.set_exception(error)
        else:
            self._seconds = self.seconds
            self._future.set_result(made)


@contextmanager
def begun(call: Callable[[], T]) -> Iterator[Ahead[T]]:
    """Begin something that the block, or nobody, asks for; the block does not end before it does."""
    ahead = Ahead(call)
    try:
        yield ahead
    finally:
        if not ends_at_once():
            ahead.end()
