"""What `pct-report` promises beside its numbers: its forms, `--fail-if`, the terminal, MultiQC, `pct-flow --report`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from oracle_report import expected_of_csv
from plates import Plate, write_csv
from pycytominer_transform.common.model.provenance import Step
from pycytominer_transform.common.report.assembly import robust_z
from pycytominer_transform.common.report.conditions import failures, parse_condition
from pycytominer_transform.common.report.plate_format import FORMATS, format_of, place_of, well_at
from pycytominer_transform.common.report.recorded_counts import counts_of, sources_of, steps_of_files
from running import entries, environment, run, run_process
from terminals import TerminalRun, screen

PLATE = Plate(folders=96, cells=6, features=12, sites=1, wells=96, seed=20, missing_wells=("BR00117001/B07",))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the Parquet file of a plate of 96 wells, one of them missing."""
    folder = tmp_path_factory.mktemp("tool")
    run("discover", write_csv(PLATE, folder / "plate"), "-o", folder / "m").done()
    run("extract", folder / "m", "-o", folder / "b").done()
    run("join", folder / "b", "-o", folder / "p").done()
    run("write", folder / "p", "-o", folder / "plate.parquet").done()
    return folder / "plate.parquet"


def test_text_says_what_is_in_the_file(output: Path) -> None:
    ran = run("report", output).done()
    lines = ran.out.decode().splitlines()
    rows, columns = pq.read_metadata(output).num_rows, pq.read_metadata(output).num_columns
    assert lines[0] == "plate.parquet"
    assert lines[1].startswith(f"{rows} rows, {columns} columns, ")
    assert f"plate BR00117001: 95 of 96 wells, {rows} cells" in lines
    assert "    missing: B07" in lines
    assert f"{output}: {rows} rows in 1 row group" in ran.out.decode()
    tools = [f"pct-{tool}" for tool in ("discover", "extract", "join", "write")]
    assert [line.partition(" ")[0] for line in lines if line.startswith("pct-")] == tools
    assert ran.err == ""
    assert "\x1b" not in ran.out.decode()


def test_text_has_a_plate_in_characters(output: Path) -> None:
    lines = run("report", output).done().out.decode().splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("plate BR")) + 1
    assert lines[first].split() == ["1", "5", "10"]
    rows = lines[first + 1 : first + 9]
    assert [row.split()[0] for row in rows] == list("ABCDEFGH")
    cells = pq.read_table(output, columns=["Metadata_Well"])["Metadata_Well"].to_pylist()
    counts = {well: cells.count(well) for well in set(cells)}
    low, high = min(counts.values()), max(counts.values())
    for row, line in enumerate(rows):
        for column in range(12):
            mark = line[4 + 2 * column : 5 + 2 * column]
            number = counts.get(well_at(row, column))
            if number is None:
                assert mark in ("", " ")
            elif number in (low, high) and mark != "!":
                assert mark == ("·" if number == low else "█")


@pytest.mark.parametrize(("variables", "has_colour"), [({"TERM": "xterm-256color"}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colour_unless_it_is_unwanted(variables: dict[str, str], has_colour: bool, output: Path) -> None:
    names = {name: text for name, text in environment(**variables).items() if name != "NO_COLOR" or not has_colour}
    command = [str(Path(sys.executable).with_name("pct-report")), str(output)]
    code, text = TerminalRun(command, env=names).wait(120)
    assert code == 0
    assert ("\x1b[48;5;" in text) == has_colour
    shown = screen(text)
    assert "plate BR00117001: 95 of 96 wells" in " ".join(shown)


def test_a_report_of_another_suffix_is_refused(output: Path, tmp_path: Path) -> None:
    line = run("report", output, "-o", tmp_path / "report.pdf").failed(2, "report.pdf", ".html")
    for suffix in re.findall(r" (_?[a-z]*\.[a-z]+)[ ,(]", line.partition("ends in")[2]):
        run("report", output, "-o", f"{tmp_path}/made{suffix}").done()
    assert {"made.html", "made.json", "made_mqc.json", "made_general_mqc.json"} <= entries(tmp_path)


def test_a_report_is_not_overwritten_unasked(output: Path, tmp_path: Path) -> None:
    (tmp_path / "r_wells_mqc.json").write_text("precious")
    run("report", output, "-o", tmp_path / "r_mqc.json").failed(1, "r_wells_mqc.json", "--overwrite")
    assert entries(tmp_path) == {"r_wells_mqc.json"}
    run("report", output, "-o", tmp_path / "r_mqc.json", "--overwrite").done()
    assert json.loads((tmp_path / "r_wells_mqc.json").read_text())["plot_type"] == "table"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"ImageNumber,ObjectNumber\n1,1\n", bytes(4096)])
def test_what_is_no_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    run("report", tmp_path / "x.parquet").failed(1, "x.parquet", "Parquet")
    run("report", tmp_path / "none.parquet").failed(1, "none.parquet")
    (tmp_path / "empty").mkdir()
    run("report", tmp_path / "empty").failed(1, "empty", "no Parquet file")


def test_a_damaged_provenance_is_refused(tmp_path: Path) -> None:
    table = pa.table({"x": [1.0]}).replace_schema_metadata({"pct.provenance": "[{}]"})
    pq.write_table(table, tmp_path / "x.parquet")
    run("report", tmp_path / "x.parquet").failed(1, "provenance")


@pytest.mark.parametrize(
    "columns",
    [
        {"x": [1.0, None]},
        {"x": []},
        {"Metadata_Well": ["A01", None, "", "not a well"], "Cells_AreaShape_Area": [0.0, -1.0, 1e300, float("nan")]},
        {"Metadata_Well": [1, 2], "Metadata_Plate": [7, 7], "f": [1, 1]},
        {"Metadata_Well": ["AF48"], "f": [float("inf")]},
    ],
)
@pytest.mark.parametrize("name", ["r.html", "r.json", "r_mqc.json", "r.parquet", "-"])
def test_tables_from_elsewhere(columns: dict[str, list[object]], name: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    run("report", tmp_path / "x.parquet", "-o", tmp_path / name if name != "-" else "-").done()


def test_nan_of_other_programs_is_null(tmp_path: Path) -> None:
    nan = float("nan")
    columns = {"Metadata_Well": ["A01", "A02"], "a": [nan, nan], "b": [nan, 2.0], "c": [1.0, 2.0]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    run("report", tmp_path / "x.parquet", "-o", tmp_path / "r.json").done()
    report = json.loads((tmp_path / "r.json").read_text())
    assert {feature["name"]: feature["nulls"] for feature in report["features"]} == {"a": 2, "b": 1, "c": 0}
    assert [well["nulls"] for well in report["plates"][0]["wells"]] == [2, 1]


def test_fail_if_writes_the_report_and_ends_with_1(output: Path, tmp_path: Path) -> None:
    words = [output, "-o", tmp_path / "r.html"]
    line = run("report", *words, "--fail-if", "wells.missing>0", "--fail-if", "cells.total < 3").failed(
        1, "wells.missing > 0"
    )
    assert line == "pct-report: error: wells.missing > 0 (it is 1)"
    assert (tmp_path / "r.html").is_file()
    run("report", *words, "--overwrite", "--fail-if", "wells.missing > 1").done()


@pytest.mark.parametrize(
    "condition", ["wells", "wells.missing", "wells.missing > x", "wells.missing > 1; rm", "a.b => 1"]
)
def test_what_is_no_condition_is_refused(condition: str, output: Path) -> None:
    run("report", output, "--fail-if", condition).failed(2, "--fail-if", "wells.missing > 4")


def test_comparisons() -> None:
    totals: dict[str, dict[str, float]] = {"wells": {"missing": 4}, "features": {"null_share": 0.25}}
    true = ["wells.missing > 3", "wells.missing >= 4", "wells.missing == 4", "wells.missing != 3", "wells.missing < 5",
            "wells.missing <= 4", "features.null_share > 0.2"]  # fmt: skip
    false = ["wells.missing > 4", "wells.missing >= 5", "wells.missing == 3", "wells.missing != 4", "wells.missing < 4",
             "wells.missing <= 3", "features.null_share > 0.25"]  # fmt: skip
    assert len(failures([parse_condition(text) for text in true], totals)) == len(true)
    assert failures([parse_condition(text) for text in false], totals) == []


def test_places_of_wells_and_formats() -> None:
    for rows, columns in FORMATS:
        names = [well_at(row, column) for row in range(rows) for column in range(columns)]
        assert len(set(names)) == rows * columns
        assert [place_of(name) for name in names] == [(row, column) for row in range(rows) for column in range(columns)]
        assert format_of([(rows - 1, columns - 1)]) == (rows, columns)
    assert [place_of(name) for name in ("a1", "A - 1", "AF48", "AG01", "A49", "A00", "", "x")] == [
        (0, 0), (0, 0), (31, 47), None, None, None, None, None,
    ]  # fmt: skip
    assert format_of([]) == (0, 0)
    assert format_of([(2, 0)]) == (4, 6)


def test_robust_z_by_hand() -> None:
    values = {str(number): float(number) for number in (1, 2, 3, 4, 5, 6, 7, 8, 100)}
    # The median is 5, the median distance from it 2.
    assert robust_z(values)["100"] == pytest.approx((100 - 5) / (1.4826 * 2))
    assert robust_z(dict.fromkeys("abcdefghi", 3.0)) == {}
    assert robust_z({"a": 1.0, "b": 5.0}) == {}


def test_what_was_skipped_of_two_sources_is_added_up() -> None:
    def steps(source: str, **skipped: int) -> tuple[Step, ...]:
        options = {"source": source, "on_bad_dataset": "skip"}
        return (Step(tool="pct-discover", version="1", options=options, counts={"skipped": skipped}),)

    one, other = steps("one", A01=1, B02=1), steps("other", A01=1)
    added = steps_of_files([("", one, 5), ("", one, 5), ("", other, 5)])
    assert sources_of(added) == ["one", "other"]
    assert counts_of(added, "pct-discover") == {"skipped": {"A01": 2, "B02": 1}}


@pytest.mark.endurance
def test_the_command_makes_the_output_again(output: Path, tmp_path: Path) -> None:
    source = output.parent / "plate"
    first = tmp_path / "first.parquet"
    words = ["--unmatched", "keep", "--float32", "--set", "Metadata_Batch=2", "--part-size", "9kB", "--drop", "image"]
    run("flow", source, "-o", first, *words, "--report", tmp_path / "r.json").done()
    command = json.loads((tmp_path / "r.json").read_text())["command"]
    assert command.startswith(f"pct-flow {source} -o {first} ")
    again = command.replace(str(first), str(tmp_path / "again.parquet"))
    ended = subprocess.run(again, shell=True, env=environment(), capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "again.parquet").read_bytes() == first.read_bytes()


def test_a_flow_reports_what_pct_report_reports(output: Path, tmp_path: Path) -> None:
    source = output.parent / "plate"
    ran = run("flow", source, "-o", tmp_path / "a.parquet", "--report", tmp_path / "a.json").done()
    assert f"pct-flow: {tmp_path / 'a.json'}: 95 wells, 1 missing" in ran.err
    run("report", tmp_path / "a.parquet", "-o", tmp_path / "b.json").done()
    of_flow, alone = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert of_flow["source"] == str(source)
    assert alone["source"] == "plate"
    assert alone["command"] == f"pct-flow SOURCE -o {tmp_path / 'a.parquet'}"
    for key in of_flow.keys() - {"source", "command"}:
        assert of_flow[key] == alone[key], key


@pytest.mark.prefect
def test_the_same_command_goes_on_where_a_report_is_there_already(output: Path, tmp_path: Path) -> None:
    # What a run leaves that is killed between its report and its end.
    words = (output.parent / "plate", "-o", tmp_path / "a.parquet", "--report", tmp_path / "a.json")
    kept = ("--work-dir", tmp_path / "work", "--keep-work")
    run("flow", *words, *kept).done()
    made = (tmp_path / "a.json").read_bytes()
    (tmp_path / "a.json").write_bytes(b"older")
    run("flow", *words, *kept).done()
    assert (tmp_path / "a.json").read_bytes() == made


def test_a_flow_refuses_a_report_that_cannot_be(output: Path, tmp_path: Path) -> None:
    words = [output.parent / "plate", "-o"]
    line = run("flow", *words, tmp_path / "a.arrow", "--report", tmp_path / "a.html").failed(
        2, "--report reads Parquet"
    )
    assert line.endswith(f"give -o {tmp_path / 'a.parquet'}, or leave --report out")
    run("flow", *words, tmp_path / "a.parquet", "--report", tmp_path / "a.parquet").failed(2, "the output itself")
    run("flow", *words, tmp_path / "a.parquet", "--report", tmp_path / "a.pdf").failed(2, ".html")
    (tmp_path / "a.html").write_text("precious")
    run("flow", *words, tmp_path / "a.parquet", "--report", tmp_path / "a.html").failed(1, "a.html", "--overwrite")
    assert entries(tmp_path) == {"a.html"}


@pytest.mark.endurance
def test_multiqc_makes_its_report_of_it(output: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "multiqc>=1.21"]
    installed = subprocess.run(words, capture_output=True, text=True, timeout=840)
    if installed.returncode:
        pytest.skip(f"MultiQC cannot be had here: {installed.stderr.strip().splitlines()[-1]}")
    folder = tmp_path / "in"
    folder.mkdir()
    run("report", output, "-o", folder / "plate_mqc.json").done()
    words = [
        str(python.with_name("multiqc")),
        str(folder),
        "-o",
        str(tmp_path / "out"),
        "--strict",
        "--data-format",
        "json",
    ]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "out" / "multiqc_report.html").read_text()
    assert "Cells per well: BR00117001" in page
    raw = json.loads((tmp_path / "out" / "multiqc_data" / "multiqc_data.json").read_text())["report_saved_raw_data"]
    cells = pq.read_table(output, columns=["Metadata_Well"])["Metadata_Well"].to_pylist()
    counts = {f"BR00117001 {well}": cells.count(well) for well in set(cells)}
    assert {name: row["cells"] for name, row in raw["multiqc_pct_report_wells_table"].items()} == counts
    assert raw["multiqc_pct_report_cells_BR00117001"] == [
        [counts.get(f"BR00117001 {well_at(row, column)}") for column in range(12)] for row in range(8)
    ]
    general = raw["multiqc_general_stats"]["BR00117001"]
    figures = {name.rpartition("-")[2]: value for name, value in general.items()}
    unmatched = expected_of_csv(output.parent / "plate").unmatched
    assert figures["objects_unmatched"] == sum(sum(each.values()) for each in unmatched.values())
    assert (figures["cells"], figures["wells"], figures["wells_missing"]) == (len(cells), 95, 1)


def test_what_was_skipped_is_in_the_report(tmp_path: Path) -> None:
    plate = write_csv(Plate(folders=4, cells=5, features=8, sites=2), tmp_path / "plate")
    (plate / "BR00117001" / "A01-2" / "Cells.csv").unlink()
    change = plate / "BR00117001" / "A02-1" / "Nuclei.csv"
    header, *lines = change.read_text().splitlines()
    change.write_text("\n".join([f"{header},Intensity_Only", *(f"{line},0.5" for line in lines)]) + "\n")
    run("flow", plate, "-o", tmp_path / "x.parquet", "--on-bad-dataset", "skip", "--report", tmp_path / "r.json").done()
    notices = json.loads((tmp_path / "r.json").read_text())["notices"]
    (skipped,) = [notice["subject"] for notice in notices if notice["kind"] == "dataset skipped"]
    assert "BR00117001/A01-2" in skipped
    assert "no table cells" in skipped
    partial = [notice for notice in notices if notice["kind"] == "files that have a column that others lack"]
    assert [(notice["subject"], notice["number"]) for notice in partial] == [("nuclei.Intensity_Only", 1)]


def test_a_process_reports_quietly(output: Path, tmp_path: Path) -> None:
    ran = run_process("report", output, "-q", "-o", tmp_path / "r.html").done()
    assert (ran.out, ran.err) == (b"", "")
