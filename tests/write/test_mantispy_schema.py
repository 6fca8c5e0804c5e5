"""AnnData outputs keep the rules of mantispy's schema 2.0; in .ci/ranges.sh mantispy itself validates some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from anndata_outputs import read, written
from converting import run
from plates import Plate, write_csv

IDENTITY = ["Metadata_ImageID", "Metadata_ObjectType", "Metadata_ObjectNumber"]
FEATURE = "Cells_AreaShape_Area"


def test_features_have_mantispys_columns(tmp_path: Path) -> None:
    columns = ["object", "feature_group", "feature", "channel", "scale", "angle", "gray_levels", "radial_bin", "params"]
    expected = {
        "Cells_AreaShape_Area": ("Cells", "AreaShape", "Area", *[None] * 6, "measurement"),
        "Cells_AreaShape_Zernike_2_0": (
            "Cells", "AreaShape", "Zernike", None, 2.0, None, None, None, "2_0", "measurement",
        ),
        "Nuclei_Intensity_MeanIntensity_AGP_corr": (
            "Nuclei", "Intensity", "MeanIntensity", "AGP_corr", *[None] * 5, "measurement",
        ),
        "Nuclei_Correlation_Overlap_ER_Mito": (
            "Nuclei", "Correlation", "Overlap", "ER|Mito", *[None] * 5, "measurement",
        ),
        "Cytoplasm_Granularity_16_DNA": (
            "Cytoplasm", "Granularity", "Granularity", "DNA", 16.0, None, None, None, "16", "measurement",
        ),
        "Cytoplasm_Neighbors_NumberOfNeighbors_Adjacent": (
            "Cytoplasm", "Neighbors", "NumberOfNeighbors_Adjacent", *[None] * 6, "measurement",
        ),
        "Cytoplasm_Neighbors_PercentTouching_5": (
            "Cytoplasm", "Neighbors", "PercentTouching", None, 5.0, None, None, None, "5", "measurement",
        ),
        "Cells_RadialDistribution_FracAtD_DNA_1of4": (
            "Cells", "RadialDistribution", "FracAtD", "DNA", None, None, None, "1of4", None, "measurement",
        ),
        "Cells_RadialDistribution_FracAtD_DNA_Overflow": (
            "Cells", "RadialDistribution", "FracAtD", "DNA", None, None, None, "Overflow", None, "measurement",
        ),
        "Cells_Texture_Contrast_DNA_3_01_256": (
            "Cells", "Texture", "Contrast", "DNA", 3.0, 1.0, 256.0, None, "3_01_256", "measurement",
        ),
        "Cells_Texture_Variance_RNA_5_0": (
            "Cells", "Texture", "Variance", "RNA", 5.0, 0.0, None, None, "5_0", "measurement",
        ),
        "efficientnet_0": (*[None] * 9, "embedding"),
        "efficientnet_1": (*[None] * 9, "embedding"),
        "Nuclei Area wv1": (*[None] * 9, "measurement"),
        "Confluence_1": (*[None] * 9, "measurement"),
    }  # fmt: skip
    var = written(pa.table({name: [1.0] for name in expected}), tmp_path, "h5ad").var
    chosen = var[[*columns, "feature_kind"]]
    found = {name: tuple(None if pd.isna(part) else part for part in row) for name, *row in chosen.itertuples()}
    assert found == expected
    assert var["is_feature"].dtype == "bool"
    assert var["is_feature"].all()
    numbers = {"scale", "angle", "gray_levels"}
    assert {name for name in chosen if var[name].dtype == "float64"} == numbers
    assert {name for name in chosen if var[name].dtype == "category"} == set(chosen) - numbers


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_the_ids_of_cells_tell_images_and_objects(suffix: str, tmp_path: Path) -> None:
    ids = ["P:A01:1:7", "P:A01:1:12", "a%3A b\n/c.csv:4:7", "P:A01:1:3", "P:A01:2:7"]
    found = written(pa.table({"Metadata_CellID": ids, FEATURE: [1.0] * 5}), tmp_path, suffix)
    assert list(found.obs.columns) == ["Metadata_CellID", *IDENTITY]
    assert list(found.obs["Metadata_ImageID"]) == ["P:A01:1", "P:A01:1", "a%3A b\n/c.csv:4", "P:A01:1", "P:A01:2"]
    assert list(found.obs["Metadata_ObjectType"]) == ["Object"] * 5
    assert list(found.obs["Metadata_ObjectNumber"]) == [7, 12, 7, 3, 7]
    assert [str(found.obs[name].dtype) for name in IDENTITY] == ["category", "category", "int64"]
    marks = found.uns["mantispy"]
    assert (marks["schema_version"], marks["resolution"], list(marks["grouped_by"])) == ("2.0", "object", [])


def test_columns_of_the_source_stay(tmp_path: Path) -> None:
    own: dict[str, list[Any]] = {
        "Metadata_ImageID": ["x", "x"],
        "Metadata_ObjectType": ["spots"] * 2,
        "Metadata_ObjectNumber": [5, 6],
    }
    found = written(pa.table({"Metadata_CellID": ["a:1", "a:2"], **own, FEATURE: [1.0, 2.0]}), tmp_path, "h5ad")
    assert {name: list(found.obs[name]) for name in own} == own
    assert list(found.obs.columns) == ["Metadata_CellID", *own]


@pytest.mark.parametrize("ids", [["a", "b:1"], ["a:x", "a:1"], [None, "a:1"], ["a:-1", "a:1"], [1, 2]])
def test_other_ids_tell_nothing(ids: list[Any], tmp_path: Path) -> None:
    found = written(pa.table({"Metadata_CellID": ids, FEATURE: [1.0, 2.0]}), tmp_path, "h5ad")
    assert list(found.obs.columns) == ["Metadata_CellID"]
    assert list(found.uns) == ["pct"]


@pytest.mark.parametrize("words", [["--x-dtype", "float64"], ["--drop", "feature"], ["--drop", "identifier"]])
def test_what_the_schema_does_not_allow_is_not_marked(words: list[str], tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "Metadata_CellID": ["a:1", "a:2"],
        "Metadata_Well": ["A01"] * 2,
        FEATURE: [1.0, 2.0],
    }
    assert "mantispy" not in written(pa.table(columns), tmp_path, "h5ad", *words).uns


def test_objects_have_the_type_of_the_anchor(tmp_path: Path) -> None:
    source = write_csv(Plate(folders=2, cells=5, features=5), tmp_path / "plate")
    run("discover", source, "-o", tmp_path / "m")
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    run("join", tmp_path / "b", "-o", tmp_path / "p")
    run("write", tmp_path / "p", "-o", tmp_path / "x.h5ad")
    obs = read(tmp_path / "x.h5ad").obs
    assert set(obs["Metadata_ObjectType"]) == {"Cytoplasm"}
    assert obs["Metadata_ObjectNumber"].dtype == "int64"
    assert not obs[["Metadata_ImageID", "Metadata_ObjectNumber"]].duplicated().any()
    assert obs.groupby("Metadata_ImageID", observed=True)["Metadata_Dataset"].nunique().eq(1).all()
