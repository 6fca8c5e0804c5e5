"""What one task of a flow leaves for another in the same process, under the name of a place where there is no file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Keeps things under the names of places until they are taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._things: dict[str, T] = {}

    def put(self, place: str, thing: T) -> None:
        """Let a thing be found, instead of what was there."""
        with self._lock:
            self._things[place] = thing

    def take(self, place: str) -> T | None:
        """Give what is kept under a place's name, which is not kept any longer; None where nothing is."""
        with self._lock:
            return self._things.pop(place, None)

    def all(self) -> list[T]:
        """List what is kept."""
        with self._lock:
            return list(self._things.values())

    def forget(self, folder: Path) -> None:
        """Drop what nobody took, of the places in a folder."""
        with self._lock:
            for place in [place for place in self._things if Path(place).is_relative_to(folder)]:
                del self._things[place]
