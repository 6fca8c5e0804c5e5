"""compose.yaml: a Prefect server, a Dask scheduler and two workers in containers, and pct-flow against both."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from services import CONTAINERS, ONE_FOLDER_A_PART, PATIENCE, environment, plain, run, write_plate
from waiting import wait_until

pytestmark = pytest.mark.containers
PARTS = 30
VERSION = os.environ.get("PCT_VERSION", "latest")
IMAGE = f"pct-flow:{VERSION}"
# Debian's client of its own engine; another one may be first on the path.
DOCKER = shutil.which("docker", path="/usr/bin") or "docker"


@dataclass
class Deployment:
    """The containers of one `compose up`, which see a folder as /data."""

    words: list[str]
    env: dict[str, str]
    data: Path

    def compose(self, *words: str) -> str:
        return run([*self.words, *words], env=self.env)

    def start_flow(self, *words: str) -> subprocess.Popen[str]:
        command = [*self.words, "run", "--rm", "-T", "flow", *words, *ONE_FOLDER_A_PART]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ask(self, what: str) -> list[dict[str, Any]]:
        """Ask the server for records, of which it gives 200 at a time."""
        found: list[dict[str, Any]] = []
        while True:
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.env['PCT_PREFECT_PORT']}/api/{what}/filter",
                json.dumps({"offset": len(found)}).encode(), {"Content-Type": "application/json"},
            )  # fmt: skip
            with urllib.request.urlopen(request, timeout=60) as answer:
                page: list[dict[str, Any]] = json.load(answer)
            found += page
            if not page:
                return found

    def states(self, flow: str) -> Counter[str]:
        """Count the states of the task runs of a flow run."""
        flows = {run["id"] for run in self.ask("flow_runs") if run["name"] == flow}
        return Counter(run["state"]["type"] for run in self.ask("task_runs") if run["flow_run_id"] in flows)


def compose_words() -> list[str]:
    """Give the command that compose is here, or skip."""
    if subprocess.run([DOCKER, "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        pytest.skip("Docker does not run, or has no image pct-flow: make images")
    if not subprocess.run([DOCKER, "compose", "version"], capture_output=True, check=False).returncode:
        return [DOCKER, "compose"]
    if shutil.which("docker-compose") is None:
        pytest.skip("compose is not there: apt-get install docker-compose")
    return ["docker-compose"]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    words = [*compose_words(), "-f", str(CONTAINERS / "compose.yaml"), "-p", f"pct-test-{os.getpid()}"]
    data = tmp_path_factory.mktemp("data")
    write_plate(data, folders=PARTS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = f"{os.getuid()}:{os.getgid()}"
    env = environment(PCT_DATA=str(data), PCT_USER=user, PCT_PREFECT_PORT=str(port), PCT_VERSION=VERSION)
    made = Deployment(words, env, data)
    try:
        made.compose("up", "-d")
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


@pytest.fixture(scope="module")
def expected(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return plain(deployment.data / "plate1", tmp_path_factory.mktemp("plain"))


def test_runs_show_with_states_and_log_lines(deployment: Deployment, expected: bytes) -> None:
    flow = deployment.start_flow("/data/plate1", "-o", "/data/first.parquet")
    said, _ = flow.communicate(timeout=PATIENCE)
    assert flow.returncode == 0, said
    assert (deployment.data / "first.parquet").read_bytes() == expected
    # The recorder of task runs may be a moment behind.
    wait_until(
        lambda: deployment.states("convert plate1") == {"COMPLETED": 2 * PARTS + 2}, "records of all runs as completed"
    )
    assert [run["state"]["type"] for run in deployment.ask("flow_runs")] == ["COMPLETED"]
    names = {run["name"] for run in deployment.ask("task_runs")}
    assert {"discover plate1", f"extract part 1 of {PARTS}", "write first.parquet"} <= names
    wait_until(
        lambda: any("preset cellprofiler_csv" in line["message"] for line in deployment.ask("logs")), "log lines"
    )


def test_a_killed_worker_costs_only_time(deployment: Deployment, expected: bytes) -> None:
    before = deployment.ask("flow_runs")
    workers = deployment.compose("ps", "-q", "worker").split()
    assert len(workers) == 2
    flow = deployment.start_flow("/data/plate1", "-o", "/data/second.parquet", "--work-dir", "/data/work")
    try:
        profiles = deployment.data / "work" / "second.parquet.pct-work" / "parts"
        wait_until(lambda: flow.poll() is not None or any(profiles.glob("part-*")), "first part")
        run([DOCKER, "kill", workers[0]])
        assert flow.poll() is None
        assert len(list(profiles.glob("part-*"))) < PARTS
        said, _ = flow.communicate(timeout=PATIENCE)
    finally:
        flow.kill()
        flow.wait()
    assert flow.returncode == 0, said
    assert (deployment.data / "second.parquet").read_bytes() == expected
    assert deployment.compose("ps", "-q", "worker").split() != []
    known = {run["id"] for run in before}
    assert [r["state"]["type"] for r in deployment.ask("flow_runs") if r["id"] not in known] == ["COMPLETED"]
