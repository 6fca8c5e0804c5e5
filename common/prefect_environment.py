"""The environment variables that Prefect goes by: whether the user names a server, and what keeps Prefect quiet.

Nothing here may import Prefect at the top: it reads its environment once, while it is imported.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.reporting import LOGGER, logger
from pycytominer_transform.common.scratch import scratch_for_process

HOME_PREFIX = "pct-prefect-"

# Prefect opens a single connection to a database with ":memory:" in its address, and several to any other. With
# several, one that wants to write is refused now and then (SQLITE_BUSY_SNAPSHOT), and the client then sleeps for 2 s.
DATABASE_NAME = "prefect:memory:.db"

# Services that look after schedules, workers and other people's runs, or that record what task runs tell of themselves.
# A private server has none of the former, and ends with its one flow before anybody could ask for a record.
_IDLE_SERVICES = (
    "CANCELLATION_CLEANUP",
    "CLEANUP_RECONCILER",
    "EVENT_LOGGER",
    "EVENT_PERSISTER",
    "FOREMAN",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
    "SCHEDULER",
    "TASK_RUN_RECORDER",
    "TRIGGERS",
)
_RECORDS = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED"


def prefect_api_configured(*, no_prefect: bool = False) -> bool:
    """Whether runs are to be tracked by a Prefect server that the user named.

    Only the environment variable counts: a profile in ``~/.prefect`` would take importing Prefect to find, and would
    make what a tool does depend on a file that its user may have forgotten.

    Parameters
    ----------
    no_prefect
        The user asked for a plain run, whatever the environment says.

    Returns
    -------
    bool
        True when ``PREFECT_API_URL`` holds an address and `no_prefect` is false.

    Raises
    ------
    UsageError
        There is an address, but no Prefect to report to it with, as in the smallest images.

    """
    if no_prefect or not os.environ.get("PREFECT_API_URL", "").strip():
        return False
    if find_spec("prefect") is None:
        raise UsageError(
            "PREFECT_API_URL is set, but Prefect is not installed here; give --no-prefect, or use an image that was "
            "built with PREFECT=with"
        )
    return True


def require_prefect_api() -> None:
    """Make sure that the server of the environment answers, before any work is done for it.

    Raises
    ------
    StorageError
        It does not. Prefect's own error would end the tool as a defect, which this is not.

    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
    if fault is not None:
        message = (
            f"the Prefect API at {os.environ.get('PREFECT_API_URL')} does not answer ({fault}); "
            "start that server, unset PREFECT_API_URL, or give --no-prefect"
        )
        raise StorageError(message)


def prepare_prefect_environment(*, verbose: bool = False) -> None:
    """Set the environment variables that keep Prefect quiet, except those that the user has set.

    To be called before Prefect is first imported. What Prefect says about a run still goes to its server; only the
    terminal is spared, because tools report failures themselves, in one line.

    Parameters
    ----------
    verbose
        Let Prefect's lines through to standard error.

    """
    for name, text in _quiet_variables(verbose=verbose).items():
        os.environ.setdefault(name, text)
    if "PREFECT_HOME" not in os.environ and not _can_have_home():
        # Without one Prefect warns of every step; a cluster job or a container may have no home that can be written to.
        os.environ["PREFECT_HOME"] = str(scratch_for_process(HOME_PREFIX))
    _reread_environment()
    end_fast()


def _can_have_home() -> bool:
    home = Path(os.path.expanduser("~"))
    return os.access(home / ".prefect" if (home / ".prefect").exists() else home, os.W_OK | os.X_OK)


def _quiet_variables(*, verbose: bool) -> dict[str, str]:
    variables = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Nothing may start Prefect's temporary server by the way: its child survives us and holds our pipes open.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_EXTRA_LOGGERS": LOGGER,
    }
    # Somebody who sets Prefect's logging level wants to see those lines.
    if not verbose and "PREFECT_LOGGING_LEVEL" not in os.environ:
        variables["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
        variables["PREFECT_INTERNAL_LOGGING_LEVEL"] = "CRITICAL"
        variables["PREFECT_SERVER_LOGGING_LEVEL"] = "CRITICAL"
    return variables


def private_variables(home: Path, url: str, *, verbose: bool) -> dict[str, str]:
    """Give the environment of a private server: its home, address and database, and no more than one flow needs."""
    variables = {f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in _IDLE_SERVICES}
    variables |= _quiet_variables(verbose=verbose)
    variables |= {
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(home),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / DATABASE_NAME}",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_UI_ENABLED": "false",
        # Two questions that every client asks before its first own, answered.
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        # Nobody can read log lines on a server that ends with the run.
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    variables.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "ERROR")
    return variables


def only_these(variables: Mapping[str, str]) -> dict[str, str]:
    """Give this process's environment with all of Prefect's variables replaced: no key or database of the user's."""
    # How much to log is the one thing that a user may say about a private server.
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("PREFECT_") or name.startswith("PREFECT_LOGGING_")
    }
    return kept | dict(variables)


@contextmanager
def only_these_settings(variables: Mapping[str, str]) -> Iterator[None]:
    """Replace all of Prefect's settings; see `only_these`."""
    before = dict(os.environ)
    _set(only_these(variables), variables)
    try:
        _reread_environment()
        _reread_logging()
        with _without_heartbeats(), _without_events():
            yield
    finally:
        _set(before, variables)
        _reread_environment()
        _detach_from_api()


def _set(wanted: Mapping[str, str], also: Collection[str]) -> None:
    """Make Prefect's variables, and some others, what they are in an environment."""
    for name in [name for name in os.environ if name.startswith("PREFECT_") or name in also]:
        del os.environ[name]
    os.environ.update({name: text for name, text in wanted.items() if name.startswith("PREFECT_") or name in also})


def _detach_from_api() -> None:
    """Take our logger back from Prefect, which gave it a handler that complains of every line outside a run."""
    logger.handlers[:] = [handler for handler in logger.handlers if type(handler).__module__.split(".")[0] != "prefect"]


def _reread_environment() -> None:
    if "prefect" not in sys.modules:
        return
    from prefect import context
    from prefect.settings import Settings

    # Prefect's own refresh would also create ~/.prefect.
    with suppress(ValueError):
        profile = context.GLOBAL_SETTINGS_CONTEXT.profile
        context.GLOBAL_SETTINGS_CONTEXT = context.SettingsContext(profile=profile, settings=Settings())


def _reread_logging() -> None:
    """Have Prefect say as much as its settings say now; it sets that up only as it is imported."""
    if "prefect" in sys.modules:
        from prefect.logging.configuration import setup_logging

        setup_logging()


@cache
def end_fast() -> None:
    """Keep Python from a last search for garbage among Prefect's classes, 1.3 s, when the process is about to end."""
    atexit.register(gc.freeze)


@contextmanager
def _without_heartbeats() -> Iterator[None]:
    """Save the second that every flow waits at its end for the thread that tells the server that it is alive."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@contextmanager
def _without_events() -> Iterator[None]:
    """Have nothing told of task runs, which a private server does not record."""
    from prefect.events.worker import EventsWorker

    drop_unrecorded_events()
    try:
        yield
    finally:
        EventsWorker.set_client_override(None)


def drop_unrecorded_events() -> None:
    """Have this process tell nothing of task runs where the environment is a private server's."""
    if os.environ.get(_RECORDS) == "false":
        from prefect.events.clients import NullEventsClient
        from prefect.events.worker import EventsWorker

        EventsWorker.set_client_override(NullEventsClient)
