"""A query of the user's own runs per part over the tables, and reaches nothing else."""

from __future__ import annotations

import socket
from pathlib import Path

import pyarrow as pa
import pytest
from converting import Convert, Options, differences, parquet_table, run
from oracle import profiles
from plates import Plate, write_csv
from pycytominer_transform.tools import join

PLATE = Plate(folders=3, cells=15, features=6, sites=2, missing=0.1)
JOIN = """
SELECT c.*, n.* EXCLUDE (Metadata_Dataset, Metadata_TableNumber, Metadata_ImageNumber, Metadata_ObjectNumber)
FROM cytoplasm AS y
JOIN cells AS c ON c.Metadata_Dataset = y.Metadata_Dataset AND c.Metadata_ImageNumber = y.Metadata_ImageNumber
    AND c.Metadata_ObjectNumber = y.Metadata_Cytoplasm_Parent_Cells
JOIN nuclei AS n ON n.Metadata_Dataset = y.Metadata_Dataset AND n.Metadata_ImageNumber = y.Metadata_ImageNumber
    AND n.Metadata_ObjectNumber = y.Metadata_Cytoplasm_Parent_Nuclei
ORDER BY y.Metadata_ObjectNumber;  -- a comment at the end
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a bundle of three parts."""
    folder = tmp_path_factory.mktemp("bundle")
    run("discover", write_csv(PLATE, folder / "source"), "-o", folder / "m", "--part-size", "1")
    run("extract", folder / "m", "-o", folder / "b")
    return folder / "b"


def ask(bundle: Path, query: str, folder: Path) -> int:
    (folder / "query.sql").write_text(query)
    return join.main([str(bundle), "--sql", str(folder / "query.sql"), "-o", str(folder / "p"), "--memory", "200MB"])


def answers(folder: Path) -> list[list[dict[str, object]]]:
    """Give the rows that the query gave for each part."""
    files = sorted(path for path in (folder / "p").iterdir() if path.name != "manifest.arrow")
    return [pa.ipc.open_file(path).read_all().to_pylist() for path in files]


@pytest.mark.quick
def test_a_join_of_ones_own_gives_what_the_oracle_gives(bundle: Path, tmp_path: Path) -> None:
    assert ask(bundle, JOIN, tmp_path) == 0
    given = [row for rows in answers(tmp_path) for row in rows]
    expected = profiles(bundle.parent / "source")
    names = [name for name in given[0] if name.startswith(("Nuclei_", "Cells_"))]
    assert len(names) > 10
    assert [[row[name] for name in names] for row in given] == [[row[name] for name in names] for row in expected]


def test_a_query_gives_the_same_in_a_pipe(bundle: Path, tmp_path: Path, convert: Convert) -> None:
    (tmp_path / "query.sql").write_text(JOIN)
    options = Options(discover=("--part-size", "1"), join=("--sql", str(tmp_path / "query.sql")))
    source = bundle.parent / "source"
    assert differences(convert(source, options=options), convert(source, "streams", options)) == []


def test_a_query_is_run_for_each_part_alone(bundle: Path, tmp_path: Path) -> None:
    query = "SELECT count(*) AS cells, count(DISTINCT Metadata_Dataset) AS datasets FROM cells"
    assert ask(bundle, query, tmp_path) == 0
    rows = answers(tmp_path)
    assert [len(part) for part in rows] == [1, 1, 1]
    assert [part[0]["datasets"] for part in rows] == [1, 1, 1]
    cells = [len(path.read_text().splitlines()) - 1 for path in sorted((bundle.parent / "source").rglob("Cells.csv"))]
    assert [part[0]["cells"] for part in rows] == cells


def test_nothing_stays_from_one_part_to_the_next(bundle: Path, tmp_path: Path) -> None:
    assert ask(bundle, "SELECT * FROM image", tmp_path) == 0
    assert [len(part) for part in answers(tmp_path)] == [1, 1, 1]


SECRET = "the-secret-in-the-file"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_blob('{file}')",
        "SELECT * FROM read_parquet('{file}')",
        "SELECT * FROM read_json('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM sniff_csv('{file}')",
        "SELECT * FROM sqlite_scan('{file}', 't')",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM 'http://127.0.0.1:{port}/x.csv'",
        "SELECT * FROM read_csv('http://127.0.0.1:{port}/x.csv')",
        "SELECT getenv('PATH') AS x",
        "SELECT * FROM image, read_text('{file}')",
        "SELECT * FROM query('SELECT * FROM read_text(''{file}'')')",
        "SELECT * FROM query_table('{file}')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM which_secret('s3://a', 's3')",
        "SELECT * FROM duckdb_extensions()",
        "SELECT * FROM parquet_metadata('{file}')",
        "SELECT * FROM parquet_scan('{file}')",
        "SELECT * FROM read_csv_auto('{file}')",
        "SELECT * FROM read_ndjson('{file}')",
        "SELECT * FROM read_duckdb('{file}')",
        "FROM '{file}'",
        'FROM "{file}"',
        "FROM '/etc/passwd'",
        "WITH x AS (FROM read_text('{file}')) SELECT * FROM image, x",
        "SELECT (SELECT content FROM read_text('{file}')) AS x",
        "SELECT * FROM image WHERE EXISTS (FROM glob('{folder}/*'))",
        "SELECT getenv('HOME') AS x FROM image",
        "SET secret_directory = '{folder}'",
        "SET temp_directory = '{folder}'",
        "CREATE MACRO f() AS TABLE SELECT * FROM read_text('{file}')",
        "PREPARE p AS SELECT 1",
        "CHECKPOINT",
        "VACUUM",
        "USE memory",
        "DETACH memory",
        "IMPORT DATABASE '{folder}'",
        "SELECT * FROM range(30000000000)",
        "SELECT list(a.range) AS x FROM range(100000000) a, range(100)",
        "SELECT {{'a': 'x'::ENUM('x')}} AS x",
        "COPY (SELECT 1) TO '{written}'",
        "COPY image FROM '{file}'",
        "EXPORT DATABASE '{written}'",
        "ATTACH '{written}' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA enable_external_access",
        "CALL pragma_version()",
        "CREATE TABLE kept AS SELECT * FROM image",
        "DROP VIEW image",
        "INSERT INTO image SELECT * FROM image",
        "CREATE SECRET (TYPE s3)",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT 1; SELECT 2",
        "SET threads = 1; SELECT * FROM image",
        "",
        "-- nothing but a comment",
        "SELEKT 1",
        "SELECT nothing FROM image",
        "PIVOT cells ON Metadata_ObjectNumber USING count(*)",
        "SELECT * FROM (PIVOT cells ON Metadata_ObjectNumber USING count(*))",
        "SELECT * FROM cells AS a JOIN cells AS b ON a.Metadata_ObjectNumber = b.Metadata_ObjectNumber",
    ],
)
def test_a_query_that_reaches_out_or_is_none_is_refused_in_one_line(
    query: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.csv").write_text(f"a\n{SECRET}\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        filled = query.format(
            file=tmp_path / "x.csv", folder=tmp_path, written=tmp_path / "written", port=server.getsockname()[1]
        )
        assert ask(bundle, filled, tmp_path) == 2
        with pytest.raises(BlockingIOError):
            server.accept()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(("pct-join: error: --sql: ", "pct-join: error: there is no SQL in "))
    assert SECRET not in lines[0]
    assert not (tmp_path / "p").exists()
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("name", ["tables", "manifest", "connection", "rows", "options", "hidden_from_queries", "pa"])
def test_the_programs_own_variables_are_no_tables(
    name: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden_from_queries = pa.table({"a": [1]})
    assert hidden_from_queries.num_rows == 1
    assert ask(bundle, f"SELECT * FROM {name}", tmp_path) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.quick
def test_settings_that_open_the_way_out_are_off_and_locked(bundle: Path, tmp_path: Path) -> None:
    wanted = {
        "enable_external_access": "false",
        "lock_configuration": "true",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    listed = ", ".join(f"current_setting('{name}')::VARCHAR AS {name}" for name in wanted)
    assert ask(bundle, f"SELECT {listed}", tmp_path) == 0
    assert answers(tmp_path)[0] == [wanted]


def test_no_setting_shows_where_the_users_files_lie(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "the-home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert ask(bundle, "SELECT value FROM duckdb_settings() WHERE value IS NOT NULL", tmp_path) == 0
    assert not [row for rows in answers(tmp_path) for row in rows if "the-home" in str(row["value"])]


def test_a_query_that_gives_words_of_a_list_is_written(bundle: Path, tmp_path: Path) -> None:
    query = "SELECT (CASE WHEN Metadata_ObjectNumber = 1 THEN 'a' ELSE 'b' END)::ENUM('a', 'b') AS x FROM cells"
    assert ask(bundle, query, tmp_path) == 0
    assert {row["x"] for rows in answers(tmp_path) for row in rows} == {"a", "b"}


def test_a_file_of_sql_that_is_not_there_is_a_fault_of_the_command_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert join.main([str(bundle), "--sql", str(tmp_path / "none.sql"), "-o", str(tmp_path / "p")]) == 2
    assert "none.sql" in capsys.readouterr().err


def test_a_query_that_gives_other_types_for_some_parts_comes_out_with_one_schema(
    bundle: Path, tmp_path: Path, convert: Convert
) -> None:
    (tmp_path / "query.sql").write_text("SELECT sum(Metadata_ObjectNumber) AS s, 'x' AS t, [1, 2] AS l FROM cells")
    options = Options(discover=("--part-size", "1"), join=("--sql", str(tmp_path / "query.sql")))
    table = parquet_table(convert(bundle.parent / "source", options=options))
    assert table.num_rows == 3
    assert table["l"].to_pylist() == [[1, 2]] * 3
