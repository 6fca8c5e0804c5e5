"""Sources in cloud stores give what the same files give on a disk, to the last bit."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cloud_s3 import S3
from cloud_servers import Bucket
from converting import Convert, Options, differences, parquet_table, run
from harmony_exports import Style, evaluation_of, object_rows, write_evaluation
from npz_files import plate_file
from parquet_files import write_tables
from plates import Plate, write_csv
from plates_awkward import AWKWARD
from pycytominer_transform.tools import discover, extract

SPLIT = Options(discover=("--part-size", "1"))
CSV_TREES = [name for name, awkward in AWKWARD.items() if awkward.layout == "cellprofiler_csv"]


def assert_same_as_local(bucket: Bucket, source: Path, convert: Convert, *ways: str) -> Path:
    """Convert a source from a bucket and from the disk, and give the Parquet file of both."""
    bucket.upload_tree(source, f"screens/{source.name}")
    local = convert(source, options=SPLIT)
    for way in ways or ("files",):
        assert differences(local, convert(f"{bucket.url}/screens/{source.name}", way, SPLIT)) == []
    return local


@pytest.mark.parametrize("name", CSV_TREES)
def test_awkward_folders(name: str, s3: Bucket, convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    source = shutil.copytree(AWKWARD[name].write(tmp_path / "made" / name), tmp_path / name, symlinks=True)
    for path in [path for path in source.rglob("*") if path.is_symlink() and path.is_dir()]:
        # Nothing in a bucket leads to another folder.
        path.unlink()
    assert parquet_table(assert_same_as_local(s3, source, convert)).num_rows


def test_a_plate_in_all_ways(bucket: Bucket, convert: Convert, tmp_path: Path) -> None:
    source = write_csv(Plate(folders=5, cells=20, features=8, missing=0.1, sites=2), tmp_path / "plate one")
    bucket.put("screens/plate one more/p1/Cells.csv", b"of another plate")
    ways = ("files", "streams", "concurrent")
    assert parquet_table(assert_same_as_local(bucket, source, convert, *ways)).num_rows


@pytest.mark.endurance
def test_lists_of_harmony(bucket: Bucket, convert: Convert, tmp_path: Path) -> None:
    wells = [(1, column) for column in range(1, 7)]
    for evaluation, style in enumerate((Style(), Style("utf-16"))):
        nuclei = object_rows("Nuclei", wells=wells, cells=30, parents=["Cells"])
        lists = [nuclei, object_rows("Cells", wells=wells, cells=30)]
        write_evaluation(tmp_path / "screen", lists, style, evaluation_of(evaluation=evaluation))
    local = assert_same_as_local(bucket, tmp_path / "screen", convert, "files", "concurrent")
    assert parquet_table(local).num_rows == 2 * 6 * 2 * 30


def _packed(folder: Path) -> Path:
    tree = write_csv(Plate(folders=3, cells=20, features=8), folder / "plate")
    for path in tree.rglob("*.csv"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return tree


def _npz(folder: Path) -> Path:
    for well in range(5):
        rows = [[float(well * 10 + row), row / 3, -1.0] for row in range(4)]
        plate_file(folder / "plate" / f"A0{well}" / "1.npz", rows, [[1.0, row] for row in range(4)])
    return folder / "plate"


def _tables(folder: Path) -> Path:
    plate = Plate(folders=3, cells=20, features=8)
    return write_tables(write_csv(plate, folder / "csv"), folder / "plate", row_group_size=7)


@pytest.mark.parametrize("write", [_packed, _npz, _tables])
def test_other_kinds(write: Callable[[Path], Path], bucket: Bucket, convert: Convert, tmp_path: Path) -> None:
    assert parquet_table(assert_same_as_local(bucket, write(tmp_path), convert)).num_rows


@pytest.mark.endurance
@pytest.mark.parametrize("name", ["ExampleHuman", "data_a", "in_carta", "deepprofiler"])
def test_real_files(name: str, one_of_the_data: Path, s3: Bucket, convert: Convert) -> None:
    assert parquet_table(assert_same_as_local(s3, one_of_the_data / name, convert)).num_rows


def test_a_real_database(one_of_the_data: Path, bucket: Bucket, convert: Convert) -> None:
    assert parquet_table(assert_same_as_local(bucket, one_of_the_data / "cell_health", convert)).num_rows


@pytest.mark.endurance
def test_large_objects_come_piece_by_piece(s3: Bucket, convert: Convert, tmp_path: Path) -> None:
    """Larger than what is held at once, so that a file is parsed as it comes."""
    source = write_csv(Plate(folders=1, cells=6_000, features=700), tmp_path / "plate")
    assert max(path.stat().st_size for path in source.rglob("*.csv")) > 1 << 26
    s3.upload_tree(source, "plate")
    assert differences(convert(source), convert(f"{s3.url}/plate")) == []


@pytest.mark.parametrize("spoil", ["changed", "gone"])
def test_an_object_that_is_another_one_since(
    spoil: str, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.upload_tree(write_csv(Plate(folders=2, cells=5, features=4), tmp_path / "plate"), "plate")
    run("discover", f"{bucket.url}/plate", "-o", tmp_path / "m.arrow")
    victim = next(key for key in bucket.keys() if key.endswith("Cells.csv"))
    content = bucket.get(victim)
    bucket.delete(victim)
    if spoil == "changed":
        bucket.put(victim, content.replace(b"1", b"2"))
    assert extract.main([str(tmp_path / "m.arrow"), "-o", str(tmp_path / "bundle")]) == 1
    said = capsys.readouterr().err
    assert victim in said
    assert "run pct-discover again" in said
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [("nothing/here", "no such object"), ("", "no such object"), ("notes.txt", "")],
)
def test_nothing_to_convert(place: str, said: str, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    if place == "notes.txt":
        bucket.put(place, b"words")
    assert discover.main([f"{bucket.url}/{place}"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_no_such_bucket(object_store: S3, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    assert discover.main([f"{object_store.scheme}://nowhere-to-be-found/plate"]) == 1
    error = capsys.readouterr().err
    assert "nowhere-to-be-found" in error
    assert len(error.splitlines()) == 1
