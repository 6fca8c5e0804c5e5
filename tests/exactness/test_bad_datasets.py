"""``--on-bad-dataset skip`` in every stage: the bad dataset's cells are left out and that is said; no other changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import oracle
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from converting import Convert, Options, parquet_table
from plates_sheets import SMALL, measured_name, small_tables, write_sheets, write_sqlite_sheets
from plates_sqlite import SqliteStyle
from pycytominer_transform.tools import discover, extract, flow, join

FOLDERS = tuple(small_tables())
BAD = FOLDERS[1]
FEATURE = measured_name(small_tables()[BAD]["Cells"])
SKIP = ("--on-bad-dataset", "skip")
SAID = f"goes on without dataset {BAD}: "
ROWS_SEEN_FIRST = 3_000
"""More than pct-discover looks at."""

Lines = list[list[str]]


def shortened(lines: Lines) -> None:
    del lines[2][-2:]


def without_number(lines: Lines) -> None:
    lines[2][lines[0].index("ObjectNumber")] = ""


def with_text(lines: Lines) -> None:
    lines[2][lines[0].index(FEATURE)] = "oops"


def with_a_copy_that_differs(lines: Lines) -> None:
    row = lines[-1]
    number = lines[0].index("ObjectNumber")
    lines += [[str(1_000 + n) if i == number else field for i, field in enumerate(row)] for n in range(ROWS_SEEN_FIRST)]
    for line in lines:
        line.append(line[lines[0].index(FEATURE)])
    lines[-1][-1] = "12345.5"


def twice(lines: Lines) -> None:
    lines.append(lines[1])


FAULTS: dict[str, tuple[Callable[[Lines], None], tuple[str, ...]]] = {
    "a short row": (shortened, (f"{BAD}/Cells.csv", "row 3", "fields where the header has")),
    "a row without a number": (without_number, (f"{BAD}/Cells.csv", "row 3", "no ObjectNumber")),
    "a bad value": (with_text, (f"{BAD}/Cells.csv", "row 3", FEATURE, "'oops'")),
    "copies that differ": (with_a_copy_that_differs, (f"{BAD}/Cells.csv", "row ", FEATURE, "12345.5")),
    "an object twice": (twice, ("table cells", "ObjectNumber 1")),
}


@pytest.fixture
def others(tmp_path: Path, convert: Convert) -> pa.Table:
    """Convert the good plate, compare it with the oracle, and give the cells of the other folders."""
    source = write_sheets(tmp_path / "good", small_tables())
    converted = convert(source)
    assert oracle.compare(oracle.profiles(source), converted) == []
    table = parquet_table(converted)
    return table.filter(pc.not_equal(table["Metadata_Dataset"], BAD)).replace_schema_metadata(None)


def spoilt(out: Path, fault: str = "a short row", table: str = "Cells") -> Path:
    trees = small_tables()
    FAULTS[fault][0](trees[BAD][table])
    return write_sheets(out, trees)


def left_out(file: Path) -> dict[str, Any]:
    """Return what the provenance says of it, by tool."""
    steps = json.loads(pq.read_metadata(file).metadata[b"pct.provenance"])
    counts = {step["tool"]: step["counts"] for step in steps}
    return {
        "pct-extract": counts["pct-extract"].get("datasets_left_out"),
        "pct-join": counts["pct-join"].get("left_out"),
    }


@pytest.mark.parametrize("part_size", ["1", "1GB"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_a_later_stage_meets(
    fault: str, part_size: str, tmp_path: Path, convert: Convert, others: pa.Table, capfd: pytest.CaptureFixture[str]
) -> None:
    source = spoilt(tmp_path / "source", fault)
    converted = convert(source, options=Options(discover=(*SKIP, "--part-size", part_size)))
    assert parquet_table(converted).replace_schema_metadata(None).equals(others)
    stage = "pct-join" if fault == "an object twice" else "pct-extract"
    assert left_out(converted) == {"pct-extract": None, "pct-join": None} | {stage: {BAD: 1}}
    at_once, at_end = capfd.readouterr().err.splitlines()
    assert at_once.startswith(f"{stage}: warning: ")
    assert all(word in at_once for word in (SAID, *FAULTS[fault][1])), at_once
    doing = "joining" if stage == "pct-join" else "reading"
    assert at_end == f"{stage}: warning: {doing} went on without 1 bad dataset: {BAD}"


@pytest.mark.parametrize(
    ("fault", "way"),
    [
        ("a short row", "streams"),
        pytest.param("a short row", "dask", marks=pytest.mark.endurance),
        ("an object twice", "streams"),
        ("an object twice", "concurrent"),
    ],
)
def test_in_pipes_and_flows(fault: str, way: str, tmp_path: Path, convert: Convert, others: pa.Table) -> None:
    source = spoilt(tmp_path / "source", fault)
    converted = convert(source, way, Options(discover=(*SKIP, "--part-size", "1")))
    assert parquet_table(converted).replace_schema_metadata(None).equals(others)
    stage = "pct-join" if fault == "an object twice" else "pct-extract"
    assert left_out(converted)[stage] == {BAD: 1}


@pytest.mark.parametrize("table", ["Nuclei", "Cytoplasm"])
@pytest.mark.quick
def test_whatever_table_it_is_in(table: str, tmp_path: Path, convert: Convert, others: pa.Table) -> None:
    converted = convert(spoilt(tmp_path / "source", table=table), options=Options(discover=SKIP))
    assert parquet_table(converted).replace_schema_metadata(None).equals(others)


@pytest.mark.parametrize("fault", ["a short row", "an object twice"])
def test_its_sites_and_cells_are_not_counted(fault: str, tmp_path: Path, convert: Convert) -> None:
    trees = small_tables()
    del trees[BAD]
    counted = Options(discover=SKIP, join=("--counts",))
    expected = parquet_table(convert(write_sheets(tmp_path / "others", trees), options=counted))
    table = parquet_table(convert(spoilt(tmp_path / "source", fault), options=counted))
    for name in ("Metadata_Dataset", "Metadata_Object_Count", "Metadata_Site_Count"):
        assert table[name].to_pylist() == expected[name].to_pylist()
    assert None not in table["Metadata_Site_Count"].to_pylist()


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_file_that_is_another_one_since(
    how: str, tmp_path: Path, convert: Convert, others: pa.Table, capfd: pytest.CaptureFixture[str]
) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    manifest, bundle, profiles = (str(tmp_path / name) for name in ("manifest", "bundle", "profiles"))
    assert discover.main([str(source), "-q", *SKIP, "-o", manifest]) == 0
    file = source / BAD / "Nuclei.csv"
    file.write_bytes(file.read_bytes()[:-40])
    if how == "gone":
        file.unlink()
    assert extract.main([manifest, "-q", "-o", bundle]) == 0
    assert f"{SAID}" in capfd.readouterr().err
    assert join.main([bundle, "-q", "-o", profiles]) == 0
    with pa.ipc.open_file(str(Path(profiles) / "part-000001.arrow")) as opened:
        assert opened.read_all().replace_schema_metadata(None).equals(others)
    shutil.rmtree(source)
    assert extract.main([manifest, "-q", "-o", bundle, "--overwrite"]) == 1
    assert "is not there" in capfd.readouterr().err


@pytest.mark.quick
def test_by_default_it_ends_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = str(tmp_path / "manifest")
    assert discover.main([str(spoilt(tmp_path / "source")), "-q", "-o", manifest]) == 0
    assert extract.main([manifest, "-q", "-o", str(tmp_path / "bundle")]) == 1
    assert capfd.readouterr().err.startswith(f"pct-extract: error: {BAD}/Cells.csv, row 3: ")
    assert not (tmp_path / "bundle").exists()


def test_values_made_null_in_what_is_left_out_are_not_counted(
    tmp_path: Path, convert: Convert, others: pa.Table, capfd: pytest.CaptureFixture[str]
) -> None:
    trees = small_tables()
    with_text(trees[BAD]["Cells"])
    shortened(trees[BAD]["Nuclei"])
    source = write_sheets(tmp_path / "source", trees)
    converted = convert(source, options=Options(discover=SKIP, extract=("--on-bad-value", "null")))
    assert parquet_table(converted).replace_schema_metadata(None).equals(others)
    assert "null" not in capfd.readouterr().err


def test_all_are_bad(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trees = small_tables()
    for tables in trees.values():
        shortened(tables["Cells"])
    source = write_sheets(tmp_path / "source", trees)
    manifest, output = str(tmp_path / "manifest"), str(tmp_path / "out.parquet")
    assert discover.main([str(source), "-q", *SKIP, "-o", manifest]) == 0
    assert extract.main([manifest, "-q", "-o", str(tmp_path / "bundle")]) == 1
    words = "no dataset is left: all 3 datasets had to be left out"
    assert capfd.readouterr().err.splitlines()[-1] == f"pct-extract: error: {words}"
    assert flow.main([str(source), "-q", *SKIP, "-o", output, "--part-size", "1"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == f"pct-flow: error: {words}"
    assert not Path(output).exists()


@pytest.mark.parametrize("part_size", ["1", "1GB"])
def test_sqlite_files(part_size: str, tmp_path: Path, convert: Convert, capfd: pytest.CaptureFixture[str]) -> None:
    plate = replace(SMALL, images=3)
    for name, tables in zip("abc", small_tables(plate).values(), strict=True):
        (tmp_path / "good").mkdir(exist_ok=True)
        write_sqlite_sheets(tmp_path / "good" / f"{name}.sqlite", tables, SqliteStyle())
    source = Path(shutil.copytree(tmp_path / "good", tmp_path / "source"))
    tables = small_tables(plate)[BAD]
    place, image = tables["Cells"][0].index(FEATURE), tables["Cells"][0].index("ImageNumber")
    tables["Cells"][-1][place] = "oops"
    (source / "b.sqlite").unlink()
    write_sqlite_sheets(source / "b.sqlite", tables, SqliteStyle())
    options = Options(discover=(*SKIP, "--part-size", part_size))
    good = parquet_table(convert(tmp_path / "good", options=options))
    of_b = pc.equal(good["Metadata_Dataset"], "b.sqlite")
    expected = good.filter(pc.invert(of_b))
    if part_size == "1":
        # Of a file that is cut into parts, the other parts come out.
        bad = pc.and_(
            of_b,
            pc.equal(good["Metadata_ImageNumber"], int(tables["Cells"][-1][image])),
        )
        expected = good.filter(pc.invert(bad))
        assert good.num_rows > expected.num_rows > pc.sum(pc.invert(of_b)).as_py()
    capfd.readouterr()
    converted = parquet_table(convert(source, options=options)).replace_schema_metadata(None)
    assert converted.equals(expected.replace_schema_metadata(None))
    said = capfd.readouterr().err
    assert f"b.sqlite, table Per_Cells, row {len(tables['Cells']) - 1}, column" in said
    words = "warning: b.sqlite: 1 of its 3 parts left out; the others come out\n"
    assert (words in said) == (part_size == "1")
    made = tmp_path / "flow.parquet"
    assert flow.main([str(source), "-q", "-o", str(made), *options.discover]) == 0
    assert left_out(made)["pct-extract"] == {"b.sqlite": 1}
    assert (words in capfd.readouterr().err) == (part_size == "1")
