"""Log lines of Dask workers on the terminal of the flow that they work for, by way of the scheduler's events.

A worker may work for several flows at once, and be somebody else's: each task carries the topic of its own flow and
the level that its terminal wants.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pycytominer_transform.common.reporting import logger, say_line, terminal_level


@dataclass(frozen=True)
class LogRoute:
    """Where the lines of a flow's tasks go: a topic of the scheduler's events, from a level on."""

    topic: str = field(default_factory=lambda: f"pct-flow-log-{uuid.uuid4().hex}")
    level: int = field(default_factory=terminal_level)

    def subscribe(self, client: Any) -> None:
        """Show the lines that come by this route on the terminal here."""
        client.subscribe_topic(self.topic, _show)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Send the lines of the block, which runs on a worker."""
        import distributed

        _install(self.level)
        here = self, distributed.get_worker()
        _Sender.latest = here
        token = _route.set(here)
        try:
            yield
        finally:
            _route.reset(token)


_route: ContextVar[tuple[LogRoute, Any] | None] = ContextVar("pct_log_route", default=None)


class _Sender(logging.Handler):
    """Sends lines to the flow whose task says them."""

    # Threads that a task starts do not know whose they are; most workers have one task at a time.
    latest: tuple[LogRoute, Any] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        here = _route.get() or self.latest
        if here is None or record.levelno < here[0].level:
            return
        route, worker = here
        line = {"level": record.levelno, "message": record.getMessage(), "fields": getattr(record, "fields", {})}
        with suppress(Exception):
            worker.log_event(route.topic, line)


def _install(level: int) -> None:
    if not any(isinstance(handler, _Sender) for handler in logger.handlers):
        logger.addHandler(_Sender())
        # What the worker itself would write on its stderr, which may be the same terminal, comes by this way.
        logger.propagate = False
    if logger.level == logging.NOTSET or level < logger.level:
        logger.setLevel(level)


def _show(event: tuple[float, Any]) -> None:
    _, line = event
    say_line(line["level"], line["message"], line["fields"])
