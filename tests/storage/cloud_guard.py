"""`cloud_guard.py FOLDER [LEFT...] -- COMMAND...` runs a server until standard input closes or its caller is gone.

Then the server's whole process group is killed, and the folder and whatever it leaves elsewhere are removed. A test run
that is killed can do none of this itself.
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


def guard(folder: str, left: list[str], command: list[str], caller: int) -> int:
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
        for path in left:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return server.returncode


if __name__ == "__main__":
    started_by = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = sys.argv.index("--")
    sys.exit(guard(sys.argv[1], sys.argv[2:before], sys.argv[before + 1 :], started_by))
