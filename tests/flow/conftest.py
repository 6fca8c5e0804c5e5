"""Fixtures of the Prefect tests: jobs in processes of their own, a Prefect server, a Dask scheduler."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Jobs, Server, end_group
from waiting import wait_until


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


@pytest.fixture
def dask_scheduler(jobs: Jobs) -> Iterator[str]:
    """Give the address of a running scheduler with one worker that knows nothing of Prefect's settings."""
    note = jobs.folder / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli"]
    quiet = {"env": jobs.environment(), "cwd": jobs.folder, "start_new_session": True, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [*dask[:2], "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(note)],
        **quiet,  # type: ignore[call-overload]
    )
    worker = subprocess.Popen(
        [*dask[:2], "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard", "--scheduler-file", str(note)],
        **quiet,  # type: ignore[call-overload]
    )
    try:
        wait_until(note.exists, "scheduler file")
        wait_until(lambda: bool(note.read_text()), "scheduler address")
        yield json.loads(note.read_text())["address"]
    finally:
        end_group(worker)
        end_group(scheduler)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a real ``prefect server start``."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_UI_ENABLED": "false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=Jobs(folder).environment(**settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        found = Server(f"http://127.0.0.1:{port}/api")
        wait_until(found.healthy, "Prefect server")
        yield found
    finally:
        end_group(process)
