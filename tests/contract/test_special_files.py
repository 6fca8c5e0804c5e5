"""Pipes, sockets and devices: passed over in a tree, named where they are given, and never waited for."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from plates_sheets import small_tables, write_sheets
from running import Staged, entries, run


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(path.parent)
        try:
            # The path of a socket has 108 bytes at most.
            listener.bind(path.name)
        finally:
            os.chdir(before)


KINDS: dict[str, Callable[[Path], None]] = {
    "a named pipe": lambda path: os.mkfifo(path),
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}
NAMES = ("Cells.csv", "extra/Cells.csv.gz", "0-0.npz", "plate.sqlite", "notes", "barcode_platemap.csv")


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_tree_they_are_passed_over(kind: str, tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    (source / "extra").mkdir()
    plain = run("discover", source, "-q").done().out
    for name in NAMES:
        KINDS[kind](source / name)
    ran = run("discover", source, "-q").done()
    assert ran.out == plain
    expected = {f"pct-discover: warning: {name} is {kind}, not a file; passed over" for name in NAMES}
    assert set(ran.lines) == expected


@pytest.mark.parametrize("preset", ["cellprofiler_csv", "cellprofiler_sqlite", "deepprofiler"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tree_of_nothing_else(kind: str, preset: str, tmp_path: Path) -> None:
    (tmp_path / "plate" / "extra").mkdir(parents=True)
    for name in NAMES:
        KINDS[kind](tmp_path / "plate" / name)
    run("discover", tmp_path / "plate", "-q", "--preset", preset, "-o", tmp_path / "made").failed(1, alone=False)
    assert entries(tmp_path) == {"plate"}


@pytest.mark.parametrize("kind", KINDS)
def test_given_for_a_source_they_are_named(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "plate.sqlite")
    run("discover", tmp_path / "plate.sqlite", "-q", "-o", tmp_path / "made").failed(1, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tool", "file"), [("join", "part-000002/cells.arrow"), ("write", "part-000002.arrow")])
def test_in_the_folders_of_stages_they_are_named(
    tool: str, file: str, kind: str, staged: Staged, tmp_path: Path
) -> None:
    shutil.copytree(staged.at_rest(tool), tmp_path / "given")
    (tmp_path / "given" / file).unlink()
    KINDS[kind](tmp_path / "given" / file)
    run(tool, tmp_path / "given", "-q", "-o", tmp_path / "made").failed(1, file, kind)


def test_a_file_that_became_one_after_discovery(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    manifest = run("discover", source, "-q").done().out
    file = next(source.rglob("Cells.csv"))
    file.unlink()
    os.mkfifo(file)
    run("extract", "-q", "-o", tmp_path / "made", stdin=manifest).failed(1, "Cells.csv")


def test_a_socket_for_a_stream(tmp_path: Path) -> None:
    make_socket(tmp_path / "given")
    for tool in ("extract", "join", "write"):
        run(tool, tmp_path / "given", "-q", "-o", tmp_path / "made").failed(1, "given")
        run(tool, "/dev/zero", "-q", "-o", tmp_path / "made").failed(1, "/dev/zero is not Arrow")


@pytest.mark.parametrize(
    ("tool", "option"),
    [("discover", "--preset"), ("join", "--sql"), ("join", "--platemap"), ("flow", "--dask-cluster")],
)
def test_no_file_of_an_option_is_read_without_end(tool: str, option: str, staged: Staged, tmp_path: Path) -> None:
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    first = staged.source if tool in ("discover", "flow") else staged.at_rest(tool)
    words = ["--runner", "dask"] if tool == "flow" else []
    ran = run(tool, first, option, tmp_path / "zero.toml", *words, "-q", "-o", tmp_path / "made")
    ran.failed(2, "zero.toml", "larger than 50.0 MB")
