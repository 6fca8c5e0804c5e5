"""Bars on a terminal: how far each stage is, in parts and rows, and how long it will take."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

_WIDTH = 24
_SECONDS_BETWEEN = 0.1


@dataclass
class Bar:
    """How far one stage is.

    Attributes
    ----------
    taken_up : int
        What was done before it began; it says nothing about the time that the rest will take.
    """

    name: str
    done: int = 0
    total: int = 0
    rows: int = 0
    taken_up: int = 0
    began: float = field(default_factory=time.monotonic)

    def line(self, now: float, width: int) -> str:
        """Write it in one line."""
        filled = _WIDTH * self.done // self.total if self.total else 0
        text = f"{self.name:<9} [{'#' * filled}{'-' * (_WIDTH - filled)}]"
        if self.total:
            text += f" {self.done}/{self.total}"
        if self.rows:
            text += f"  {self.rows:,} rows"
        return f"{text}  {self._time(now)}"[: width - 1]

    def _time(self, now: float) -> str:
        spent, worked = now - self.began, self.done - self.taken_up
        if self.done >= self.total or worked < 1:
            return ""
        return f"{duration(spent / worked * (self.total - self.done))} left"


def duration(seconds: float) -> str:
    """Write a time for people: ``0:07``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Terminal:
    """What the bars of this process look like, and where they stand."""

    def __init__(self) -> None:
        self.enabled = False
        self._bars: dict[str, Bar] = {}
        self._names: Mapping[str, str] | None = None
        self._drawn = 0
        self._last = 0.0
        # Parts are read on several threads, and each may say something.
        self._lock = threading.RLock()

    def show(self, doing: str, done: int, total: int, rows: int, taken_up: int | None) -> None:
        if not self.enabled:
            return
        with self._lock:
            if self._names is None and doing not in self._bars:
                self._bars = {}
            name = doing if self._names is None else self._names.get(doing, "")
            if not name:
                return
            bar = self._bars.setdefault(name, Bar(name))
            if bar.total == 0:
                bar.began, bar.taken_up = time.monotonic(), done
            if taken_up is not None:
                bar.taken_up = taken_up
            bar.done, bar.total, bar.rows = done, total, rows
            now = time.monotonic()
            if now - self._last >= _SECONDS_BETWEEN or done >= total:
                self._last = now
                self._draw(now)

    def _draw(self, now: float) -> None:
        width = _columns()
        lines = [bar.line(now, width) for bar in self._bars.values()]
        text = "".join(f"\x1b[K{line}\n" for line in lines)
        sys.stderr.write(f"{self._back()}{text}")
        sys.stderr.flush()
        self._drawn = len(lines)

    def _back(self) -> str:
        return f"\x1b[{self._drawn}F" if self._drawn else ""

    def clear(self) -> None:
        with self._lock:
            if self._drawn:
                sys.stderr.write(f"{self._back()}\x1b[J")
                sys.stderr.flush()
                self._drawn = 0

    @contextmanager
    def only(self, names: Mapping[str, str]) -> Iterator[None]:
        with self._lock:
            self._names, self._bars = names, {name: Bar(name) for name in dict.fromkeys(names.values())}
        try:
            yield
        finally:
            self.clear()
            with self._lock:
                self._names, self._bars = None, {}


_terminal = _Terminal()


def enable(wanted: bool) -> None:
    """Say whether there is a terminal that wants bars."""
    _terminal.enabled = wanted


def progress(doing: str, done: int, total: int, *, rows: int = 0, taken_up: int | None = None) -> None:
    """Show on a terminal how far a stage is; at most ten times a second.

    Parameters
    ----------
    doing
        What is done; the bar's name.
    done, total
        Parts, or whatever it is done to.
    rows
        Rows in what is done.
    taken_up
        Of what is done, that which an earlier run did; by default, whatever is done already at the first call.
    """
    _terminal.show(doing, done, total, rows, taken_up)


def clear_progress() -> None:
    """Take the bars off the terminal; the next progress shows them again."""
    _terminal.clear()


def only_these_bars(names: Mapping[str, str]) -> AbstractContextManager[None]:
    """Show a bar for each stage of a flow, from its beginning, and none of what goes on within.

    Parameters
    ----------
    names : mapping
        What is done, as `progress` is told, to the name of its bar.
    """
    return _terminal.only(names)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
