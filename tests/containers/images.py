"""Running the images: which Docker, are they built, and a tool in a container as an engine would run it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["ODD_USER", "PATIENCE", "TOOLS", "container", "docker", "need_images"]

TOOLS = ("discover", "extract", "join", "write", "flow")
PATIENCE = 240
# Nobody's number, no home, nothing writable but what is mounted and /tmp, no network.
ODD_USER = ("--user", "12345:12345", "--read-only", "--tmpfs", "/tmp", "--network", "none")


def docker() -> str:
    """Give the Docker client: the one that DOCKER names, else the first on the path."""
    return os.environ.get("DOCKER") or shutil.which("docker") or "docker"


@functools.cache
def _missing() -> str:
    if shutil.which(docker()) is None:
        return "there is no docker"
    words = [docker(), "image", "inspect", *(f"pct-{tool}:latest" for tool in TOOLS)]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return "" if found.returncode == 0 else f"make images first: {found.stderr.strip().splitlines()[-1]}"


def need_images() -> None:
    """Skip where Docker does not run or the images are not built."""
    if _missing():
        pytest.skip(_missing())


def container(
    tool: str, *words: str | Path, mounts: Sequence[tuple[Path, str]] = (), options: Sequence[str] = ODD_USER
) -> list[str]:
    """Write the command that runs a tool in a container of its own name; folders are mounted where they lie.

    Parameters
    ----------
    mounts
        Folders, each with `ro` or `rw`.
    """
    # Docker would keep every byte of standard output in a log.
    command = [docker(), "run", "--rm", "--interactive", "--log-driver=none", "--name", f"pct-test-{uuid.uuid4().hex}"]
    for folder, mode in mounts:
        command += ["--volume", f"{folder}:{folder}:{mode}"]
    return [*command, *options, f"pct-{tool}", f"pct-{tool}", *map(str, words)]
