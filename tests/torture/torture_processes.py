"""The processes of a job that is killed: which there are, which are Dask's workers, and how long they outlive it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["BOUND", "end_session", "servers", "session", "wait_for_end", "workers"]

BOUND = 15.0
"""Seconds after which no process of a killed job may be there any more."""


def session(leader: int) -> list[int]:
    """List the living processes of a session, by the process that began it."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                # The name, in brackets, may hold anything; state, parent, group and session follow it.
                state, _, _, owner = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[:4]
                if int(owner) == leader and state not in "ZX":
                    found.append(int(entry))
    return found


def workers(leader: int) -> list[int]:
    """List the Dask workers among them."""
    return _running(leader, b"spawn_main")


def servers(leader: int) -> list[int]:
    """List the private Prefect servers among them."""
    return _running(leader, b"prefect_server_main")


def _running(leader: int, word: bytes) -> list[int]:
    found = []
    for process in session(leader):
        with suppress(OSError):
            if word in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def wait_for_end(leader: int) -> float:
    """Wait until a session has no process any more; gives the seconds, more than `BOUND` where some stay."""
    began = time.monotonic()
    while session(leader) and time.monotonic() - began <= BOUND:
        time.sleep(0.01)
    return time.monotonic() - began


def end_session(leader: int) -> None:
    """End all that is left of it."""
    for process in session(leader):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
