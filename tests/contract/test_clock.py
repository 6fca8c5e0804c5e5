"""A clock that jumps to and fro while the tools run: they end, and give what they give otherwise."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from plates import Plate, write_csv
from running import Staged, environment, executable, run, stage
from small_disks import digest

pytestmark = pytest.mark.endurance

PATIENCE = 240
DAY = 86_400
LATER, EARLIER, NOW = "+1d", "-1d", "+0"
LONG_AGO = "1970-01-02 00:00:00"
FLOW = ["--part-size", "1", "--workers", "2", "--keep-work", "--overwrite"]
TWO_LOOKS = "import time; print(time.time(), flush=True); input(); print(time.time())"


def library() -> Path | None:
    """Find libfaketime: pip's package, or the system's."""
    found = importlib.util.find_spec("libfaketime")
    folders = [
        Path(place, "vendor", "libfaketime", "src") for place in (found and found.submodule_search_locations) or ()
    ]
    folders += Path("/usr/lib").glob("*/faketime")
    return next((path for folder in folders if (path := folder / "libfaketime.so.1").exists()), None)


@dataclass(frozen=True)
class Clock:
    """The clock of processes that have its environment; Python's monotonic clock goes on as it should."""

    library: Path
    folder: Path

    @property
    def _setting(self) -> Path:
        return self.folder / "clock"

    def set(self, setting: str) -> None:
        # Never half-written: who reads an empty file takes the time as it is.
        self._setting.with_suffix(".new").write_text(f"{setting}\n")
        self._setting.with_suffix(".new").rename(self._setting)

    def environment(self) -> dict[str, str]:
        return environment(
            LD_PRELOAD=str(self.library), FAKETIME_TIMESTAMP_FILE=str(self._setting), FAKETIME_DONT_FAKE_MONOTONIC="1",
            # With its workaround for old systems threads wait for Python's lock in a busy loop.
            FAKETIME_FORCE_MONOTONIC_FIX="0", NO_FAKE_STAT="1", TMPDIR=str(self.folder), FAKETIME_NO_CACHE="1",
        )  # fmt: skip

    @contextmanager
    def jumping(self, *, every: float) -> Iterator[None]:
        """Let it jump a day forward, a day back, to 1970 and to now again, as long as the block lasts."""
        ended = threading.Event()

        def jump() -> None:
            for setting in itertools.cycle((LATER, NOW, EARLIER, LONG_AGO)):
                self.set(setting)
                if ended.wait(every):
                    return

        thread = threading.Thread(target=jump)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(Plate(folders=6, cells=20, features=20), tmp_path_factory.mktemp("source") / "plate")


@pytest.fixture(scope="module")
def undisturbed(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Staged:
    """Give what the stages make of the plate while the clock goes as it should."""
    staged = stage(plate, tmp_path_factory.mktemp("undisturbed"))
    run("write", staged.at_rest("write"), "-o", staged.folder / "made.parquet").done()
    return staged


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """Give a clock that was seen to jump."""
    found = library()
    if found is None:
        pytest.skip("there is no libfaketime, neither pip's nor Debian's")
    clock = Clock(found, tmp_path)
    clock.set(NOW)
    with subprocess.Popen(
        [sys.executable, "-c", TWO_LOOKS],
        env=clock.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        before = float(process.stdout.readline())
        clock.set(LATER)
        process.stdin.write("\n")
        process.stdin.close()
        after = float(process.stdout.readline())
    if after - before < DAY - 1:
        pytest.skip(f"{found} does not work here")
    return clock


def test_a_pipe(clock: Clock, plate: Path, undisturbed: Staged, tmp_path: Path) -> None:
    discover, extract, join, write = (executable(tool) for tool in ("discover", "extract", "join", "write"))
    pipe = (
        f"set -o pipefail; {discover} -q {plate} --part-size 1 | {extract} -q | {join} -q | {write} -q -o made.parquet"
    )
    with clock.jumping(every=0.03):
        ended = subprocess.run(
            ["bash", "-c", pipe], env=clock.environment(), cwd=tmp_path, timeout=PATIENCE, check=False
        )
    assert ended.returncode == 0
    assert digest(tmp_path / "made.parquet") == digest(undisturbed.folder / "made.parquet")


@pytest.mark.prefect
def test_a_flow_and_another_that_goes_on_from_it(
    clock: Clock, plate: Path, undisturbed: Staged, tmp_path: Path
) -> None:
    output, work = tmp_path / "made.parquet", tmp_path / "work"
    words = [str(plate), "-o", str(output), *FLOW, "--work-dir", str(work)]
    with clock.jumping(every=0.5):
        ended = subprocess.run(
            [executable("flow"), *words], env=clock.environment(), capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    assert ended.returncode == 0, ended
    assert all(line.startswith("pct-flow: ") for line in ended.stderr.splitlines()), ended
    assert "parts: 6 done, 0 failed, 0 retried, 0 resumed" in ended.stderr
    assert digest(output) == digest(undisturbed.folder / "made.parquet")
    # Whatever the time is now, what is finished is finished.
    clock.set(LONG_AGO)
    removed = next((work / "made.parquet.pct-work" / "parts").iterdir())
    for path in removed.iterdir():
        path.unlink()
    again = subprocess.run(
        [executable("flow"), *words[:3], *FLOW, "--work-dir", str(work)], env=clock.environment(),
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again
    assert "parts: 1 done, 0 failed, 0 retried, 5 resumed" in again.stderr
    assert digest(output) == digest(undisturbed.folder / "made.parquet")
    assert [path for path in tmp_path.rglob("*") if path.name.endswith((".pct-tmp", ".pct-old"))] == []
    assert [name for name in os.listdir(tmp_path) if name.startswith("pct-")] == []
