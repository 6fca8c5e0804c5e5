"""One Arrow IPC file as output: what Parquet has, readable by anybody, whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import Convert, run
from plates import Plate, write_csv
from pycytominer_transform.common.model.roles import role_of_field
from running import entries
from running import run as run_tool

PLATE = Plate(folders=3, cells=20, features=10, missing=0.1)


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the profiles of three parts."""
    folder = tmp_path_factory.mktemp("profiles")
    run("discover", write_csv(PLATE, folder / "plate"), "-o", folder / "m", "--part-size", "1")
    run("extract", folder / "m", "-o", folder / "b")
    run("join", folder / "b", "-o", folder / "p")
    return folder / "p"


def table_in(path: Path) -> pa.Table:
    """Read it as somebody does who knows nothing of this suite."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


@pytest.mark.quick
def test_it_holds_what_parquet_holds(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "x.arrow")
    run("write", profiles, "-o", tmp_path / "x.parquet")
    found, expected = table_in(tmp_path / "x.arrow"), pq.read_table(tmp_path / "x.parquet")
    assert found.num_rows > 10
    assert found.replace_schema_metadata(None).equals(expected.replace_schema_metadata(None))
    assert [role_of_field(field) for field in found.schema] == [role_of_field(field) for field in expected.schema]
    count = duckdb.sql("SELECT count(*), count(DISTINCT Metadata_CellID) FROM found").fetchall()
    assert count == [(expected.num_rows, expected.num_rows)]


def test_columns_are_chosen_by_role(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "x.arrow", "--only", "feature,identifier")
    assert {role_of_field(field) for field in table_in(tmp_path / "x.arrow").schema} == {"feature", "identifier"}


def test_it_is_read_again_with_its_provenance(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "x.arrow")
    run("write", tmp_path / "x.arrow", "-o", tmp_path / "again.parquet")
    run("write", profiles, "-o", tmp_path / "x.parquet")
    again, once = (pq.ParquetFile(tmp_path / name) for name in ("again.parquet", "x.parquet"))
    assert again.read().equals(once.read())
    steps, before = (json.loads(file.metadata.metadata[b"pct.provenance"]) for file in (again, once))
    assert [step["tool"] for step in steps] == [*(step["tool"] for step in before), "pct-write"]


def test_one_that_is_cut_off_is_refused(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "x.arrow")
    content = (tmp_path / "x.arrow").read_bytes()
    (tmp_path / "x.arrow").write_bytes(content[: len(content) // 2])
    run_tool("write", tmp_path / "x.arrow", "-q", "-o", tmp_path / "y.parquet").failed(1, "x.arrow")
    assert entries(tmp_path) == {"x.arrow"}


def test_it_is_replaced_only_when_asked(profiles: Path, tmp_path: Path) -> None:
    (tmp_path / "x.arrow").write_text("mine")
    words = ("write", profiles, "-q", "-o", tmp_path / "x.arrow")
    run_tool(*words).failed(1, "exists")
    assert (tmp_path / "x.arrow").read_text() == "mine"
    run_tool(*words, "--overwrite").done()
    assert table_in(tmp_path / "x.arrow").num_rows > 10


@pytest.mark.prefect
def test_a_flow_makes_the_same(tmp_path: Path, convert: Convert) -> None:
    source = write_csv(PLATE, tmp_path / "plate")
    run_tool("flow", source, "-q", "-o", tmp_path / "x.arrow", "--part-size", "1").done()
    expected = pq.read_table(convert(source))
    assert table_in(tmp_path / "x.arrow").replace_schema_metadata(None).equals(expected.replace_schema_metadata(None))
