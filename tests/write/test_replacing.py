"""Replacing outputs, also after a process was killed while it replaced one."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from pycytominer_transform.common.errors import StorageError, TerminatedError
from pycytominer_transform.common.runtime import signals
from pycytominer_transform.common.storage import destination, temporary_names
from pycytominer_transform.common.storage.temporary_names import remove_leftovers
from pycytominer_transform.tools import write

KILLED_AT = """
import os, sys
from pathlib import Path
from pycytominer_transform.common.runtime import signals
from pycytominer_transform.common.storage import destination
path, at, exchange = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "exchange"
if not exchange:
    destination._exchanged = lambda one, other: False
calls, rename = [], os.rename
def counted(one, other):
    calls.append(one)
    if len(calls) == at:
        os._exit(9)
    rename(one, other)
os.rename = counted
destination.shutil.rmtree = lambda *_, **__: os._exit(9)
with destination.complete_folder(path, overwrite=True, is_ours=lambda _: True) as folder:
    with folder.open("new"):
        pass
    if at == 0:
        os._exit(9)
"""


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def replace_and_be_killed(path: Path, at: int, how: str) -> None:
    command = [sys.executable, "-c", KILLED_AT, str(path), str(at), how]
    assert subprocess.run(command, check=False).returncode == 9


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Give a folder that is to be replaced."""
    (tmp_path / "plate").mkdir()
    (tmp_path / "plate" / "old").touch()
    return tmp_path / "plate"


def replaced(path: Path, times: int) -> None:
    for _ in range(times):
        with destination.complete_folder(path, overwrite=True, is_ours=lambda _: True) as folder, folder.open("new"):
            pass


def test_a_folder_is_replaced_in_one_step(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_name, other = old.with_name("a"), old.with_name("b")
    try_name.mkdir()
    other.mkdir()
    if not destination._exchanged(try_name, other):
        pytest.skip("this system cannot exchange two names")
    rename = os.rename

    def watched(one: Path, other: Path) -> None:
        rename(one, other)
        assert old.exists()

    monkeypatch.setattr(os, "rename", watched)
    replaced(old, 2)
    assert entries(old) == {"new"}
    assert entries(old.parent) == {"plate", "a", "b"}


@pytest.mark.parametrize(
    ("how", "at", "left"),
    [("exchange", 0, "old"), ("exchange", 9, "new"), ("two steps", 1, "old"), ("two steps", 2, "old"),
     ("two steps", 9, "new")],
)  # fmt: skip
def test_who_is_killed_while_it_replaces_leaves_the_old_or_the_new(
    how: str, at: int, left: str, old: Path, told: pytest.LogCaptureFixture
) -> None:
    replace_and_be_killed(old, at, how)
    assert len(entries(old.parent)) == 2
    remove_leftovers(old)
    assert entries(old) == {left}
    assert entries(old.parent) == {"plate"}
    assert "which an interrupted run left behind" in told.text
    assert ("it is put back" in told.text) is (how == "two steps" and at == 2)


def test_where_names_cannot_be_exchanged_a_folder_is_replaced_in_two_steps(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination, "_exchanged", lambda *_: False)
    replaced(old, 1)
    assert entries(old) == {"new"}
    assert entries(old.parent) == {"plate"}


def test_only_what_nobody_is_at_work_on_is_removed(tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "out.parquet"
    others = {temporary_names.beside(tmp_path / name).name for name in ("out", "out.parquet.gz", "my.out.parquet")}
    elsewhere = ".out.parquet.node7-01234567.pct-tmp"
    for name in (*others, elsewhere, ".out.parquet.pct-tmp"):
        (tmp_path / name).touch()
    kept = entries(tmp_path)
    dead = temporary_names.beside(path)
    dead.touch()
    with destination.complete_file(path, overwrite=False) as file:
        file.write(b"complete")
        remove_leftovers(path)
        assert entries(tmp_path) == {*kept, os.path.basename(file.name)}
    assert path.read_text() == "complete"
    assert entries(tmp_path) == {*kept, "out.parquet"}
    assert [record.getMessage().split(" ", 1)[0] for record in told.records if "removed" in record.msg] == ["removed"]
    assert f"{elsewhere} was left by a run on node7" in told.text


def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    dead = temporary_names.beside(tmp_path / "out.parquet")
    dead.touch()
    monkeypatch.setattr(fcntl, "flock", no_locks)
    remove_leftovers(tmp_path / "out.parquet")
    assert entries(tmp_path) == {dead.name}
    with destination.complete_file(tmp_path / "out.parquet", overwrite=False):
        pass
    assert entries(tmp_path) == {dead.name, "out.parquet"}


def test_a_tool_removes_what_an_earlier_run_of_it_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead = temporary_names.beside(tmp_path / "out.parquet")
    dead.mkdir()
    (dead / "half").touch()
    assert write.main([str(tmp_path / "nowhere"), "-o", str(tmp_path / "out.parquet")]) == 1
    assert entries(tmp_path) == set()
    assert f"removed {dead}" in capsys.readouterr().err


def test_a_name_that_a_cleaner_got_hold_of_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleaners: list[int] = []
    opened = os.open

    def open_after_a_cleaner(path: Path, *words: int, **more: int) -> int:
        descriptor = opened(path, *words, **more)
        if not cleaners and str(path).endswith(".pct-tmp"):
            cleaners.append(opened(path, os.O_RDONLY))
            fcntl.flock(cleaners[0], fcntl.LOCK_EX)
        return descriptor

    monkeypatch.setattr(os, "open", open_after_a_cleaner)
    with destination.complete_file(tmp_path / "out.parquet", overwrite=False) as file:
        assert not os.path.samestat(os.fstat(cleaners[0]), os.fstat(file.fileno()))
    os.close(cleaners[0])
    assert (tmp_path / "out.parquet").is_file()


def test_a_process_that_ends_gives_no_more_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals._Process, "is_exiting", False)

    def written_meanwhile() -> None:
        with destination.complete_file(tmp_path / "out.parquet", overwrite=False) as file:
            file.write(b"complete")
            signals.run_cleanups()
            assert entries(tmp_path) == set()
            file.write(b"by a thread that knows nothing of it")

    def begun_later() -> None:
        with destination.complete_folder(tmp_path / "out", overwrite=False, is_ours=lambda _: True):
            pass

    def worked_meanwhile() -> None:
        with temporary_names.scratch_folder("pct-test-") as folder:
            (folder / "spilt").touch()
            signals.run_cleanups()
            assert not folder.exists()
            raise TerminatedError

    for work in (written_meanwhile, begun_later, worked_meanwhile):
        with pytest.raises(TerminatedError):
            work()
        assert entries(tmp_path) == set()


def test_folders_that_killed_processes_left_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    host = temporary_names.host_name()
    left = [f"pct-test-{host}-0123abcd", f"pct-other-{host}-0123abcd"]
    others = [f"pct-test-{host}2-0123abcd", f"else-{host}-0123abcd", "pct-test-abcdefgh"]
    for name in (*left, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "spilt").touch()
    used = tmp_path / f"pct-test-{host}-ffffffff"
    used.mkdir()
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with temporary_names.scratch_folder("pct-test-") as folder:
        assert entries(tmp_path) == {*others, used.name, folder.name}
        assert folder.stat().st_mode & 0o777 == 0o700
    assert entries(tmp_path) == {*others, used.name}
    os.close(lock)


def test_a_tmpdir_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match=r"cannot make a temporary folder in .*/gone \(TMPDIR\): No such file"):
        with temporary_names.scratch_folder("pct-test-"):
            pass
