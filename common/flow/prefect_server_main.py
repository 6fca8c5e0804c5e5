"""The process of a private Prefect server: Prefect's own app, served by uvicorn on a socket that it is given.

Run as ``python -m ... DESCRIPTOR`` with Prefect's settings in its environment. It ends when its standard input does, so
it never outlives the process that started it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import traceback


def main(descriptor: int) -> None:
    """Serve until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A signal to the whole group is for the flow to handle, which needs its server until its end.
        signal.signal(number, signal.SIG_IGN)
    # On a thread uvicorn leaves the signals alone.
    threading.Thread(target=_serve, args=(socket.socket(fileno=descriptor),), daemon=True).start()
    while os.read(0, 1):
        pass
    os._exit(0)


def _serve(listener: socket.socket) -> None:
    try:
        # Prefect defines thousands of classes; searching them for garbage takes a sixth of the time of its start.
        gc.disable()
        import uvicorn
        from prefect.server.api.server import create_app

        config = uvicorn.Config(create_app(), loop="asyncio", lifespan="on", log_level="error", access_log=False)
        gc.freeze()
        gc.enable()
        uvicorn.Server(config).run(sockets=[listener])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
