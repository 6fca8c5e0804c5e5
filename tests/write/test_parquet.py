"""Parquet files as they are written: values, provenance, checksums, row groups and the memory of small parts."""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.ipc.profiles import ProfilesReader
from pycytominer_transform.common.ipc.stream_reader import stream_of
from pycytominer_transform.common.ipc.stream_writer import arrow_sink
from pycytominer_transform.common.model.provenance import History
from pycytominer_transform.common.write.parquet import RowGroupWriter, write_file

DEFAULTS = {"compression": "lz4", "row_group_rows": 0, "only": (), "drop": ()}


def table(rows: int, columns: int = 3) -> pa.Table:
    """Make a table of all types that profiles have, with missing values."""
    numbers = list(range(rows))
    names = {"text": pa.array([None if i % 7 == 3 else f"text {i % 5}" for i in numbers], pa.string())}
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


def write_tables(tables: Iterable[pa.Table], sink: BinaryIO, settings: dict[str, object], schema: pa.Schema) -> None:
    with arrow_sink(sink) as stream:
        writer = RowGroupWriter(stream, schema, settings)
        for batch in (batch for rows in tables for batch in rows.to_batches()):
            writer.add(batch)
        writer.close("mine", [])


def write(whole: pa.Table, sizes: list[int], **settings: object) -> io.BytesIO:
    sink = io.BytesIO()
    settings = DEFAULTS | settings
    write_tables(sliced(whole, sizes), sink, settings, whole.schema)
    sink.seek(0)
    return sink


@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("sizes", [[], [1], [100], [5, 1, 300], [1] * 170, [0, 9000, 0, 9000]])
def test_tables_come_back_with_their_provenance(sizes: list[int], compression: str) -> None:
    whole = table(sum(sizes))
    file = pq.ParquetFile(write(whole, sizes, compression=compression), page_checksum_verification=True)
    assert file.read().equals(whole)
    assert file.metadata.metadata[b"pct.preset"] == b"mine"
    (step,) = json.loads(file.metadata.metadata[b"pct.provenance"])
    assert (step["tool"], step["counts"]) == ("pct-write", {"rows": whole.num_rows})


@given(st.lists(st.integers(1, 40), max_size=20), st.integers(1, 30))
def test_the_bytes_do_not_depend_on_the_sizes_of_the_tables(sizes: list[int], rows: int) -> None:
    whole = table(sum(sizes))
    file = write(whole, sizes, row_group_rows=rows)
    assert file.read() == write(whole, [whole.num_rows], row_group_rows=rows).read()


def test_a_byte_that_changed_within_a_page_is_noticed() -> None:
    content = bytearray(write(table(400), [400], compression="none").read())
    place = content.index(b"text 4")
    content[place] ^= 1
    file = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
    with pytest.raises(OSError, match="CRC"):
        file.read()


def test_other_readers_take_it(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    path.write_bytes(write(table(400), [100] * 4, row_group_rows=100).read())
    read = duckdb.sql(f"SELECT count(*), sum(whole), count(DISTINCT \"float 1\") FROM '{path}' WHERE whole >= 150")
    assert read.fetchall() == [(250, sum(range(150, 400)), 250 - len([n for n in range(150, 400) if n % 11 == 1]))]


def test_a_file_that_fails_gets_no_footer() -> None:
    whole = table(400)
    sink = io.BytesIO()

    def tables() -> Iterator[pa.Table]:
        yield whole
        raise DataError("the second table cannot be read")

    settings = DEFAULTS | {"row_group_rows": 100}
    with pytest.raises(DataError, match="second table"):
        write_tables(tables(), sink, settings, whole.schema)
    gc.collect()
    assert not sink.getvalue().endswith(b"PAR1")


def test_a_table_that_parquet_has_no_form_for() -> None:
    schema = pa.schema([("x", pa.run_end_encoded(pa.int32(), pa.string()))])
    with pytest.raises(DataError, match="leave that column out"):
        write(schema.empty_table(), [])


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
    assert write_file(reader, sink, DEFAULTS | {"compression": "none"}) == whole.num_rows
    # One by one they would take ten times as much.
    assert max(held) < 3 * whole.nbytes + 1_500_000
    sink.seek(0)
    assert pq.read_table(sink).equals(whole)
