"""Starts servers for tests on free ports of the loopback address, and ends them however the test run ends."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

__all__ = ["HOST", "NotStartedError", "answers", "free_ports", "retried", "running", "script"]

HOST = "127.0.0.1"
GUARD = Path(__file__).with_name("cloud_guard.py")
# Of the whole run: a test that starts a server may have a temporary folder of its own.
TEMPORARY = tempfile.gettempdir()
PATIENCE = 300
# Below the ports that clients' own connections get, so that none of those is in the way a moment later.
PORTS = range(10_000, 32_000)
# Another test process may take a port between the look and the use.
ATTEMPTS = 4

Started = TypeVar("Started")
Command = Callable[[Path], Sequence[object]]


class NotStartedError(RuntimeError):
    """A server ended before it was ready, or was not ready in time; the message holds what it said."""


def free_ports(count: int) -> list[int]:
    """Give ports of the loopback address that nothing listens on, all different."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise NotStartedError(f"no {count} free ports in {PORTS}")


def script(name: str) -> str:
    """Give the path of an executable that a package has put beside this Python, or of one on the path."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise NotStartedError(f"there is no {name}; make test installs it")
    return found


def answers(url: str) -> bool:
    """Whether a server answers a request, with whatever status."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def running(
    command: Command, ready: Callable[[], bool], environment: Mapping[str, str], left: Sequence[str] = ()
) -> Iterator[None]:
    """Run a server for as long as the block.

    Parameters
    ----------
    command
        Gives the command line for a folder of the server's own: its working directory, removed afterwards.
    ready
        Says whether the server can be used; asked again and again.
    environment
        Variables for the server beside those that any program needs.
    left
        Files that it makes outside its folder; removed too.
    """
    folder = Path(tempfile.mkdtemp(prefix="pct-cloud-", dir=TEMPORARY))
    words = [sys.executable, "-I", "-S", GUARD, folder, *left, "--", *command(folder)]
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.PIPE, stdout=log, stderr=log,
            env=kept | {"HOME": str(folder), "TMPDIR": TEMPORARY} | dict(environment), start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + PATIENCE
            # Asked of the process last: another server may be what answers at the port.
            while not (ready() and process.poll() is None):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise NotStartedError(f"{words[4:]}\n{log.read().decode(errors='replace')[-4000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.communicate()
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def retried(start: Callable[[], AbstractContextManager[Started]]) -> Iterator[Started]:
    """Start a server for as long as the block, again on other ports if it does not start."""
    with contextlib.ExitStack() as stack:
        for left in reversed(range(ATTEMPTS)):
            try:
                server = stack.enter_context(start())
                break
            except NotStartedError:
                if not left:
                    raise
        yield server
