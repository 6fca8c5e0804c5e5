"""Writes to stderr that cannot fail, and whether bars may be drawn there."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

# stderr is closed, full, hung up, or None.
_FAILURES = (OSError, ValueError, AttributeError)


class ErrorStream:
    """The current `sys.stderr`, without errors: a message that cannot be written must not end a conversion."""

    @property
    def encoding(self) -> str:
        """The encoding of stderr."""
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write and flush a text."""
        with suppress(*_FAILURES):
            sys.stderr.write(text)
            sys.stderr.flush()
        return len(text)

    def flush(self) -> None:
        """Do nothing; every write is flushed."""

    def isatty(self) -> bool:
        """Return whether stderr is a terminal."""
        with suppress(*_FAILURES):
            return sys.stderr.isatty()
        return False

    def fileno(self) -> int:
        """Return the descriptor of stderr."""
        return sys.stderr.fileno()


def may_draw() -> bool:
    """Return whether this process may draw on the terminal.

    Bars would erase the messages of other stages of a pipe on the same terminal.
    """
    return ErrorStream().isatty() and os.environ.get("TERM") != "dumb" and not any(map(_is_pipe, (0, 1)))


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
