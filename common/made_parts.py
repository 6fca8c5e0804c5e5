"""The profiles of a flow's parts, in their order, for who writes them while others are still being made."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pycytominer_transform.common.errors import StageEndedEarlyError


class PartsWantedBackError(StageEndedEarlyError):
    """Not all parts will be made; those that were given are to be had from what was written of them."""


@dataclass(frozen=True)
class GivenPart:
    """A part that was given: where its profiles are, or would be if they had a file, and their number of rows."""

    place: Path
    rows: int
    has_file: bool


class MadeParts:
    """Gives the places of parts as they come to be made; who goes through it waits for the next in order.

    Parameters
    ----------
    places : mapping
        Where the profiles of each part will be, by its number; in their order.

    Attributes
    ----------
    busy : float
        Seconds that were spent on parts while others were still being made.
    given : list of GivenPart
        Those that were given and gone through, as who goes through them notes here.
    """

    def __init__(self, places: Mapping[int, Path]) -> None:
        self._places = places
        self._made: set[int] = set()
        self._is_complete = False
        self._is_given_up = False
        self._is_wanted_back = False
        self._changed = threading.Condition()
        self.busy = 0.0
        self.given: list[GivenPart] = []

    @property
    def places(self) -> list[Path]:
        """The parts' places, made or not."""
        return list(self._places.values())

    def __len__(self) -> int:
        """Count the parts, made or not."""
        return len(self._places)

    def __iter__(self) -> Iterator[Path]:
        """Give the parts' places; ends when all were given and `complete` was called.

        Raises
        ------
        StageEndedEarlyError
            Not all will be made.
        PartsWantedBackError
            The same, and those that were given are wanted back.
        """
        for part, place in self._places.items():
            self._wait(part)
            began = time.monotonic()
            yield place
            if not self._is_complete:
                self.busy += time.monotonic() - began
        self._wait(None)

    def made(self, part: int) -> None:
        """Say that a part is there."""
        with self._changed:
            self._made.add(part)
            self._changed.notify_all()

    def complete(self) -> None:
        """Say that all are there, and that what is written of them may be finished."""
        with self._changed:
            self._is_complete = True
            self._changed.notify_all()

    def give_up(self, *, wanted_back: bool = False) -> None:
        """Say that no more will be made, and whether those given are wanted; without effect where all have been."""
        with self._changed:
            self._is_given_up = not self._is_complete
            self._is_wanted_back = self._is_wanted_back or wanted_back
            self._changed.notify_all()

    def _wait(self, part: int | None) -> None:
        """Wait for a part, or for the end."""
        with self._changed:
            while not (self._is_complete or self._is_given_up or part in self._made):
                self._changed.wait()
        if self._is_given_up:
            kind = PartsWantedBackError if self._is_wanted_back else StageEndedEarlyError
            raise kind("not all parts were made")
