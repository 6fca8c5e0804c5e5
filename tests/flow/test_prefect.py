"""Prefect for real: private servers, a named server, Dask clusters, failures, signals; in processes of their own."""

from __future__ import annotations

import os
import pickle
import signal
from typing import Any

import prefect_jobs
import pytest
from pycytominer_transform.common.flow.prefect_environment import prefect_api_configured
from serving import PATIENCE, Jobs, Server, end_group, group_gone
from waiting import wait_until

pytestmark = pytest.mark.endurance
MANY = {
    "refused": [0, "ValueError: Cells.csv: row 1 is cut off", 2, 4],
    "doubled": [0, 2, 4, 6, 8, 10],
}
NAMES = [
    *((f"double {n}", "COMPLETED") for n in range(6)),
    *((f"part {n}", "FAILED" if n % 2 else "COMPLETED") for n in range(5)),
]
# A private server is told nothing of task runs.
PRIVATE = {"flows": ["COMPLETED"], "tasks": 0}


def check_many(found: dict[str, Any]) -> None:
    # From a Dask worker it comes as another error with the same text.
    assert str(found["refused"].pop(3)).endswith("StubbornError: Cells.csv: row 3")
    assert found["refused"] == MANY["refused"]
    assert found["doubled"] == MANY["doubled"]


@pytest.mark.prefect
def test_private_server_leaves_nothing_and_may_be_had_twice(jobs: Jobs) -> None:
    found = jobs.run("empty")
    assert found["known"] == [PRIVATE] * 2
    assert len(set(found["urls"])) == 2
    assert found["same"]
    assert found["children"] == []
    assert jobs.homes() == []


@pytest.mark.prefect
def test_private_server_shuns_the_users_prefect(jobs: Jobs) -> None:
    found = jobs.run(
        "broken",
        PREFECT_PROFILE="nowhere",
        PREFECT_API_KEY="secret",
        PREFECT_SERVER_API_AUTH_STRING="admin:admin",
        PREFECT_API_DATABASE_CONNECTION_URL="postgresql+asyncpg://nobody@127.0.0.1:9/none",
    )
    assert found == {}
    assert jobs.homes() == []


@pytest.mark.prefect
@pytest.mark.dask
def test_local_dask_cluster(jobs: Jobs) -> None:
    found = jobs.run("many", "dask")
    check_many(found)
    assert found["known"] == PRIVATE
    assert 1 <= len(found["pids"]) <= 2
    assert found["own"] not in found["pids"]
    assert jobs.homes() == []


@pytest.mark.prefect
@pytest.mark.dask
def test_running_dask_scheduler(jobs: Jobs, dask_scheduler: str) -> None:
    found = jobs.run("many", "dask", dask_scheduler)
    check_many(found)
    assert found["known"] == PRIVATE
    assert len(found["pids"]) == 1
    assert found["own"] not in found["pids"]
    assert jobs.homes() == []


@pytest.mark.prefect
@pytest.mark.parametrize("kind", ["concurrent", pytest.param("dask", marks=pytest.mark.dask)])
def test_terminated_leaves_no_child_and_no_home(jobs: Jobs, kind: str) -> None:
    process = jobs.start("terminated", kind)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "resting\n"
        assert len(jobs.homes()) == 1
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE)
        assert process.returncode == 143, told
        wait_until(lambda: group_gone(process.pid), "end of all child processes")
    finally:
        end_group(process)
    assert jobs.homes() == []


@pytest.mark.prefect
def test_the_server_does_not_outlive_a_killed_flow(jobs: Jobs) -> None:
    process = jobs.start("stuck")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        assert not group_gone(process.pid)
        process.kill()
        process.communicate(timeout=PATIENCE)
        wait_until(lambda: group_gone(process.pid), "end of the server")
    finally:
        end_group(process)


@pytest.mark.prefect
def test_a_server_that_is_killed_is_started_again(jobs: Jobs) -> None:
    assert jobs.run("restless", "3") == {"result": 8}
    assert jobs.homes() == []


@pytest.mark.prefect
def test_a_server_that_is_always_killed_is_given_up(jobs: Jobs) -> None:
    found = jobs.run("restless", "4")
    assert "the private Prefect server ended (code -9)" in found["error"]
    assert jobs.homes() == []


@pytest.mark.prefect
def test_what_is_sent_to_the_whole_group_is_for_the_flow(jobs: Jobs) -> None:
    process = jobs.start("stuck")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        os.killpg(process.pid, signal.SIGINT)
        told = process.communicate(timeout=PATIENCE)[1]
        assert (process.returncode, len(told.splitlines())) == (130, 1), told
        wait_until(lambda: group_gone(process.pid), "end of the server")
    finally:
        end_group(process)
    assert jobs.homes() == []


@pytest.mark.prefect
@pytest.mark.parametrize(("number", "told"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_thread_at_work_holds_nobody_up(jobs: Jobs, number: signal.Signals, told: str) -> None:
    process = jobs.start("stuck")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        wait_until((jobs.folder / "fifo").exists, "thread that waits")
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
    finally:
        end_group(process)
    assert process.returncode == 128 + number
    assert said == f"pct-stuck: error: {told}; nothing was left under the output's name\n"
    assert [path.name for path in jobs.folder.iterdir()] == ["fifo"]


def runs_of(server: Server, name: str) -> list[tuple[str, str]]:
    # A run that was created has no state for a moment.
    runs = [run["state"] or {} for run in server.ask("task_runs") if run["name"] == name]
    return [(state.get("type", ""), state.get("message") or "") for state in runs]


@pytest.mark.prefect
def test_single_tool_shows_on_a_named_server(jobs: Jobs, server: Server) -> None:
    found = jobs.run("single", "tracked", "2", PREFECT_API_URL=server.url, PREFECT_HOME=str(jobs.folder))
    assert found == {"result": 2, "prefect": True}
    wait_until(lambda: runs_of(server, "double {plate1}") == [("COMPLETED", "")], "task run")
    wait_until(lambda: "doubling 21" in [line["message"] for line in server.ask("logs")], "log line")


@pytest.mark.prefect
def test_failure_shows_on_a_named_server_and_is_raised_unchanged(jobs: Jobs, server: Server) -> None:
    found = jobs.run("single", "tracked", "3", PREFECT_API_URL=server.url, PREFECT_HOME=str(jobs.folder))
    assert found == {"result": "StubbornError: Cells.csv: row 3", "prefect": True}
    wait_until(lambda: [state for state, _ in runs_of(server, "refuse plate1")].count("FAILED") == 1, "failed run")
    assert any("Cells.csv: row 3" in message for _, message in runs_of(server, "refuse plate1"))


@pytest.mark.prefect
@pytest.mark.parametrize("kind", ["concurrent", pytest.param("dask", marks=pytest.mark.dask)])
def test_a_named_server_is_told_of_every_task(jobs: Jobs, server: Server, kind: str) -> None:
    names = {name for name, _ in NAMES}
    before = [run["id"] for run in server.ask("task_runs")]

    def told() -> list[tuple[str, str, str]]:
        runs = [run for run in server.ask("task_runs") if run["id"] not in before and run["name"] in names]
        states = [(run["name"], run["state"] or {}) for run in runs]
        return sorted((name, state.get("type", ""), state.get("message") or "") for name, state in states)

    check_many(jobs.run("many", kind, PREFECT_API_URL=server.url, PREFECT_HOME=str(jobs.folder)))
    wait_until(lambda: [(name, state) for name, state, _ in told()] == NAMES, "record of all task runs")
    assert "row 1 is cut off" in told()[7][2]


@pytest.mark.prefect
def test_flow_uses_a_named_server(jobs: Jobs, server: Server) -> None:
    before = len(server.ask("flow_runs"))
    process = jobs.start("named", PREFECT_API_URL=server.url, PREFECT_HOME=str(jobs.folder))
    assert jobs.finish(process) == {"url": server.url, "result": 10, "tries": 3, "lasting": "ValueError", "tried": 1}
    wait_until(lambda: len(server.ask("flow_runs")) == before + 1, "flow run")
    assert jobs.homes() == []


@pytest.mark.prefect
def test_a_server_that_does_not_answer_is_named(jobs: Jobs) -> None:
    url = "http://127.0.0.1:9/api"
    found = jobs.run("single", "tracked", "2", PREFECT_API_URL=url, PREFECT_HOME=str(jobs.folder))
    assert found["result"].startswith(f"StorageError: the Prefect API at {url} does not answer")


def test_without_an_api_prefect_is_not_imported(jobs: Jobs) -> None:
    assert jobs.run("single", "plain", "2") == {"result": 2, "prefect": False}
    assert jobs.run("single", "plain", "1")["result"] == "ValueError: Cells.csv: row 1 is cut off"


def test_stage_task_travels() -> None:
    assert pickle.loads(pickle.dumps(prefect_jobs.stumble_task)) == prefect_jobs.stumble_task


@pytest.mark.parametrize(
    ("url", "no_prefect", "expected"),
    [(None, False, False), ("", False, False), ("http://x/api", False, True), ("http://x/api", True, False)],
)
def test_api_configured(monkeypatch: pytest.MonkeyPatch, url: str | None, no_prefect: bool, expected: bool) -> None:
    if url is None:
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
    else:
        monkeypatch.setenv("PREFECT_API_URL", url)
    assert prefect_api_configured(no_prefect=no_prefect) is expected
