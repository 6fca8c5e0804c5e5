"""The flow as Prefect's users have it: called from a script, served, started by a server; and what the server shows."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import oracle
import pytest
from plates import Plate, write_csv
from serving import PATIENCE, Jobs, Server, end_group
from waiting import wait_until

pytestmark = pytest.mark.prefect

PLATE = Plate(folders=4, cells=12, features=6, missing=0.1)
CALL = """
import sys
from pycytominer_transform.tools.flow import convert

if __name__ == "__main__":
    for output in sys.argv[2:]:
        print(convert(sys.argv[1], output, {"part_size": 1, "storage_option": ["token=unheard-of"]}).written.files)
"""
KEPT = """
import gc
import sys
from pycytominer_transform.common.ipc.bundle import MemoryBundle
from pycytominer_transform.common.ipc.profiles import MemoryProfiles
from pycytominer_transform.tools.flow import convert

if __name__ == "__main__":
    gc.disable()
    for output in sys.argv[2:]:
        convert(sys.argv[1], output, {"part_size": 1})
    tables = [one._parts for one in gc.get_objects() if isinstance(one, (MemoryBundle, MemoryProfiles))]
    print(sum(map(len, tables)))
"""
SERVE = """
from pycytominer_transform.tools.flow import convert

if __name__ == "__main__":
    convert.serve("plates", print_starting_message=False)
"""


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(PLATE, tmp_path_factory.mktemp("sources") / "plate1")


def script(jobs: Jobs, text: str, server: Server, *words: str) -> subprocess.Popen[str]:
    (jobs.folder / "script.py").write_text(text)
    environment = jobs.environment(PREFECT_API_URL=server.url, PREFECT_HOME=str(jobs.folder / "home"))
    return subprocess.Popen(
        [sys.executable, "script.py", *words], env=environment, cwd=jobs.folder, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def task_runs(server: Server, flow_run: str) -> dict[str, dict[str, Any]]:
    """Return the task runs of a flow run by their names."""
    return {run["name"]: run for run in server.ask("task_runs") if run["flow_run_id"] == flow_run}


def sources(runs: dict[str, dict[str, Any]], name: str) -> set[str]:
    """Return the names of the runs that a run's page shows edges from."""
    names = {run["id"]: other for other, run in runs.items()}
    return {names[entry["id"]] for entries in runs[name]["task_inputs"].values() for entry in entries}


@pytest.mark.endurance
def test_a_script_calls_the_flow_and_the_server_shows_its_graph(jobs: Jobs, server: Server, plate: Path) -> None:
    process = script(jobs, CALL, server, str(plate), "called.parquet", "called")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out.splitlines()[-2:] == ["1", "4"]
    assert oracle.compare(oracle.profiles(plate), jobs.folder / "called.parquet") == []
    parts = range(1, 5)
    check_graph(server, plate, "called.parquet", {"write called.parquet": [f"join part {n} of 4" for n in parts]})
    check_graph(server, plate, "called", {f"write part {n} of 4": [f"join part {n} of 4"] for n in parts})


@pytest.mark.endurance
def test_no_tables_of_a_part_outlive_it(jobs: Jobs, server: Server, plate: Path) -> None:
    process = script(jobs, KEPT, server, str(plate), "kept.parquet", "kept")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == "0"


def check_graph(server: Server, plate: Path, output: str, writes: dict[str, list[str]]) -> None:
    """Hold a flow run's task runs, and the edges between them, against those of four parts."""
    (run,) = [run for run in server.ask("flow_runs") if run["parameters"].get("output") == output]
    assert run["name"] == "convert plate1"
    assert run["parameters"]["source"] == str(plate)
    joins = {f"join part {n} of 4": [f"extract part {n} of 4"] for n in range(1, 5)}
    edges = {f"extract part {n} of 4": list[str]() for n in range(1, 5)} | joins | writes
    wait_until(lambda: set(task_runs(server, run["id"])) == {"discover plate1", *edges}, "records of all task runs")
    wait_until(
        lambda: all(one["state"]["type"] == "COMPLETED" for one in task_runs(server, run["id"]).values()), "their ends"
    )
    runs = task_runs(server, run["id"])
    assert {name: sources(runs, name) for name in edges} == {name: set(before) for name, before in edges.items()}


@pytest.mark.endurance
def test_a_served_flow_is_started_from_the_server(jobs: Jobs, server: Server, plate: Path) -> None:
    process = script(jobs, SERVE, server)

    def deployments() -> list[str]:
        return [one["id"] for one in server.ask("deployments") if one["name"] == "plates"]

    def start(parameters: dict[str, Any]) -> str:
        """Start a run as the server's page does; return its id."""
        url = f"{server.url}/deployments/{deployments()[0]}/create_flow_run"
        body, answers = json.dumps({"parameters": parameters}).encode(), list[dict[str, Any]]()

        def is_started() -> bool:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            # A server under load may ask to be asked again.
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request) as answer:
                answers.append(json.load(answer))
            return bool(answers)

        wait_until(is_started, "answer of the server")
        return str(answers[0]["id"])

    def state(run: str) -> str:
        found = [one["state"] for one in server.ask("flow_runs") if one["id"] == run]
        assert found[0]["type"] not in ("FAILED", "CRASHED"), found
        return str(found[0]["type"])

    try:
        wait_until(lambda: bool(deployments()), "deployment")
        output = jobs.folder / "served.parquet"
        options = {"part_size": "1", "unmatched": "keep", "work_dir": "work"}
        run = start({"source": str(plate), "output": str(output), "options": options})
        wait_until(lambda: state(run) == "COMPLETED", "end of the flow run")
        assert oracle.compare(oracle.profiles(plate, choices=oracle.Choices(unmatched="keep")), output) == []
    finally:
        end_group(process)
