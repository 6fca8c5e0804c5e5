"""What a flow does while its private server starts: it looks at the source, once, and tells of faults as ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plates import Plate, write_csv
from pycytominer_transform.common import discovery, prefect_server
from pycytominer_transform.common.ahead import begun
from pycytominer_transform.common.errors import PassingStorageError
from pycytominer_transform.common.prefect_server import PrefectApi
from pycytominer_transform.tools import discover, flow
from waiting import wait_until


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return write_csv(Plate(folders=3, cells=8, features=4), tmp_path / "plate1")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a list that grows with each look at a source."""
    done: list[str] = []
    look = discovery.discover_manifest

    def noted(source: str, *arguments: Any) -> Any:
        found = look(source, *arguments)
        done.append(source)
        return found

    monkeypatch.setattr(discovery, "discover_manifest", noted)
    return done


@pytest.mark.prefect
def test_the_source_is_looked_at_while_the_server_starts(
    plate: Path, tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve = prefect_server.prefect_api

    @contextmanager
    def slow(**words: Any) -> Iterator[PrefectApi]:
        with serve(**words) as api:
            yield replace(api, await_start=lambda: wait_until(lambda: bool(looks), "look at the source"))

    monkeypatch.setattr(prefect_server, "prefect_api", slow)
    assert flow.main([str(plate), "-o", str(tmp_path / "out.parquet")]) == 0
    assert looks == [str(plate)]
    assert "time: discover" in capsys.readouterr().err


@pytest.mark.prefect
def test_a_fault_that_passes_is_looked_past(
    plate: Path, tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look, tried = discovery.discover_manifest, []

    def fail_once(source: str, *arguments: Any) -> Any:
        tried.append(source)
        if len(tried) == 1:
            raise PassingStorageError("the network is away")
        return look(source, *arguments)

    monkeypatch.setattr(discovery, "discover_manifest", fail_once)
    assert flow.main([str(plate), "-o", str(tmp_path / "out.parquet")]) == 0
    assert len(tried) == 2
    assert looks == [str(plate)]


@pytest.mark.prefect
def test_a_fault_that_stays_is_told_once(plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(plate.rglob("Cells.csv")).write_bytes(b"")
    assert flow.main([str(plate), "-o", str(tmp_path / "out.parquet")]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("pct-flow: ")
    assert "Cells.csv" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plate1"]


def test_what_was_begun_is_not_left_behind(plate: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.arrow"
    with pytest.raises(ValueError, match="the block fails"):
        with begun(lambda: discover.discover(source=str(plate), output=str(manifest))) as ahead:
            raise ValueError("the block fails")
    assert ahead.result().datasets == 3
    assert ahead.seconds == ahead.seconds > 0
    assert manifest.exists()
