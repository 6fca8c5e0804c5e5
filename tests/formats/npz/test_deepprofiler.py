"""A tree of DeepProfiler's files becomes one table: a row per cell, by file and row, however it is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from converting import Convert, Options, differences, parquet_table
from figures import Figures
from npz_files import METADATA, array_of, object_array, plate_file, write_npz
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.tools import discover, extract, flow

OTHER = {key: value for key, value in METADATA.items() if key != "Metadata_Model"} | {"Concentration": 1.5}


def tree(root: Path) -> Path:
    """Write images of two models, one without locations, one without cells, one without metadata."""
    plate_file(root / "P1" / "A01" / "2.npz", [[1, 2], [3, 4], [5, 6]], [[0.5, 1], [2, 3], [4, 5]])
    plate_file(root / "P1" / "A01" / "10.npz", [[7, 8]], None, dict(METADATA) | {"Metadata_Site": 10})
    plate_file(root / "P1" / "B07" / "1.npz", [[9, 10, 11]], [[6, 7]], OTHER)
    plate_file(root / "P2" / "empty.npz", [], [])
    plate_file(root / "P2" / "bare.NPZ", [[0.25], [0.75]], None, None)
    (root / "P2" / "readme.txt").write_text("no measurements")
    return root


def wanted() -> list[dict[str, Any]]:
    first = {"Metadata_NPZSource": "P1/A01/2.npz", **METADATA}
    rows = [
        {"Metadata_NPZSource": "P1/A01/10.npz", **METADATA, "Metadata_Site": 10,
         "efficientnet_1": 7, "efficientnet_2": 8},
        *(first | {"Location_Center_X": x, "Location_Center_Y": y, "efficientnet_1": a, "efficientnet_2": a + 1}
          for x, y, a in ((0.5, 1, 1), (2, 3, 3), (4, 5, 5))),
        {"Metadata_NPZSource": "P1/B07/1.npz", **OTHER, "Location_Center_X": 6, "Location_Center_Y": 7,
         "DP_1": 9, "DP_2": 10, "DP_3": 11},
        *({"Metadata_NPZSource": "P2/bare.NPZ", "DP_1": value} for value in (0.25, 0.75)),
    ]  # fmt: skip
    names = {name for row in rows for name in row}
    return [{name: row.get(name) for name in names} for row in rows]


def without_own_columns(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.drop_columns(
        ["Metadata_CellID", "Metadata_Dataset", "Metadata_TableNumber"]
    ).to_pylist()
    return rows


@pytest.mark.parametrize("size", ["1", "1GB"])
@pytest.mark.quick
def test_all_cells_with_all_that_is_known_of_them(size: str, tmp_path: Path, convert: Convert) -> None:
    made = convert(tree(tmp_path / "source"), "files", Options(discover=["--part-size", size]))
    assert without_own_columns(parquet_table(made)) == wanted()


def test_the_dimensions_of_an_embedding_keep_their_order(tmp_path: Path, convert: Convert) -> None:
    plate_file(tmp_path / "P1" / "1.npz", [[number / 4 for number in range(1, 121)]], None)
    table = parquet_table(convert(tmp_path / "P1"))
    names = [name for name in table.column_names if name.startswith("efficientnet_")]
    assert names == [f"efficientnet_{number}" for number in range(1, 121)]
    assert list(table.select(names).to_pylist()[0].values()) == [number / 4 for number in range(1, 121)]


@pytest.mark.parametrize("how", ["streams", "concurrent"])
def test_every_way_gives_the_same(how: str, tmp_path: Path, convert: Convert) -> None:
    source, options = tree(tmp_path / "source"), Options(discover=["--part-size", "300"])
    assert differences(convert(source, "files"), convert(source, how, options)) == []


def test_a_part_is_a_group_of_files(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    assert discover.main([str(source), "-o", str(tmp_path / "m"), "-q", "--part-size", "500"]) == 0
    manifest = read_manifest(str(tmp_path / "m"))
    files = [[found.path for found in manifest.sources_of(part)] for part in manifest.parts]
    assert [path for part in files for path in part] == sorted(path for part in files for path in part)
    assert 1 < len(files) < 5
    assert [found.rows for found in manifest.sources] == [1, 3, 1, 2, 0]


def test_32_bit_features_stay_what_they_are(tmp_path: Path, convert: Convert) -> None:
    plate_file(tmp_path / "source" / "a.npz", [[0.1, 1e-30]], [[0.1, 0.2]])
    table = parquet_table(convert(tmp_path / "source", "files", Options(extract=["--float32"])))
    assert table.schema.field("efficientnet_1").type == pa.float32()
    exact = parquet_table(convert(tmp_path / "source"))
    assert exact.schema.field("efficientnet_1").type == pa.float64()
    assert exact["efficientnet_2"].to_pylist() == table["efficientnet_2"].to_pylist()


def test_only_common_columns(tmp_path: Path, convert: Convert) -> None:
    plate_file(tmp_path / "source" / "a.npz", [[1, 2]], [[0.1, 0.2]], {"Metadata_Well": "A01", "x": 1})
    plate_file(tmp_path / "source" / "b.npz", [[3]], None, {"Metadata_Well": "A02"})
    table = parquet_table(convert(tmp_path / "source", "files", Options(discover=["--columns", "intersection"])))
    names = [
        "Metadata_CellID",
        "Metadata_Dataset",
        "Metadata_NPZSource",
        "Metadata_TableNumber",
        "Metadata_Well",
        "DP_1",
    ]
    assert sorted(table.column_names) == sorted(names)


def test_one_file_alone(tmp_path: Path, convert: Convert) -> None:
    file = plate_file(tmp_path / "A01_5.npz", [[1, 2]], [[3, 4]])
    (row,) = parquet_table(convert(file)).to_pylist()
    assert (row["Metadata_NPZSource"], row["efficientnet_2"], row["Location_Center_Y"]) == ("A01_5.npz", 2.0, 4.0)


def test_types_of_metadata_fit_all_files(tmp_path: Path, convert: Convert) -> None:
    values: list[dict[str, Any]] = [
        {"Metadata_Plate": 12, "a": 1, "b": 1, "c": 1, "d": True, "e": 1 << 70},
        {"Metadata_Plate": "0012", "a": 2, "b": 0.5, "c": "x", "d": None, "e": 1},
    ]
    for place, metadata in enumerate(values):
        plate_file(tmp_path / "source" / f"{place}.npz", [[1]], None, metadata)
    table = parquet_table(convert(tmp_path / "source"))
    found = [{name: row[name] for name in values[0]} for row in table.to_pylist()]
    assert found == [
        {"Metadata_Plate": "12", "a": 1, "b": 1.0, "c": "1", "d": "True", "e": str(1 << 70)},
        {"Metadata_Plate": "0012", "a": 2, "b": 0.5, "c": "x", "d": None, "e": "1"},
    ]


class Runs:
    """Pickles as a call of `os.system`."""

    def __reduce__(self) -> Any:
        """Say what to call."""
        return os.system, ("touch pct_was_here",)


@pytest.fixture
def with_hostile_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "source"
    plate_file(source / "good.npz", [[1, 2]])
    hostile = object_array(pickle.dumps({"Metadata_Plate": Runs()}))
    write_npz(source / "hostile.npz", {"features": array_of([[1, 2]]), "metadata": hostile})
    return source


@pytest.mark.quick
def test_a_hostile_file_ends_the_run_in_one_line(
    with_hostile_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert discover.main([str(with_hostile_file), "-q", "-o", str(tmp_path / "m")]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("pct-discover: error: hostile.npz: ")
    assert ".system" in said
    assert "refused" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_hostile_file_can_be_skipped(with_hostile_file: Path, tmp_path: Path, convert: Convert) -> None:
    made = convert(with_hostile_file, "files", Options(discover=["--on-bad-dataset", "skip"]))
    assert parquet_table(made)["Metadata_NPZSource"].to_pylist() == ["good.npz"]
    assert not (tmp_path / "pct_was_here").exists()


def test_a_file_made_hostile_after_it_was_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = plate_file(tmp_path / "source" / "a.npz", [[1, 2]])
    size, moment = file.stat().st_size, file.stat().st_mtime_ns
    assert discover.main([str(file.parent), "-q", "-o", "m"]) == 0
    members = {"features": array_of([[1, 2]]), "metadata": object_array(pickle.dumps(Runs()))}
    write_npz(file, members)
    with file.open("ab") as end:
        # The comment that a zip archive may end in makes it as long as it was.
        end.write(b"\0" * (size - file.stat().st_size))
    os.utime(file, ns=(moment, moment))
    capsys.readouterr()
    assert extract.main(["m", "-q", "-o", "b"]) == 1
    assert capsys.readouterr().err.startswith("pct-extract: error: a.npz: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "source"]


@pytest.mark.parametrize("tool", ["extract", "flow"])
def test_a_bomb_is_refused_with_its_figure(tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_npz(tmp_path / "source" / "bomb.npz", {"features": array_of([[0.0] * 100] * 1000)})
    source, manifest = str(tmp_path / "source"), str(tmp_path / "m")
    assert discover.main([source, "-q", "-o", manifest]) == 0
    main, given = (extract.main, manifest) if tool == "extract" else (flow.main, source)
    assert main([given, "-q", "-o", str(tmp_path / "out"), "--max-inflate", "100kB"]) == 1
    said = capsys.readouterr().err
    assert "bomb.npz: inflates to 400 kB (4001" in said
    assert "--max-inflate" in said
    assert main([given, "-q", "-o", str(tmp_path / "out"), "--max-inflate", "1MB"]) == 0


def test_compartments_there_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plate_file(tmp_path / "a.npz", [[1, 2]])
    assert discover.main([str(tmp_path), "-q", "--compartments", "nuclei"]) == 1
    assert "--compartments" in capsys.readouterr().err


def test_npz_files_of_something_else_are_not_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_npz(tmp_path / "weights.npz", {"weights": array_of([[1, 2]])})
    assert discover.main([str(tmp_path), "-q"]) == 1
    assert "weights.npz" in capsys.readouterr().err


def test_the_real_file_is_as_cytotable_has_it(shared_data: Path, figures: Figures, convert: Convert) -> None:
    made = parquet_table(convert(shared_data / "deepprofiler"))
    expected = parquet_table(shared_data / "expected" / "deepprofiler.parquet")
    assert set(expected.column_names) - set(made.column_names) == {"Metadata_TableNumber"}
    assert made.num_rows == expected.num_rows == figures.deepprofiler
    known = set(expected.column_names)
    names = [name for name in made.column_names if name in known]
    ours, theirs = (table.select(names).sort_by("Location_Center_X") for table in (made, expected))
    assert ours.equals(theirs.cast(ours.schema.remove_metadata()))


def test_a_lone_file_that_fits_nothing_is_told_as_an_npz_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_npz(tmp_path / "a.npz", {"other": array_of([[1]])})
    assert discover.main([str(path), "-q", "-o", str(tmp_path / "m")]) == 1
    assert "has none of the arrays that a preset knows" in capsys.readouterr().err
