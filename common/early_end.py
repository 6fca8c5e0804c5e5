"""Ctrl-C and SIGTERM before a tool has begun: it ends at once, in one line, for there is nothing to remove yet.

Nothing heavy may be imported here: it is what keeps Python busy meanwhile that this is about. Without it Ctrl-C would
show a traceback, and the first process of a container would not hear SIGTERM.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from pycytominer_transform.common.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class _Process:
    tool = ""


def end_early(tool: str) -> None:
    """Let these signals end this process, which is a tool's own; not where one is ignored, as in the background."""
    _Process.tool = tool
    for number, default in _DEFAULTS.items():
        if signal.getsignal(number) is default:
            signal.signal(number, leave_early)


def end_late() -> None:
    """Let them end the process without a word, once the tool has ended and Python only tidies up."""
    for number in _DEFAULTS:
        if signal.getsignal(number) is leave_early:
            signal.signal(number, signal.SIG_DFL)


def leave_early(number: int, _frame: FrameType | None) -> None:
    """End the process; what a signal's handler has to look like."""
    what, code = ("interrupted", EXIT_INTERRUPTED) if number == signal.SIGINT else ("terminated", EXIT_TERMINATED)
    os.write(2, f"{_Process.tool}: error: {what}; nothing was left under the output's name\n".encode())
    os._exit(code)
