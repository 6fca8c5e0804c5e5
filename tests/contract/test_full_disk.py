"""A full disk: every tool says so in one line, exits 1, and leaves nothing behind, not even what it had begun."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from plates import Plate, write_csv
from running import STAGES, TOOLS, Staged, entries, executable, run, run_process, stage

SMALL_DISK = """
mount -t tmpfs -o size="$1" tmpfs "$2" || exit 99
listing="$3"
shift 3
"$@"
code=$?
ls -A "$PWD/disk" > "$listing"
exit $code
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    """Give a source, and what each stage makes of it, too large for the disks of these tests."""
    folder = tmp_path_factory.mktemp("made")
    return stage(write_csv(Plate(folders=2, cells=40, features=100), folder / "plate"), folder)


@pytest.fixture(scope="module")
def may_mount() -> None:
    """Skip where this user may not mount a small disk of its own."""
    if shutil.which("unshare") is None or os.geteuid():
        pytest.skip("only root can mount a small disk, with unshare")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("unshare --mount is not allowed here")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.usefixtures("may_mount")
def test_a_full_disk(tool: str, made: Staged, tmp_path: Path) -> None:
    disk, listing = tmp_path / "disk", tmp_path / "listing"
    disk.mkdir()
    size = "8k" if tool == "discover" else "60k"
    before = ["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh", size, str(disk), str(listing)]
    first = made.source if tool in ("discover", "flow") else made.at_rest(tool)
    words = ["--runner", "sequential", "--part-size", "1"] if tool == "flow" else []
    name = "made.parquet" if tool in ("write", "flow") else "made"
    ran = run_process(tool, first, "-q", "-o", disk / name, *words, before=before, cwd=tmp_path)
    if ran.code == 99:
        pytest.skip("a tmpfs cannot be mounted here")
    assert ran.code == 1, ran
    assert "Traceback" not in ran.err, ran
    assert "No space left on device" in ran.lines[-1], ran
    assert str(disk) in ran.lines[-1], ran
    if tool != "flow":
        ran.failed(1)
    assert listing.read_text() == ""


@pytest.mark.parametrize("tool", STAGES)
def test_a_full_disk_behind_standard_output(tool: str, made: Staged, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    first = str(made.source) if tool == "discover" else str(made.at_rest(tool))
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [executable(tool), first, "-q"], stdout=full, stderr=subprocess.PIPE, check=False, cwd=tmp_path, text=True
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"pct-{tool}: error: ")
    assert ended.stderr.count("\n") == 1
    assert "No space left on device" in ended.stderr
    assert not entries(tmp_path)


@pytest.mark.parametrize("tool", ["extract", "join", "write"])
def test_a_destination_that_comes_to_exist_meanwhile(
    tool: str, made: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process makes the same output between this one's look and its rename."""
    out = tmp_path / ("made.parquet" if tool == "write" else "made")
    kept = os.fsync

    def sync(descriptor: int) -> None:
        kept(descriptor)
        if not out.exists():
            out.write_text("somebody else's")

    monkeypatch.setattr(os, "fsync", sync)
    ran = run(tool, made.at_rest(tool), "-o", out, "-q")
    assert ran.code == 1, ran
    assert len(ran.errors) == 1
    assert str(out) in ran.errors[0]
    assert out.read_text() == "somebody else's"
    assert entries(tmp_path) == {out.name}
