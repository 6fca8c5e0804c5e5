"""Dask workers that are killed, that talk, and that never come; in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from plates import Plate, write_csv
from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.flow.dask_batch_jobs import await_workers
from running import entries, environment, executable
from serving import Jobs, end_group
from waiting import wait_until

STRANGER = str(Path(__file__).parents[1] / "support" / "stranger.py")


@pytest.mark.endurance
@pytest.mark.prefect
@pytest.mark.dask
def test_parts_of_killed_workers_are_tried_again(jobs: Jobs) -> None:
    found = jobs.run("lost")
    assert found["collected"] == {"1": 1, "2": 2}
    assert found["failures"] == {
        "3": "the Dask worker that had it was lost: killed, out of memory, or its machine is gone"
    }
    # As often as Dask itself tries.
    assert found["tried"] == {"1": 1, "2": 2, "3": 4}
    assert [path.name for path in jobs.folder.glob("pct-*")] == []


@pytest.mark.endurance
@pytest.mark.prefect
@pytest.mark.dask
def test_what_workers_say_is_shown_once(jobs: Jobs) -> None:
    shown = jobs.run("talkative")
    whispered, said, shouted = "pct-flow: whispered {n}", "pct-flow: said {n}", "pct-flow: warning: shouted {n}"
    expected = {"text": [said, shouted], "quiet": [shouted], "verbose": [whispered, said, shouted]}
    for way, lines in expected.items():
        told = [line for line in shown[way] if line.startswith("pct-flow")]
        assert told == [line.format(n=n) for n in range(3) for line in lines], way
    told = [json.loads(line) for line in shown["json"]]
    assert [(line["level"], line["message"], line.get("number")) for line in told] == [
        line for n in range(3) for line in (("info", f"said {n}", n), ("warning", f"shouted {n}", None))
    ]


@pytest.mark.endurance
@pytest.mark.prefect
@pytest.mark.dask
def test_an_interruption_while_workers_start_leaves_nothing(tmp_path: Path) -> None:
    plate = write_csv(Plate(folders=2, cells=2, features=2), tmp_path / "plate")
    for name in ("tmp", "home"):
        (tmp_path / name).mkdir()
    process = subprocess.Popen(
        [executable("flow"), plate, "-o", tmp_path / "out.parquet", "--runner", "dask", "--workers", "2"],
        env=environment(TMPDIR=str(tmp_path / "tmp"), HOME=str(tmp_path / "home")), stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip

    def workers() -> list[str]:
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
        children = [pid for path in tasks for pid in path.read_text().split()]
        return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def is_one_started() -> bool:
        assert process.poll() is None
        with suppress(OSError):
            return bool(workers())
        return False

    try:
        wait_until(is_one_started, "worker")
        process.send_signal(signal.SIGHUP)
        err = process.communicate(timeout=300)[1].decode()
        assert process.returncode == 129, err
        assert "Traceback" not in err
        wait_until(lambda: not has_members(process.pid), "end of the workers")
        assert entries(tmp_path / "tmp") == set()
    finally:
        end_group(process)


def has_members(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


@pytest.mark.endurance
@pytest.mark.dask
def test_a_worker_that_is_lost_while_it_is_set_up(
    tmp_path: Path, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed
    from pycytominer_transform.common.flow import dask_workers

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    lost, settled = tmp_path / "lost", tmp_path / "settled"

    # Within the function, so that it goes to the workers by value.
    class Plugin(distributed.WorkerPlugin):
        name, level = "set-up", 0

        def setup(self, worker: distributed.Worker) -> None:
            import os

            try:
                os.close(os.open(lost, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                settled.touch()
            else:
                os._exit(1)

    monkeypatch.setattr(dask_workers, "_FlowPlugin", Plugin)
    security: Any = distributed.Security
    certificates = security.temporary()
    with dask_workers.local_workers(1, certificates) as address:
        connect: Any = distributed.Client
        with connect(address, security=certificates, set_as_default=False) as client:
            with dask_workers.set_up_workers(client):
                wait_until(settled.exists, "a worker that is set up")
    assert lost.exists()
    assert any("lost while it was set up" in message for message in told.messages)


@pytest.mark.dask
@pytest.mark.parametrize(("protocol", "certificate"), [("tcp", "none"), ("tls", "own")])
def test_another_user_is_not_let_in(protocol: str, certificate: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    import distributed
    from pycytominer_transform.common.flow import dask_workers

    security: Any = distributed.Security
    with dask_workers.local_workers(0, security.temporary()) as address:
        place = address.replace("tls://", f"{protocol}://")
        command = [sys.executable, STRANGER, place, certificate]
        answer = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    # Not an error of another kind, by which it would not even have tried.
    assert answer.stdout in ("refused CommClosedError\n", "refused FatalCommClosedError\n"), answer


def test_without_certificates_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed
    from pycytominer_transform.common.flow.task_runners import task_runner

    def no_cryptography() -> None:
        raise ImportError("cryptography")

    monkeypatch.setattr(distributed.Security, "temporary", no_cryptography)
    with pytest.raises(UsageError, match="cannot talk by TLS"), task_runner("dask", workers=1):
        pass


@pytest.mark.dask
def test_workers_that_never_come_are_waited_for_for_a_time(jobs: Jobs, told: pytest.LogCaptureFixture) -> None:
    import distributed

    note = jobs.folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard"]
    scheduler = subprocess.Popen(
        [*command, "--scheduler-file", str(note)], env=jobs.environment(), cwd=jobs.folder, start_new_session=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: note.exists() and bool(note.read_text()), "scheduler address")
        address = json.loads(note.read_text())["address"]
        with distributed.Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            with pytest.raises(StorageError, match=f"no Dask worker came to the scheduler at {address} within 0:01"):
                await_workers(client, 1.0)
    finally:
        end_group(scheduler)
    assert told.messages[0].startswith(f"waiting for a Dask worker at {address} since 0:0")
