"""The tools as processes in surroundings that are not kind: signals, no home, no network, no colour, light starts."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from running import PATIENCE, STAGES, TOOLS, Ran, Staged, entries, environment, executable, run_process

HEAVY = ("pyarrow", "duckdb", "prefect", "adbc_driver_sqlite", "numpy", "pandas", "sqlalchemy", "dask")
SEEN = """
import json, sys
from pycytominer_transform.tools.{tool} import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted({{name.split(".")[0] for name in sys.modules}})]), file=sys.stderr)
"""

# As a run whose workers and server take long to end.
SLOW_TO_END = """
import os, signal, threading
from pycytominer_transform.common.runtime.signals import interruptions_raise, own_process

def report(error):
    print(type(error).__name__, flush=True)
    return 1

own_process()
try:
    with interruptions_raise(report=report):
        (watch,) = [thread for thread in threading.enumerate() if thread.name == "pct-signals"]
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            threading.Event().wait()
        except BaseException as error:
            report(error)
            raise
except BaseException:
    watch.join()
    raise SystemExit(7)
"""

# Python ignores the exceptions of such a callback.
SWALLOWED = """
import gc, os, signal, sys, threading
from pycytominer_transform.common.runtime.signals import interruptions_raise, own_process

def terminate(*_):
    gc.callbacks.remove(terminate)
    os.kill(os.getpid(), signal.SIGTERM)

own_process()
try:
    with interruptions_raise(report=lambda error: 1):
        gc.callbacks.append(terminate)
        gc.collect()
        print("goes on", flush=True)
        threading.Event().wait()
except BaseException as error:
    sys.exit(f"ended by {type(error).__name__}")
"""
SIGNAL_IN_CALLBACK = """
import gc, os, signal, threading
from pycytominer_transform.common.model import provenance
from pycytominer_transform.tools.flow import main

def terminate(*_):
    gc.callbacks.remove(terminate)
    os.kill(os.getpid(), signal.SIGTERM)

new_step, sent = provenance.new_step, []

def new_step_with_signal(*words):
    if threading.current_thread() is threading.main_thread() and not sent:
        sent.append(signal.SIGTERM)
        gc.callbacks.append(terminate)
        gc.collect()
    return new_step(*words)

provenance.new_step = new_step_with_signal
main()
"""


def imported(tool: str, *words: object) -> set[str]:
    """Run a tool in a fresh Python; gives the packages that were imported by then."""
    command = [sys.executable, "-c", SEEN.format(tool=tool), *map(str, words)]
    ended = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=True, env=environment()
    )
    code, names = json.loads(ended.stderr.splitlines()[-1])
    assert code == 0, ended
    return set(names)


@pytest.mark.parametrize("tool", TOOLS)
def test_help_loads_nothing_heavy(tool: str) -> None:
    assert not imported(tool, "--help") & set(HEAVY)


@pytest.mark.parametrize("tool", STAGES)
def test_prefect_is_not_imported_when_no_server_is_named(tool: str, staged: Staged, tmp_path: Path) -> None:
    first = staged.source if tool == "discover" else staged.at_rest(tool)
    names = imported(tool, first, "-q", "-o", tmp_path / "made")
    assert "pyarrow" in names
    assert not names & {"prefect", "dask", "sqlalchemy"}


@pytest.mark.parametrize("tool", STAGES)
def test_executables_leave_pandas_out(tool: str, staged: Staged, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    first = staged.source if tool == "discover" else staged.at_rest(tool)
    ended = subprocess.run(
        [executable(tool), str(first), "-q", "-o", str(tmp_path / "made")], stdin=subprocess.DEVNULL, timeout=PATIENCE,
        capture_output=True, text=True, check=True, env=environment(PYTHONPROFILEIMPORTTIME="1"),
    )  # fmt: skip
    imported_names = [line.rsplit("|", 1)[-1].strip() for line in ended.stderr.splitlines()]
    assert "pyarrow" in imported_names
    # An attempt that fails is listed too, but nothing within pandas is.
    assert not [name for name in imported_names if name.startswith("pandas.")]


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
@pytest.mark.parametrize("tool", ["discover", "flow"])
def test_each_executable_starts(tool: str, words: list[str]) -> None:
    assert run_process(tool, *words).done().out.startswith((b"usage: pct-" + tool.encode(), b"pct-" + tool.encode()))


def shell_pipe(
    source: Path, folder: Path, before: Sequence[str] = (), out: str = "made.parquet", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the four tools as typed, in one shell pipe."""
    script = f'set -o pipefail; pct-discover "$1" | pct-extract | pct-join | pct-write -o "{out}"'
    return subprocess.run(
        [*before, "bash", "-c", script, "bash", str(source)], cwd=folder, env=environment(**variables),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_no_home_and_a_folder_that_cannot_be_written_to(staged: Staged, tmp_path: Path) -> None:
    shut, place = tmp_path / "shut", tmp_path / "out"
    place.mkdir()
    shut.mkdir(0o500)
    before = () if os.geteuid() else ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    ended = shell_pipe(staged.source, shut, before, out=str(place / "made.parquet"), HOME="/nonexistent")
    assert ended.returncode == 0, ended
    shut.chmod(0o700)
    assert not entries(shut)
    assert entries(place) == {"made.parquet"}


def test_a_home_that_cannot_be_written_to(staged: Staged, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(0o500)
    before = () if os.geteuid() else ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    ended = shell_pipe(staged.source, tmp_path, before, HOME=str(home))
    assert ended.returncode == 0, ended
    assert not entries(home)


@pytest.mark.parametrize("tool", ["pipe", "flow"])
def test_no_network(tool: str, staged: Staged, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        pytest.skip("unshare --net is not allowed here")
    if tool == "flow" and shutil.which("ip") is None:
        pytest.skip("there is no ip command to bring up a loopback, which pct-flow's private server needs")
    if tool == "pipe":
        # Not even a loopback.
        assert shell_pipe(staged.source, tmp_path, ["unshare", "--net"]).returncode == 0
    else:
        loopback = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
        ran = run_process("flow", staged.source, "-q", "-o", tmp_path / "made.parquet", before=loopback)
        assert ran.done().err == ""
    assert entries(tmp_path) == {"made.parquet"}


def waiting(tool: str, staged: Staged, folder: Path) -> list[str]:
    """Give the words with which a stage opens a FIFO below `folder` and waits there for what never comes."""
    out = folder / "out"
    out.mkdir()
    os.mkfifo(folder / "fifo")
    output = ["-o", str(out / ("made.parquet" if tool in ("write", "flow") else "made"))]
    if tool in ("discover", "flow"):
        return [str(staged.source), "--preset", str(folder / "fifo"), *output]
    return [str(folder / "fifo"), *output]


def signalled(tool: str, number: int, staged: Staged, folder: Path) -> Ran:
    """Signal a tool once it waits, having read half of its input."""
    words = [executable(tool), "-q", *waiting(tool, staged, folder)]
    (folder / "tmp").mkdir()
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
        env=environment(TMPDIR=str(folder / "tmp")), start_new_session=True,
    )  # fmt: skip
    half = staged.streams[tool] if tool in staged.streams else b""
    # Opening a FIFO for writing waits for the reader, so the tool is at work from here on.
    with (folder / "fifo").open("wb", buffering=0) as fifo:
        fifo.write(half[: len(half) // 2])
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return Ran(tool, process.returncode, out, err.decode())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_signal_ends_a_tool_after_it_tidied_up(
    tool: str, number: int, code: int, staged: Staged, tmp_path: Path
) -> None:
    ran = signalled(tool, number, staged, tmp_path)
    assert ran.code == code, ran
    assert "Traceback" not in ran.err, ran
    assert [line.split(":")[:2] for line in ran.lines] == [[f"pct-{tool}", " error"]], ran
    assert ran.out == b""
    assert not entries(tmp_path / "out")
    assert not entries(tmp_path / "tmp")


def test_an_interruption_that_was_reported_is_not_reported_again() -> None:
    command = [sys.executable, "-c", SLOW_TO_END]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment())
    assert (ended.returncode, ended.stdout.split()) == (7, ["HangUpError"]), ended


def test_a_signal_that_a_callback_swallows_is_sent_again() -> None:
    command = [sys.executable, "-c", SWALLOWED]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment())
    assert (ended.stdout, ended.stderr) == ("goes on\n", "ended by TerminatedError\n"), ended


@pytest.mark.prefect
def test_a_signal_that_a_callback_swallows_ends_the_flow(staged: Staged, tmp_path: Path) -> None:
    words = [str(staged.source), "-o", str(tmp_path / "made.parquet"), "-q"]
    command = [sys.executable, "-c", SIGNAL_IN_CALLBACK, *words]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, env=environment()
    )
    assert ended.returncode == 143, ended
    assert ended.stderr == "pct-flow: error: terminated; nothing was left under the output's name\n"
    assert not entries(tmp_path)


@pytest.mark.parametrize("no_colour", [False, True])
def test_colour_only_on_a_terminal_that_wants_it(no_colour: bool, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    variables = {"NO_COLOR": "1"} if no_colour else {}
    command = [executable("discover"), str(tmp_path / "gone")]
    ended = subprocess.run(
        command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment(TERM="xterm", **variables), check=False
    )
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 1
    assert (b"\x1b[" in shown) is not no_colour
    assert b"\x1b" not in run_process("discover", tmp_path / "gone").err.encode()


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
@pytest.mark.parametrize(("tool", "unbuffered"), [("discover", True), ("write", False)])
def test_help_into_a_closed_pipe_is_quiet(tool: str, words: list[str], unbuffered: bool) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    variables = environment(PYTHONUNBUFFERED="1" if unbuffered else "")
    ended = subprocess.run(
        [executable(tool), *words], stdout=theirs, stderr=subprocess.PIPE, check=False, env=variables
    )
    os.close(theirs)
    assert ended.stderr == b""
    assert ended.returncode in (0, 141)


def test_a_closed_stderr_stops_nobody(staged: Staged, tmp_path: Path) -> None:
    script = f'exec 2>&-; {executable("discover")} "$1" -o made.arrow'
    ended = subprocess.run(["bash", "-c", script, "bash", str(staged.source)], cwd=tmp_path, check=False)
    assert ended.returncode == 0
    assert entries(tmp_path) == {"made.arrow"}
