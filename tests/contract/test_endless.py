"""Work without end, by an expression, a view or a query, is stopped; other things that come from somebody else too."""

from __future__ import annotations

import gzip
import io
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pycytominer_transform.common.model import options
from pycytominer_transform.common.runtime import resources
from running import PATIENCE, Staged, entries, environment, executable, run, run_process
from waiting import wait_until

# Its time doubles with each letter, in any engine that goes back.
ENDLESS = r"(?P<Plate>(?:a|aa|a\w)+)\.$"
NAME = "a" * 60
ENDLESS_QUERY = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT 1 FROM c) SELECT count(*) AS n FROM c, cells"


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_SEARCH_SECONDS", 0.05)


@pytest.mark.usefixtures("_short")
def test_an_expression_of_an_option(staged: Staged, tmp_path: Path) -> None:
    out = ["-q", "-o", tmp_path / "made"]
    source = tmp_path / NAME
    source.symlink_to(staged.source)
    run("discover", source, "--path-metadata", ENDLESS, *out).failed(2, "regular expression", "takes more than")
    assert entries(tmp_path) == {NAME}


@pytest.mark.usefixtures("_short")
def test_an_expression_of_a_preset(staged: Staged, tmp_path: Path) -> None:
    lines = ("name = 'own'", "title = 'own'", "format = 'csv'", "compartments = ['cells']")
    (tmp_path / "own.toml").write_text("\n".join([*lines, f"path_metadata = ['{ENDLESS}']"]))
    source = tmp_path / NAME
    source.symlink_to(staged.source)
    run("discover", source, "-q", "--preset", tmp_path / "own.toml").failed(2, "takes more than")


def test_the_users_folders_are_in_no_error_of_a_query(staged: Staged, tmp_path: Path) -> None:
    for query in ("SELECT * FROM duckdb_extensions()", "SELECT error(install_path) FROM duckdb_extensions()"):
        (tmp_path / "q.sql").write_text(query)
        line = run("join", staged.at_rest("join"), "-q", "--sql", tmp_path / "q.sql", "-o", tmp_path / "made").failed(2)
        assert str(Path.home()) not in line


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.table([[1], [2], [3]], names=["a", "b", "a"])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    run("write", "-q", "-o", tmp_path / "made.parquet", stdin=sink.getvalue()).failed(1, "several columns named a")
    assert not entries(tmp_path)


@pytest.mark.parametrize("size", [100, 4096, -1])
def test_a_database_that_is_cut_off_in_a_folder(size: int, sqlite_file: Path, tmp_path: Path) -> None:
    sqlite_file.write_bytes(sqlite_file.read_bytes()[:size])
    run("discover", sqlite_file.parent, "-q", "-o", tmp_path / "made").failed(1, "plate.sqlite: is cut off")


def endless_view(folder: Path) -> Path:
    """Write an SQLite file whose cells are a view that never ends."""
    path = folder / "plate.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE Per_Image (ImageNumber INT, Image_Metadata_Plate TEXT);
            INSERT INTO Per_Image VALUES (1, 'p');
            CREATE VIEW Per_Cells AS
            WITH RECURSIVE endless(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM endless WHERE x > 0)
            SELECT 1 AS ImageNumber, x AS Cells_Number_Object_Number, 1.5 AS Cells_AreaShape_Area
            FROM endless WHERE x < 0;
        """)
    return path


def test_a_view_is_stopped_by_timeout(tmp_path: Path) -> None:
    source = endless_view(tmp_path)
    ran = run_process("discover", source, "-q", "--timeout", "1", "-o", tmp_path / "made")
    ran.failed(1, "not done within the time of --timeout", "nothing was left", alone=False)
    assert entries(tmp_path) == {"plate.sqlite"}


def test_a_query_is_stopped_by_timeout(staged: Staged, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text(ENDLESS_QUERY)
    words = ["--sql", tmp_path / "q.sql", "-o", tmp_path / "made"]
    ran = run_process("join", staged.at_rest("join"), "-q", "--timeout", "1", *words)
    ran.failed(1, "not done within the time of --timeout", "nothing was left")
    assert entries(tmp_path) == {"q.sql"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_query_is_stopped_by_a_signal(number: signal.Signals, code: int, staged: Staged, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text(ENDLESS_QUERY)
    (tmp_path / "tmp").mkdir()
    words = [executable("join"), str(staged.at_rest("join")), "-q", "--sql", str(tmp_path / "q.sql")]
    words += ["-o", str(tmp_path / "made")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=environment(TMPDIR=str(tmp_path / "tmp"))) as process:
        # The folder that DuckDB spills to is there just before the query begins.
        wait_until(lambda: bool(entries(tmp_path / "tmp")), "query")
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, entries(tmp_path), entries(tmp_path / "tmp")) == (code, {"q.sql", "tmp"}, set()), said


def test_what_is_done_in_time_is_done(staged: Staged, tmp_path: Path) -> None:
    run("join", staged.at_rest("join"), "-q", "--timeout", "3600", "-o", tmp_path / "made").done()
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_the_default_of_max_inflate_is_half_of_the_memory(
    staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(staged.source, tmp_path / "plate")
    for file in (tmp_path / "plate").rglob("Cells.csv"):
        with gzip.open(f"{file}.gz", "wb") as packed:
            packed.write(file.read_bytes())
        file.unlink()
    manifest = run("discover", tmp_path / "plate", "-q").done().out
    sizes = [len(gzip.open(file).read()) for file in (tmp_path / "plate").rglob("Cells.csv.gz")]
    monkeypatch.setattr(resources, "usable_memory", lambda: 2 * max(sizes) - 2)
    run("extract", "-q", "-o", tmp_path / "made", stdin=manifest).failed(1, "Cells.csv.gz", "--max-inflate")


def test_the_compressed_files_of_a_part_are_bounded_together(tmp_path: Path) -> None:
    (tmp_path / "plate").mkdir()
    for site in range(8):
        metadata = np.array({"Metadata_Well": "A01", "Metadata_Site": site}, object)
        np.savez_compressed(tmp_path / "plate" / f"{site}-0.npz", features=np.zeros((50, 100)), metadata=metadata)
    manifest = run("discover", tmp_path / "plate", "-q").done().out
    for threads in ("1", "2"):
        words = ["-q", "--threads", threads, "-o", tmp_path / f"made{threads}"]
        run("extract", *words, "--max-inflate", "100kB", stdin=manifest).failed(1, "part 1", "--part-size")
        run("extract", *words, "--max-inflate", "1MB", stdin=manifest).done()
