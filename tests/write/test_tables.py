"""`pct-write --per-table`: the tables of a bundle as one Parquet file each, not joined."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from converting import run, run_shell
from plates import Plate, write_csv
from pycytominer_transform.common.ipc.bundle import open_bundle
from pycytominer_transform.common.model.roles import role_of_field
from running import entries
from running import run as run_tool

PLATE = Plate(folders=3, cells=20, features=10, missing=0.1)
TABLES = ("cells", "cytoplasm", "image", "nuclei")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a bundle of three parts."""
    folder = tmp_path_factory.mktemp("bundle")
    run("discover", write_csv(PLATE, folder / "plate"), "-o", folder / "m.arrow", "--part-size", "1")
    run("extract", folder / "m.arrow", "-o", folder / "b")
    return folder / "b"


def tables_in(folder: Path) -> dict[str, pa.Table]:
    return {file.stem: pq.read_table(file) for file in folder.iterdir()}


def test_each_table_has_all_its_rows(bundle: Path, tmp_path: Path) -> None:
    run("write", bundle, "--per-table", tmp_path / "tables")
    found = tables_in(tmp_path / "tables")
    with open_bundle(str(bundle), None) as reader:
        parts = [tables for _, tables in reader.parts()]
    assert set(found) == set(TABLES)
    for name, table in found.items():
        whole = pa.concat_tables([part[name] for part in parts])
        assert table.replace_schema_metadata(None).equals(whole.replace_schema_metadata(None)), name
        assert [role_of_field(field) for field in table.schema] == [role_of_field(field) for field in whole.schema]
        steps = json.loads(pq.read_metadata(tmp_path / "tables" / f"{name}.parquet").metadata[b"pct.provenance"])
        assert [step["tool"] for step in steps] == ["pct-discover", "pct-extract", "pct-write"]
        assert steps[-1]["counts"] == {"rows": whole.num_rows}


@pytest.mark.quick
def test_the_tables_join_to_the_profiles(bundle: Path, tmp_path: Path) -> None:
    run("write", bundle, "--per-table", tmp_path / "tables")
    run("join", bundle, "-o", tmp_path / "p")
    run("write", tmp_path / "p", "-o", tmp_path / "x.parquet")
    tables, profiles = tables_in(tmp_path / "tables"), pq.read_table(tmp_path / "x.parquet")
    keys = ["Metadata_Dataset", "Metadata_ImageNumber"]
    cells = tables["cells"].select([*keys, "Metadata_ObjectNumber", "Cells_AreaShape_Area"])
    joined = (
        tables["cytoplasm"]
        .select([*keys, "Metadata_CellID", "Metadata_Cytoplasm_Parent_Cells"])
        .join(cells, [*keys, "Metadata_Cytoplasm_Parent_Cells"], [*keys, "Metadata_ObjectNumber"], "inner")
    )
    area = dict(zip(joined["Metadata_CellID"].to_pylist(), joined["Cells_AreaShape_Area"].to_pylist(), strict=True))
    ids = profiles["Metadata_CellID"].to_pylist()
    assert len(ids) > 10
    assert [area[one] for one in ids] == profiles["Cells_AreaShape_Area"].to_pylist()
    assert pc.count_distinct(tables["cytoplasm"]["Metadata_CellID"]).as_py() == tables["cytoplasm"].num_rows


def test_in_a_pipe_and_by_role(bundle: Path, tmp_path: Path) -> None:
    manifest = bundle.parent / "m.arrow"
    ran = run_shell(f"pct-extract -q {manifest} | pct-write -q --per-table tables --only identifier,feature", tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    for table in tables_in(tmp_path / "tables").values():
        assert {role_of_field(field) for field in table.schema} <= {"identifier", "feature"}


def test_what_is_there_is_replaced_only_when_asked(bundle: Path, tmp_path: Path) -> None:
    words = ("write", bundle, "-q", "--per-table", tmp_path / "tables")
    run_tool(*words).done()
    run_tool(*words).failed(1, "exists")
    run_tool(*words, "--overwrite").done()
    (tmp_path / "tables" / "notes.txt").write_text("mine")
    run_tool(*words, "--overwrite").failed(1, "holds other things")
    assert (tmp_path / "tables" / "notes.txt").read_text() == "mine"


def test_what_is_no_bundle_or_no_folder(bundle: Path, tmp_path: Path) -> None:
    run("join", bundle, "-o", tmp_path / "p")
    run_tool("write", tmp_path / "p", "-q", "--per-table", tmp_path / "t").failed(1, "holds profiles, not a bundle")
    run_tool("write", bundle, "-q", "--per-table", tmp_path / "t.parquet").failed(2, f"give {tmp_path}/t")
    run_tool("write", bundle, "-q", "--per-table", tmp_path / "t", "-o", tmp_path / "x.parquet").failed(2, "without -o")
    run_tool("write", bundle, "-q", "--per-table", "s3://bucket/t.parquet").failed(2, "give s3://bucket/t")
    run_tool("write", bundle, bundle, "-q", "--per-table", tmp_path / "t").failed(2, "one bundle")
    assert entries(tmp_path) == {"p"}


def test_a_bundle_that_is_cut_off_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    stream = run_tool("extract", bundle.parent / "m.arrow", "-q").done().out
    ran = run_tool("write", "-q", "--per-table", tmp_path / "tables", stdin=stream[: len(stream) // 2])
    ran.failed(1)
    assert entries(tmp_path) == set()
