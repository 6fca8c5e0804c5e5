"""An interruption that was raised and went no further.

A signal's handler raises wherever Python just is. Within a library written in C that may be a call back into Python
whose errors it passes over: DuckDB loses one in twenty-five. So whoever gives a final name asks first, and whoever
writes a part.
"""

from __future__ import annotations

import threading


class _Raised:
    error: BaseException | None = None


def note_interruption(error: BaseException | None) -> None:
    """Note what a signal's handler is about to raise; None where a tool begins anew."""
    _Raised.error = error


def noted_interruption() -> BaseException | None:
    """Give what a signal's handler raised."""
    return _Raised.error


def heed_interruption() -> None:
    """Raise once more what a signal's handler raised; in the main thread, where that was."""
    if _Raised.error is not None and threading.current_thread() is threading.main_thread():
        raise _Raised.error
