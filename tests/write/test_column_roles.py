"""The role of every column stands in the outputs, and chooses columns."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pycytominer_transform
import pytest
from converting import parquet_table, run, run_shell
from plates import Plate, write_csv
from pycytominer_transform.common.errors import DataError, SourceNotFoundError, UsageError
from pycytominer_transform.common.model.roles import ROLES
from pycytominer_transform.tools import write

PLATE = Plate(folders=2, cells=10, features=8, sites=2)


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the profiles of a small plate."""
    folder = tmp_path_factory.mktemp("roles")
    run("discover", write_csv(PLATE, folder / "plate"), "-o", folder / "m")
    run("extract", folder / "m", "-o", folder / "b")
    run("join", folder / "b", "-o", folder / "p")
    return folder / "p"


@pytest.fixture(scope="module")
def plate(profiles: Path) -> Path:
    """Give its Parquet file."""
    run("write", profiles, "-o", profiles.parent / "plate.parquet")
    return profiles.parent / "plate.parquet"


@pytest.mark.quick
def test_every_column_has_one_role_in_the_fields_and_in_the_list(plate: Path) -> None:
    schema = pq.read_schema(plate)
    listed = json.loads(pq.read_metadata(plate).metadata[b"pct.columns"])
    assert [column["name"] for column in listed] == schema.names
    assert [column["role"].encode() for column in listed] == [field.metadata[b"pct.column_role"] for field in schema]
    assert sorted(name for role in ROLES for name in pycytominer_transform.columns(plate, role)) == sorted(schema.names)
    kept = duckdb.sql(f"SELECT decode(value) FROM parquet_kv_metadata('{plate}') WHERE decode(key) = 'pct.columns'")
    assert json.loads(kept.fetchall()[0][0]) == listed


def test_bundles_and_profiles_carry_the_roles(profiles: Path) -> None:
    nuclei = pa.ipc.open_file(profiles.parent / "b" / "part-000001" / "nuclei.arrow").schema
    joined = pa.ipc.open_file(profiles / "part-000001.arrow").schema
    for schema in (nuclei, joined):
        assert {field.metadata[b"pct.column_role"].decode() for field in schema} <= set(ROLES)
    assert nuclei.field("Metadata_ImageNumber").metadata == {b"pct.column_role": b"identifier"}


def test_features_are_what_pycytominer_is_to_normalize(plate: Path) -> None:
    features = pycytominer_transform.columns(str(plate), role="feature")
    assert features
    assert not [name for name in features if "Location_" in name or "Number_" in name or "Metadata_" in name]
    assert pycytominer_transform.columns(plate, ["feature"]) == features


@pytest.mark.parametrize(
    ("options", "roles"),
    [
        (["--only", "feature,metadata"], {"metadata", "feature"}),
        (["--drop", "location,image"], set(ROLES) - {"location", "image"}),
    ],
)
def test_columns_are_chosen_by_role(
    options: list[str], roles: set[str], plate: Path, profiles: Path, tmp_path: Path
) -> None:
    run("write", profiles, "-o", tmp_path / "some.parquet", *options)
    whole, some = parquet_table(plate), parquet_table(tmp_path / "some.parquet")
    wanted = {name for role in roles for name in pycytominer_transform.columns(plate, role)}  # type: ignore[arg-type]
    assert some.column_names == [name for name in whole.column_names if name in wanted]
    assert some.equals(whole.select(some.column_names))


@pytest.mark.endurance
def test_a_flow_chooses_the_same_columns(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "some.parquet", "--only", "metadata,feature")
    words = f"{profiles.parent}/plate -o flow.parquet --only feature,metadata --quiet"
    assert run_shell(f"pct-flow {words}", tmp_path).returncode == 0
    assert (tmp_path / "flow.parquet").read_bytes() == (tmp_path / "some.parquet").read_bytes()


def test_a_query_keeps_the_roles_of_the_columns_it_takes(profiles: Path, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text(
        'SELECT "Metadata_ImageNumber", "Cells_Location_Center_X" AS x, 1.5 AS "Cells_New", \'a\' AS label FROM cells'
    )
    run("join", profiles.parent / "b", "-o", tmp_path / "p", "--sql", tmp_path / "query.sql")
    run("write", tmp_path / "p", "-o", tmp_path / "out.parquet")
    by_role = {role: pycytominer_transform.columns(tmp_path / "out.parquet", role) for role in ROLES}
    assert by_role["identifier"] == ["Metadata_ImageNumber"]
    assert by_role["metadata"] == ["label"]
    assert by_role["feature"] == ["x", "Cells_New"]


def test_any_arrow_stream_gets_roles(tmp_path: Path) -> None:
    table = pa.table({"Metadata_Well": ["A01"], "Cells_AreaShape_Area": [1.5], "Cells_Location_Center_X": [2.5]})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as writer:
        writer.write_table(table)
    write.write(profiles=str(tmp_path / "x.arrow"), output=str(tmp_path / "x.parquet"))
    assert pycytominer_transform.columns(tmp_path / "x.parquet", "location") == ["Cells_Location_Center_X"]


def test_what_cannot_be_listed_is_named(plate: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'features' is no role"):
        pycytominer_transform.columns(plate, "features")  # type: ignore[arg-type]
    with pytest.raises(SourceNotFoundError, match="no such Parquet file"):
        pycytominer_transform.columns(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("a,b\n")
    with pytest.raises(DataError, match="is not a Parquet file"):
        pycytominer_transform.columns(tmp_path / "text.parquet")


def test_no_column_left_is_refused_and_nothing_is_written(
    profiles: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(profiles), "-o", str(tmp_path / "x.parquet"), "--only", "count", "--drop", "count"]
    assert write.main(arguments) == 2
    assert "--only and --drop leave no column" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
