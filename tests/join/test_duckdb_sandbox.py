"""DuckDB's databases: one a thread, closed with it, and nothing of a part left for the next."""

from __future__ import annotations

import gc
import tempfile
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pycytominer_transform.common.join.duckdb_sandbox import open_duckdb


def test_a_database_is_closed_with_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folders: list[list[str]] = []

    def join() -> None:
        for _ in range(2):
            with open_duckdb(threads=1, memory=1 << 28) as connection:
                connection.register("cells", pa.table({"a": [1]}))
                assert connection.execute("SELECT a FROM cells").fetchall() == [(1,)]
            folders.append([path.name for path in tmp_path.iterdir()])

    thread = threading.Thread(target=join)
    thread.start()
    thread.join()
    del thread
    gc.collect()
    assert len(folders[0]) == 1
    assert folders[0] == folders[1]
    assert not list(tmp_path.iterdir())


def test_what_one_part_registered_is_gone_for_the_next() -> None:
    with open_duckdb(threads=1, memory=1 << 28) as connection:
        connection.register("cells", pa.table({"a": [1]}))
    with open_duckdb(threads=1, memory=1 << 28) as connection, pytest.raises(duckdb.CatalogException):
        connection.execute("SELECT a FROM cells")
