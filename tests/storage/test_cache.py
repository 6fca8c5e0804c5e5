"""SQLite files in a store: downloaded once, taken up after a kill, shared, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cloud_servers import Bucket
from converting import Convert, Options, differences, run
from fault_kinds import Hang
from fault_proxy import FaultProxy, Request
from plates import Plate
from plates_awkward import AWKWARD
from plates_sqlite import SqliteStyle, write_sqlite
from pycytominer_transform.common.storage.cloud import download_cache as cloud_cache
from pycytominer_transform.common.storage.cloud.download_cache import release_cache
from pycytominer_transform.tools import discover, extract

PLATE = Plate(folders=4, cells=20, features=30, from_one=False)
SQLITE = [name for name, awkward in AWKWARD.items() if awkward.layout != "cellprofiler_csv"]
TOOLS = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a temporary folder of the test's own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    release_cache()
    return folder


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Give a plate as one SQLite file."""
    return write_sqlite(PLATE, tmp_path / "plate.sqlite", SqliteStyle("cellprofiler_sqlite"))


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_download(request: Request) -> bool:
    return request.method == "GET" and "plate.sqlite" in request.target and "range" in request.headers


@pytest.mark.parametrize("name", SQLITE)
def test_awkward_files(name: str, s3: Bucket, convert: Convert, tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "made" / name).mkdir(parents=True)
    source = AWKWARD[name].write(tmp_path / "made" / name)
    parts = Options(discover=("--part-size", "1"))
    if source.is_dir():
        place = s3.upload_tree(source, name)
    else:
        place = s3.put(f"deep/{source.name}", source.read_bytes())
    assert differences(convert(source, options=parts), convert(place, options=parts)) == []
    release_cache()
    assert files_below(own_cache) == []


def test_all_stores_and_ways(bucket: Bucket, plate: Path, convert: Convert, own_cache: Path) -> None:
    place = bucket.put("a b/plate.sqlite", plate.read_bytes())
    local = convert(plate)
    for way in ("files", "streams", "concurrent"):
        assert differences(local, convert(place, way)) == []
    release_cache()
    assert files_below(own_cache) == []


def tool(name: str, *words: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command: Sequence[str] = [str(TOOLS / name), *map(str, words)]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, **(environment or {})}
    )


@pytest.mark.endurance
def test_processes_at_once_download_once(s3: Bucket, plate: Path, tmp_path: Path) -> None:
    place = s3.put("plate.sqlite", plate.read_bytes())
    with FaultProxy(s3.server) as proxy:
        made = [tmp_path / f"{number}.arrow" for number in range(4)]
        running = [
            tool(
                "pct-discover", place, "-o", path, "--cache-dir", tmp_path / "cache", "--keep-cache",
                environment=proxy.environment,
            )
            for path in made
        ]  # fmt: skip
        for process in running:
            assert process.wait(120) == 0, process.communicate()[1]
        wanted = -(-plate.stat().st_size // cloud_cache._PIECE_BYTES)
        # Whether it is SQLite each of them looks at itself.
        whole = [request for request in proxy.requests if is_download(request) and not is_magic(request)]
    assert len(whole) == wanted
    assert [path.read_bytes() for path in made] == [made[0].read_bytes()] * 4
    assert [Path(name).name for name in files_below(tmp_path / "cache") if not name.endswith(".lock")] == [
        "plate.sqlite"
    ]


def is_magic(request: Request) -> bool:
    return request.headers["range"] == "bytes=0-65535"


@pytest.mark.endurance
def test_a_killed_download_goes_on_where_it_was(s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").mkdir()
    large = write_sqlite(
        Plate(folders=30, cells=60, features=900, from_one=False), tmp_path / "large" / "plate.sqlite",
        SqliteStyle("cellprofiler_sqlite"),
    )  # fmt: skip
    pieces = -(-large.stat().st_size // cloud_cache._PIECE_BYTES)
    assert pieces > 2
    place = s3.put("plate.sqlite", large.read_bytes())
    cache = tmp_path / "cache"
    last = f"bytes={(pieces - 1) * cloud_cache._PIECE_BYTES}-"

    def is_last(request: Request) -> bool:
        return is_download(request) and request.headers["range"].startswith(last)

    words = (place, "-o", tmp_path / "m.arrow", "--cache-dir", cache, "--keep-cache")
    with FaultProxy(s3.server, {is_last: Hang()}) as proxy:
        killed = tool("pct-discover", *words, environment=proxy.environment)
        patience = time.monotonic() + 60
        wanted = (pieces - 1) * cloud_cache._PIECE_BYTES
        while sum(path.stat().st_size for path in cache.rglob("*.partial")) < wanted:
            assert time.monotonic() < patience, killed.poll()
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
    with FaultProxy(s3.server) as proxy:
        again = tool("pct-discover", *words, environment=proxy.environment)
        said = again.communicate(timeout=300)[1]
        assert again.returncode == 0, said
        asked = [request.headers["range"] for request in proxy.requests if is_download(request)]
    assert [wanted for wanted in asked if wanted != "bytes=0-65535"] == [f"{last}{large.stat().st_size - 1}"]
    assert "are there" in said
    cached = next(cache.rglob("plate.sqlite"))
    assert cached.read_bytes() == large.read_bytes()


def test_extract_takes_what_discover_kept_and_removes_it(s3: Bucket, plate: Path, tmp_path: Path) -> None:
    place = s3.put("plate.sqlite", plate.read_bytes())
    cache = ("--cache-dir", str(tmp_path / "cache"))
    run("discover", place, "-o", tmp_path / "m.arrow", *cache, "--keep-cache")
    release_cache()
    assert len(files_below(tmp_path / "cache")) == 2
    with FaultProxy(s3.server) as proxy:
        extracting = tool(
            "pct-extract", tmp_path / "m.arrow", "-o", tmp_path / "b", *cache, environment=proxy.environment
        )
        assert extracting.wait(60) == 0, extracting.communicate()[1]
        assert not any(map(is_download, proxy.requests))
    assert files_below(tmp_path / "cache") == []


def test_too_small_a_disk_is_said_before_the_download(
    s3: Bucket, plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        place = s3.put("plate.sqlite", plate.read_bytes())
        assert discover.main([place, "-o", str(tmp_path / "m.arrow"), "-q", "--cache-dir", str(small)]) == 1
        assert files_below(small) == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
    said = capsys.readouterr().err
    assert "--cache-dir" in said
    assert len(said.splitlines()) == 1


def test_a_cache_that_cannot_be_made(
    s3: Bucket, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = s3.put("plate.sqlite", plate.read_bytes())
    (tmp_path / "file").write_text("no folder")
    words = [place, "-o", str(tmp_path / "m.arrow"), "-q", "--cache-dir", str(tmp_path / "file" / "cache")]
    assert discover.main(words) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"in {tmp_path}/file/cache: Not a directory" in said


def test_a_log_beside_the_file(s3: Bucket, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = s3.put("plate.sqlite", plate.read_bytes())
    s3.put("plate.sqlite-wal", b"rows that were not checkpointed")
    assert discover.main([place, "-o", str(tmp_path / "m.arrow"), "-q"]) == 1
    assert "-wal" in capsys.readouterr().err


def test_another_file_since(s3: Bucket, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = s3.put("plate.sqlite", plate.read_bytes())
    run("discover", place, "-o", tmp_path / "m.arrow")
    release_cache()
    other = write_sqlite(Plate(folders=4, cells=20, features=30, from_one=False, seed=2), tmp_path / "o.sqlite", None)
    s3.put("plate.sqlite", other.read_bytes())
    assert extract.main([str(tmp_path / "m.arrow"), "-o", str(tmp_path / "b"), "-q"]) == 1
    said = capsys.readouterr().err
    assert "run pct-discover again" in said
    assert len(said.splitlines()) == 1
