"""Headers from elsewhere, nested without end or of another shape: one line, exit code 1 or 2, and nothing left."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.common.ipc.stream_writer import CLOSING, write_stream
from pycytominer_transform.common.model.manifest import manifest_to_arrow
from running import Staged, entries, run

DEEP = "[" * 100_000
JOIN_STEP = 1
Change = Callable[[dict[bytes, bytes]], None]


def rewritten(streams: bytes, change: Change) -> bytes:
    """Change the metadata of Arrow streams' schemas and batches; their checksums are left out."""
    source, sink = pa.BufferReader(streams), io.BytesIO()
    while source.tell() < len(streams):
        reader = pa.ipc.open_stream(source)
        metadata = dict(reader.schema.metadata or {})
        change(metadata)
        with pa.ipc.new_stream(sink, reader.schema.with_metadata(metadata)) as writer:
            for batch in reader.iter_batches_with_custom_metadata():
                custom = dict(batch.custom_metadata or {})
                if CLOSING in custom:
                    closing = json.loads(custom[CLOSING])
                    closing.pop("checksum", None)
                    custom[CLOSING] = json.dumps(closing).encode()
                change(custom)
                writer.write_batch(batch.batch.replace_schema_metadata(metadata), custom_metadata=custom or None)
    return sink.getvalue()


def replaced(key: bytes, text: str) -> Change:
    def change(metadata: dict[bytes, bytes]) -> None:
        if key in metadata:
            metadata[key] = text.encode()

    return change


def changed_counts(change: Callable[[dict[str, Any]], None]) -> Change:
    """Change the counts of `pct-join` in the closing record of profiles."""

    def change_closing(metadata: dict[bytes, bytes]) -> None:
        if CLOSING in metadata:
            closing = json.loads(metadata[CLOSING])
            change(closing["steps"][JOIN_STEP]["counts"])
            metadata[CLOSING] = json.dumps(closing).encode()

    return change_closing


def refused(tool: str, stream: bytes, folder: Path) -> None:
    run(tool, "-q", "-o", folder / "made", stdin=stream).failed(1)
    assert not entries(folder)


@pytest.mark.parametrize(
    ("tool", "key"),
    [
        ("extract", b"pct.manifest"),
        ("extract", CLOSING),
        ("join", b"pct.manifest"),
        ("join", CLOSING),
        ("write", b"pct.provenance"),
        ("write", b"pct.part"),
        ("write", CLOSING),
    ],
)
def test_metadata_nested_without_end(tool: str, key: bytes, staged: Staged, tmp_path: Path) -> None:
    for text in (DEEP, '{"a":' * 100_000, "9" * 5_000, "\xff", '[{"tool": "x"}]'):
        refused(tool, rewritten(staged.streams[tool], replaced(key, text)), tmp_path)


def test_options_nested_as_deep_as_python_can(staged: Staged, tmp_path: Path) -> None:
    def change(metadata: dict[bytes, bytes]) -> None:
        if b"pct.provenance" in metadata:
            steps = json.loads(metadata[b"pct.provenance"])
            steps[0]["options"]["preset"] = "here"
            metadata[b"pct.provenance"] = json.dumps(steps).replace('"here"', "[" * 200 + "]" * 200).encode()

    refused("write", rewritten(staged.streams["write"], change), tmp_path)


@pytest.mark.parametrize("wells", [{}, 1, {"Metadata_Object_Count": {}}, {"Metadata_Object_Count": {"A01": "many"}}])
def test_counts_of_another_shape(wells: Any, staged: Staged, tmp_path: Path) -> None:
    counted = run("join", "--counts", "-q", stdin=staged.streams["join"]).done().out
    refused("write", rewritten(counted, changed_counts(lambda counts: counts.update(wells=wells))), tmp_path)


def test_counts_by_a_key_that_is_no_column(staged: Staged, tmp_path: Path) -> None:
    counted = run("join", "--counts", "-q", stdin=staged.streams["join"]).done().out
    reader = pa.ipc.open_stream(counted)
    for keys in ('["nothing"]', DEEP, "1"):
        place = reader.schema.get_field_index("Metadata_Object_Count")
        field = reader.schema.field(place).with_metadata({"pct.well_keys": keys})
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, reader.schema.set(place, field).remove_metadata()):
            pass
        refused("write", sink.getvalue(), tmp_path)


def test_shares_that_a_manifest_lies_about(staged: Staged, tmp_path: Path) -> None:

    folders = []
    for number in (1, 2):
        folder = tmp_path / f"profiles{number}"
        folder.mkdir()
        manifest = read_manifest(str(staged.at_rest("write"))).only_parts([number])
        step = replace(manifest.provenance[0], options={"shard": ["x"]})
        manifest = replace(manifest, parts_total=2**62, provenance=(step,))
        with (folder / "manifest.arrow").open("wb") as sink:
            write_stream(sink, manifest_to_arrow(manifest), as_file=True)
        name = f"part-{number:06d}.arrow"
        (folder / name).write_bytes((staged.at_rest("write") / name).read_bytes())
        folders.append(folder)
    run("write", "-q", *folders, "-o", tmp_path / "made.parquet").failed(1, "lack part 3")


@pytest.mark.parametrize("content", [b"[" * 3_000, b"a = " + b"[" * 3_000, b"a = " + b"{b = " * 3_000, b"\xff\0"])
def test_settings_nested_without_end(content: bytes, staged: Staged, tmp_path: Path) -> None:
    (tmp_path / "given.toml").write_bytes(content)
    run("discover", staged.source, "-q", "--preset", tmp_path / "given.toml", "-o", tmp_path / "made").failed(2, "TOML")
    words = ["--runner", "dask", "--dask-cluster", tmp_path / "given.toml"]
    run("flow", staged.source, "-q", *words, "-o", tmp_path / "made.parquet").failed(2, "TOML")


def write_npz(folder: Path, member: str, content: bytes) -> Path:
    """Write a good .npz file with one member exchanged."""
    good = io.BytesIO()
    np.savez(good, features=np.zeros((2, 3)), metadata=np.array({"Metadata_Well": "A01"}, object))
    folder.mkdir()
    with zipfile.ZipFile(good) as before, zipfile.ZipFile(folder / "0-0.npz", "w") as after:
        for name in before.namelist():
            after.writestr(name, content if name == f"{member}.npy" else before.read(name))
    return folder


def array_of(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + data


@pytest.mark.parametrize("header", [b"(" * 9_000, b"{'descr': " + b"[" * 5_000, b"-" * 9_000 + b"1"])
@pytest.mark.parametrize("member", ["features", "metadata"])
def test_an_array_header_nested_without_end(member: str, header: bytes, tmp_path: Path) -> None:
    source = write_npz(tmp_path / "source", member, array_of(header))
    run("discover", source, "-q", "--preset", "deepprofiler", "-o", tmp_path / "made").failed(1, member)


def test_a_pickle_nested_without_end(tmp_path: Path) -> None:
    pickled = b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b"."
    array = array_of(b"{'descr': '|O', 'fortran_order': False, 'shape': ()}", pickled)
    source = write_npz(tmp_path / "source", "metadata", array)
    run("discover", source, "-q", "--preset", "deepprofiler", "-o", tmp_path / "made").failed(1, "metadata")
