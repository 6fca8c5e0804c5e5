"""`pct-flow`, and the single tools under a Prefect API: what a server shows, what a failing part or a signal leaves."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import oracle
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plates import Plate, write_csv
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.tools import discover, flow, flow_options
from serving import PATIENCE, Jobs, Server, end_group, group_gone
from waiting import wait_until

PLATE = Plate(folders=4, cells=12, features=6, missing=0.1)
ONE_FOLDER_A_PART = ["--part-size", "1"]


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(PLATE, tmp_path_factory.mktemp("sources") / "plate1")


@pytest.fixture
def copy(plate: Path, tmp_path: Path) -> Path:
    """Give a plate that a test may spoil."""
    return Path(shutil.copytree(plate, tmp_path / "plate1"))


def tool(jobs: Jobs, name: str, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / name), *map(str, words)]
    return subprocess.run(
        command, env=jobs.environment(**more), cwd=jobs.folder, capture_output=True, text=True, timeout=PATIENCE
    )


def spoil(plate: Path, which: int) -> str:
    """Put a text into a number column of one folder; give the file's name as messages have it."""
    file = sorted(plate.rglob("Cells.csv"))[which]
    header, first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([header, first.rsplit(",", 1)[0] + ",oops", *rest]) + "\n")
    return str(file.relative_to(plate))


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.prefect
def test_named_server_shows_the_flow_and_its_parts(jobs: Jobs, server: Server, plate: Path, tmp_path: Path) -> None:
    ran = tool(jobs, "pct-flow", plate, "-o", "named.parquet", *ONE_FOLDER_A_PART, PREFECT_API_URL=server.url)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    assert [line for line in ran.stderr.splitlines() if not line.startswith("pct-flow: ")] == []
    assert oracle.compare(oracle.profiles(plate), tmp_path / "named.parquet") == []
    expected = {f"{stage} part {part} of 4" for stage in ("extract", "join") for part in range(1, 5)}
    expected |= {"discover plate1", "write named.parquet"}

    def flows() -> list[dict[str, Any]]:
        # Other tests run flows on this server too.
        return [run for run in server.ask("flow_runs") if run["parameters"].get("output") == "named.parquet"]

    def finished() -> set[str]:
        runs = [run for run in server.ask("task_runs") if run["flow_run_id"] == flows()[0]["id"]]
        return {run["name"] for run in runs if run["state"]["type"] == "COMPLETED"}

    wait_until(lambda: expected <= finished(), "records of all task runs")
    (flow_run,) = flows()
    assert (flow_run["name"], flow_run["state"]["type"]) == ("convert plate1", "COMPLETED")
    shown = {made["key"]: made for made in server.ask("artifacts") if made["flow_run_id"] == flow_run["id"]}
    assert set(shown) == {"pct-flow-parts", "pct-flow-summary"}
    assert shown["pct-flow-parts"]["data"] == 100.0
    assert shown["pct-flow-summary"]["type"] == "markdown"
    assert "| done | 4 |" in shown["pct-flow-summary"]["data"]


@pytest.mark.endurance
@pytest.mark.prefect
def test_a_report_shows_on_a_named_server(jobs: Jobs, server: Server, plate: Path, tmp_path: Path) -> None:
    words = (plate, "-o", "seen.parquet", "--report", "seen.html")
    ran = tool(jobs, "pct-flow", *words, PREFECT_API_URL=server.url)
    assert ran.returncode == 0, ran.stderr
    ran = tool(jobs, "pct-report", "seen.parquet", "-o", "alone.json", PREFECT_API_URL=server.url)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((tmp_path / "alone.json").read_text())["rows"]

    def shown() -> list[tuple[str, str]]:
        names = {run["id"]: run["name"] for run in server.ask("task_runs")}
        artifacts = [made for made in server.ask("artifacts") if made["key"] == "pct-report"]
        return [(names.get(made["task_run_id"], ""), made["data"]) for made in artifacts]

    expected = {"report on seen.parquet", "report alone.json"}
    wait_until(lambda: {name for name, _ in shown()} == expected, "artifacts of both runs")
    assert all(f"| cells, total | {rows:,} |" in text for _, text in shown())


@pytest.mark.endurance
@pytest.mark.prefect
def test_single_tools_show_on_a_named_server(jobs: Jobs, server: Server, plate: Path, tmp_path: Path) -> None:
    at = f"{Path(sys.executable).parent}/pct"
    pipe = f"{at}-discover {plate} -q | {at}-extract -q | {at}-join | {at}-write -o piped.parquet"
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {pipe}"], env=jobs.environment(PREFECT_API_URL=server.url), cwd=tmp_path,
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert all(line.startswith(("pct-join: ", "pct-write: ")) for line in ran.stderr.splitlines())
    assert oracle.compare(oracle.profiles(plate), tmp_path / "piped.parquet") == []
    expected = {"discover plate1", "extract -", "join -", "write piped.parquet"}

    def finished() -> set[str]:
        return {run["name"] for run in server.ask("task_runs") if run["state"]["type"] == "COMPLETED"}

    wait_until(lambda: expected <= finished(), "records of the four runs")
    wait_until(lambda: any("preset cellprofiler_csv" in line["message"] for line in server.ask("logs")), "log lines")


@pytest.mark.endurance
@pytest.mark.prefect
def test_failure_of_a_tool_shows_on_a_named_server(jobs: Jobs, server: Server) -> None:
    ran = tool(jobs, "pct-discover", "nowhere", "-o", "m.arrow", PREFECT_API_URL=server.url)
    assert (ran.returncode, ran.stderr) == (1, "pct-discover: error: nowhere: no such file or folder\n")

    def states() -> list[tuple[str, str]]:
        runs = [run["state"] for run in server.ask("task_runs") if run["name"] == "discover nowhere"]
        return [(state["type"], state["message"]) for state in runs if state["type"] == "FAILED"]

    wait_until(lambda: len(states()) == 1, "record of the failure")
    assert "no such file or folder" in states()[0][1]


@pytest.mark.endurance
@pytest.mark.prefect
def test_no_prefect_leaves_a_named_server_alone(jobs: Jobs, plate: Path) -> None:
    # Nothing listens there: a tool that asked would fail.
    words = ["-q", "-o", "m.arrow", "--no-prefect"]
    assert tool(jobs, "pct-discover", plate, *words, PREFECT_API_URL="http://127.0.0.1:9/api").returncode == 0
    ran = tool(jobs, "pct-discover", plate, "-o", "n.arrow", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "http://127.0.0.1:9/api does not answer" in ran.stderr


@pytest.mark.prefect
def test_failing_parts_are_named_and_the_others_kept(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Path(shutil.copytree(copy, tmp_path / "good"))
    spoilt = [spoil(copy, 1), spoil(copy, 3)]
    words = [str(copy), "-o", str(tmp_path / "out.parquet"), "--work-dir", str(tmp_path / "work"), *ONE_FOLDER_A_PART]
    assert flow.main(words) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("pct-flow: error: 2 of 4 parts failed: part 2: ")
    assert told.endswith(f"; to go on: {shlex.join(['pct-flow', *words])}")
    for part, file in zip((2, 4), spoilt, strict=True):
        assert f"part {part}: {file}, row 2, column" in told
        assert "'oops' is not a number" in told
    assert not (tmp_path / "out.parquet").exists()
    # The two files are mended, so their parts are made again and the other two are resumed.
    for file in spoilt:
        shutil.copyfile(good / file, copy / file)
    assert flow.main(words) == 0
    assert "pct-flow: 2 parts of 4 were finished already" in capsys.readouterr().err
    assert oracle.compare(oracle.profiles(good), tmp_path / "out.parquet") == []
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.endurance
@pytest.mark.prefect
def test_kept_work_is_resumed_only_for_the_same_options(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def again(*words: str) -> int:
        """Convert once more; return how many parts were finished already."""
        options = [*ONE_FOLDER_A_PART, "--work-dir", str(tmp_path / "work"), "--keep-work", "--runner", "sequential"]
        more = ["--overwrite", "--log-format", "json", *words]
        assert flow.main([str(plate), "-o", str(tmp_path / "out.parquet"), *options, *more]) == 0
        entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        return next(int(entry["resumed"]) for entry in entries if "resumed" in entry)

    assert again() == 0
    first = pq.read_table(tmp_path / "out.parquet")
    assert again() == 4
    assert pq.read_table(tmp_path / "out.parquet").equals(first)
    assert again("--unmatched", "keep") == 0
    rows = len(oracle.profiles(plate, choices=oracle.Choices(unmatched="keep")))
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == rows
    assert again("--float32") == 0
    by_cell = ["--anchor", "cells"]
    assert again(*by_cell) == 0
    assert again(*by_cell, "--aggregate-children", "mean") == 0
    assert [again(*by_cell, "--aggregate-children", "count") for _ in range(2)] == [0, 4]


@pytest.mark.prefect
def test_failure_leaves_nothing_without_a_work_dir(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(copy, 0)
    before = entries(tmp_path)
    assert flow.main([str(copy), "-o", str(tmp_path / "out.parquet"), "-q"]) == 1
    assert entries(tmp_path) == before
    assert capsys.readouterr().out == ""


@pytest.mark.prefect
def test_finished_parts_outlive_a_failed_run(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = Path(shutil.copytree(copy, tmp_path / "good"))
    file = spoil(copy, 0)
    words = [str(copy), "-o", str(tmp_path / "out.parquet"), *ONE_FOLDER_A_PART]
    assert flow.main(words) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"1 of 4 parts failed: part 1: {file}" in told
    assert entries(tmp_path) == {"good", "plate1", "out.parquet.pct-work"}
    shutil.copyfile(good / file, copy / file)
    tool, *command = shlex.split(told.partition("; to go on: ")[2])
    assert (tool, command) == ("pct-flow", [*words, "--work-dir", str(tmp_path / "out.parquet.pct-work")])
    assert flow.main(command) == 0
    assert "3 parts of 4 were finished already" in capsys.readouterr().err
    assert oracle.compare(oracle.profiles(good), tmp_path / "out.parquet") == []
    assert entries(tmp_path) == {"good", "plate1", "out.parquet"}


@pytest.mark.prefect
def test_what_else_lies_in_the_work_dir_stays(plate: Path, tmp_path: Path) -> None:
    own = tmp_path / "profiles" / "mine.txt"
    own.parent.mkdir()
    own.write_text("mine")
    (tmp_path / "manifest.arrow").write_text("mine")
    assert flow.main([str(plate), "-o", str(tmp_path / "out.parquet"), "--work-dir", str(tmp_path), "-q"]) == 0
    assert own.read_text() == (tmp_path / "manifest.arrow").read_text() == "mine"
    assert entries(tmp_path) == {"profiles", "manifest.arrow", "out.parquet"}


@pytest.mark.prefect
@pytest.mark.quick
def test_a_source_is_never_overwritten(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = sorted(copy.rglob("Cells.csv"))[0]
    before = file.read_bytes()
    for tool, name in ((discover, "cells.arrow"), (flow, "cells.parquet")):
        link = tmp_path / name
        link.symlink_to(file)
        assert tool.main([str(copy), "-o", str(link), "--overwrite", "-q"]) == 1
    told = capsys.readouterr().err
    assert told.count("is one of the source's own files") == 2
    assert file.read_bytes() == before


@pytest.mark.dask
def test_a_scheduler_that_is_not_there_is_named(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--runner", "dask", "--dask-scheduler", "tcp://127.0.0.1:9"]
    assert flow.main([str(plate), "-o", str(tmp_path / "out.parquet"), *words]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in told[0]
    assert entries(tmp_path) == set()


@pytest.mark.endurance
@pytest.mark.prefect
@pytest.mark.dask
def test_running_dask_scheduler(jobs: Jobs, dask_scheduler: str, plate: Path, tmp_path: Path) -> None:
    words = ["--runner", "dask", "--dask-scheduler", dask_scheduler, *ONE_FOLDER_A_PART]
    ran = tool(jobs, "pct-flow", plate, "-o", "out.parquet", *words)
    assert ran.returncode == 0, ran.stderr
    assert oracle.compare(oracle.profiles(plate), tmp_path / "out.parquet") == []


@pytest.mark.endurance
@pytest.mark.prefect
@pytest.mark.dask
def test_workers_of_others_send_log_lines_to_a_named_server(
    jobs: Jobs, dask_scheduler: str, server: Server, plate: Path
) -> None:
    shutil.copytree(plate, jobs.folder / "far1")
    words = ["--runner", "dask", "--dask-scheduler", dask_scheduler, *ONE_FOLDER_A_PART]
    ran = tool(jobs, "pct-flow", "far1", "-o", "far.parquet", *words, PREFECT_API_URL=server.url)
    assert ran.returncode == 0, ran.stderr

    def said() -> bool:
        runs = {run["id"] for run in server.ask("task_runs") if run["name"] == "discover far1"}
        lines = [line for line in server.ask("logs") if line["task_run_id"] in runs]
        return any("preset cellprofiler_csv" in line["message"] for line in lines)

    wait_until(said, "line that names the preset")


@pytest.mark.endurance
@pytest.mark.prefect
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_clean_up(jobs: Jobs, plate: Path, tmp_path: Path, number: signal.Signals) -> None:
    before = entries(tmp_path)
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "pct-flow"), str(plate), "-o", "out.parquet", *ONE_FOLDER_A_PART],
        env=jobs.environment(), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: any(name.endswith(".pct-tmp") for name in entries(tmp_path)), "work dir")
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + number, said
        wait_until(lambda: group_gone(process.pid), "end of all child processes")
    finally:
        end_group(process)
    assert entries(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere", "-o", "out.parquet"], 1, "nowhere: no such file or folder"),
        ([".", "-o", "out.parquet", "--preset", "unheard-of"], 2, "no preset is named 'unheard-of'"),
        ([".", "-o", "there"], 1, "there exists already; give --overwrite to replace it"),
        ([".", "-o", "missing/out.parquet"], 1, "does not exist"),
        ([".", "-o", "out.parquet", "--sql", "nowhere.sql"], 2, "nowhere.sql"),
        ([".", "-o", "out.parquet", "--dask-scheduler", "tcp://x:1"], 2, "--dask-scheduler goes with --runner dask"),
    ],
)
def test_what_is_wrong_is_said_before_prefect_is_imported(
    words: list[str], code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries" / "prefect.py").write_text("raise SystemExit('Prefect was imported')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "libraries")}
    tool = str(Path(sys.executable).parent / "pct-flow")
    ran = subprocess.run([tool, *words], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (code, 1), ran.stderr
    assert said in ran.stderr


def test_options_are_plain_values_that_come_back_the_same() -> None:
    words = ["in", "-o", "out", "--part-size", "2MB", "--cast", "a=string", "--cast", "b=int64", "--shard", "2/3"]
    words += ["--compartments", "cells,nuclei", "--float32", "--max-failures", "0", "--storage-option", "token=secret"]
    args = flow_options.build_parser().parse_args(words)
    plain = flow_options.chosen_options(args)
    assert "secret" not in repr(plain)
    assert flow_options.flow_options(flow_options.parsed("in", "out", plain)) == flow_options.flow_options(args)
    del plain["storage_option"]
    assert sorted(flow_options.option_words(json.loads(json.dumps(plain)))) == [
        "--cast=a=string", "--cast=b=int64", "--compartments=cells,nuclei", "--float32", "--max-failures=0",
        "--part-size=2000000", "--shard=2/3",
    ]  # fmt: skip


@pytest.mark.parametrize("options", [{"part_sise": 1}, {"part_size": "none"}, {"compression": "zip"}])
def test_wrong_options_are_refused(options: dict[str, object], plate: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        flow.prepare(str(plate), str(tmp_path / "out.parquet"), options)


@pytest.mark.prefect
@pytest.mark.quick
def test_a_folder_goes_on_with_the_same_command(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = Path(shutil.copytree(copy, tmp_path / "good"))
    file = spoil(copy, 0)
    words = [str(copy), "-o", str(tmp_path / "out"), *ONE_FOLDER_A_PART]
    assert flow.main(words) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert shlex.split(told.partition("; to go on: ")[2]) == ["pct-flow", *words]
    parts = tmp_path / "out.pct-work" / "parts"
    before = {path.name: path.stat().st_ino for path in parts.iterdir()}
    assert before.keys() == {f"part-00000{part}.parquet" for part in (2, 3, 4)}
    shutil.copyfile(good / file, copy / file)
    assert flow.main(words) == 0
    assert "3 parts of 4 were finished already" in capsys.readouterr().err
    assert entries(tmp_path) == {"good", "plate1", "out"}
    after = {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
    assert before.items() < after.items()
    whole = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "out").iterdir()))
    pq.write_table(whole, tmp_path / "whole.parquet")
    assert oracle.compare(oracle.profiles(good), tmp_path / "whole.parquet") == []
    # It is complete now, and refused as any other output that exists.
    assert flow.main(words) == 1
    assert "exists already; give --overwrite" in capsys.readouterr().err
