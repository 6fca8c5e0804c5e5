"""Prefect's settings as environment variables: the user's server, or those of a private server.

Nothing here may import Prefect at the top: it reads its environment once, while it is imported.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.flow.prefect_compat import events_dropped
from pycytominer_transform.common.runtime.messages import LOGGER
from pycytominer_transform.common.storage.temporary_names import scratch_for_process

HOME_PREFIX = "pct-prefect-"

# Services for schedules, workers and other users' runs, and those that record the events of task runs. A private server
# has no schedules, workers or other users, and ends with its flow before anybody could read a record.
_IDLE_SERVICES = (
    "CANCELLATION_CLEANUP", "CLEANUP_RECONCILER", "EVENT_LOGGER", "EVENT_PERSISTER", "FOREMAN", "LATE_RUNS",
    "PAUSE_EXPIRATIONS", "REPOSSESSOR", "SCHEDULER", "TASK_RUN_RECORDER", "TRIGGERS",
)  # fmt: skip
_LIBRARIES = (
    "prefect.flow_engine", "prefect.task_engine", "pyarrow.compute", "pyarrow.csv", "pyarrow.json", "pyarrow.parquet",
    "duckdb",
)  # fmt: skip
_RECORDS = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED"


def prefect_api_configured(*, no_prefect: bool = False) -> bool:
    """Return whether runs are to be tracked by a Prefect server that the user named.

    Only the environment variable counts. Reading a profile in ``~/.prefect`` would need the import of Prefect, and the
    user may have forgotten that file.

    Parameters
    ----------
    no_prefect
        Run plainly even if the environment names a server.

    Raises
    ------
    UsageError
        There is an address, but Prefect is not installed, as in the smallest images.

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
    """Check that the server of the environment answers.

    Raises
    ------
    StorageError
        It does not. Prefect's own error would be reported as a defect of the tool.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
    if fault is not None:
        raise StorageError(
            f"the Prefect API at {os.environ.get('PREFECT_API_URL')} does not answer ({fault}); "
            "start that server, unset PREFECT_API_URL, or give --no-prefect"
        )


def prepare_prefect_environment(*, verbose: bool = False) -> None:
    """Set the environment variables that keep Prefect quiet, except those that the user has set.

    To be called before Prefect is first imported. Prefect's log lines still go to its server, but not to the terminal,
    because the tools report failures themselves in one line.
    """
    for name, text in {**_quiet_variables(verbose=verbose), "PREFECT_LOGGING_EXTRA_LOGGERS": LOGGER}.items():
        os.environ.setdefault(name, text)
    if "PREFECT_HOME" not in os.environ and not _can_have_home():
        # Without a home Prefect warns at every step; cluster jobs and containers may have none that is writable.
        os.environ["PREFECT_HOME"] = str(scratch_for_process(HOME_PREFIX))


def _can_have_home() -> bool:
    home = Path(os.path.expanduser("~"))
    return os.access(home / ".prefect" if (home / ".prefect").exists() else home, os.W_OK | os.X_OK)


def _quiet_variables(*, verbose: bool) -> dict[str, str]:
    variables = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Prefect's own temporary server would outlive this process and hold its pipes open.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    # A user who sets Prefect's logging level wants to see its lines.
    if not verbose and "PREFECT_LOGGING_LEVEL" not in os.environ:
        variables["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
        variables["PREFECT_INTERNAL_LOGGING_LEVEL"] = "CRITICAL"
    return variables


def client_variables(home: Path, url: str, password: str, *, verbose: bool) -> dict[str, str]:
    """Return the environment variables of a flow, and of its workers, that have a private server."""
    return {
        "PREFECT_LOGGING_LEVEL": os.environ.get("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "ERROR"),
        **_quiet_variables(verbose=verbose),
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_API_AUTH_STRING": password,
        # Of workers too: see `is_private`.
        _RECORDS: "false",
        # Two requests at the start of every client; this server is of the same installation.
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        # A server that ends with the run shows its log lines to nobody.
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }


def server_variables(home: Path, database: Path, password: str) -> dict[str, str]:
    """Return the environment variables of a private server: its database and password, and no idle services."""
    return {
        **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in _IDLE_SERVICES},
        **_quiet_variables(verbose=True),
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_UI_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    }


def is_private() -> bool:
    """Return whether the environment of this process is that of a private server, which records no task runs."""
    return os.environ.get(_RECORDS) == "false"


def only_these(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with these variables in place of all others of Prefect."""
    others = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
    return others | dict(variables)


@contextmanager
def only_these_settings(variables: Mapping[str, str]) -> Iterator[None]:
    """Set Prefect's settings to only these within the block, for this process and its child processes."""
    before = dict(os.environ)
    _replace_environment(only_these(variables))
    try:
        # The first import of Prefect reads the environment. After it the settings have to be overridden.
        from prefect import settings

        names = {name for name in [*before, *variables] if name.startswith("PREFECT_") and hasattr(settings, name)}
        updates: dict[Any, str | None] = {getattr(settings, name): variables[name] for name in names & set(variables)}
        # Ending the thread that sends heartbeats takes a second per flow.
        updates[settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
        dropped = [getattr(settings, name) for name in names - set(variables)]
        with settings.temporary_settings(updates, restore_defaults=dropped), events_dropped():
            yield
    finally:
        _replace_environment(before)


def _replace_environment(variables: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


def import_libraries() -> None:
    """Import the libraries that every part needs; to be called while the process would be idle."""
    for name in _LIBRARIES:
        importlib.import_module(name)
