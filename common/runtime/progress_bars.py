"""Progress bars on a terminal: parts and rows of each stage, and the time left."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, cast

from pycytominer_transform.common.runtime.signals import on_exit
from pycytominer_transform.common.runtime.terminal import ErrorStream

if TYPE_CHECKING:
    from typing import IO

    from rich.progress import Progress, TaskID

_BAR_WIDTH = 24
# A part may take minutes, so the time left follows from the speed of the last hour.
_SPEED_SECONDS = 3600


class _Bars:
    """The bars of this process and the lines above them; a lock lets one thread write at a time."""

    def __init__(self) -> None:
        self.enabled = False
        self._lock = threading.RLock()
        self._names: Mapping[str, str] | None = None
        self._display: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._waiting: set[str] = set()

    def update(self, stage: str, done: int, total: int, rows: int) -> None:
        with self._lock:
            name = stage if self._names is None else self._names.get(stage)
            if not self.enabled or name is None:
                return
            display = self._display or self._start()
            text = f"{done}/{total}" + (f"  {rows:,} rows" if rows else "")
            if name in self._waiting:
                self._waiting.discard(name)
                display.reset(self._tasks[name], total=total, completed=done, text=text)
            elif name in self._tasks:
                display.update(self._tasks[name], total=total, completed=done, text=text)
            else:
                self._tasks[name] = display.add_task(name, total=total, completed=done, text=text)
            if self._names is None and display.finished:
                self.clear()

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(file=cast("IO[str]", ErrorStream()), force_terminal=True)
        self._display = Progress(
            TextColumn("{task.description:<9}", markup=False),
            BarColumn(_BAR_WIDTH),
            TextColumn("{task.fields[text]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=console, transient=True, redirect_stdout=False, redirect_stderr=False,
            speed_estimate_period=_SPEED_SECONDS,
        )  # fmt: skip
        self._waiting = set() if self._names is None else set(self._names.values())
        for name in dict.fromkeys((self._names or {}).values()):
            self._tasks[name] = self._display.add_task(name, total=1, text="")
        self._display.start()
        return self._display

    def write_line(self, line: str) -> None:
        with self._lock:
            if self._display is None:
                ErrorStream().write(f"{line}\n")
                return
            from rich.text import Text

            self._display.console.print(Text.from_ansi(line), soft_wrap=True)

    def clear(self) -> None:
        with self._lock:
            display, self._display = self._display, None
            self._tasks = {}
            if display is not None:
                display.stop()

    @contextmanager
    def only(self, names: Mapping[str, str]) -> Iterator[None]:
        self.clear()
        self._names = names
        try:
            yield
        finally:
            self.clear()
            self._names = None


_bars = _Bars()


def enable(enabled: bool) -> None:
    """Set whether bars are drawn."""
    _bars.enabled = enabled


def progress(stage: str, done: int, total: int, *, rows: int = 0) -> None:
    """Show on a terminal that `done` of `total` parts of a stage are done, with `rows` rows.

    The time left follows from the parts that are done after the first call.
    """
    _bars.update(stage, done, total, rows)


def write_line(line: str) -> None:
    """Write a line, which may have ANSI colours, to stderr above the bars."""
    _bars.write_line(line)


@on_exit
def clear_progress() -> None:
    """Remove the bars from the terminal until the next progress."""
    _bars.clear()


def only_these_bars(names: Mapping[str, str]) -> AbstractContextManager[None]:
    """Show one bar for each stage of a flow within the block; `names` maps stages to the names of their bars."""
    return _bars.only(names)


def duration(seconds: float) -> str:
    """Return a time for people: ``0:07``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
