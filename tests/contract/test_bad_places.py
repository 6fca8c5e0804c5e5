"""Sources that change, cannot be read or are full of links, and destinations that cannot be written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from plates_sheets import small_tables, write_sheets
from running import STAGES, TOOLS, Ran, Staged, entries, run, run_process
from spoiling import FOLDERS, first_failure, restore_times, rows_of

CELLS = f"{FOLDERS[1]}/Cells.csv"
ROOT_WITHOUT_POWERS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def unprivileged() -> Sequence[str]:
    """Give the words that make permissions hold for root too; none are needed for others."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv to take that power away")
    return ROOT_WITHOUT_POWERS


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return write_sheets(tmp_path / "plate", small_tables())


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(path.read_bytes().splitlines(keepends=True)[-1])


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def swap(path: Path) -> None:
    other = path.parent.parent / FOLDERS[2].split("/")[1] / "Cells.csv"
    path.write_bytes(other.read_bytes())


def cut(path: Path) -> None:
    """Cut the file, and make it look as old as it was."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-40])
    restore_times(path, before)


@pytest.mark.parametrize("change", [grow, touch, swap, cut, Path.unlink])
def test_a_source_that_changes_between_discover_and_extract(
    change: Callable[[Path], None], plate: Path, tmp_path: Path
) -> None:
    run("discover", plate, "-o", tmp_path / "manifest.arrow").done()
    change(plate / CELLS)
    ran = run("extract", tmp_path / "manifest.arrow", "-o", tmp_path / "bundle")
    ran.failed(1, CELLS, *(["changed", "pct-discover"] if change is not Path.unlink else []))
    assert entries(tmp_path) == {"plate", "manifest.arrow"}


def test_a_source_that_went_away(plate: Path, tmp_path: Path) -> None:
    run("discover", plate, "-o", tmp_path / "manifest.arrow").done()
    plate.rename(tmp_path / "elsewhere")
    run("extract", tmp_path / "manifest.arrow", "-o", tmp_path / "b").failed(1, str(plate), "--source")
    assert entries(tmp_path) == {"elsewhere", "manifest.arrow"}
    run("extract", tmp_path / "manifest.arrow", "-o", tmp_path / "b", "--source", tmp_path / "elsewhere").done()


def test_an_unreadable_file(plate: Path, tmp_path: Path) -> None:
    (plate / CELLS).chmod(0)
    ran = run_process("discover", plate, "-q", "-o", tmp_path / "manifest.arrow", before=unprivileged())
    ran.failed(1, CELLS, "Permission denied")
    assert entries(tmp_path) == {"plate"}


def test_a_file_unreadable_after_it_was_discovered(plate: Path, tmp_path: Path) -> None:
    run("discover", plate, "-o", tmp_path / "manifest.arrow").done()
    (plate / CELLS).chmod(0)
    words = (tmp_path / "manifest.arrow", "-q", "-o", tmp_path / "bundle")
    run_process("extract", *words, before=unprivileged()).failed(1, CELLS, "Permission denied")
    assert entries(tmp_path) == {"plate", "manifest.arrow"}


def test_an_unreadable_folder(plate: Path, tmp_path: Path) -> None:
    (plate / FOLDERS[1]).chmod(0)
    ran = run_process("discover", plate, "-q", "-o", tmp_path / "manifest.arrow", before=unprivileged())
    (plate / FOLDERS[1]).chmod(0o700)
    ran.failed(1, FOLDERS[1], "Permission denied")
    assert entries(tmp_path) == {"plate"}


@pytest.mark.parametrize("tool", ["extract", "join", "write"])
def test_unreadable_input(tool: str, staged: Staged, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(staged.streams[tool])
    path.chmod(0)
    ran = run_process(tool, path, "-q", "-o", tmp_path / "made", before=unprivileged())
    ran.failed(1, str(path), "Permission denied")
    assert entries(tmp_path) == {"input"}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_folder_that_cannot_be_written_to(tool: str, staged: Staged, tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(0o500)
    first = staged.source if tool in ("discover", "flow") else staged.at_rest(tool)
    name = "made.parquet" if tool in ("write", "flow") else "made"
    ran = run_process(tool, first, "-q", "-o", shut / name, before=unprivileged())
    ran.failed(1, str(shut))
    assert not entries(shut)


@pytest.mark.parametrize("tool", STAGES)
def test_a_file_where_the_folder_should_be(tool: str, staged: Staged, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    first = staged.source if tool == "discover" else staged.at_rest(tool)
    run(tool, first, "-o", tmp_path / "file" / "made").failed(1, str(tmp_path / "file"))
    assert entries(tmp_path) == {"file"}


@pytest.mark.parametrize("target", ["nowhere", "Cells.csv"])
def test_a_broken_link_where_a_table_should_be(target: str, plate: Path, tmp_path: Path) -> None:
    (plate / CELLS).unlink()
    (plate / CELLS).symlink_to(target)
    first_failure(plate, tmp_path / "out").failed(1, CELLS)


def test_a_folder_where_a_table_should_be(plate: Path, tmp_path: Path) -> None:
    (plate / CELLS).unlink()
    (plate / CELLS).mkdir()
    first_failure(plate, tmp_path / "out").failed(1, FOLDERS[1], "cells")


def plain_rows(folder: Path) -> list[dict[str, object]]:
    return rows_of(write_sheets(folder / "plain", small_tables()), folder / "plain out")


def test_staged_file_links(plate: Path, tmp_path: Path) -> None:
    for path in sorted(plate.rglob("*.csv")):
        staged = tmp_path / "staged" / path.relative_to(plate)
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.symlink_to(path)
    assert rows_of(tmp_path / "staged", tmp_path / "out") == plain_rows(tmp_path)


def test_linked_folders_and_cycles(plate: Path, tmp_path: Path) -> None:
    (plate / FOLDERS[1]).rename(tmp_path / "elsewhere")
    (plate / FOLDERS[1]).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (plate / FOLDERS[0] / "up").symlink_to(plate, target_is_directory=True)
    (tmp_path / "elsewhere" / "self").symlink_to(".", target_is_directory=True)
    (plate / "again").symlink_to(plate / FOLDERS[2], target_is_directory=True)
    (tmp_path / "entry").symlink_to(plate, target_is_directory=True)
    assert rows_of(tmp_path / "entry", tmp_path / "out") == plain_rows(tmp_path)


def test_hidden_files_and_unrelated_tables(plate: Path, tmp_path: Path) -> None:
    shutil.copytree(plate / FOLDERS[0], plate / ".snapshot" / "A01-1")
    (plate / FOLDERS[0] / "._Cells.csv").write_bytes(b"\0\5\x16\7 what macOS leaves behind")
    (plate / FOLDERS[0] / "Experiment.csv").write_text("Key,Value\nCellProfiler_Version,4.2.6\n")
    (plate / "Cells.csv~").write_text("not for us")
    (plate / "load_data").mkdir()
    (plate / "load_data" / "load_data.csv").write_text("FileName_DNA\na.tiff\n")
    assert rows_of(plate, tmp_path / "out") == plain_rows(tmp_path)


def flow(source: Path, out: Path, *words: object) -> Ran:
    return run_process("flow", source, "-q", "-o", out, "--runner", "sequential", *words)


@pytest.mark.endurance
def test_a_flow_names_the_failed_part_and_keeps_the_others(plate: Path, tmp_path: Path) -> None:
    content = (plate / CELLS).read_text().splitlines()
    (plate / CELLS).write_text("\n".join([*content[:-1], content[-1].rpartition(",")[0] + ",oops"]) + "\n")
    ran = flow(plate, tmp_path / "out.parquet", "--part-size", "1")
    assert ran.code == 1, ran
    assert all(line.startswith("pct-flow: error: ") for line in ran.lines), ran
    assert "1 of 3 parts failed" in ran.lines[-1]
    assert all(word in ran.lines[-1] for word in ("part 2", CELLS, f"row {len(content)}", "oops"))
    assert ran.lines[-1].endswith(f"--work-dir {tmp_path / 'out.parquet.pct-work'}")
    assert entries(tmp_path) == {"plate", "out.parquet.pct-work"}


def test_a_flow_with_nothing_to_read(tmp_path: Path) -> None:
    flow(tmp_path / "nowhere", tmp_path / "out.parquet").failed(1, str(tmp_path / "nowhere"))
    assert not entries(tmp_path)
