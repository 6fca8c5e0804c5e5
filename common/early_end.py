"""Ctrl-C before a tool has begun: it ends at once and without a traceback, for there is nothing to remove yet.

Nothing heavy may be imported here: it is what keeps Python busy meanwhile that this is about.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from pycytominer_transform.common.errors import EXIT_INTERRUPTED


class _Process:
    tool = ""


def end_early(tool: str) -> None:
    """Let Ctrl-C end this process, which is a tool's own; not where it is ignored, as of a job in the background."""
    _Process.tool = tool
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave_early)


def end_late() -> None:
    """Let Ctrl-C end the process without a word, once the tool has ended and Python only tidies up."""
    if signal.getsignal(signal.SIGINT) is leave_early:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def leave_early(_number: int, _frame: FrameType | None) -> None:
    """End the process; what a signal's handler has to look like."""
    os.write(2, f"{_Process.tool}: error: interrupted; nothing was left under the output's name\n".encode())
    os._exit(EXIT_INTERRUPTED)
