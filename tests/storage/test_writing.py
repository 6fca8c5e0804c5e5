"""Outputs in cloud stores, and the stages' own files read from there: what a disk gives, to the last bit."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cloud_s3 import S3
from cloud_servers import Bucket
from converting import Convert, Options, differences, parquet_table, run
from plates import Plate, write_csv
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.tools import discover, extract, flow, join, write

PLATE = Plate(folders=2, cells=12, features=4, missing=0.1)
PARTS = ("--part-size", "1")
MAINS = {"discover": discover.main, "extract": extract.main, "join": join.main, "write": write.main, "flow": flow.main}
MADE = {"discover": "m.arrow", "extract": "bundle", "join": "profiles", "write": "out.parquet", "flow": "flow.parquet"}
INPUT = {"discover": "plate", "extract": "m.arrow", "join": "bundle", "write": "profiles", "flow": "plate"}


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small plate on the disk."""
    return write_csv(PLATE, tmp_path_factory.mktemp("made") / "plate")


@pytest.fixture(scope="module")
def staged(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with what each stage makes of the plate on the disk."""
    folder = tmp_path_factory.mktemp("staged")
    run("discover", plate, "-o", folder / "m.arrow", *PARTS)
    run("extract", folder / "m.arrow", "-o", folder / "bundle")
    run("join", folder / "bundle", "-o", folder / "profiles")
    run("write", folder / "profiles", "-o", folder / "out.parquet")
    run("write", folder / "profiles", "-o", folder / "out")
    return folder


@pytest.fixture
def filled(plate: Path, staged: Path, bucket: Bucket) -> Bucket:
    """Give a bucket with the plate and what each stage makes of it."""
    bucket.upload_tree(plate, "plate")
    bucket.upload_tree(staged, "")
    return bucket


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def unfinished(bucket: Bucket) -> list[str]:
    """List uploads that were begun and neither completed nor aborted, where the store lists them."""
    with suppress(NotImplementedError):
        return bucket.open_uploads()
    return []


def fetched(bucket: Bucket, key: str, folder: Path) -> Path:
    """Give an object as a file."""
    path = folder / key.replace("/", "-")
    path.write_bytes(bucket.get(key))
    return path


def test_all_stages_by_way_of_the_cloud(bucket: Bucket, plate: Path, staged: Path, tmp_path: Path) -> None:
    bucket.upload_tree(plate, "a plate")
    made = f"{bucket.url}/results of today"
    run("discover", f"{bucket.url}/a plate", "-o", f"{made}/m.arrow", *PARTS)
    run("extract", f"{made}/m.arrow", "-o", f"{made}/bundle")
    run("join", f"{made}/bundle", "-o", f"{made}/profiles/")
    run("write", f"{made}/profiles", "-o", f"{made}/out.parquet")
    run("write", f"{made}/profiles/", "-o", f"{made}/out/")
    files = {str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file()}
    assert {key.removeprefix("results of today/") for key in bucket.keys("results")} == files
    for name in sorted(name for name in files if name.endswith(".parquet")):
        assert differences(staged / name, fetched(bucket, f"results of today/{name}", tmp_path)) == []
    assert unfinished(bucket) == []


def test_flow_from_cloud_to_cloud(bucket: Bucket, plate: Path, staged: Path, tmp_path: Path) -> None:
    bucket.upload_tree(plate, "plate")
    words = [f"{bucket.url}/plate", *PARTS, "--quiet"]
    assert flow.main([*words, "-o", f"{bucket.url}/out.parquet"]) == 0
    assert flow.main([*words, "-o", f"{bucket.url}/out", "--work-dir", str(tmp_path / "work"), "--keep-work"]) == 0
    assert differences(staged / "out.parquet", fetched(bucket, "out.parquet", tmp_path)) == []
    for path in (staged / "out").iterdir():
        assert differences(path, fetched(bucket, f"out/{path.name}", tmp_path)) == []
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["out.pct-work"]
    assert not list((tmp_path / "tmp").glob("pct-flow-*"))
    assert unfinished(bucket) == []


@pytest.mark.endurance
def test_anndata_in_the_cloud(filled: Bucket, staged: Path, tmp_path: Path) -> None:
    for name in ("x.h5ad", "x.zarr"):
        run("write", staged / "profiles", "-o", tmp_path / name)
        assert flow.main([f"{filled.url}/plate", *PARTS, "-q", "-o", f"{filled.url}/made/{name}"]) == 0
        run("write", f"{filled.url}/profiles", "-o", f"{filled.url}/made/{name}", "--overwrite")
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("x.*/**/*") if path.is_file()} | {"x.h5ad"}
    assert {key.removeprefix("made/") for key in filled.keys("made")} == files
    listing = "x.zarr/.zmetadata"
    assert json.loads(filled.get(f"made/{listing}")) == json.loads((tmp_path / listing).read_bytes())
    assert all(filled.get(f"made/{name}") == (tmp_path / name).read_bytes() for name in files - {listing})
    filled.put("made/x.zarr/notes.txt", b"mine")
    place = f"{filled.url}/made/x.zarr"
    assert write.main([f"{filled.url}/profiles", "-q", "-o", place, "--overwrite"]) == 1
    assert unfinished(filled) == []


def test_what_a_failed_flow_made_is_found_again(
    bucket: Bucket, plate: Path, staged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.upload_tree(plate, "plate")
    victim = next(key for key in bucket.keys() if key.endswith("Cells.csv"))
    good = bucket.get(victim)
    bucket.put(victim, good.replace(b".", b".x"))
    words = [f"{bucket.url}/plate", *PARTS, "-o", f"{bucket.url}/out.parquet", "--path-metadata", "none"]
    assert flow.main(words) == 1
    said = capsys.readouterr().err
    (kept,) = (tmp_path / "tmp").glob("pct-flow-*")
    assert kept.stat().st_mode & 0o77 == 0
    assert f"--work-dir {kept}" in said
    assert not any(key.startswith("out") for key in bucket.keys())
    bucket.put(victim, good)
    assert flow.main([*words, "--work-dir", str(kept)]) == 0
    assert parquet_table(fetched(bucket, "out.parquet", tmp_path)).num_rows


@pytest.mark.parametrize("tool", MAINS)
def test_what_is_there_is_refused(tool: str, filled: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    filled.put("flow.parquet", b"mine")
    before = filled.versions()
    assert MAINS[tool]([f"{filled.url}/{INPUT[tool]}", "-o", f"{filled.url}/{MADE[tool]}"]) == 1
    said = capsys.readouterr().err
    assert f"{filled.url}/{MADE[tool]} exists already; give --overwrite" in said
    assert len(said.splitlines()) == 1
    assert filled.versions() == before
    assert unfinished(filled) == []


@pytest.mark.parametrize("tool", MAINS)
def test_what_is_there_is_replaced(tool: str, filled: Bucket, staged: Path, tmp_path: Path) -> None:
    old = {"extract": "bundle/part-000009/cells.arrow", "join": "profiles/part-000009.arrow"}.get(tool, MADE[tool])
    filled.put(old, b"old")
    before = filled.versions()
    place = f"{filled.url}/{MADE[tool]}"
    assert (
        MAINS[tool](
            [
                f"{filled.url}/{INPUT[tool]}",
                "-o",
                place,
                "--overwrite",
                "-q",
                *PARTS[: 2 * (tool in ("discover", "flow"))],
            ]
        )
        == 0
    )
    assert set(filled.versions()) == set(before) - ({old} if old != MADE[tool] else set())
    assert filled.get(MADE[tool] if old == MADE[tool] else f"{MADE[tool]}/manifest.arrow") != b"old"
    assert unfinished(filled) == []


@pytest.mark.parametrize("tool", ["extract", "join"])
@pytest.mark.parametrize("name", ["notes/day one.txt", "part-list/notes.txt"])
def test_a_prefix_with_other_things_is_left_alone(
    tool: str, name: str, filled: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    filled.put(f"{MADE[tool]}/{name}", b"mine")
    before = filled.versions()
    assert MAINS[tool]([f"{filled.url}/{INPUT[tool]}", "-o", f"{filled.url}/{MADE[tool]}", "--overwrite"]) == 1
    assert "holds other things than this tool writes" in capsys.readouterr().err
    assert filled.versions() == before


def test_a_parquet_folder_replaces_one_of_more_parts(filled: Bucket) -> None:
    filled.put("out/part-000007.parquet", b"old")
    run("write", f"{filled.url}/profiles", "-o", f"{filled.url}/out", "--overwrite")
    assert filled.keys("out/") == [f"out/part-00000{number}.parquet" for number in (1, 2)]
    assert filled.get("out.parquet")


@pytest.mark.parametrize("tool", MAINS)
def test_no_such_bucket(tool: str, filled: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = f"{filled.server.scheme}://nowhere-to-be-found"
    assert MAINS[tool]([f"{filled.url}/{INPUT[tool]}", "-o", f"{nowhere}/{MADE[tool]}"]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "nowhere-to-be-found" in said


@pytest.mark.parametrize("tool", MAINS)
def test_who_may_only_read_hears_so(
    tool: str, filled: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        readers = filled.server.reader_environment
    except NotImplementedError:
        pytest.skip("this server lets everybody write")
    for name, text in readers.items():
        monkeypatch.setenv(name, text)
    before = filled.keys()
    # In S3 one can try without leaving anything: the output is tried before an input is missed.
    given = "nothing" if filled.server.scheme == "s3" else INPUT[tool]
    output = f"{filled.url}/{'new.parquet' if tool in ('write', 'flow') else 'new'}"
    assert MAINS[tool]([f"{filled.url}/{given}", "-q", "-o", output]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"cannot write {output}" in said
    assert filled.keys() == before


@pytest.mark.parametrize("tool", ["discover", "flow"])
def test_a_bucket_is_no_file(tool: str, filled: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"discover": 2, "flow": 1}[tool]
    assert MAINS[tool]([f"{filled.url}/plate", "-o", filled.url]) == expected
    said = capsys.readouterr().err
    assert ("names a bucket" if tool == "discover" else "exists already") in said


def test_a_whole_bucket_as_a_folder(bucket: Bucket, staged: Path) -> None:
    run("join", staged / "bundle", "-o", f"{bucket.url}/")
    assert bucket.keys() == ["manifest.arrow", *(f"part-00000{number}.arrow" for number in (1, 2))]


def test_small_files_of_the_command_line(
    filled: Bucket, plate: Path, convert: Convert, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = 'name = "own"\ntitle = "Own"\nformat = "csv"\ncompartments = ["cells", "nuclei"]\nanchors = ["nuclei"]\n'
    texts = {
        "own.toml": preset,
        "q.sql": "SELECT nuclei.* FROM nuclei ORDER BY ALL",
        "map.csv": "well,Compound\nA01,aspirin\n",
        "batch/barcode_platemap.csv": "Assay_Plate_Barcode,Plate_Map_Name\nBR00100001,one\n",
        "batch/platemap/one.txt": "well_position\tCompound\na1\taspirin\n",
    }
    (tmp_path / "batch/platemap").mkdir(parents=True)
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        filled.put(name, text.encode())

    def options(at: object) -> list[Options]:
        shown = ("--platemap", f"{at}/map.csv", "--platemap-on", "well=Metadata_Well")
        return [
            Options(discover=("--preset", f"{at}/own.toml"), join=("--sql", f"{at}/q.sql")), Options(join=shown),
            Options(join=("--platemap", f"{at}/batch")),
        ]  # fmt: skip

    for local, stored in zip(options(tmp_path), options(filled.url), strict=True):
        assert differences(convert(plate, options=local), convert(plate, options=stored)) == []
    for words in (["--sql"], ["--platemap"]):
        capsys.readouterr()
        assert join.main([str(tmp_path / "x"), *words, f"{filled.url}/gone"]) == 2
        assert f"{filled.url}/gone" in capsys.readouterr().err
    assert discover.main([str(plate), "--preset", f"{filled.url}/gone.toml"]) == 2


def test_a_source_that_lies_in_the_cloud_by_now(filled: Bucket, tmp_path: Path) -> None:
    run("discover", f"{filled.url}/plate", "-o", tmp_path / "m.arrow")
    filled.upload_tree(tmp_path, "other")
    for key in filled.keys("plate/"):
        filled.put(f"moved/{key}", filled.get(key))
    run("extract", f"{filled.url}/other/m.arrow", "--source", f"{filled.url}/plate", "-o", tmp_path / "bundle")
    assert read_manifest(str(tmp_path / "bundle")).parts


def test_work_dirs_are_local(filled: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{filled.url}/plate", "-o", f"{filled.url}/new.parquet"]
    assert flow.main([*words, "--work-dir", f"{filled.url}/work"]) == 2
    assert "must be a folder of this machine" in capsys.readouterr().err
    assert flow.main([*words, "--runner", "dask", "--dask-scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "a folder that all workers share" in capsys.readouterr().err


def test_the_options_of_storage_count_for_outputs(
    s3_server: S3, s3: Bucket, staged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    for tool in ("join", "write"):
        place = f"{s3.url}/{MADE[tool]}"
        source: Callable[[str], str] = lambda name: str(staged / name)  # noqa: E731
        run(tool, source(INPUT[tool]), "-o", place, "--endpoint-url", s3_server.origin)
    assert s3.keys("out.parquet")
    assert s3.keys("profiles/")


def test_what_was_written_is_said(filled: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    assert write.main([f"{filled.url}/profiles", "-o", f"{filled.url}/new.parquet"]) == 0
    assert f"{len(filled.get('new.parquet')) / 1e3:.0f} kB in 1 file" in capsys.readouterr().err
    assert write.main([f"{filled.url}/profiles", "-o", f"{filled.url}/new"]) == 0
    total = sum(len(filled.get(key)) for key in filled.keys("new/"))
    assert f"{total / 1e3:.0f} kB in 2 files" in capsys.readouterr().err
