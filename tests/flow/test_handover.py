"""What a flow on threads hands over in memory: the same output, and the same files for a later run if parts fail."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from plates import Plate, write_csv
from pycytominer_transform.common import kept_profiles
from pycytominer_transform.common.made_parts import MadeParts
from pycytominer_transform.common.parquet_groups import GroupsFile
from pycytominer_transform.common.profiles import ProfilesFolderWriter
from pycytominer_transform.tools import flow
from pycytominer_transform.tools.flow_stages import FlowOptions, Handover
from pycytominer_transform.tools.join import JoinOptions
from waiting import wait_until

PARTS = 5
ONE_FOLDER_A_PART = ["--part-size", "1"]


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return write_csv(Plate(folders=PARTS, cells=12, features=6, missing=0.1), tmp_path / "plate1")


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name: file.read_bytes() for file in files}


def convert(plate: Path, output: Path, *words: str) -> int:
    return flow.main([str(plate), "-o", str(output), *ONE_FOLDER_A_PART, *words])


@pytest.mark.parametrize(
    ("changed", "handed"),
    [
        ({}, ("kept", "kept", True)),
        ({"work_dir": "work"}, ("kept", "lasting", True)),
        ({"keep_work": True}, ("lasting", "lasting", True)),
        ({"join": JoinOptions(memory=500_000_000)}, ("kept", "passing", False)),
        ({"runner": "sequential"}, ("kept", "passing", False)),
        ({"runner": "dask"}, ("passing", "passing", False)),
        ({"runner": "dask", "work_dir": "work"}, ("passing", "lasting", False)),
        ({"output": "out"}, ("kept", "passing", False)),
    ],
)
def test_what_is_handed_over(changed: dict[str, object], handed: tuple[str, str, bool]) -> None:
    output = Path(str(changed.pop("output", "out.parquet")))
    found = Handover.of(replace(FlowOptions(), **changed), output)  # type: ignore[arg-type]
    assert (found.bundles, found.profiles, found.meanwhile) == handed


def test_parts_are_written_while_others_are_made(plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complete = MadeParts.complete
    seen: list[int] = []

    def complete_late(parts: MadeParts) -> None:
        wait_until(lambda: len(parts.given) == PARTS, "parts that are written before the flow says that all are there")
        seen.append(len(parts.given))
        complete(parts)

    monkeypatch.setattr(MadeParts, "complete", complete_late)
    assert convert(plate, tmp_path / "out.parquet") == 0
    assert seen == [PARTS]


def test_profiles_have_no_file(plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert convert(plate, tmp_path / "written.parquet", "--work-dir", str(tmp_path / "work")) == 0

    def write(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ProfilesFolderWriter, "write", write)
    assert convert(plate, tmp_path / "kept.parquet") == 0
    assert (tmp_path / "kept.parquet").read_bytes() == (tmp_path / "written.parquet").read_bytes()
    assert kept_profiles.KEPT_PROFILES.all() == []


def test_profiles_for_which_there_is_no_room_have_one(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert convert(plate, tmp_path / "kept.parquet") == 0
    write = ProfilesFolderWriter.write
    written: list[int] = []

    def write_and_note(writer: ProfilesFolderWriter, part: int, profiles: pa.Table) -> None:
        written.append(part)
        write(writer, part, profiles)

    monkeypatch.setattr(ProfilesFolderWriter, "write", write_and_note)
    monkeypatch.setattr(kept_profiles, "_MOST_BYTES", 1)
    assert convert(plate, tmp_path / "written.parquet") == 0
    assert sorted(written) == list(range(1, PARTS + 1))
    assert (tmp_path / "kept.parquet").read_bytes() == (tmp_path / "written.parquet").read_bytes()


@pytest.mark.parametrize("output", ["out.parquet", "out"])
def test_the_bytes_are_the_same_however_parts_are_handed_over(output: str, plate: Path, tmp_path: Path) -> None:
    ways = [[], ["--work-dir", str(tmp_path)], ["--keep-work"], ["--memory", "500MB"], ["--runner", "sequential"]]
    made = []
    for number, words in enumerate(ways):
        (tmp_path / f"{number}").mkdir()
        assert convert(plate, tmp_path / f"{number}" / output, *words) == 0
        made.append(contents(tmp_path / f"{number}" / output))
    assert all(one == made[0] for one in made)
    assert len(made[0]) == (PARTS if output == "out" else 1)


@pytest.fixture(params=[[True], [True, False]], ids=["room", "some room"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have room for all profiles, or for every other part's."""
    has_room = itertools.cycle(request.param)
    monkeypatch.setattr(kept_profiles, "has_room", lambda _: next(has_room))


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize(("spoilt", "output"), [(1, "out.parquet"), (3, "out.parquet"), (5, "out.parquet"), (3, "out")])
def test_parts_that_did_not_fail_are_kept(
    spoilt: int, output: str, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "before").mkdir()
    assert convert(plate, tmp_path / "before" / output) == 0
    file = sorted(plate.rglob("Cells.csv"))[spoilt - 1]
    good, times = file.read_bytes(), file.stat()
    first, second, *lines = good.split(b"\n")
    file.write_bytes(b"\n".join([first, second.rpartition(b",")[0] + b",oops", *lines]))
    assert convert(plate, tmp_path / output) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"1 of {PARTS} parts failed; the others are kept, go on with --work-dir {tmp_path}: part {spoilt}: " in told
    parts = tmp_path / f"{output}.pct-work" / "profiles"
    others = {f"part-{part:06d}" for part in range(1, PARTS + 1) if part != spoilt}
    assert entries(parts) == others
    assert all(entries(parts / part) == {"manifest.arrow", f"{part}.arrow"} for part in others)
    file.write_bytes(good)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert convert(plate, tmp_path / output, "--work-dir", str(tmp_path)) == 0
    assert f"{PARTS - 1} parts of {PARTS} were finished already" in capsys.readouterr().err
    assert contents(tmp_path / output) == contents(tmp_path / "before" / output)


def failing(times: int, number: int) -> Callable[..., None]:
    add = GroupsFile.add
    left = itertools.chain(itertools.repeat(True, times), itertools.repeat(False))

    def add_or_fail(*arguments: object) -> None:
        if next(left):
            raise OSError(number, os.strerror(number))
        add(*arguments)  # type: ignore[arg-type]

    return add_or_fail


@pytest.mark.parametrize("work", [[], ["--work-dir", "."]])
def test_an_output_that_fails_in_passing_is_written_again(
    work: list[str], plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--row-group-rows", "8"]
    assert convert(plate, tmp_path / "before.parquet", *small) == 0
    capsys.readouterr()
    monkeypatch.setattr(GroupsFile, "add", failing(1, errno.EIO))
    assert convert(plate, tmp_path / "out.parquet", *small, *work) == 0
    told = capsys.readouterr().err
    assert ("this may pass, so all parts are made again" in told) == (not work)
    assert f"parts: {PARTS} done, 0 failed" in told
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "before.parquet").read_bytes()


@pytest.mark.parametrize("work", [[], ["--work-dir", "."]])
def test_an_output_for_which_there_is_no_room_ends_the_run(
    work: list[str], plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(GroupsFile, "add", failing(1, errno.ENOSPC))
    assert convert(plate, tmp_path / "out.parquet", "--row-group-rows", "8", *work) == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert entries(tmp_path) == {"plate1"} | ({"out.parquet.pct-work"} if work else set())
