"""Many of them at once, with one home: none fails, and none waits for another. `make torture` has the full number."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plates import Plate, write_csv
from serving import Server
from torture_together import Together, waiting_for_locks
from waiting import wait_until

pytestmark = pytest.mark.endurance

FLOWS, TOOLS = 4, 40
PLATE = Plate(folders=4, cells=12, features=8, missing=0.1)


@pytest.mark.prefect
def test_flows_and_tools_share_a_home(tmp_path: Path) -> None:
    together = Together(tmp_path / "all", write_csv(PLATE, tmp_path / "plate"))
    together.run(FLOWS, TOOLS)
    assert together.complaints == []
    assert len(list((tmp_path / "all" / "out").iterdir())) == FLOWS + TOOLS


@pytest.mark.prefect
def test_flows_and_tools_share_a_server(server: Server, tmp_path: Path) -> None:
    runs = len(server.ask("flow_runs"))
    together = Together(tmp_path / "all", write_csv(PLATE, tmp_path / "plate"), server.url)
    together.run(2, 4)
    assert together.complaints == []
    assert len(server.ask("flow_runs")) == runs + 2


def test_who_waits_for_a_lock_is_found(tmp_path: Path) -> None:
    wait = f"import fcntl; fcntl.flock(open({str(tmp_path / 'lock')!r}, 'w'), fcntl.LOCK_EX)"
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen([sys.executable, "-c", wait])
        wait_until(lambda: process.pid in waiting_for_locks(), "process that waits for the lock")
        assert os.getpid() not in waiting_for_locks()
    assert process.wait() == 0
    assert process.pid not in waiting_for_locks()
