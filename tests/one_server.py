"""One private Prefect server for all flows that tests run in their own process; `pct-flow` starts one for each run.

A server takes two seconds to start. Flows that tests run as a process have their own, as users' do.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pycytominer_transform.common import prefect_server
from pycytominer_transform.common.prefect_environment import (
    DATABASE_NAME,
    only_these,
    only_these_settings,
    private_variables,
)
from pycytominer_transform.common.prefect_server import LOOPBACK, PrefectApi

__all__ = ["OneServer"]


class OneServer:
    """A server that is started for the first flow and ended with the tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = ExitStack()
        self._url = ""

    @contextmanager
    def serving(self, *, verbose: bool = False, host: str = LOOPBACK) -> Iterator[PrefectApi]:
        """Stand in for `prefect_server.private_prefect_server`."""
        assert host == LOOPBACK
        url = self._url or self._started()
        with (
            prefect_server._collector_paused() as end_pause,
            only_these_settings(private_variables(self._folder, url, verbose=verbose)),
        ):
            yield PrefectApi(url, end_pause)

    def _started(self) -> str:
        listener = self._held.enter_context(socket.create_server((LOOPBACK, 0)))
        self._url = f"http://{LOOPBACK}:{listener.getsockname()[1]}/api"
        environment = only_these(private_variables(self._folder, self._url, verbose=False))
        started = prefect_server._server_process(listener, self._folder / DATABASE_NAME, environment, verbose=False)
        self._held.enter_context(started).await_start()
        return self._url

    def end(self) -> None:
        self._held.close()
