"""Streams that end early or are damaged: the next tool says so, exits 1, and leaves nothing behind.

A flipped bit in the rows is noticed by the checksum in the closing record. One within the closing record itself that
leaves it well-formed may not be.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pycytominer_transform.common.errors import PctError
from pycytominer_transform.common.ipc.stream_reader import read_streams
from pycytominer_transform.common.ipc.stream_writer import write_stream
from running import Ran, Staged, entries, run

READERS = ("extract", "join", "write")
EARLY = "the stage before this one ended early"
MADE = "made.parquet"
OUTPUTS = {"extract": "bundle", "join": "profiles", "write": MADE}

drawn = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Give a folder for one of many runs within a test."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def boundaries(stream: bytes) -> list[int]:
    """Give the places between the messages of Arrow streams that stand end to end, each end of stream among them."""
    places, at = [], 0
    while at < len(stream):
        length = int.from_bytes(stream[at + 4 : at + 8], "little")
        body = pa.ipc.read_message(pa.py_buffer(stream[at:])).body if length else None
        at += 8 + length + (body.size if body is not None else 0)
        places.append(at)
    assert places[-1] == len(stream)
    return places


def refused(tool: str, stream: bytes) -> Ran:
    """See that a tool refuses a stream, to a path and to a pipe, and leaves nothing under any name."""
    with fresh_folder() as folder:
        ran = run(tool, "-o", folder / OUTPUTS[tool], "-q", stdin=stream)
        ran.failed(1, "standard input")
        assert not entries(folder)
    return ran


def test_the_boundaries_are_all_of_them(staged: Staged) -> None:
    # Schema, rows, closing record, end; the bundle: the manifest, 4 tables for each of 3 parts, the last stream.
    numbers = {tool: len(boundaries(staged.streams[tool])) for tool in READERS}
    assert numbers == {"extract": 4, "join": 4 + 12 * 4 + 3, "write": 1 + 3 + 2}


@pytest.mark.parametrize("tool", READERS)
def test_a_stream_cut_off_between_messages(tool: str, staged: Staged) -> None:
    stream = staged.streams[tool]
    for cut in [0, *boundaries(stream)[:-1]]:
        refused(tool, stream[:cut]).failed(1, EARLY)


@pytest.mark.parametrize("tool", ["join", "write"])
@pytest.mark.quick
def test_a_stream_cut_off_hands_on_no_whole_stream(tool: str, staged: Staged) -> None:
    stream = staged.streams[tool]
    for cut in boundaries(stream)[:-1:5]:
        handed_on = run(tool, "-q", stdin=stream[:cut])
        handed_on.failed(1, EARLY)
        if tool == "join":
            refused("write", handed_on.out).failed(1, EARLY)
        else:
            with pytest.raises(pa.ArrowInvalid):
                pq.read_table(io.BytesIO(handed_on.out))


@pytest.mark.parametrize("tool", READERS)
@given(share=st.floats(0, 1, exclude_max=True))
@settings(drawn, max_examples=examples(60))
def test_a_stream_cut_off_anywhere(tool: str, share: float, staged: Staged) -> None:
    stream = staged.streams[tool]
    refused(tool, stream[: int(share * len(stream))]).failed(1, EARLY)


@given(back=st.integers(1, 700))
@settings(drawn, max_examples=examples(40))
@example(back=1)
@example(back=8)
@pytest.mark.parametrize("tool", READERS)
def test_a_stream_without_its_last_bytes(tool: str, back: int, staged: Staged) -> None:
    refused(tool, staged.streams[tool][:-back]).failed(1, EARLY)


def foreign(stream_format: bool = True) -> bytes:
    table = pa.table({"x": pa.array(range(100))})
    sink = io.BytesIO()
    make = pa.ipc.new_stream if stream_format else pa.ipc.new_file
    with make(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    return sink.getvalue()


@pytest.mark.parametrize("stream_format", [True, False])
def test_foreign_arrow_is_welcome_but_not_cut_off(stream_format: bool, tmp_path: Path) -> None:
    whole = foreign(stream_format)
    run("write", "-o", tmp_path / MADE, stdin=whole).done()
    assert pq.read_table(tmp_path / MADE)["x"].to_pylist() == list(range(100))
    cuts = boundaries(whole)[:-1] if stream_format else range(8, len(whole), 16)
    for cut in cuts:
        refused("write", whole[:cut]).failed(1, EARLY)


@pytest.mark.parametrize("tool", ["join", "write"])
def test_files_cut_off_at_rest(tool: str, staged: Staged, tmp_path: Path) -> None:
    place, made = tmp_path / "given", tmp_path / OUTPUTS[tool]
    shutil.copytree(staged.at_rest(tool), place)
    for path in [*place.glob("part-000002/*.arrow"), *sorted(place.glob("*.arrow"), reverse=True)]:
        whole = path.read_bytes()
        for cut in (0, 7, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:cut])
            run(tool, place, "-o", made, "-q").failed(1, str(path))
            assert entries(tmp_path) == {"given"}
        path.unlink()
        if path.parent == place and tool == "write" and path.name == "manifest.arrow":
            continue  # A folder of Arrow files without a manifest is anybody's, and welcome.
        run(tool, place, "-o", made, "-q").failed(1, str(place))
        assert entries(tmp_path) == {"given"}
        path.write_bytes(whole)
    run(tool, place, "-o", made, "-q").done()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda parts: parts[:2] + parts[3:], "of part"),
        (lambda parts: [parts[0], *parts[5:]], "of part"),
        (lambda parts: [parts[0], parts[2], parts[1], *parts[3:]], "of part"),
        (lambda parts: [*parts[:5], *parts[1:5], *parts[5:]], "of part"),
        (lambda parts: parts[:-5] + parts[-1:], "2 of 3 parts"),
        (lambda parts: parts[:-1], "ends within the bundle"),
    ],
    ids=["a table lost", "a part lost", "tables swapped", "a part twice", "the last part lost", "no end"],
)
def test_a_bundle_of_whole_streams_in_disorder(
    change: Callable[[list[bytes]], list[bytes]], word: str, staged: Staged
) -> None:
    bundle, streams, start = staged.streams["join"], [], 0
    for end in boundaries(bundle):
        if bundle[end - 8 : end] == b"\xff\xff\xff\xff\0\0\0\0":
            streams.append(bundle[start:end])
            start = end
    assert len(streams) == 14
    refused("join", b"".join(change(streams))).failed(1, EARLY)
    if word == "of part":
        refused("join", b"".join(change(streams))).failed(1, word)


def with_last_record_changed(stream: bytes, old: bytes, new: bytes) -> bytes:
    at = stream.rindex(old)
    return stream[:at] + new + stream[at + len(old) :]


def test_a_closing_record_with_other_counts(staged: Staged) -> None:
    stream = staged.streams["write"]
    rows = run("write", "-o", "-", stdin=stream).done()
    count = pq.read_table(io.BytesIO(rows.out)).num_rows
    changed = with_last_record_changed(stream, b'{"rows":%d' % count, b'{"rows":%d' % (count + 1))
    refused("write", changed).failed(1, f"has {count} rows", f"says {count + 1}", EARLY)


def stages_from(tool: str, stream: bytes, out: Path) -> list[Ran]:
    """Run a stage on a stream, and those after it, up to the first that fails."""
    ended: list[Ran] = []
    for stage in READERS[READERS.index(tool) :]:
        last = ["-o", str(out)] if stage == "write" else []
        ended.append(run(stage, "-q", *last, stdin=ended[-1].out if ended else stream))
        if ended[-1].code:
            break
    return ended


@pytest.mark.parametrize("tool", READERS)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(drawn, max_examples=examples(80))
def test_a_flipped_bit_is_no_defect_and_no_silent_loss(tool: str, share: float, bit: int, staged: Staged) -> None:
    damaged = bytearray(staged.streams[tool])
    damaged[int(share * len(damaged))] ^= 1 << bit
    with fresh_folder() as folder:
        ended = stages_from(tool, bytes(damaged), folder / MADE)
        if ended[-1].code:
            # A damaged manifest may ask for a join that makes no sense, which is the user's to answer for: 2.
            ended[-1].failed(ended[-1].code if ended[-1].code == 2 else 1)
            assert not entries(folder)
            return
        rows = pq.read_metadata(folder / MADE).num_rows
    expected = sum(batch.num_rows for batch in pa.ipc.open_stream(staged.streams["write"]))
    assert rows == expected


@pytest.mark.parametrize("at_rest", [False, True])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(drawn, max_examples=examples(60))
def test_a_flipped_bit_within_the_rows_is_noticed(share: float, bit: int, at_rest: bool, staged: Staged) -> None:
    damaged = bytearray(staged.streams["write"])
    schema, *rows = boundaries(bytes(damaged))
    start, end = schema, rows[-3]
    if at_rest:
        damaged = bytearray((staged.at_rest("write") / "part-000001.arrow").read_bytes())
        start, closing = damaged.index(b"pct.part"), damaged.index(b"pct.closing")
        end = (start + closing) // 2
    damaged[start + int(share * (end - start))] ^= 1 << bit
    refused("write", bytes(damaged))


def test_no_flipped_bit_changes_a_row_or_asks_for_more_memory_than_there_is() -> None:
    table = pa.table({"a": [1.5, 2.5]}).replace_schema_metadata({"pct.role": "profiles"})
    sink = io.BytesIO()
    write_stream(sink, table, as_file=False)
    whole, unnoticed = sink.getvalue(), 0
    for bit in range(boundaries(whole)[0] * 8, len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        # Any other error is a defect.
        with suppress(PctError):
            stream = next(read_streams(io.BytesIO(bytes(damaged)), "a stream"))
            assert stream.read_all().equals(table)
            unnoticed += 1
    assert 0 < unnoticed < len(whole)
