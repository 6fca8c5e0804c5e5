"""Live shell pipes of all four tools: stages that are killed or fail, consumers that are slow or leave."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from plates import Plate, write_csv
from plates_sheets import small_tables, write_sheets
from running import PATIENCE, STAGES, Staged, entries, environment, executable, run
from shell_pipes import LivePipe
from spoiling import FOLDERS

EARLY = "the stage before this one ended early"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a source whose bundle and profiles are several times what a pipe of 1 MB holds."""
    return write_csv(Plate(folders=4, cells=100, features=500), tmp_path_factory.mktemp("large") / "plate")


def check_ended_early(pipe: LivePipe, victim: str, code: int = 137) -> None:
    """See that the stages before the victim ended quietly, those after it with one line, and nothing was made."""
    ended = pipe.wait()
    place = STAGES.index(victim)
    assert ended[victim].code == code, ended
    assert len(ended[victim].lines) == (1 if code == 143 else 0), ended
    for stage in STAGES[:place]:
        assert ended[stage].code in (0, 141), ended
        assert ended[stage].err == "", ended
    for stage in STAGES[place + 1 :]:
        ended[stage].failed(1, EARLY)
    left = entries(pipe.folder / "out")
    if victim == "write" and code == 137:
        # Nobody can tidy up after itself who is killed so; what is left says what it is.
        assert all(name.startswith(".made.parquet.") and name.endswith(".pct-tmp") for name in left), left
    else:
        assert not left


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, 137), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("victim", ["extract", "join", "write"])
def test_a_stage_is_killed_while_it_waits_for_more(
    victim: str, number: int, code: int, staged: Staged, tmp_path: Path
) -> None:
    half = len(staged.streams[victim]) // 2
    with LivePipe(tmp_path, staged.source, {victim: half}, {"discover": "--part-size 1"}) as pipe:
        pipe.reach(victim)
        pipe.kill(victim, number)
        pipe.release(victim)
        check_ended_early(pipe, victim, code)


def test_discover_is_killed_while_it_reads(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    preset = tmp_path / "preset.toml"
    os.mkfifo(preset)
    with LivePipe(tmp_path, source, words={"discover": f"--preset {preset}"}) as pipe, preset.open("wb"):
        # Opened: so discover has come to this file, which does not end.
        pipe.kill("discover")
        check_ended_early(pipe, "discover")


@pytest.mark.parametrize("victim", ["extract", "join"])
def test_a_stage_is_killed_while_it_writes(victim: str, large: Path, tmp_path: Path) -> None:
    reader = STAGES[STAGES.index(victim) + 1]
    with LivePipe(tmp_path, large, {reader: 1_500_000}, {"discover": "--part-size 1"}) as pipe:
        pipe.reach(reader)
        pipe.kill(victim)
        pipe.release(reader)
        check_ended_early(pipe, victim)


@pytest.mark.quick
def test_a_stage_fails_in_the_last_part(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    path = source / FOLDERS[2] / "Cells.csv"
    path.write_text(path.read_text().rstrip("\n").rpartition(",")[0] + ",oops\n")
    with LivePipe(tmp_path, source, words={"discover": "--part-size 1"}) as pipe:
        ended = pipe.wait()
    assert ended["discover"].done().err == ""
    ended["extract"].failed(1, f"{FOLDERS[2]}/Cells.csv", "oops")
    ended["join"].failed(1, EARLY)
    ended["write"].failed(1, EARLY)
    assert not entries(tmp_path / "out")


@pytest.mark.endurance
def test_a_slow_consumer_gets_every_byte(large: Path, tmp_path: Path) -> None:
    gates = {"extract": 1, "join": 1, "write": 1}
    with LivePipe(tmp_path, large, gates, {"discover": "--part-size 1"}) as pipe:
        for stage in gates:
            pipe.reach(stage)
            pipe.release(stage)
        ended = pipe.wait()
    assert [ran.code for ran in ended.values()] == [0, 0, 0, 0], ended
    assert entries(tmp_path / "out") == {"made.parquet"}
    manifest, bundle, profiles = (tmp_path / name for name in ("manifest.arrow", "bundle", "profiles"))
    run("discover", large, "--part-size", "1", "-o", manifest).done()
    run("extract", manifest, "-o", bundle).done()
    run("join", bundle, "-o", profiles).done()
    run("write", profiles, "-o", tmp_path / "by_files.parquet").done()
    by_files = pq.read_table(tmp_path / "by_files.parquet")
    assert pq.read_table(tmp_path / "out" / "made.parquet").equals(by_files)


def test_a_consumer_that_leaves_ends_the_pipe_quietly(large: Path, tmp_path: Path) -> None:
    with LivePipe(tmp_path, large, output="", after="| head -c 100 > /dev/null") as pipe:
        ended = pipe.wait()
    assert ended["write"].code == 141
    assert all(ran.code in (0, 141) and "error" not in ran.err for ran in ended.values()), ended
    assert "Exception" not in ended["write"].err


@pytest.mark.parametrize("tool", STAGES[:-1])
def test_a_stage_whose_reader_is_gone_ends_quietly(tool: str, large: Path, staged: Staged) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    first = large if tool == "discover" else staged.at_rest(tool)
    try:
        ended = subprocess.run(
            [executable(tool), str(first)], stdout=theirs, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            env=environment(), timeout=PATIENCE, check=False, text=True,
        )  # fmt: skip
    finally:
        os.close(theirs)
    assert ended.returncode == 141
    assert "error" not in ended.stderr.lower()
    assert "Traceback" not in ended.stderr
    assert all(line.startswith(f"pct-{tool}: ") for line in ended.stderr.splitlines())
