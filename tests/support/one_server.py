"""One private Prefect server for all flows that tests run in their own process; `pct-flow` starts one for each run.

A server takes two seconds to start. Flows that tests run as a process have their own, as users' do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pycytominer_transform.common.flow.prefect_environment import client_variables, only_these_settings
from pycytominer_transform.common.flow.prefect_server import LOOPBACK, PrivateServer

__all__ = ["OneServer"]


class OneServer:
    """A server that is started for the first flow and ended with the tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: PrivateServer | None = None
        self._stack = ExitStack()

    @contextmanager
    def serving(self, *, verbose: bool = False, host: str = LOOPBACK) -> Iterator[PrivateServer]:
        """Stand in for `prefect_server.private_prefect_server`."""
        assert host == LOOPBACK
        if self._server is None:
            self._server = PrivateServer(self._folder, host, verbose=False)
            self._stack.callback(self._server.end)
        server = self._server
        with only_these_settings(client_variables(self._folder, server.url, server.password, verbose=verbose)):
            yield server

    def end(self) -> None:
        self._stack.close()
