"""Parquet files of joined cells: every row comes out once, with every value as stored, or an error that names it."""

from __future__ import annotations

import datetime
import decimal
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import Convert, Options, differences, parquet_table
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from npz_files import plate_file
from plates import Plate, write_csv
from running import run as run_tool

PLATE = Plate(folders=3, cells=12, features=9, missing=0.1, sites=2)
KEYS = {"Metadata_ImageNumber": [2, 1, 2, 1], "Metadata_ObjectNumber": [1, 1, 2, 2]}
ADDED = {"Metadata_CellID", "Metadata_Dataset"}


def one_file(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "plate.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def refused(path: Path, folder: Path, *words: str) -> str:
    """Convert a file up to the stage that fails, and return its only line."""
    ran = run_tool("discover", path, "-q", "-o", folder / "m")
    if ran.code == 0:
        ran = run_tool("extract", folder / "m", "-q", "-o", folder / "b")
    return ran.failed(1, path.name, *words)


@pytest.mark.quick
@pytest.mark.parametrize("how", ["files", "pipe", "concurrent"])
def test_our_own_output_comes_out_as_it_is(how: str, tmp_path: Path, convert: Convert) -> None:
    made = convert(write_csv(PLATE, tmp_path / "csv"))
    expected = parquet_table(made)
    out = parquet_table(convert(made, how, Options(discover=("--part-size", "1"))))
    assert out["Metadata_Original_Dataset"].equals(expected["Metadata_Dataset"])
    for name in expected.column_names:
        if name != "Metadata_Dataset":
            assert out[name].equals(expected[name]), name
            assert out.field(name).metadata == expected.field(name).metadata


def test_outputs_without_image_numbers(tmp_path: Path, convert: Convert) -> None:
    """Of DeepProfiler: rows are cut anywhere, since their IDs are kept."""
    for well in range(3):
        rows = [[float(well * 10 + row), row / 3, -1.0] for row in range(4)]
        plate_file(tmp_path / "npz" / f"A0{well}" / "1.npz", rows, [[1.0, row] for row in range(4)])
    made = convert(tmp_path / "npz")
    again = tmp_path / "again.parquet"
    pq.write_table(parquet_table(made), again, row_group_size=5)
    out = parquet_table(convert(again, options=Options(discover=("--part-size", "1"))))
    assert out["Metadata_CellID"].equals(parquet_table(made)["Metadata_CellID"])


def test_several_outputs_have_ids_of_their_own(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("one", "two"):
        made = parquet_table(convert(write_csv(PLATE, tmp_path / name / "plate")))
        pq.write_table(made, source / f"{name}.parquet", row_group_size=7)
    (source / "other.parquet").write_bytes((source / "one.parquet").read_bytes())
    pq.write_table(pa.table({"Well": ["A01"], "Count": [3]}), source / "wells.parquet")
    sizes = [convert(source, options=Options(discover=("--part-size", size))) for size in ("1", "64MB")]
    assert differences(*sizes) == []
    out = parquet_table(sizes[0])
    assert out.num_rows == 3 * made.num_rows
    assert len(set(out["Metadata_CellID"].to_pylist())) == out.num_rows
    assert set(out["Metadata_Dataset"].to_pylist()) == {"one.parquet", "other.parquet", "two.parquet"}
    assert set(out["Metadata_Original_CellID"].to_pylist()) == set(made["Metadata_CellID"].to_pylist())


def test_every_kind_of_column(tmp_path: Path, convert: Convert) -> None:
    days = [datetime.datetime(2026, 1, day) for day in (1, 2, 3, 4)]
    columns: dict[str, tuple[Any, list[Any]]] = {
        "dictionary": (pa.array(["a", "b", None, "a"]).dictionary_encode(), ["a", "b", None, "a"]),
        "numbers": (pa.array([7, 8, None, 7]).dictionary_encode(), [7, 8, None, 7]),
        "text": (["001", "", None, "é"], ["001", "", None, "é"]),
        "large": (pa.array(["a", "b", None, ""], pa.large_string()), ["a", "b", None, ""]),
        "view": (pa.array(["a", "b", None, ""], pa.string_view()), ["a", "b", None, ""]),
        "bytes": (pa.array([b"a", b"b", None, b""]), ["a", "b", None, ""]),
        "truth": ([True, None, False, True], [True, None, False, True]),
        "i8": (pa.array([-1, 2, None, 4], pa.int8()), [-1, 2, None, 4]),
        "u64": (pa.array([0, 2, None, (1 << 63) - 1], pa.uint64()), [0, 2, None, (1 << 63) - 1]),
        "i64": ([-(1 << 63), (1 << 53) + 1, None, 1], [-(1 << 63), (1 << 53) + 1, None, 1]),
        "f16": (pa.array([0.5, None, 1.0, -2.0], pa.float16()), [0.5, None, 1.0, -2.0]),
        "f32": (pa.array([0.1, None, 1.0, math.inf], pa.float32()), [0.10000000149011612, None, 1.0, math.inf]),
        "f64": ([0.1, math.nan, 5e-324, -math.inf], [0.1, None, 5e-324, -math.inf]),
        "decimal": ([decimal.Decimal("1.25"), None, decimal.Decimal(2), decimal.Decimal(3)], [1.25, None, 2.0, 3.0]),
        "whole": (
            pa.array([decimal.Decimal(1), None, decimal.Decimal(2), None], pa.decimal128(18)),
            [1, None, 2, None],
        ),
        "time": (days, [f"{day:%Y-%m-%d %H:%M:%S}.000000" for day in days]),
        "date": ([day.date() for day in days], [f"{day:%Y-%m-%d}" for day in days]),
        "none": (pa.nulls(4), [None] * 4),
        "Cells_AreaShape_Area": ([1, 2, None, 4], [1.0, 2.0, None, 4.0]),
        "a.point": ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]),
        "a": ([5.0, 6.0, 7.0, 8.0], [5.0, 6.0, 7.0, 8.0]),
    }
    path = one_file(tmp_path / "s", KEYS | {name: stored for name, (stored, _) in columns.items()}, row_group_size=3)
    for size in ("1", "64MB"):
        out = parquet_table(convert(path, options=Options(discover=("--part-size", size))))
        assert out["Metadata_ImageNumber"].to_pylist() == [1, 1, 2, 2]
        for name, (_, values) in columns.items():
            given = out[name].to_pylist()
            expected = [values[row] for row in (1, 3, 0, 2)]
            assert list(map(repr, given)) == list(map(repr, expected)), name


def test_lists_are_passed_over_by_name(tmp_path: Path) -> None:
    path = one_file(tmp_path / "s", KEYS | {"box": [[1]] * 4, "pair": [{"x": 1}] * 4})
    ran = run_tool("discover", path, "-o", tmp_path / "m").done()
    assert "passed over 2 columns of lists or the like: box, pair" in ran.err


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"Metadata_ImageNumber": [1.0, 2.0**53]},
            ("row 2, column 'Metadata_ImageNumber'", "9007199254740992"),
        ),
        ({"Metadata_ImageNumber": [1.0, 1.5]}, ("row 2, column 'Metadata_ImageNumber'", "1.5 is not a whole number")),
        ({"Metadata_ImageNumber": [[1], [1]]}, ("column Metadata_ImageNumber",)),
        ({"Metadata_ImageNumber": [1, None], "x": [1, 1]}, ("row 2", "has no ImageNumber")),
        ({"Metadata_ImageNumber": [1, 1], "u": pa.array([1, 1 << 63], pa.uint64())}, ("row 2, column 'u'",)),
        ({"Metadata_ImageNumber": [1, 1], "Cells_AreaShape_Area": ["1", "x"]}, ("row 2", "'x' is not a number")),
        ({"Metadata_ImageNumber": [1, 1], "Cells_AreaShape_Area": [1, (1 << 53) + 1]}, ("row 2", "would not stay")),
        ({"Metadata_ImageNumber": [1, 1], "b": [b"a", b"\xff"]}, ("column 'b'", "UTF-8")),
    ],
)
def test_what_would_not_be_exact_is_refused(columns: dict[str, Any], words: tuple[str, ...], tmp_path: Path) -> None:
    assert len(refused(one_file(tmp_path / "s", columns), tmp_path, *words).splitlines()) == 1


def test_rows_without_any_value_are_dropped_and_counted(tmp_path: Path) -> None:
    path = one_file(tmp_path / "s", {"Metadata_ImageNumber": [1, None, 1], "x": [1.0, None, math.nan]})
    run_tool("discover", path, "-q", "-o", tmp_path / "m").done()
    assert "dropped 1 row without any value" in run_tool("extract", tmp_path / "m", "-o", tmp_path / "b").done().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PAR1" + bytes(40), "is cut off"),
        (b"PAR1" + bytes(40) + b"PAR1", "is a Parquet file that is damaged"),
        (b"PARE" + bytes(40) + b"PARE", "is an encrypted Parquet file"),
        (b"ImageNumber\n1\n", "by its name alone"),
    ],
)
def test_files_that_cannot_be_read(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "plate.parquet"
    path.write_bytes(content)
    refused(path, tmp_path, words)


def test_a_file_of_other_rows_since_is_noticed(tmp_path: Path) -> None:
    path = one_file(tmp_path / "s", KEYS)
    run_tool("discover", path, "-q", "-o", tmp_path / "m").done()
    one_file(tmp_path / "s", {name: values * 2 for name, values in KEYS.items()})
    run_tool("extract", tmp_path / "m", "-q", "-o", tmp_path / "b").failed(1, "has changed")


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "plate.parquet"
    pq.write_table(pa.table([[1], [1], [2]], names=["Metadata_ImageNumber", "a", "a"]), path)
    refused(path, tmp_path, "has several columns 'a'")


def test_a_part_that_is_too_large(tmp_path: Path) -> None:
    path = one_file(tmp_path / "s", {"Metadata_ImageNumber": [1] * 9999, "text": ["x" * 1000] * 9999})
    run_tool("discover", path, "-q", "-o", tmp_path / "m").done()
    ran = run_tool("extract", tmp_path / "m", "-q", "-o", tmp_path / "b", "--max-inflate", "1MB")
    ran.failed(1, "plate.parquet: a part of it inflates to more than", "--max-inflate")


def test_a_table_without_order_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pycytominer_transform.common.formats.parquet import image_sets

    monkeypatch.setattr(image_sets, "_MOST_RUNS", 10)
    path = one_file(tmp_path / "s", {"Metadata_ImageNumber": [1, 2] * 6, "x": list(range(12))})
    line = refused(path, tmp_path, "not sorted by image set", "ORDER BY")
    query = line[line.index("COPY") :]
    from contextlib import chdir

    import duckdb

    with chdir(path.parent):
        duckdb.sql(query)
    (path.parent / "sorted.parquet").replace(path)
    run_tool("discover", path, "-q", "-o", tmp_path / "m").done()


_NUMBER = st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1))
_FRACTION = st.one_of(st.none(), st.floats(allow_nan=False))


@settings(max_examples=examples(40))
@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 4), st.one_of(st.none(), st.integers(1, 2)), _NUMBER, _FRACTION,
            st.one_of(st.none(), st.text(max_size=4)),
        ),
        min_size=1, max_size=40,
    ),
    group=st.integers(1, 20),
    size=st.sampled_from(["1", "200", "64MB"]),
    as_fraction=st.booleans(),
)  # fmt: skip
def test_any_rows_in_any_row_groups(
    rows: list[tuple[Any, ...]], group: int, size: str, as_fraction: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The rows of an image set stay together and in their order; the image sets are sorted."""
    folder = tmp_path_factory.mktemp("case")
    image, number, whole, fraction, text = map(list, zip(*rows, strict=True))
    path = one_file(
        folder,
        {
            "Metadata_ImageNumber": pa.array(image, pa.float64() if as_fraction else pa.int32()),
            "Metadata_TableNumber": pa.array([value or 1 for value in number], pa.int64()),
            "whole": pa.array(whole, pa.int64()),
            "fraction": pa.array(fraction, pa.float64()),
            "text": pa.array(text, pa.string()),
        },
        row_group_size=group,
    )
    out = parquet_table(Convert(folder / "work")(path, options=Options(discover=("--part-size", size)))).to_pylist()
    by_image = defaultdict(list)
    for row in rows:
        by_image[row[1] or 1, row[0]].append(row)
    expected = [(key, place, *row[2:]) for key in sorted(by_image) for place, row in enumerate(by_image[key], start=1)]
    given_rows = [
        (
            (row["Metadata_TableNumber"], row["Metadata_ImageNumber"]), int(row["Metadata_CellID"].split(":")[-1]),
            row["whole"], row["fraction"], row["text"],
        )
        for row in out
    ]  # fmt: skip
    assert list(map(repr, given_rows)) == list(map(repr, expected))


def test_a_column_of_lists_in_one_of_two_files_is_null_there(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "s"
    one_file(source, KEYS | {"x": [1, 2, 3, 4]}).rename(source / "a.parquet")
    one_file(source, KEYS | {"x": [[1]] * 4})
    assert parquet_table(convert(source))["x"].to_pylist() == [2, 4, 1, 3, None, None, None, None]
