"""The folder where a flow's parts lie: one process at a time, what is taken up from it, and what is made again."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import oracle
import pytest
from plates import Plate, write_csv
from pycytominer_transform.common.errors import FailedPartsError, WorkDirInUseError
from pycytominer_transform.common.flow import work_dir as module
from pycytominer_transform.common.flow.work_dir import WorkDir, lasting_work_dir, open_work_dir
from pycytominer_transform.common.storage.folder_lock import LOCK_FILE, locked_folder
from pycytominer_transform.common.storage.location import LocalLocation
from pycytominer_transform.common.storage.temporary_names import beside
from pycytominer_transform.tools import flow

PLATE = Plate(folders=4, cells=12, features=6, missing=0.1)
ONE_FOLDER_A_PART = ["--part-size", "1"]
AGAIN = "made again: {} of other files or options, or incomplete"


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(PLATE, tmp_path_factory.mktemp("sources") / "plate1")


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_work_dir_in_use_is_refused(plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / "work" / "out.parquet.pct-work"
    with locked_folder(work):
        assert flow.main([str(plate), "-o", str(tmp_path / "out.parquet"), "--work-dir", str(tmp_path / "work")]) == 1
    holder = f"process {os.getpid()} on {os.uname().nodename}"
    told = f"pct-flow: error: the work dir {work} is in use by {holder}; wait for its end, or name another by "
    assert capsys.readouterr().err == f"{told}--work-dir\n"
    assert entries(tmp_path) == {"work"}


def test_outputs_of_other_names_share_a_work_dir(tmp_path: Path) -> None:
    with work_dir(tmp_path, output=Path("a.parquet")) as one:
        with work_dir(tmp_path, output=Path("b.parquet")) as other:
            assert one.path != other.path
    assert entries(tmp_path) == set()


def test_the_lock_goes_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's user removes it between this one's opening of the lock file and its locking."""
    work = tmp_path / "out.parquet.pct-work"
    work.mkdir()
    lock = fcntl.flock
    asked: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not asked:
            os.rename(work, tmp_path / "gone")
        asked.append(descriptor)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked_folder(work):
        assert entries(work) == {LOCK_FILE}
        with pytest.raises(WorkDirInUseError), locked_folder(work):
            pass
    assert asked
    assert entries(tmp_path) == {"gone", "out.parquet.pct-work"}


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_without_locks_it_goes_on(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with work_dir(tmp_path) as work:
        work.prepare([1])
    assert entries(tmp_path) == set()


def test_what_a_killed_run_had_begun_is_removed(tmp_path: Path) -> None:
    with work_dir(tmp_path, keep=True) as work:
        work.prepare([1])
        work.profiles(1).mkdir()
    half = [beside(work.profiles(1)), beside(work.manifest), beside(work.path), work.exchange(1, "bundle")]
    for path in half:
        path.mkdir()
        (path / "half").touch()
    with work_dir(tmp_path, keep=True) as work:
        assert work.has_parts()
        assert not any(path.exists() for path in half)


def work_dir(
    path: Path, *, output: Path = Path("out.parquet"), is_folder: bool = False, keep: bool = False
) -> AbstractContextManager[WorkDir]:
    return open_work_dir(str(path), LocalLocation(output), is_folder=is_folder, keep=keep)


def test_parts_of_a_run_that_failed_are_kept(tmp_path: Path) -> None:
    def fail(*parts: int) -> str:
        with open_work_dir("", LocalLocation(tmp_path, "out.parquet"), is_folder=False, keep=False) as work:
            work.prepare([1, 2, 3])
            for part in parts:
                work.profiles(part).mkdir()
            raise FailedPartsError("some parts failed")

    with pytest.raises(FailedPartsError) as nothing:
        fail()
    assert (nothing.value.work_dir, entries(tmp_path)) == ("", set())
    with pytest.raises(FailedPartsError) as failed:
        fail(1, 2)
    work = tmp_path / "out.parquet.pct-work"
    assert failed.value.work_dir == str(work)
    # The same command finds them too.
    with pytest.raises(FailedPartsError):
        fail(3)
    assert entries(tmp_path) == {work.name}
    assert entries(work / "parts") == {"part-000001", "part-000002", "part-000003"}


def test_parts_that_the_disk_cannot_keep_are_not_said_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "sync_all", full)

    def fail() -> None:
        with open_work_dir("", LocalLocation(tmp_path, "out.parquet"), is_folder=False, keep=False) as work:
            work.prepare([1])
            work.profiles(1).mkdir()
            raise FailedPartsError("some parts failed")

    with pytest.raises(FailedPartsError) as failed:
        fail()
    assert failed.value.work_dir == ""
    assert not entries(tmp_path)
    assert [message for message in told.messages if "could not be kept" in message]


@pytest.mark.parametrize("named", ["work", "work/out.parquet.pct-work"])
def test_the_folder_and_the_one_within_are_the_same_work_dir(named: str, tmp_path: Path) -> None:
    within = tmp_path / "work" / "out.parquet.pct-work"
    assert lasting_work_dir(str(tmp_path / named), LocalLocation("out.parquet"), is_folder=False) == within


def convert(plate: Path, folder: Path, *words: str) -> int:
    more = ["--overwrite", "--keep-work", "--work-dir", str(folder / "work"), "--runner", "sequential"]
    return flow.main([str(plate), "-o", str(folder / "out.parquet"), *more, *(words or ONE_FOLDER_A_PART)])


@pytest.mark.endurance
@pytest.mark.prefect
def test_only_what_a_change_affects_is_made_again(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(plate, tmp_path / "plate1"))
    assert convert(copy, tmp_path) == 0
    capsys.readouterr()

    def again(*words: str) -> str:
        assert convert(copy, tmp_path, *words) == 0
        assert oracle.compare(oracle.profiles(copy), tmp_path / "out.parquet") == []
        return capsys.readouterr().err

    told = again()
    assert "4 parts of 4 were finished already" in told
    assert "made again" not in told
    file = sorted(copy.rglob("Cells.csv"))[2]
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:1], lines[1].rsplit(",", 1)[0] + ",0.5", *lines[2:]]) + "\n")
    told = again()
    assert "3 parts of 4 were finished already" in told
    assert AGAIN.format("1 finished part") in told
    # Another cut: no part holds what it held.
    told = again("--part-size", "1GB")
    assert "finished already" not in told
    assert AGAIN.format("1 finished part") in told
    assert entries(tmp_path / "work" / "out.parquet.pct-work" / "parts") == {"part-000001"}
    told = again(*ONE_FOLDER_A_PART)
    assert "finished already" not in told
    assert convert(copy, tmp_path, *ONE_FOLDER_A_PART, "--cast", "Cells_.*=float32") == 0
    told = capsys.readouterr().err
    assert AGAIN.format("4 finished parts") in told


@pytest.mark.prefect
@pytest.mark.parametrize("how", ["cut off", "emptied", "gone"])
def test_a_part_that_is_not_whole_is_made_again(
    how: str, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(plate, tmp_path) == 0
    file = tmp_path / "work" / "out.parquet.pct-work" / "parts" / "part-000003" / "part-000003.arrow"
    before = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(before[: len(before) // 2] if how == "cut off" else b"")
    capsys.readouterr()
    assert convert(plate, tmp_path) == 0
    assert "3 parts of 4 were finished already" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert oracle.compare(oracle.profiles(plate), tmp_path / "out.parquet") == []


@pytest.mark.prefect
def test_a_part_without_its_bad_dataset_is_made_again(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(plate, tmp_path / "plate1"))
    file = sorted(copy.rglob("Cells.csv"))[1]
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], lines[2].rsplit(",", 2)[0], *lines[3:]]) + "\n")
    dataset = str(file.parent.relative_to(copy))
    expected = [row for row in oracle.profiles(plate) if row["Metadata_Dataset"] != dataset]
    at_once = f"pct-flow: warning: part 2 goes on without dataset {dataset}: {dataset}/Cells.csv, row 3: "
    at_end = f"pct-flow: warning: reading went on without 1 bad dataset: {dataset}"
    words = [*ONE_FOLDER_A_PART, "--on-bad-dataset", "skip"]
    for resumed in (0, 3):
        assert convert(copy, tmp_path, *words) == 0
        told = capsys.readouterr().err.splitlines()
        assert oracle.compare(expected, tmp_path / "out.parquet") == []
        assert [line.startswith(at_once) for line in told].count(True) == 1
        assert told.count(at_end) == 1
        assert (f"pct-flow: {resumed} parts of 4 were finished already" in told) == bool(resumed)
        assert not any("made again" in line for line in told)
    # What was finished is said as it was, of a run that was killed at its end.
    words += ["--work-dir", str(tmp_path / "work"), "--runner", "sequential"]
    assert flow.main([str(copy), "-o", str(tmp_path / "out.parquet"), *words]) == 0
    told = capsys.readouterr().err.splitlines()
    assert "pct-flow: 4 parts of 4 were finished already" in told
    assert told.count(at_end) == 1
    assert oracle.compare(expected, tmp_path / "out.parquet") == []
