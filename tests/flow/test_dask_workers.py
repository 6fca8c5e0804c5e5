"""Dask workers that are killed, that talk, and that never come; in processes of their own."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import certifi
import pytest
from prefect.client import orchestration
from pycytominer_transform.common.dask_cluster import await_workers
from pycytominer_transform.common.errors import StorageError
from pycytominer_transform.common.prefect_certificates import read_certificates_once
from serving import Jobs, end_group
from waiting import wait_until


@pytest.mark.prefect
@pytest.mark.dask
def test_parts_of_killed_workers_are_tried_again(jobs: Jobs) -> None:
    found = jobs.run("lost")
    assert found["collected"] == {"1": 1, "2": 3}
    assert found["failures"] == {
        "3": "the Dask worker that had it was lost: killed, out of memory, or its machine is gone"
    }
    assert found["retried"] == 4
    assert found["tried"] == {"1": 1, "2": 3, "3": 3}
    assert [path.name for path in jobs.folder.glob("pct-*")] == []


@pytest.mark.prefect
@pytest.mark.dask
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["text"], ["pct-flow: said {n}", "pct-flow: warning: shouted {n}"]),
        (["text", "quiet"], ["pct-flow: warning: shouted {n}"]),
        (["text", "verbose"], ["pct-flow: whispered {n}", "pct-flow: said {n}", "pct-flow: warning: shouted {n}"]),
    ],
)
def test_what_workers_say_is_shown_once(words: list[str], expected: list[str], jobs: Jobs) -> None:
    lines = [line for line in jobs.run("talkative", *words)["lines"] if line.startswith("pct-flow")]
    assert lines == [line.format(n=n) for n in range(3) for line in expected]


@pytest.mark.prefect
@pytest.mark.dask
def test_what_workers_say_is_shown_as_json(jobs: Jobs) -> None:
    lines = [json.loads(line) for line in jobs.run("talkative", "json")["lines"]]
    assert [(line["level"], line["message"], line.get("number")) for line in lines] == [
        told for n in range(3) for told in (("info", f"said {n}", n), ("warning", f"shouted {n}", None))
    ]


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


def test_prefect_reads_a_file_of_certificates_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Put back at the end of the test.
    monkeypatch.setattr(orchestration, "ssl", ssl)
    read_certificates_once.cache_clear()
    read_certificates_once()
    signers, others = certifi.where(), tmp_path / "others.pem"
    others.write_text(Path(signers).read_text())
    read: list[object] = []
    make = ssl.create_default_context

    def reading(*arguments: Any, **named: Any) -> ssl.SSLContext:
        read.append(named.get("cafile"))
        return make(*arguments, **named)

    monkeypatch.setattr(ssl, "create_default_context", reading)
    for _ in range(3):
        orchestration.SyncPrefectClient("https://prefect.example/api")
    assert read.count(signers) <= 1
    ours: Any = vars(orchestration)["ssl"]
    first = ours.create_default_context(cafile=signers)
    assert ours.create_default_context(cafile=signers) is first
    assert ours.create_default_context(cafile=str(others)) is not first
    # What anybody else changes of one of theirs is nobody else's.
    assert ours.create_default_context() is not ours.create_default_context()
    assert ssl.create_default_context(cafile=signers) is not first
    assert first.verify_mode is ssl.CERT_REQUIRED
