"""The private Prefect server: its password, its database, and what is said when it cannot serve."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import shutil
import signal
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from plates import Plate, write_csv
from pycytominer_transform.common.errors import StorageError
from pycytominer_transform.common.flow import prefect_compat, prefect_database, prefect_environment, prefect_server
from pycytominer_transform.common.flow.prefect_database import cache_migrated_database, copy_migrated_database
from pycytominer_transform.common.flow.prefect_environment import only_these_settings
from pycytominer_transform.common.flow.prefect_server import LOOPBACK, PrivateServer
from pycytominer_transform.tools import flow
from waiting import wait_until

# As it is outside of these tests, which share one server.
PRIVATE_PREFECT_SERVER = prefect_server.private_prefect_server


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    """Return a database that is enough of Prefect's."""
    path = tmp_path / "migrated.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES ('1234')")
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def revision(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        text: str = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    return text


def test_a_migrated_database_is_cached_per_version(
    migrated: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.db"
    assert not copy_migrated_database(copy)
    cache_migrated_database(migrated)
    assert copy_migrated_database(copy)
    assert revision(copy) == "1234"
    (cached,) = cache.rglob("*.db")
    assert [path.name for path in cached.parent.iterdir()] == [cached.name]
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.0")
    assert not copy_migrated_database(tmp_path / "other.db")


@pytest.mark.parametrize("damage", [b"", b"SQLite format 3\0", b"nothing of the kind"])
def test_a_damaged_database_is_none(migrated: Path, cache: Path, tmp_path: Path, damage: bytes) -> None:
    cache_migrated_database(migrated)
    (cached,) = cache.rglob("*.db")
    cached.write_bytes(damage)
    assert not copy_migrated_database(tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    cache_migrated_database(migrated)
    assert copy_migrated_database(tmp_path / "copy.db")


def test_a_cache_that_cannot_be_written_to_is_no_fault(
    migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache_migrated_database(migrated)
    assert not copy_migrated_database(tmp_path / "copy.db")


def test_an_image_brings_a_database(
    migrated: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_migrated_database(migrated)
    (cached,) = cache.rglob("*.db")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv(prefect_database.IMAGE_FOLDER, str(cached.parent))
    assert copy_migrated_database(tmp_path / "copy.db")


@pytest.mark.prefect
def test_nobody_is_served_without_the_password(tmp_path: Path) -> None:
    server = PrivateServer(tmp_path, LOOPBACK, verbose=False)
    try:
        server.await_start()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{server.url}/flow_runs/filter", b"{}"))
        assert refused.value.code == 401
        command = Path(f"/proc/{server._process.pid}/cmdline").read_bytes()
        assert server.password.encode() not in command
    finally:
        server.end()


def test_a_server_that_is_ended_after_its_last_restart_is_not_lost(tmp_path: Path) -> None:
    server = PrivateServer(tmp_path, LOOPBACK, verbose=False)
    try:
        for _ in range(3):
            killed = server._process
            killed.kill()
            wait_until(lambda: server._process is not killed, "next server")  # noqa: B023
    finally:
        server.end()
    wait_until(lambda: not server._watch.is_alive(), "end of the thread that starts it again")
    assert server.fault() is None


@pytest.mark.endurance
@pytest.mark.prefect
def test_a_server_that_is_killed_while_it_starts_is_started_again(tmp_path: Path) -> None:
    server = PrivateServer(tmp_path, LOOPBACK, verbose=False)
    try:
        first = server._process.pid
        os.kill(first, signal.SIGKILL)
        server.await_start()
        assert server._process.pid != first
    finally:
        server.end()


@pytest.mark.endurance
@pytest.mark.prefect
def test_a_server_that_cannot_start_ends_the_flow_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prefect_server, "private_prefect_server", PRIVATE_PREFECT_SERVER)
    plate = write_csv(Plate(folders=1, cells=2, features=2), tmp_path / "plate")
    before = prefect_environment.server_variables
    monkeypatch.setattr(
        prefect_server, "server_variables", lambda *words: before(*words) | {"PREFECT_SERVER_API_PORT": "none"}
    )
    assert flow.main([str(plate), "-q", "-o", str(tmp_path / "out.parquet")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pct-flow: error: the private Prefect server ended (code 1): ")
    assert "unable to parse" in line
    assert line.endswith("PREFECT_API_URL may name another server")


@pytest.mark.endurance
@pytest.mark.prefect
def test_a_flow_whose_server_lost_its_folder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prefect_server, "private_prefect_server", PRIVATE_PREFECT_SERVER)
    plate = write_csv(Plate(folders=12, cells=2, features=2), tmp_path / "plate")
    before = PrivateServer.await_start

    def lose_folder(server: PrivateServer) -> None:
        before(server)
        shutil.rmtree(server._home)
        # As Prefect does.
        server._home.mkdir()
        os.kill(server._process.pid, signal.SIGKILL)

    monkeypatch.setattr(PrivateServer, "await_start", lose_folder)
    words = [str(plate), "-q", "-o", str(tmp_path / "out.parquet"), "--part-size", "1"]
    assert flow.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pct-flow: error: the folder of the private Prefect server, ")
    assert line.endswith(" was removed during the run")


def test_a_server_that_cannot_be_started_again_answers_that_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = PrivateServer(tmp_path, LOOPBACK, verbose=False)
    try:

        def refuse() -> None:
            raise OSError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(server, "_started", refuse)
        os.kill(server._process.pid, signal.SIGKILL)
        with pytest.raises(StorageError, match="the private Prefect server ended"):
            server.await_start()
        # More than the buffers of a connection hold: an answer before all is read would be lost.
        for body in (None, b"{}", bytes(1 << 24)):
            with pytest.raises(urllib.error.HTTPError) as answer:
                urllib.request.urlopen(urllib.request.Request(f"{server.url}/flow_runs/filter", body))
            assert answer.value.code == 410
    finally:
        server.end()


def test_settings_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import settings

    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    with only_these_settings({"PREFECT_API_URL": "http://127.0.0.1:1/api"}):
        assert settings.PREFECT_API_URL.value() == os.environ["PREFECT_API_URL"] == "http://127.0.0.1:1/api"
        assert "PREFECT_API_KEY" not in os.environ
        assert settings.PREFECT_API_KEY.value() is None
    assert os.environ["PREFECT_API_KEY"] == "secret"
    assert settings.PREFECT_API_URL.value() != "http://127.0.0.1:1/api"


def test_events_are_dropped_by_a_name_that_is_there() -> None:
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker

    with prefect_compat.events_dropped():
        assert EventsWorker._client_override == (NullEventsClient, ())
    assert EventsWorker._client_override is None


def test_without_that_name_events_are_sent_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    from prefect.events.worker import EventsWorker

    monkeypatch.delattr(EventsWorker, "set_client_override")
    with prefect_compat.events_dropped():
        pass
    assert any("differs from those known here, so events are sent" in line for line in told.messages)
    assert all(record.levelno == logging.DEBUG for record in told.records)
