"""Parts that fail: which are tried again, when a job is given up, and what is said and kept; in process."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oracle
import pyarrow as pa
import pytest
from plates import Plate, write_csv
from pycytominer_transform.common import parquet, profiles
from pycytominer_transform.common.errors import DataError, PassingStorageError, StorageError, UsageError
from pycytominer_transform.common.part_runs import PartRuns, pause_before, result_of
from pycytominer_transform.tools import flow

PLATE = Plate(folders=4, cells=12, features=6, missing=0.1)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(PLATE, tmp_path_factory.mktemp("sources") / "plate1")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@dataclass
class Work:
    """Parts that fail as often as they are told to, and with what."""

    faults: dict[int, list[Exception]] = field(default_factory=dict)
    begun: list[tuple[int, int]] = field(default_factory=list)
    collected: dict[int, int] = field(default_factory=dict)

    def begin(self, part: int, attempt: int) -> Future[int]:
        self.begun.append((part, attempt))
        future: Future[int] = Future()
        faults = self.faults.get(part, [])
        future.set_exception(faults[attempt]) if attempt < len(faults) else future.set_result(10 * part)
        return future

    def runs(self, **more: Any) -> PartRuns[int]:
        settings = {"in_flight": 2, "retries": 3, "max_failures": None} | more
        return PartRuns(begin=self.begin, collect=self.collected.__setitem__, **settings)


def test_only_what_may_pass_is_tried_again_and_when_all_others_were(pauses: list[float]) -> None:
    slow, bad = PassingStorageError("slow down"), DataError("row 3")
    work = Work({1: [slow, slow], 2: [bad], 3: [ConnectionError("reset"), bad], 4: [slow] * 9})
    runs = work.runs()
    runs.run(range(1, 6))
    assert work.begun == [
        *((part, 0) for part in range(1, 6)),
        *((part, 1) for part in (1, 3, 4)),
        *((part, 2) for part in (1, 4)),
        (4, 3),
    ]
    assert work.collected == {1: 10, 5: 50}
    assert runs.failures == {2: "row 3", 3: "row 3", 4: "slow down"}
    assert runs.retried == 6
    assert pauses == [1.0, 4.0, 16.0] == [pause_before(attempt) for attempt in (1, 2, 3)]
    assert pause_before(9) == 60.0


def test_without_retries_nothing_is_tried_again(pauses: list[float]) -> None:
    work = Work({2: [PassingStorageError("slow down")]})
    runs = work.runs(retries=0)
    runs.run([1, 2, 3])
    assert runs.failures == {2: "slow down"}
    assert (len(work.begun), runs.retried, pauses) == (3, 0, [])


def test_what_is_the_same_for_all_parts_ends_it() -> None:
    work = Work({1: [UsageError("--sql")]})
    with pytest.raises(UsageError, match="--sql"):
        work.runs().run(range(1, 100))
    assert len(work.begun) == 2


@pytest.mark.parametrize(("most", "failed", "begun"), [(0, 1, 2), (1, 2, 3), (98, 99, 99), (None, 99, 99)])
def test_a_hopeless_job_is_given_up(most: int | None, failed: int, begun: int) -> None:
    work = Work({part: [DataError(str(part))] for part in range(1, 100)})
    runs = work.runs(max_failures=most)
    runs.run(range(1, 100))
    assert (len(runs.failures), len(work.begun)) == (failed, begun)
    assert runs.given_up is (most is not None and most < 99)


def test_other_stages_are_tried_again_too(pauses: list[float]) -> None:
    slow = PassingStorageError("slow down")
    work = Work({1: [slow, slow], 2: [DataError("row 3")], 3: [ConnectionError("reset")] * 9})

    def of(part: int) -> Callable[[int], Future[int]]:
        return lambda attempt: work.begin(part, attempt)

    assert result_of(of(1), 3) == 10
    assert pauses == [1.0, 4.0]
    with pytest.raises(DataError, match="row 3"):
        result_of(of(2), 3)
    assert pauses == [1.0, 4.0]
    with pytest.raises(StorageError, match="reset"):
        result_of(of(3), 3)


@pytest.fixture(params=["sequential", "concurrent"])
def runner(request: pytest.FixtureRequest) -> str:
    """Give the runners that parts are made by in this process; with the latter they are written meanwhile."""
    return str(request.param)


def words(plate: Path, tmp_path: Path, *more: str, runner: str = "sequential") -> list[str]:
    options = ["--part-size", "1", "--runner", runner, "--work-dir", str(tmp_path / "work")]
    return [str(plate), "-o", str(tmp_path / "out.parquet"), *options, *more]


def stumbling(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
    """Let the second part's profiles fail to be written some times."""
    write, tried = profiles.ProfilesFolderWriter.write, []

    def failing(self: profiles.ProfilesFolderWriter, part: int, table: pa.Table) -> None:
        if part == 2:
            tried.append(part)
            if len(tried) <= times:
                raise error
        write(self, part, table)

    monkeypatch.setattr(profiles.ProfilesFolderWriter, "write", failing)


@pytest.mark.prefect
def test_a_passing_fault_of_the_disk_passes(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    runner: str,
) -> None:  # fmt: skip
    stumbling(monkeypatch, OSError(5, "Input/output error"), 2)
    assert flow.main(words(plate, tmp_path, "-v", runner=runner)) == 0
    assert oracle.compare(oracle.profiles(plate), tmp_path / "out.parquet") == []
    told = capsys.readouterr().err
    assert told.count("part 2 failed for a reason that may pass: cannot write ") == 2
    assert "Input/output error" in told
    assert "parts: 4 done, 0 failed, 2 retried, 0 taken up" in told


@pytest.mark.prefect
def test_a_lasting_fault_of_the_disk_does_not(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    runner: str,
) -> None:  # fmt: skip
    stumbling(monkeypatch, OSError(28, "No space left on device"), 1)
    assert flow.main(words(plate, tmp_path, "-v", runner=runner)) == 1
    told = capsys.readouterr().err
    assert "may pass" not in told
    assert "parts: 3 done, 1 failed, 0 retried, 0 taken up" in told


@pytest.mark.prefect
def test_max_failures_ends_a_job_and_says_how_to_go_on(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stumbling(monkeypatch, DataError("spoilt"), 1)
    assert flow.main(words(plate, tmp_path, "--max-failures", "0", "--workers", "1")) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    expected = (
        r"pct-flow: error: 1 of 4 parts failed and 2 were not finished, for --max-failures is 0; the others are kept, "
        rf"go on with --work-dir {tmp_path / 'work'}: part 2: spoilt"
    )
    assert re.fullmatch(expected, told)
    assert flow.main(words(plate, tmp_path)) == 0
    assert "finished already" in capsys.readouterr().err
    assert oracle.compare(oracle.profiles(plate), tmp_path / "out.parquet") == []


@pytest.mark.prefect
def test_programs_get_a_line_for_each_part_and_one_at_the_end(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stumbling(monkeypatch, DataError("spoilt"), 1)
    assert flow.main(words(plate, tmp_path, "--log-format", "json")) == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    parts = {line["part"]: line for line in lines if "part" in line}
    assert {part: line["outcome"] for part, line in parts.items()} == {1: "done", 2: "failed", 3: "done", 4: "done"}
    assert parts[1]["rows"] > 0
    assert parts[1]["seconds"] > 0
    assert flow.main(words(plate, tmp_path, "--log-format", "json")) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["part"] for line in lines if "part" in line] == [2]
    (told,) = [line for line in lines if "taken_up" in line]
    rows = sum(len(path.read_text().splitlines()) - 1 for path in plate.rglob("*.csv"))
    joined = len(oracle.profiles(plate))
    expected = {"parts": 4, "done": 1, "failed": 0, "retried": 0, "taken_up": 3, "rows_read": rows, "joined": joined}
    assert told.items() >= expected.items()
    assert told["bytes_written"] == (tmp_path / "out.parquet").stat().st_size
    second = sorted(plate.rglob("Cells.csv"))[1].parent
    assert told["bytes_read"] == sum(path.stat().st_size for path in second.glob("*.csv"))
    assert set(told["seconds"]) == {"discover", "extract", "join", "write", "all"}
    assert all(seconds > 0 for seconds in told["seconds"].values())


def failing_at_end(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> list[int]:
    """Let the writing fail some times when all parts have been read; gives the rows of each attempt."""
    write, rows = parquet.write_file, []

    def failing(*arguments: Any, **more: Any) -> int:
        rows.append(write(*arguments, **more))
        if len(rows) <= times:
            raise error
        return rows[-1]

    monkeypatch.setattr(parquet, "write_file", failing)
    return rows


@pytest.mark.prefect
def test_writing_that_fails_in_passing_begins_anew(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    rows = failing_at_end(monkeypatch, OSError(5, "Input/output error"), 2)
    assert flow.main(words(plate, tmp_path, runner=runner)) == 0
    assert rows == [len(oracle.profiles(plate))] * 3
    assert oracle.compare(oracle.profiles(plate), tmp_path / "out.parquet") == []


@pytest.mark.prefect
def test_writing_that_fails_for_good_leaves_the_parts(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runner: str
) -> None:
    failing_at_end(monkeypatch, OSError(28, "No space left on device"), 1)
    assert flow.main(words(plate, tmp_path, runner=runner)) == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert flow.main(words(plate, tmp_path, runner=runner)) == 0
    assert "4 parts of 4 were finished already" in capsys.readouterr().err
    assert oracle.compare(oracle.profiles(plate), tmp_path / "out.parquet") == []


@pytest.mark.prefect
def test_a_writing_that_waits_ends_with_the_flow(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stumbling(monkeypatch, DataError("spoilt"), 9)
    assert flow.main(words(plate, tmp_path, runner="concurrent")) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("part 2: spoilt")
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
