"""`cloud_guard.py FOLDER COMMAND...` runs a server in its own folder until standard input closes or the caller is gone.

Then the server's whole process group is killed and the folder removed. A test run that is killed can do neither itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys

LOOK_EVERY = 0.5


def guard(folder: str, command: list[str], caller: int) -> int:
    """Run the command until it ends, standard input closes or the caller is gone; give its exit code."""
    server = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while server.poll() is None and os.getppid() == caller:
            if select.select([sys.stdin], [], [], LOOK_EVERY)[0]:
                break
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return server.returncode


if __name__ == "__main__":
    started_by = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(guard(sys.argv[1], sys.argv[2:], started_by))
