"""Parquet files that are put together of row groups: the bytes that one writer of pyarrow's gives."""

from __future__ import annotations

import gc
import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycytominer_transform.common.arrow_streams import stream_of
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.parquet import write_file, writer_maker
from pycytominer_transform.common.parquet_groups import GroupsFile, encoded
from pycytominer_transform.common.profiles import ProfilesReader
from pycytominer_transform.common.provenance import History

METADATA = {"pct.provenance": "x" * 200, "pct.preset": "ü"}
# What stands before and behind the row groups in a footer, as a column's name.
MEAN_NAME = "\x16\x00\x19\x0c\x14\x00"


def table(rows: int, columns: int = 3) -> pa.Table:
    """Make a table of all types that profiles have, with missing values."""
    numbers = list(range(rows))
    names = {MEAN_NAME: pa.array([None if i % 7 == 3 else f"text {i % 5}" for i in numbers], pa.string())}
    for i in range(columns):
        names[f"float {i}"] = pa.array([None if n % 11 == 1 else n / (i + 1) for n in numbers], pa.float64())
    names["small"] = pa.array([n / 3 for n in numbers], pa.float32())
    names["whole"] = pa.array(numbers, pa.int64())
    names["truth"] = pa.array([n % 2 == 0 for n in numbers], pa.bool_())
    names["nothing"] = pa.nulls(rows, pa.float64())
    return pa.table(names)


def sliced(whole: pa.Table, sizes: list[int]) -> list[pa.Table]:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [whole.slice(start, size) for start, size in zip(starts, sizes, strict=True)]


def by_groups(whole: pa.Table, sizes: list[int], compression: str) -> bytes:
    sink = io.BytesIO()
    new_writer = writer_maker(whole.schema, compression)
    file = GroupsFile(sink, new_writer)
    for rows in sliced(whole, sizes):
        file.add(encoded(rows, new_writer))
    file.close(METADATA)
    return sink.getvalue()


def by_pyarrow(whole: pa.Table, sizes: list[int], compression: str) -> bytes:
    sink = io.BytesIO()
    with writer_maker(whole.schema, compression)(pa.PythonFile(sink, mode="w")) as writer:
        for rows in sliced(whole, sizes):
            writer.write_table(rows, row_group_size=rows.num_rows)
        writer.add_key_value_metadata(METADATA)
        writer.close()
        return sink.getvalue()


# Lists of Thrift have a longer head from 15 entries on, numbers from 64 and 8,192 on.
@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("sizes", [[], [1], [100], [5, 1, 300], [3] * 14, [3] * 15, [1] * 70, [9000, 9000]])
def test_the_bytes_are_those_of_one_writer(sizes: list[int], compression: str) -> None:
    whole = table(sum(sizes))
    made = by_groups(whole, sizes, compression)
    assert made == by_pyarrow(whole, sizes, compression)
    found = pq.ParquetFile(io.BytesIO(made))
    assert found.read().equals(whole)
    assert [found.metadata.row_group(i).num_rows for i in range(found.metadata.num_row_groups)] == sizes


@given(st.lists(st.integers(1, 40), max_size=20), st.integers(1, 30))
def test_whatever_the_sizes(sizes: list[int], columns: int) -> None:
    whole = table(sum(sizes), columns)
    assert by_groups(whole, sizes, "lz4") == by_pyarrow(whole, sizes, "lz4")


def test_other_readers_take_it(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    whole = table(400)
    path.write_bytes(by_groups(whole, [100] * 4, "lz4"))
    read = duckdb.sql(f"SELECT count(*), sum(whole), count(DISTINCT \"float 1\") FROM '{path}' WHERE whole >= 150")
    assert read.fetchall() == [(250, sum(range(150, 400)), 250 - len([n for n in range(150, 400) if n % 11 == 1]))]


def test_nothing_stays_of_row_groups_but_what_the_footer_takes() -> None:
    whole = table(10)
    new_writer = writer_maker(whole.schema, "lz4")
    file = GroupsFile(io.BytesIO(), new_writer)
    for _ in range(20):
        file.add(encoded(whole, new_writer))
    gc.collect()
    assert [kept for kept in gc.get_objects() if isinstance(kept, pa.Buffer | pq.ParquetWriter)] == []


def test_a_table_that_parquet_has_no_form_for() -> None:
    schema = pa.schema([("x", pa.run_end_encoded(pa.int32(), pa.string()))])
    with pytest.raises(DataError, match="leave that column out"):
        GroupsFile(io.BytesIO(), writer_maker(schema, "lz4"))


@pytest.mark.parametrize("sizes", [[1] * 3000, [1] * 50 + [5000] + [1] * 150])
def test_many_small_parts_take_the_room_of_their_rows(sizes: list[int]) -> None:
    whole = table(sum(sizes), columns=30)
    held: list[int] = []
    before = pa.total_allocated_bytes()

    def parts() -> Iterator[tuple[pa.RecordBatch, int]]:
        for number, rows in enumerate(sliced(whole, sizes), start=1):
            # A copy, as of a part that was read: its own buffers, each with as many bytes as one has at least.
            (batch,) = rows.take(pa.arange(0, rows.num_rows)).combine_chunks().to_batches()
            yield batch, number
            held.append(pa.total_allocated_bytes() - before)

    sink = io.BytesIO()
    reader = ProfilesReader(whole.schema, "", iter([stream_of(parts(), whole.schema, "parts")]), History())
    assert write_file(reader, sink, {"compression": "none", "row_group_rows": 0}, threads=1) == whole.num_rows
    # One by one they would take ten times as much.
    assert max(held) < 3 * whole.nbytes + 1_500_000
    sink.seek(0)
    assert pq.read_table(sink).equals(whole)
