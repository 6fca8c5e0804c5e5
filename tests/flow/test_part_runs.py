"""Parts that fail: which are tried again, when a job is given up, and what is said and kept; in process."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oracle
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plates import Plate, write_csv
from pycytominer_transform.common.errors import DataError, TransientStorageError, UsageError
from pycytominer_transform.common.flow.part_runs import PartRuns
from pycytominer_transform.common.ipc import profiles
from pycytominer_transform.common.write import parquet
from pycytominer_transform.tools import flow

PLATE = Plate(folders=4, cells=12, features=6, missing=0.1)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(PLATE, tmp_path_factory.mktemp("sources") / "plate1")


@dataclass
class Work:
    """Parts of two tasks, the first of which fails for some."""

    faults: dict[int, Exception] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)
    collected: dict[int, Any] = field(default_factory=dict)

    def submit(self, part: int) -> list[Any]:
        self.begun.append(part)
        first, second = Future[int](), Future[int]()
        if part in self.faults:
            first.set_exception(self.faults[part])
            second.set_exception(RuntimeError("could not begin"))
        else:
            first.set_result(part)
            second.set_result(10 * part)
        return [first, second]

    def runs(self, at_once: int = 2, max_failures: int | None = None) -> PartRuns:
        return PartRuns(self.submit, self.collected.__setitem__, at_once, max_failures)


def test_a_part_that_fails_leaves_the_others_alone() -> None:
    work = Work({2: DataError("row 3"), 4: TransientStorageError("slow down")})
    runs = work.runs()
    runs.run(range(1, 6))
    assert work.begun == [1, 2, 3, 4, 5]
    assert work.collected == {part: [part, 10 * part] for part in (1, 3, 5)}
    assert runs.failures == {2: "row 3", 4: "slow down"}
    assert runs.describe(5, 3) == "2 of 5 parts failed: part 2: row 3; part 4: slow down"


def test_no_more_parts_are_submitted_than_there_is_room_for() -> None:
    open_ones: list[tuple[int, Future[int]]] = []
    most = 0

    def submit(part: int) -> list[Any]:
        nonlocal most
        open_ones.append((part, Future()))
        most = max(most, len(open_ones))
        if len(open_ones) == 3:
            # The last one is done first.
            done, future = open_ones.pop()
            future.set_result(done)
            return [future]
        return [open_ones[-1][1]]

    collected: list[int] = []
    runs = PartRuns(submit, lambda part, _: collected.append(part), 3, None)
    parts = iter(range(1, 8))

    def until_the_end() -> Any:
        yield from parts
        for part, future in open_ones:
            future.set_result(part)

    runs.run(until_the_end())
    assert most == 3
    assert sorted(collected) == list(range(1, 8))
    assert collected[0] == 3


def test_what_is_the_same_for_all_parts_ends_it() -> None:
    work = Work({1: UsageError("--sql")})
    with pytest.raises(UsageError, match="--sql"):
        work.runs().run(range(1, 100))
    assert len(work.begun) == 2


@pytest.mark.parametrize(("most", "failed", "begun"), [(0, 2, 2), (1, 2, 3), (98, 99, 99), (None, 99, 99)])
def test_a_hopeless_job_is_given_up(most: int | None, failed: int, begun: int) -> None:
    work = Work({part: DataError(str(part)) for part in range(1, 100)})
    runs = work.runs(max_failures=most)
    runs.run(range(1, 100))
    assert len(work.begun) <= begun + 1
    assert failed <= len(runs.failures) <= failed + 1


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that would have been made, and make none."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@pytest.fixture(params=["out.parquet", "out"])
def output(request: pytest.FixtureRequest) -> str:
    """Return the names of an output file and of an output folder."""
    return str(request.param)


def words(plate: Path, tmp_path: Path, output: str, *more: str) -> list[str]:
    work = ["--work-dir", str(tmp_path / "work")] if output.endswith(".parquet") else []
    return [str(plate), "-o", str(tmp_path / output), "--part-size", "1", *work, *more]


def stumbling(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int, output: str = "out.parquet") -> None:
    """Let what is finished of the second part fail to be written some times."""
    tried: list[object] = []

    def fail(part: int | str) -> None:
        if part in (2, "part-000002.parquet"):
            tried.append(part)
            if len(tried) <= times:
                raise error

    if output.endswith(".parquet"):
        write = profiles.ProfilesFolderWriter.write

        def failing(self: profiles.ProfilesFolderWriter, part: int, table: pa.Table) -> None:
            fail(part)
            write(self, part, table)

        monkeypatch.setattr(profiles.ProfilesFolderWriter, "write", failing)
        return
    write_file = parquet.write_file

    def failing_file(reader: profiles.ProfilesReader, sink: Any, settings: dict[str, Any]) -> int:
        fail("part-000002.parquet" if ".part-000002" in str(sink.name) else "another")
        return write_file(reader, sink, settings)

    monkeypatch.setattr(parquet, "write_file", failing_file)


def compared(plate: Path, output: Path) -> list[str]:
    """Compare an output with the oracle; a folder as one file."""
    if output.is_dir():
        file = output.with_suffix(".whole.parquet")
        pq.write_table(pa.concat_tables(pq.read_table(part) for part in sorted(output.iterdir())), file)
        output = file
    return oracle.compare(oracle.profiles(plate), output)


@pytest.mark.prefect
def test_a_passing_fault_of_the_disk_passes(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    output: str, pauses: list[float],
) -> None:  # fmt: skip
    stumbling(monkeypatch, OSError(5, "Input/output error"), 2, output)
    assert flow.main(words(plate, tmp_path, output)) == 0
    assert compared(plate, tmp_path / output) == []
    assert "parts: 4 done, 0 failed, 2 retried, 0 resumed" in capsys.readouterr().err
    assert [round(pause) for pause in pauses if pause > 0.5] == [1, 4]


@pytest.mark.prefect
def test_a_lasting_fault_of_the_disk_does_not(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    stumbling(monkeypatch, OSError(28, "No space left on device"), 1, output)
    assert flow.main(words(plate, tmp_path, output)) == 1
    assert "parts: 3 done, 1 failed, 0 retried, 0 resumed" in capsys.readouterr().err
    assert not (tmp_path / output).exists()
    assert flow.main(words(plate, tmp_path, output)) == 0
    assert "3 parts of 4 were finished already" in capsys.readouterr().err
    assert compared(plate, tmp_path / output) == []


@pytest.mark.prefect
def test_the_reason_of_a_failed_part_is_said_once(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    stumbling(monkeypatch, DataError("spoilt"), 1, output)
    assert flow.main(words(plate, tmp_path, output)) == 1
    told = capsys.readouterr().err
    assert told.count("spoilt") == 1
    assert "1 of 4 parts failed: part 2: spoilt; to go on: " in told.splitlines()[-1]


@pytest.mark.prefect
def test_a_complete_output_counts_though_the_server_cannot_record_the_end(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    from prefect.flow_engine import FlowRunEngine

    set_state = FlowRunEngine.set_state

    def failing(self: Any, state: Any, *arguments: Any, **more: Any) -> Any:
        if state.is_final():
            raise ConnectionError("no answer")
        return set_state(self, state, *arguments, **more)

    monkeypatch.setattr(FlowRunEngine, "set_state", failing)
    assert flow.main(words(plate, tmp_path, output, "--verbose")) == 0
    assert compared(plate, tmp_path / output) == []
    assert "the Prefect server could not record the end of the run: no answer" in capsys.readouterr().err


@pytest.mark.prefect
def test_max_failures_ends_a_job(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stumbling(monkeypatch, DataError("spoilt"), 1)
    assert flow.main(words(plate, tmp_path, "out.parquet", "--max-failures", "0", "--runner", "sequential")) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    expected = "1 of 4 parts failed and 2 were not begun, for --max-failures is 0: part 2: spoilt; to go on: pct-flow "
    assert told.startswith(f"pct-flow: error: {expected}")


@pytest.mark.prefect
def test_programs_get_a_line_for_each_part_and_one_at_the_end(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    stumbling(monkeypatch, DataError("spoilt"), 1, output)
    assert flow.main(words(plate, tmp_path, output, "--log-format", "json")) == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    parts = {line["part"]: line for line in lines if "part" in line}
    assert {part: line["outcome"] for part, line in parts.items()} == {1: "done", 2: "failed", 3: "done", 4: "done"}
    assert parts[1]["rows"] > 0
    assert parts[1]["seconds"] > 0
    assert flow.main(words(plate, tmp_path, output, "--log-format", "json")) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["part"] for line in lines if "part" in line] == [2]
    (told,) = [line for line in lines if "resumed" in line]
    rows = sum(len(path.read_text().splitlines()) - 1 for path in plate.rglob("*.csv"))
    joined = len(oracle.profiles(plate))
    expected = {"parts": 4, "done": 1, "failed": 0, "retried": 0, "resumed": 3, "rows_read": rows, "joined": joined}
    assert told.items() >= expected.items()
    made = tmp_path / output
    files = [made] if made.is_file() else list(made.iterdir())
    assert told["bytes_written"] == sum(file.stat().st_size for file in files)
    second = sorted(plate.rglob("Cells.csv"))[1].parent
    assert told["bytes_read"] == sum(path.stat().st_size for path in second.glob("*.csv"))
    assert set(told["seconds"]) == {"start", "discover", "extract", "join", "write", "all"}
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
@pytest.mark.usefixtures("pauses")
def test_writing_that_fails_in_passing_begins_anew(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = failing_at_end(monkeypatch, OSError(5, "Input/output error"), 2)
    assert flow.main(words(plate, tmp_path, "out.parquet")) == 0
    assert rows == [len(oracle.profiles(plate))] * 3
    assert oracle.compare(oracle.profiles(plate), tmp_path / "out.parquet") == []


@pytest.mark.prefect
def test_writing_that_fails_for_good_leaves_the_parts(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_at_end(monkeypatch, OSError(28, "No space left on device"), 1)
    assert flow.main(words(plate, tmp_path, "out.parquet")) == 1
    told = capsys.readouterr().err.splitlines()
    work = tmp_path / "work" / "out.parquet.pct-work"
    assert told[-2] == f"pct-flow: finished parts are in {work}; the same command goes on with them"
    assert "No space left on device" in told[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert flow.main(words(plate, tmp_path, "out.parquet")) == 0
    assert "4 parts of 4 were finished already" in capsys.readouterr().err
    assert oracle.compare(oracle.profiles(plate), tmp_path / "out.parquet") == []
