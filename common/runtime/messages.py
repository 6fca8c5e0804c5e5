"""The log on stderr: one line a message, as text for people or as JSON for programs."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from typing import Literal

from pycytominer_transform.common.runtime.progress_bars import clear_progress as clear_progress
from pycytominer_transform.common.runtime.progress_bars import enable, write_line
from pycytominer_transform.common.runtime.progress_bars import progress as progress
from pycytominer_transform.common.runtime.terminal import ErrorStream, may_draw

LOGGER = "pycytominer_transform"
LogFormat = Literal["text", "json"]

logger = logging.getLogger(LOGGER)

# Control characters, marks of writing direction, line separators, surrogates.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 2_000
_OPTION_OF_A_STAGE = re.compile(r"(?<![\w/.-])pct-(?:discover|extract|join|write) (?=--)")
_DISCOVERING = re.compile(r"(?<![\w/.-])pct-discover(?![\w/.-])")


def printable(text: str) -> str:
    """Return a text with control characters escaped, since names of files and columns may hold some."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class _LineFormatter(logging.Formatter):
    """One line a message: plain or coloured text, or JSON."""

    def __init__(self, tool: str, log_format: LogFormat, *, colour: bool) -> None:
        super().__init__()
        self.tool = tool
        self.log_format = log_format
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if self.tool == "pct-flow":
            # It has the stages' options itself, and is what its user runs again.
            message = _DISCOVERING.sub(self.tool, _OPTION_OF_A_STAGE.sub("", message))
        if self.log_format == "json":
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
            line = {"time": moment, "level": record.levelname.lower(), "tool": self.tool, "message": message}
            text = json.dumps(line | getattr(record, "fields", {}), ensure_ascii=False)
            return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
        if len(message) > _LONGEST and record.levelno >= logging.INFO:
            # The failure is at the beginning, the advice at the end.
            message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
        message = printable(message)
        if record.levelno < logging.WARNING:
            return f"{self.tool}: {message}"
        level = record.levelname.lower()
        if self.colour:
            level = f"\x1b[{31 if record.levelno >= logging.ERROR else 33}m{level}\x1b[0m"
        return f"{self.tool}: {level}: {message}"


class _ErrorHandler(logging.Handler):
    """Writes to stderr, above any bars."""

    formatter: _LineFormatter

    def emit(self, record: logging.LogRecord) -> None:
        write_line(self.format(record))


def set_up_reporting(tool: str, *, quiet: bool, verbose: bool, log_format: LogFormat) -> None:
    """Send the suite's messages to stderr: warnings when quiet, all when verbose."""
    handler = _ErrorHandler()
    handler.setFormatter(_LineFormatter(tool, log_format, colour=ErrorStream().isatty() and not os.getenv("NO_COLOR")))
    # The level is the handler's, so that a Prefect server also gets the lines that a quiet terminal does not show.
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    enable(not quiet and log_format == "text" and may_draw())


def terminal_level() -> int:
    """Return the lowest level of the messages that go to stderr."""
    return min((handler.level for handler in _own_handlers()), default=logger.getEffectiveLevel())


def say_line(level: int, message: str, fields: dict[str, object]) -> None:
    """Write another process's message to stderr alone; that process itself sends it to a Prefect server."""
    record = logger.makeRecord(LOGGER, level, "", 0, "%s", (message,), None, extra={"fields": fields})
    for handler in _own_handlers():
        if level >= handler.level:
            handler.handle(record)


def _own_handlers() -> list[logging.Handler]:
    return [handler for handler in logger.handlers if not type(handler).__module__.startswith("prefect.")]


def reports_json() -> bool:
    """Return whether messages are for programs."""
    return any(
        isinstance(handler, _ErrorHandler) and handler.formatter.log_format == "json" for handler in logger.handlers
    )


def report_fields(message: str, *, only_for_machines: bool = False, **fields: object) -> None:
    """Log a message with fields for JSON lines; `only_for_machines`: text shows it with ``--verbose`` alone."""
    level = logging.DEBUG if only_for_machines and not reports_json() else logging.INFO
    logger.log(level, "%s", message, extra={"fields": fields})


def count(number: int, word: str) -> str:
    """Return a number with its noun: ``1 row``, ``2 rows``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def size(number: int) -> str:
    """Return a number of bytes for people: ``61 kB``, ``12.3 MB``."""
    if number < 1_000_000:
        return f"{number / 1e3:.0f} kB"
    return f"{number / 1e6:.1f} MB" if number < 1_000_000_000 else f"{number / 1e9:.2f} GB"
