"""What stays on a terminal, and tools whose terminal, or whose stderr, goes away."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest
from plates_sheets import small_tables, write_sheets
from running import PATIENCE, STAGES, TOOLS, Staged, entries, environment, executable
from spoiling import FOLDERS
from terminals import TerminalRun, screen

PIPE = 'pct-discover "$1" --part-size 1 | pct-extract --on-bad-value "$2" | pct-join | pct-write -o out/made.parquet'


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Give a source with a value that is no number, in the last of its parts."""
    source = write_sheets(tmp_path / "plate", small_tables())
    path = source / FOLDERS[-1] / "Cells.csv"
    path.write_text(path.read_text().rstrip("\n").rpartition(",")[0] + ",oops\n")
    (tmp_path / "out").mkdir()
    return source


def on_terminal(folder: Path, script: str, *words: object) -> tuple[int, str]:
    """Run a shell's script on a terminal; gives its exit code and all that was written there."""
    command = ["bash", "-o", "pipefail", "-c", script, "bash", *map(str, words)]
    return TerminalRun(command, cwd=folder, env=environment(TERM="xterm", NO_COLOR="1")).wait(PATIENCE)


def test_an_error_within_a_pipe_stays_on_the_terminal(spoilt: Path, tmp_path: Path) -> None:
    code, text = on_terminal(tmp_path, PIPE, spoilt, "fail")
    lines = screen(text)
    assert code == 1
    assert any(line.startswith("pct-extract: error:") and "oops" in line for line in lines), lines
    assert all(line.startswith("pct-") for line in lines), lines
    assert not entries(tmp_path / "out")


def test_a_warning_within_a_pipe_stays_on_the_terminal(spoilt: Path, tmp_path: Path) -> None:
    code, text = on_terminal(tmp_path, PIPE, spoilt, "null")
    lines = screen(text)
    assert code == 0, lines
    assert any(line.startswith("pct-extract: warning: made 1 value null") for line in lines), lines
    assert all(line.startswith("pct-") for line in lines), lines
    assert entries(tmp_path / "out") == {"made.parquet"}


@pytest.mark.parametrize("bad", ["null", "fail"])
def test_a_tool_of_its_own_draws_a_bar_and_removes_it(bad: str, spoilt: Path, tmp_path: Path) -> None:
    script = 'pct-discover "$1" --part-size 1 -q -o manifest; pct-extract manifest -o out/bundle --on-bad-value "$2"'
    code, text = on_terminal(tmp_path, script, spoilt, bad)
    lines = screen(text)
    assert code == (0 if bad == "null" else 1), lines
    assert "extracting parts" in text
    assert all(line.startswith("pct-extract: ") for line in lines), lines
    assert any(("made 1 value null" if bad == "null" else "oops") in line for line in lines), lines
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")


@pytest.mark.parametrize("tool", STAGES)
def test_a_terminal_that_is_gone_ends_no_conversion(tool: str, staged: Staged, tmp_path: Path) -> None:
    """The terminal is not the controlling one, as after `disown`: nobody gets a SIGHUP."""
    ours, theirs = pty.openpty()
    os.close(ours)
    first = staged.source if tool == "discover" else staged.at_rest(tool)
    command = [executable(tool), "-v", str(first), "-o", str(tmp_path / "made")]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment(TERM="xterm"),
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    os.close(theirs)
    assert ended.returncode == 0
    assert entries(tmp_path) == {"made"}


def test_a_controlling_terminal_that_is_closed_ends_a_tool_cleanly(staged: Staged, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "fifo")
    process = subprocess.Popen(
        [executable("write"), "fifo", "-o", "out/made.parquet"], stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=tmp_path, env=environment(TERM="xterm"), start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    # Opening a FIFO for writing waits for its reader.
    with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
        fifo.write(staged.streams["write"][: len(staged.streams["write"]) // 2])
        os.close(ours)
        assert process.wait(PATIENCE) == 129
    assert not entries(tmp_path / "out")


STREAMS = {"no stderr": "2>&-", "no streams": "<&- >&- 2>&-", "a full stderr": "2>/dev/full", "full": ">/dev/full 2>&1"}


# What a closed stream's number is given to next depends on the tool; where messages go does not.
@pytest.mark.parametrize(
    ("tool", "streams"),
    [
        *((tool, "no streams") for tool in TOOLS),
        *(("extract", streams) for streams in STREAMS if streams != "no streams"),
    ],
)
def test_no_stream_for_messages_ends_no_conversion(tool: str, streams: str, staged: Staged, tmp_path: Path) -> None:
    first = staged.source if tool in ("discover", "flow") else staged.at_rest(tool)
    script = f'exec {executable(tool)} -v "$1" -o made {STREAMS[streams]}'
    ended = subprocess.run(
        ["bash", "-c", script, "bash", str(first)], cwd=tmp_path, env=environment(), timeout=PATIENCE, check=False
    )
    assert ended.returncode == 0
    assert entries(tmp_path) == {"made"}
    assert b"pct-" not in _first_bytes(tmp_path / "made")


def _first_bytes(path: Path) -> bytes:
    files: Sequence[Path] = sorted(path.iterdir()) if path.is_dir() else [path]
    return files[0].read_bytes()[:4]


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_on_a_full_disk_shows_no_traceback(word: str) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [executable("write"), word], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
        )
    assert (ended.returncode in (0, 1), ended.stderr) == (True, b"")


def test_data_for_a_closed_standard_output_is_refused(staged: Staged) -> None:
    command = ["bash", "-c", f'{executable("extract")} "$1" >&-', "bash", str(staged.at_rest("extract"))]
    ended = subprocess.run(command, env=environment(), timeout=PATIENCE, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("pct-extract: error: standard output is closed: give -o PATH")


def test_a_job_that_ignores_hang_ups_goes_on(staged: Staged, tmp_path: Path) -> None:
    script = f'nohup {executable("write")} "$1" -o made.parquet & kill -HUP $!; wait $!'
    command = ["bash", "-c", script, "bash", str(staged.at_rest("write"))]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:  # fmt: skip
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert entries(tmp_path) == {"made.parquet"}
