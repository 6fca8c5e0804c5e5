"""The process of a private Prefect server: ``python -m ... DESCRIPTOR DATABASE``, with Prefect's settings around it.

A process of its own, for in a thread of the flow's it would hold Python's lock, which the tasks wait for, a third of
the time. It serves on the listening socket that it is given, writes a line to standard output once it does, and ends
when standard input does: so it never outlives the process that started it, however that ends.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pycytominer_transform.common.prefect_schema import create_database

_NOT_FOR_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(words: Sequence[str]) -> None:
    """Serve until standard input ends."""
    for number in _NOT_FOR_US:
        # What is sent to a whole group is for the flow to heed, which still needs its server then.
        signal.signal(number, signal.SIG_IGN)
    descriptor, database = int(words[0]), Path(words[1])
    threading.Thread(target=_serve, args=(socket.socket(fileno=descriptor), database), daemon=True).start()
    while os.read(0, 1):
        pass
    os._exit(0)


def _serve(listener: socket.socket, database: Path) -> None:
    try:
        migrated = create_database(database)
        os.environ["PREFECT_API_DATABASE_MIGRATE_ON_START"] = str(not migrated).lower()
        # Of the classes that Prefect makes none is garbage; to look through them takes a third of the time.
        gc.disable()
        import uvicorn
        from prefect.server.api import server

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                gc.freeze()
                gc.enable()
                os.write(1, b"\n")

        server.background_worker = _no_background_worker  # type: ignore[attr-defined]
        app = server.create_app(ephemeral=True, ignore_cache=True)
        config = uvicorn.Config(app, loop="asyncio", lifespan="on", log_config=None, access_log=False)
        Server(config).run(sockets=[listener])
    finally:
        os._exit(1)


@asynccontextmanager
async def _no_background_worker(*_: object, **__: object) -> AsyncIterator[None]:
    """Stand in for what removes the logs of deleted runs and wakes deployments, of which a private server has none.

    It looks for work a hundred times a second, which took a fortieth of a processor and more.
    """
    yield


if __name__ == "__main__":
    main(sys.argv[1:])
