"""A reader that stops holds the whole pipe back: nobody before it reads on, and nobody's memory grows."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plates import Plate, write_csv
from running import PATIENCE, STAGES
from shell_pipes import LivePipe

pytestmark = pytest.mark.endurance

# Its profiles are some 70 MB, and 1.4 MB a part.
PLATE = Plate(folders=48, cells=150, features=400)
WORDS = {"discover": "--part-size 1", "write": "--row-group-rows 1000"}
MB = 1e6
CONSUMER = "| (head -c 100000; : > consumer.reached; cat consumer.go; exec cat) > made.parquet"


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(PLATE, tmp_path_factory.mktemp("large") / "plate")


def memory(process: int, what: str) -> int:
    """Give the memory that a process has (``VmRSS``) or has had at most (``VmHWM``), in bytes; 0 of one that ended."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))
    return 0


def work(process: int) -> int:
    """Give the processor time that a process has had, in ticks."""
    with suppress(OSError):
        return sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return 0


@contextmanager
def peaks(pipe: LivePipe) -> Iterator[dict[str, int]]:
    """Watch a pipe while the block lasts; gives the most memory that each stage has had."""
    most = dict.fromkeys(STAGES, 0)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            for stage, process in pipe.pids.items():
                most[stage] = max(most[stage], memory(process, "VmHWM"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def settled(pipe: LivePipe) -> dict[str, int]:
    """Wait until no stage has done anything for a second; gives the memory that each then has."""
    deadline = time.monotonic() + PATIENCE
    before, since = [-1], time.monotonic()
    while time.monotonic() - since < 1:
        assert time.monotonic() < deadline, "the pipe does not come to rest"
        now = [work(process) for process in pipe.pids.values()]
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.02)
    return {stage: memory(process, "VmRSS") for stage, process in pipe.pids.items()}


def stopped_process(pipe: LivePipe) -> Callable[[], None]:
    pipe.kill("write", signal.SIGSTOP)
    return lambda: pipe.kill("write", signal.SIGCONT)


def held_consumer(pipe: LivePipe) -> Callable[[], None]:
    pipe.reach("consumer")
    return lambda: pipe.release("consumer")


@pytest.fixture(scope="module")
def quick(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, int], pa.Table]:
    """Give the peaks of a pipe with a reader that never stops, and what it made."""
    folder = tmp_path_factory.mktemp("quick")
    with LivePipe(folder, plate, words=WORDS, output="", after="> made.parquet") as pipe, peaks(pipe) as most:
        assert all(ran.code == 0 for ran in pipe.wait().values())
    return most, pq.read_table(folder / "made.parquet")


@pytest.mark.parametrize("stop", [stopped_process, held_consumer])
def test_a_reader_that_stops_holds_the_pipe_back(
    stop: Callable[[LivePipe], Callable[[], None]], plate: Path, quick: tuple[dict[str, int], pa.Table], tmp_path: Path
) -> None:
    for name in ("reached", "go"):
        os.mkfifo(tmp_path / f"consumer.{name}")
    after = CONSUMER if stop is held_consumer else "> made.parquet"
    with LivePipe(tmp_path, plate, words=WORDS, output="", after=after) as pipe, peaks(pipe) as most:
        go_on = stop(pipe)
        first = settled(pipe)
        later = settled(pipe)
        # It waits: most of the plate is still to be read.
        assert later["extract"] > 0
        go_on()
        ended = pipe.wait()
    assert [ran.code for ran in ended.values()] == [0, 0, 0, 0], ended
    grown = {stage: later[stage] - first[stage] for stage in STAGES if later[stage] - first[stage] > 1 * MB}
    assert not grown, grown
    usual, made = quick
    larger = {stage: (most[stage], usual[stage]) for stage in STAGES if most[stage] - usual[stage] > 25 * MB}
    assert not larger, larger
    assert made.nbytes > 50 * MB
    assert pq.read_table(tmp_path / "made.parquet").equals(made)
