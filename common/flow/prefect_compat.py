"""Uses of undocumented parts of Prefect; each falls back to the documented way, with a log line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pycytominer_transform.common.runtime.messages import logger


@contextmanager
def events_dropped() -> Iterator[None]:
    """Send no events of task runs during the block; a private server records none.

    They take 20 ms of processor time for each part here, and 14 in the server. Prefect would also try to send the last
    ones when Python ends, to a server that has ended.
    """
    drop_events()
    try:
        yield
    finally:
        _set_events_client(None)


def drop_events() -> None:
    """Send no events from this process."""
    try:
        from prefect.events.clients import NullEventsClient
    except ImportError as error:
        _report("events are sent", error)
    else:
        _set_events_client(NullEventsClient)


def _set_events_client(client: type | None) -> None:
    try:
        from prefect.events.worker import EventsWorker

        EventsWorker.set_client_override(client)
    except (ImportError, AttributeError) as error:
        _report("events are sent", error)


def _report(consequence: str, error: Exception) -> None:
    logger.debug("this version of Prefect differs from those known here, so %s: %s", consequence, error)
