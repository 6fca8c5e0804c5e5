"""Sources and what the stages make of them, for the tests of what all tools promise in common."""

from __future__ import annotations

from pathlib import Path

import pytest
from plates_sheets import SMALL, small_tables, write_sheets
from plates_sqlite import SqliteStyle, write_sqlite
from running import Staged, stage


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    """Give a good source of three folders, and what each stage makes of it; nobody changes any of it."""
    folder = tmp_path_factory.mktemp("staged")
    return stage(write_sheets(folder / "plate", small_tables()), folder)


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    """Give a good SQLite source of the cytominer-database kind."""
    (tmp_path / "source").mkdir()
    return write_sqlite(SMALL, tmp_path / "source" / "plate.sqlite", SqliteStyle("cytominer_database"))
