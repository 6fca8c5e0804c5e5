"""AnnData outputs hold what the Parquet of the same source holds, cell by cell, and appear only when complete."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from anndata_outputs import arrow_file, read, written
from converting import run
from plates import Plate, write_csv
from pycytominer_transform.common.model.roles import role_of_field
from pycytominer_transform.common.write import anndata_columns, anndata_file
from running import entries, run_process
from running import run as run_tool

PLATE = Plate(folders=4, cells=40, features=30, sites=2, missing=0.1, nan_share=0.1)
SUFFIXES = ("h5ad", "zarr")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a tree of four folders."""
    return write_csv(PLATE, tmp_path_factory.mktemp("source") / "tree")


@pytest.fixture(scope="module")
def profiles(source: Path) -> Path:
    """Give the profiles of four parts, among whose objects some lack a partner."""
    folder = source.parent
    run("discover", source, "-o", folder / "m", "--part-size", "1")
    run("extract", folder / "m", "-o", folder / "b")
    run("join", folder / "b", "-o", folder / "p", "--unmatched", "keep")
    return folder / "p"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make several blocks and chunks of a few rows."""
    monkeypatch.setattr(anndata_file, "_CHUNK_BYTES", 5_000)


def same(column: pd.Series[Any], expected: pa.ChunkedArray) -> bool:
    """Compare a column of `obs` with Parquet's, value by value and null by null."""
    values = [None if pd.isna(value) else value for value in column]
    return values == [None if pd.isna(value) else value for value in expected.to_pylist()]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.quick
def test_values_are_those_of_parquet(profiles: Path, tmp_path: Path, suffix: str, dtype: str) -> None:
    run("write", profiles, "-o", tmp_path / "x.parquet")
    run("write", profiles, "-o", tmp_path / f"x.{suffix}", *(["--x-dtype", dtype] if dtype != "float32" else []))
    expected, found = pq.read_table(tmp_path / "x.parquet"), read(tmp_path / f"x.{suffix}")
    features = [field.name for field in expected.schema if role_of_field(field) == "feature"]
    others = [name for name in expected.column_names if name not in features]
    assert list(found.var_names) == features
    assert list(found.obs.columns) == [*others, "Metadata_ImageID", "Metadata_ObjectType"]
    assert list(found.obs_names) == expected["Metadata_CellID"].to_pylist()
    assert found.obs_names.is_unique
    assert found.X is not None
    assert found.X.dtype == dtype
    wanted = np.column_stack([expected[name].to_numpy() for name in features]).astype(dtype)
    assert np.isnan(wanted).any()
    np.testing.assert_array_equal(found.X, wanted)
    assert all(same(found.obs[name], expected[name]) for name in others)
    centre = np.column_stack([expected[f"Nuclei_Location_Center_{axis}"].to_numpy() for axis in "XY"])
    np.testing.assert_array_equal(np.asarray(found.obsm["spatial"]), centre)
    metadata = pq.read_metadata(tmp_path / "x.parquet").metadata
    assert json.loads(found.uns["pct"]["columns"]) == json.loads(metadata[b"pct.columns"])
    assert found.uns["pct"]["preset"].encode() == metadata[b"pct.preset"]
    *steps, last = json.loads(found.uns["pct"]["provenance"])
    *expected_steps, expected_last = json.loads(metadata[b"pct.provenance"])
    assert steps == expected_steps
    assert last["counts"] == expected_last["counts"] == {"rows": expected.num_rows}
    assert last["options"]["x_dtype"] == dtype


def test_a_file_is_read_on_disk_in_chunks_of_rows(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "x.h5ad")
    whole, backed = read(tmp_path / "x.h5ad"), anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    np.testing.assert_array_equal(backed[5:9].to_memory().X, whole[5:9].X)
    backed.file.close()
    with h5py.File(tmp_path / "x.h5ad") as file:
        rows, width = file["X"].shape
        assert file["X"].chunks[1] == width
        assert 1 < file["X"].chunks[0] < rows
    whole.write_h5ad(tmp_path / "again.h5ad")
    assert read(tmp_path / "again.h5ad").shape == whole.shape


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_of_every_type(suffix: str, tmp_path: Path) -> None:
    rows = 50
    numbers = list(range(rows))
    table = pa.table(
        {
            "Metadata_repeating": pa.array([None if n % 7 == 3 else f"é{n % 3}" for n in numbers]),
            "Metadata_unique": pa.array([f"text {n}" for n in numbers], pa.large_string()),
            "Metadata_unique_null": pa.array([None if n == 4 else f"text {n}" for n in numbers]),
            "Metadata_nothing": pa.nulls(rows, pa.string()),
            "Metadata_whole": pa.array(numbers, pa.int64()),
            "Metadata_whole_null": pa.array([None if n == 4 else n - 2**60 for n in numbers], pa.int64()),
            "Metadata_truth": pa.array([n % 2 == 0 for n in numbers]),
            "Metadata_truth_null": pa.array([None if n == 4 else n % 2 == 0 for n in numbers]),
            "Metadata_real": pa.array([None if n == 4 else n / 3 for n in numbers]),
            "Metadata_day": pa.array([n // 5 for n in numbers], pa.date32()),
            "Metadata_codes": pa.array([f"{n % 2}" for n in numbers]).dictionary_encode(),
            "Cells_whole": pa.array([None if n == 4 else n for n in numbers], pa.int32()),
            "Cells_decimal": pa.array([None if n == 4 else n for n in numbers], pa.decimal128(5, 2)),
        }
    )
    found = written(table, tmp_path, suffix)
    assert list(found.var_names) == ["Cells_whole", "Cells_decimal"]
    kinds = ["text" if pd.api.types.is_string_dtype(kind) else str(kind) for kind in found.obs.dtypes]
    assert kinds == [
        "category", "text", "category", "category", "int64", "Int64", "bool", "boolean", "float64", "category",
        "category",
    ]  # fmt: skip
    for name in found.obs.columns:
        column = table[name].cast(pa.string()) if name in ("Metadata_day", "Metadata_codes") else table[name]
        assert same(found.obs[name], column), name
    assert list(found.obs["Metadata_repeating"].cat.categories) == ["é0", "é1", "é2"]
    assert found.X is not None
    assert list(np.flatnonzero(np.isnan(found.X).all(axis=1))) == [4]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_names_of_cells(suffix: str, tmp_path: Path) -> None:
    table = pa.table({"Metadata_CellID": ["c", "a", "b"], "Cells_x": [1.0, 2.0, 3.0]})
    assert list(written(table, tmp_path, suffix).obs_names) == ["c", "a", "b"]
    numbered = written(table, tmp_path, suffix, "--obs-names", "number", "--overwrite")
    assert list(numbered.obs_names) == ["0", "1", "2"]
    assert list(numbered.obs["Metadata_CellID"]) == ["c", "a", "b"]
    without = written(table.drop_columns("Metadata_CellID"), tmp_path, suffix, "--overwrite")
    assert list(without.obs_names) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("columns", "centre"),
    [
        (["Cells_AreaShape_Center", "Nuclei_AreaShape_Center", "Nuclei_Location_Center"], "Nuclei_Location_Center"),
        (["Cells_Location_Center", "Nuclei_AreaShape_Center"], "Nuclei_AreaShape_Center"),
        (["Cells_AreaShape_Center", "Yeast_Location_Center"], "Cells_AreaShape_Center"),
        (["Location_Center"], "Location_Center"),
    ],
)
def test_the_place_of_a_cell(columns: list[str], centre: str, tmp_path: Path) -> None:
    names = [f"{name}_{axis}" for name in columns for axis in "XY"]
    table = pa.table({name: [float(place), None] for place, name in enumerate(names)} | {"Cells_x": [1.0, 2.0]})
    found = np.asarray(written(table, tmp_path, "h5ad").obsm["spatial"])
    assert list(found[0]) == [names.index(f"{centre}_X"), names.index(f"{centre}_Y")]
    assert np.isnan(found[1]).all()
    assert not written(table, tmp_path, "h5ad", "--drop", "location", "--overwrite").obsm


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_are_chosen_by_role(profiles: Path, tmp_path: Path, suffix: str) -> None:
    run("write", profiles, "-o", tmp_path / f"x.{suffix}", "--only", "feature")
    found = read(tmp_path / f"x.{suffix}")
    assert found.n_vars > 0
    assert not len(found.obs.columns)
    run("write", profiles, "-o", tmp_path / f"y.{suffix}", "--drop", "feature")
    other = read(tmp_path / f"y.{suffix}")
    assert other.shape == (found.n_obs, 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(suffix: str, rows: int, tmp_path: Path) -> None:
    places = {"Cells_Location_Center_X": [1.0], "Cells_Location_Center_Y": [2.0]}
    table = pa.table({"Metadata_Well": ["A01"], "Metadata_Site": [1], "Cells_x": [1.5]} | places)
    found = written(table.slice(0, rows), tmp_path, suffix)
    assert found.shape == (rows, 1)
    assert list(found.obs.columns) == ["Metadata_Well", "Metadata_Site", *places]
    assert found.obs["Metadata_Site"].dtype == "int64"
    assert found.obsm["spatial"].shape == (rows, 2)


def test_a_number_too_large_for_float32_is_refused(tmp_path: Path) -> None:
    file = arrow_file(pa.table({"Cells_x": [1.0, 1e300], "Cells_y": [np.inf, -np.inf]}), tmp_path / "in.arrow")
    run_tool("write", file, "-q", "-o", tmp_path / "x.h5ad").failed(1, "Cells_x", "--x-dtype float64")
    assert entries(tmp_path) == {"in.arrow"}
    run("write", file, "-o", tmp_path / "x.h5ad", "--x-dtype", "float64")
    np.testing.assert_array_equal(read(tmp_path / "x.h5ad").X, [[1, np.inf], [1e300, -np.inf]])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["Metadata_a/b", "_index", "", "Metadata_list"])
def test_columns_without_a_form_are_named(suffix: str, name: str, tmp_path: Path) -> None:
    values = pa.array([[1]]) if name == "Metadata_list" else pa.array(["x"])
    schema = pa.schema([pa.field(name, values.type, metadata={"pct.column_role": "metadata"})])
    file = arrow_file(pa.table([values], schema=schema), tmp_path / "in.arrow")
    run_tool("write", file, "-q", "-o", tmp_path / f"x.{suffix}").failed(1, "AnnData has no form for ", name)
    assert entries(tmp_path) == {"in.arrow"}


def test_features_are_described(tmp_path: Path) -> None:
    expected = {
        "Cells_AreaShape_Area": ("Cells", "AreaShape", "Area", None),
        "Cells_AreaShape_Zernike_2_0": ("Cells", "AreaShape", "Zernike", None),
        "Nuclei_Intensity_MeanIntensity_DNA": ("Nuclei", "Intensity", "MeanIntensity", "DNA"),
        "Nuclei_Intensity_MeanIntensity_AGP_corr": ("Nuclei", "Intensity", "MeanIntensity", "AGP_corr"),
        "Nuclei_Correlation_K_AGP_corr_DNA": ("Nuclei", "Correlation", "K", "AGP_corr|DNA"),
        "Nuclei_Correlation_Overlap_ER_Mito": ("Nuclei", "Correlation", "Overlap", "ER|Mito"),
        "Nuclei_Correlation_Overlap_a_b_c": ("Nuclei", "Correlation", "Overlap", None),
        "Cytoplasm_Granularity_16_DNA": ("Cytoplasm", "Granularity", "Granularity", "DNA"),
        "Cytoplasm_Neighbors_NumberOfNeighbors_Adjacent": ("Cytoplasm", "Neighbors", "NumberOfNeighbors", None),
        "Cells_RadialDistribution_FracAtD_DNA_1of4": ("Cells", "RadialDistribution", "FracAtD", "DNA"),
        "cells_v2_Texture_Contrast_DNA_3_00_256": ("cells_v2", "Texture", "Contrast", "DNA"),
        "efficientnet_0": (None,) * 4,
        "Nuclei Area wv1": (None,) * 4,
    }
    var = written(pa.table({name: [1.0] for name in expected}), tmp_path, "h5ad").var
    columns = ["compartment", "module", "measurement", "channel"]
    assert list(var.columns) == [
        *columns, "object", "feature_group", "feature", "radial_bin", "params", "feature_kind",
        "scale", "angle", "gray_levels", "is_feature",
    ]  # fmt: skip
    found = {name: tuple(None if pd.isna(part) else part for part in row) for name, *row in var[columns].itertuples()}
    assert found == expected


def test_pipe_and_flow_give_the_same(source: Path, tmp_path: Path) -> None:
    words = ("-q", "--part-size", "1", "--unmatched", "keep")
    run("discover", source, "-o", tmp_path / "m")
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    run("join", tmp_path / "b", "-o", tmp_path / "p", "--unmatched", "keep")
    for suffix in SUFFIXES:
        run("write", tmp_path / "p", "-o", tmp_path / f"x.{suffix}")
        run_tool("flow", source, "-o", tmp_path / f"y.{suffix}", *words, "--workers", "2").done()
        one, other = read(tmp_path / f"x.{suffix}"), read(tmp_path / f"y.{suffix}")
        assert one.X is not None
        np.testing.assert_array_equal(one.X, other.X)
        pd.testing.assert_frame_equal(one.obs, other.obs)
        pd.testing.assert_frame_equal(one.var, other.var)
    assert entries(tmp_path) == {"m", "b", "p", "x.h5ad", "x.zarr", "y.h5ad", "y.zarr"}
    run_tool("flow", source, "-o", tmp_path / "y.zarr", *words).failed(1, "exists already")


@pytest.mark.endurance
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_flow_killed_at_its_very_end_is_finished_by_the_same_command(
    source: Path, tmp_path: Path, suffix: str
) -> None:
    words = (source, "-o", tmp_path / f"x.{suffix}", "--part-size", "1", "--work-dir", tmp_path / "work")
    run_tool("flow", *words, "--keep-work").done()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / f"x.{suffix}").rglob("*")}
    assert "was finished by a run that was interrupted" in run_tool("flow", *words, "--keep-work").done().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / f"x.{suffix}").rglob("*")} == before
    run_tool("flow", *words, "--drop", "location").failed(1, "exists already", alone=False)


@pytest.mark.endurance
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_rows_in_other_batches_give_the_same(suffix: str, profiles: Path, tmp_path: Path) -> None:
    def files(path: Path) -> dict[str, object]:
        inside = path.rglob("*") if path.is_dir() else [path]
        content = {file.relative_to(tmp_path / name).as_posix(): file.read_bytes() for file in inside if file.is_file()}
        # Zarr lists the elements in the order in which the file system does.
        return {name: json.loads(text) if name.endswith(".zmetadata") else text for name, text in content.items()}

    run("write", profiles, "-o", tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    made = []
    for name, rows in (("a", 1), ("b", 50), ("c", 1000)):
        (tmp_path / name).mkdir()
        with pa.ipc.new_file(tmp_path / name / "in.arrow", table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
        run("write", tmp_path / name / "in.arrow", "-o", tmp_path / name / f"x.{suffix}")
        made.append(files(tmp_path / name / f"x.{suffix}"))
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_is_replaced_only_when_told_so(suffix: str, profiles: Path, tmp_path: Path) -> None:
    output = tmp_path / f"x.{suffix}"
    run("write", profiles, "-o", output)
    before = read(output).shape
    run_tool("write", profiles, "-q", "-o", output, "--drop", "feature").failed(1, "exists already")
    assert read(output).shape == before
    run("write", profiles, "-o", output, "--drop", "feature", "--overwrite")
    assert read(output).shape == (before[0], 0)
    assert entries(tmp_path) == {output.name}


def test_a_folder_with_other_things_is_not_replaced(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "x.zarr/")
    (tmp_path / "x.zarr" / "mine.txt").touch()
    run_tool("write", profiles, "-q", "-o", tmp_path / "x.zarr", "--overwrite").failed(1, "holds other things")
    assert (tmp_path / "x.zarr" / "mine.txt").exists()
    run_tool("write", profiles, "-q", "-o", f"{tmp_path}/x.h5ad/").failed(2, "x.h5ad for one file")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("at", ["first", "last"])
def test_an_error_leaves_nothing(
    suffix: str, at: str, profiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def failing(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            calls.append(call)
            if len(calls) == (2 if at == "first" else 9):
                raise OSError(28, "No space left on device")
            return call(*arguments)

        return called

    name = "add" if at == "first" else "values"
    monkeypatch.setattr(anndata_columns.WaitingColumns, name, failing(getattr(anndata_columns.WaitingColumns, name)))
    run_tool("write", profiles, "-q", "-o", tmp_path / f"x.{suffix}").failed(1, "No space left on device")
    assert len(calls) >= 2
    assert entries(tmp_path) == set()


LIMITED = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.endurance
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [300, 30_000])
def test_a_file_that_cannot_grow_leaves_nothing(suffix: str, size: int, profiles: Path, tmp_path: Path) -> None:
    before = [sys.executable, "-c", LIMITED, str(size)]
    ran = run_process("write", profiles, "-q", "-o", tmp_path / f"x.{suffix}", before=before)
    ran.failed(1, "File too large")
    assert entries(tmp_path) == set()


@pytest.mark.parametrize("tool", ["write", "flow"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_the_libraries_one_line_says_what_to_install(
    tool: str, suffix: str, profiles: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    place = source if tool == "flow" else profiles / "missing"
    line = run_tool(tool, place, "-o", tmp_path / f"x.{suffix}").failed(2, "anndata must be installed")
    assert line.endswith("pip install 'pycytominer-transform[anndata]'")
    assert entries(tmp_path) == set()


def test_a_stream_stays_parquet(profiles: Path) -> None:
    assert run_tool("write", profiles, "-q").done().out.startswith(b"PAR1")


@pytest.mark.endurance
def test_memory_is_that_of_some_rows(tmp_path: Path) -> None:
    """Write 200 MB of features, and take less than half of that beside what a small output takes."""
    columns = {f"Cells_Intensity_{place}": np.zeros(1000) for place in range(1000)}
    batch = pa.record_batch({"Metadata_Well": pa.array(["A01"] * 1000), **columns})
    peaks = []
    for number in (1, 26):
        file = tmp_path / f"{number}.arrow"
        with pa.ipc.new_file(file, batch.schema) as writer:
            for _ in range(number):
                writer.write_batch(batch)
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1000)"
        )
        words = ["-q", "-o", tmp_path / f"{number}.h5ad"]
        peaks.append(int(run_process("write", file, *words, before=[sys.executable, "-c", code]).done().out))
    assert peaks[1] - peaks[0] < 100, peaks
