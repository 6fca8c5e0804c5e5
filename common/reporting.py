"""What people and machines are told on stderr: messages, warnings, progress."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from typing import Literal

from pycytominer_transform.common import progress_bars
from pycytominer_transform.common.progress_bars import clear_progress, progress

__all__ = [
    "LOGGER",
    "LogFormat",
    "clear_progress",
    "count",
    "logger",
    "progress",
    "report_fields",
    "reports_json",
    "say_line",
    "set_up_reporting",
    "shown",
    "size",
    "terminal_level",
]

LOGGER = "pycytominer_transform"
LogFormat = Literal["text", "json"]

logger = logging.getLogger(LOGGER)

# Control characters, marks that turn the direction of writing, other ends of lines, halves of characters.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


_MOST_LENGTH = 2_000


def _middle_out(message: str) -> str:
    """Leave out the middle of a long message; what failed stands before it, and what to do after it."""
    return f"{message[: _MOST_LENGTH // 2]} ... {message[-_MOST_LENGTH // 2 :]}"


def shown(text: str) -> str:
    """Write what a terminal would obey, rather than show, by its number, as Python does in a text.

    Names of files and columns may hold such characters, and a message stays one line.
    """
    return _UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Lines(logging.Formatter):
    """One line a message: plain or coloured text, or JSON."""

    def __init__(self, tool: str, log_format: LogFormat, *, colour: bool) -> None:
        super().__init__()
        self.tool = tool
        self.log_format = log_format
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if self.log_format == "json":
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
            line = {"time": moment, "level": record.levelname.lower(), "tool": self.tool, "message": message}
            text = json.dumps(line | getattr(record, "fields", {}), ensure_ascii=False)
            return _UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        message = shown(
            message if len(message) <= _MOST_LENGTH or record.levelno < logging.INFO else _middle_out(message)
        )
        if record.levelno < logging.WARNING:
            return f"{self.tool}: {message}"
        word = record.levelname.lower()
        if self.colour:
            word = f"\x1b[{31 if record.levelno >= logging.ERROR else 33}m{word}\x1b[0m"
        return f"{self.tool}: {word}: {message}"


class _ErrorStream(logging.Handler):
    """Writes to whatever stderr is at the time, so that it may be redirected."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            clear_progress()
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            # stderr is closed, full or was never there; there is nobody left to tell.
            return


def set_up_reporting(tool: str, *, quiet: bool, verbose: bool, log_format: LogFormat) -> None:
    """Send the suite's messages to stderr: warnings when quiet, all when verbose."""
    handler = _ErrorStream()
    handler.setFormatter(_Lines(tool, log_format, colour=_is_terminal() and not os.environ.get("NO_COLOR")))
    # The level is the handler's: a Prefect server that tracks the run gets the lines that a quiet terminal does not.
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    _said.log_format = log_format
    progress_bars.enable(_is_terminal() and not quiet and log_format == "text" and os.environ.get("TERM") != "dumb")


class _Said:
    log_format: LogFormat = "text"


_said = _Said()


def terminal_level() -> int:
    """Give the lowest level of the lines that are shown here."""
    return min((handler.level for handler in _handlers_here()), default=logger.getEffectiveLevel())


def say_line(level: int, message: str, fields: dict[str, object]) -> None:
    """Show a line that another process has said, and has sent itself to whatever server tracks the run."""
    record = logger.makeRecord(LOGGER, level, "", 0, "%s", (message,), None, extra={"fields": fields})
    for handler in _handlers_here():
        if level >= handler.level:
            handler.handle(record)


def _handlers_here() -> list[logging.Handler]:
    return [handler for handler in logger.handlers if not type(handler).__module__.startswith("prefect.")]


def reports_json() -> bool:
    """Say whether messages are read by a program."""
    return _said.log_format == "json"


def report_fields(message: str, *, only_for_machines: bool = False, **fields: object) -> None:
    """Say something whose figures a program may want: JSON lines have them as fields.

    Parameters
    ----------
    only_for_machines
        People see it with ``--verbose`` only.
    """
    logger.log(
        logging.DEBUG if only_for_machines and not reports_json() else logging.INFO,
        "%s",
        message,
        extra={"fields": fields},
    )


def count(number: int, word: str) -> str:
    """Write a number with its noun: ``1 row``, ``2 rows``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def size(number: int) -> str:
    """Write a number of bytes for people: ``61 kB``, ``12.3 MB``."""
    if number < 1_000_000:
        return f"{number / 1e3:.0f} kB"
    return f"{number / 1e6:.1f} MB" if number < 1_000_000_000 else f"{number / 1e9:.2f} GB"


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False
