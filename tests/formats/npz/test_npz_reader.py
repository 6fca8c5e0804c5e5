"""An `.npz` file is read bit for bit, and whatever it holds, nothing of it is run, believed or let grow."""

from __future__ import annotations

import codecs
import copyreg
import functools
import math
import operator
import os
import pickle
import struct
import subprocess
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from npz_files import METADATA, array_of, npy, object_array, plate_file, write_npz
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.npz.archive import open_npz
from pycytominer_transform.common.formats.npz.content import NpzSample
from pycytominer_transform.common.formats.npz.layout import read_npz_source
from pycytominer_transform.common.formats.npz.reader import NpzReader
from pycytominer_transform.common.formats.npz.safe_pickle import read_metadata
from pycytominer_transform.common.model.conversion import BadValues
from pycytominer_transform.common.model.manifest import Manifest, Source
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.storage.location import LocalLocation

GOOD = array_of([[1, 2], [3, 4]])
LIMIT = 1 << 30


def read(path: Path, *, max_inflate: int = LIMIT) -> pa.Table:
    sample = NpzSample("cells")
    found = read_npz_source(LocalLocation(path.parent), path.name, "cells", sample)
    preset = Preset(name="npz", title="", format="sqlite", compartments=("cells",))
    schema = sample.schema("", preset, ("cells",), only_common=False)
    source = Source(
        part=1, dataset=".", table_number=1, table="cells", path=path.name, format="npz", bytes=found.bytes,
        rows=found.rows, fingerprint=found.fingerprint,
    )  # fmt: skip
    manifest = Manifest(
        source=str(path.parent), preset=preset, tables=(schema,), sources=(source,), parts_total=1, datasets_total=1
    )
    return NpzReader(manifest, max_inflate).read(source, LocalLocation(path), path.name, BadValues("fail"))


def refused(path: Path, *words: str, **options: int) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    said = str(caught.value)
    assert said.startswith(path.name)
    assert "\n" not in said
    for word in words:
        assert word in said
    return said


def test_further_coordinates_are_kept_under_names_of_their_own(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {"features": GOOD, "locations": array_of([[1, 2, 3, 4], [5, 6, 7, 8]])})
    table = read(path)
    names = ["Location_Center_X", "Location_Center_Y", "Location_3", "Location_4"]
    assert [table[name].to_pylist() for name in names] == [[1, 5], [2, 6], [3, 7], [4, 8]]


def test_features_locations_and_metadata(tmp_path: Path) -> None:
    path = plate_file(tmp_path / "A01_5.npz", [[0.5, 0.1, math.nan], [1e30, -0.0, math.inf]], [[1.5, 2.5], [3, 4]])
    one = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    huge = struct.unpack("<f", struct.pack("<f", 1e30))[0]
    assert read(path).to_pylist() == [
        {"Metadata_NPZSource": "A01_5.npz", **METADATA, "Location_Center_X": x, "Location_Center_Y": y,
         "efficientnet_1": a, "efficientnet_2": b, "efficientnet_3": c}
        for x, y, a, b, c in [(1.5, 2.5, 0.5, one, None), (3.0, 4.0, huge, -0.0, math.inf)]
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8", "<i4", ">i8", "|u1"])
@pytest.mark.parametrize("by_column", [False, True])
def test_any_type_byte_order_and_layout(kind: str, by_column: bool, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {"features": array_of([[1, 2, 3], [4, 5, 6]], kind, by_column=by_column)})
    table = read(path)
    assert [table[f"DP_{i}"].to_pylist() for i in (1, 2, 3)] == [[1, 4], [2, 5], [3, 6]]
    assert table.column_names == ["Metadata_NPZSource", "DP_1", "DP_2", "DP_3"]


def test_a_header_by_python_2_is_read_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    old = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1L), }", struct.pack("<2f", 1, 2))
    assert read(write_npz(tmp_path / "a.npz", {"features": old}))["DP_1"].to_pylist() == [1, 2]
    assert not recwarn.list


@pytest.mark.parametrize("shape", ["(0, 3)", "(0,)", "(0, 0)"])
def test_an_image_without_cells(shape: str, tmp_path: Path) -> None:
    empty = npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}", b"")
    table = read(write_npz(tmp_path / "a.npz", {"features": empty, "locations": empty}))
    assert table.num_rows == 0
    assert table["Metadata_NPZSource"].type == pa.string()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(share: float, packed: bool, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {"features": array_of([[1.0, 2.0]] * 99)}, packed=packed)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "empty" if not share else "cut off")


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {"features": GOOD}, packed=False)
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<f", 3))] ^= 1
    path.write_bytes(content)
    refused(path, "features", "CRC")


@pytest.mark.parametrize("shape", ["(2, 3)", "(1, 2)", "(99999999999, 99999999999)", "(0, 2)"])
def test_a_shape_that_is_not_that_of_the_data(shape: str, tmp_path: Path) -> None:
    lie = npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}", b"\0" * 16)
    refused(write_npz(tmp_path / "a.npz", {"features": lie}), "features", shape, "damaged")


def test_endless_columns_of_no_rows(tmp_path: Path) -> None:
    lie = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999), }", b"")
    refused(write_npz(tmp_path / "a.npz", {"features": lie}), "99999999999 features")


def test_a_bomb_is_refused_with_its_figure(tmp_path: Path) -> None:
    bomb = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2500000, 2), }", b"\0" * 20_000_000)
    path = write_npz(tmp_path / "a.npz", {"features": bomb})
    assert path.stat().st_size < 50_000
    refused(path, "20.0 MB", "10000000", "--max-inflate", max_inflate=10_000_000)
    assert read(path).num_rows == 2_500_000


def test_a_bomb_that_says_it_is_small(tmp_path: Path) -> None:
    bomb = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5000000, 1), }", b"\0" * 20_000_000)
    path = write_npz(tmp_path / "a.npz", {"features": bomb})
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", len(bomb)), struct.pack("<I", 1000)))
    refused(path, "features", max_inflate=2000)


def test_large_metadata_is_refused(tmp_path: Path) -> None:
    large = object_array(pickle.dumps({"a": "x" * (1 << 21)}))
    refused(write_npz(tmp_path / "a.npz", {"features": GOOD, "metadata": large}), "metadata", "more than")


class Runs:
    """Pickles as a call of something."""

    def __init__(self, what: Any, *given: Any) -> None:
        self.what, self.given = what, given

    def __reduce__(self) -> Any:
        """Say what to call."""
        return self.what, self.given


MARK = "pct_was_here"
RUNNING = {
    "os.system": (Runs(os.system, f"touch {MARK}"), f"{os.system.__module__}.system"),
    "eval": (Runs(eval, f"open('{MARK}', 'w')"), "builtins.eval"),
    "exec": (Runs(exec, f"open('{MARK}', 'w')"), "builtins.exec"),
    "open": (Runs(open, MARK, "w"), "io.open"),
    "getattr": (Runs(getattr, "", "upper"), "builtins.getattr"),
    "import": (Runs(__import__, "antigravity"), "builtins.__import__"),
    "decode": (Runs(codecs.decode, b"x", "zlib"), "_codecs.decode"),
    "copyreg": (Runs(copyreg._reconstructor, object, object, None), "copyreg._reconstructor"),  # type: ignore[attr-defined]
    "partial": (Runs(functools.partial, os.system, f"touch {MARK}"), "functools.partial"),
    "attrgetter": (Runs(operator.attrgetter, "system"), "operator.attrgetter"),
    "subprocess": (Runs(subprocess.Popen, ["touch", MARK]), "subprocess.Popen"),
    "a pickle in a pickle": (Runs(pickle.loads, pickle.dumps(Runs(os.system, f"touch {MARK}"))), "_pickle.loads"),
    "in a dictionary": ({"a": [Runs(os.system, f"touch {MARK}")]}, "system"),
    "as a key": ({"a": 1, Runs(os.system, f"touch {MARK}"): 1}, "system"),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("case", RUNNING)
def test_nothing_is_run(case: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    what, name = RUNNING[case]
    path = write_npz(tmp_path / "a.npz", {"features": GOOD, "metadata": object_array(pickle.dumps(what, protocol))})
    said = refused(path, "refused", "may run code")
    # Protocols below 3 have Python 2's names of modules.
    assert name.split(".")[-1].strip("_") in said
    assert not (tmp_path / MARK).exists()


@pytest.mark.parametrize("member", ["features", "locations"])
@pytest.mark.parametrize("shape", ["()", "(2, 2)"])
def test_objects_where_numbers_should_be_are_never_unpickled(
    member: str, shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    running = object_array(pickle.dumps(Runs(os.system, f"touch {MARK}")), shape)
    path = write_npz(tmp_path / "a.npz", {"features": GOOD, member: running})
    refused(path, member, "pickled object, which is refused")
    assert not (tmp_path / MARK).exists()


def test_members_that_lie_in_one_another_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {"features": array_of([[1.0, 2.0]] * 9), "locations": GOOD}, packed=False)
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = struct.pack("<I", 0)  # Where it begins: with the first.
    path.write_bytes(content)
    refused(path, "locations", "cannot be read")


def test_many_members_are_counted_together(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {"features": GOOD} | {f"x{i}": b"\0" * 1_000_000 for i in range(50)})
    assert path.stat().st_size < 100_000
    refused(path, "50.0 MB", "--max-inflate", max_inflate=49_000_000)


NUMPY_CHAINS = {
    "a name within NumPy": b"cnumpy.testing._private.utils\nrunstring\n(S'x'\n}tR.",
    "NumPy's own load": b"cnumpy\nload\n(S'x'\ntR.",
    "f2py": b"cnumpy.f2py.diagnose\nrun_command\n(S'id'\ntR.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
    "an attribute of a stand-in": b"\x80\x04\x8c\x16numpy.core.multiarray_\x8c\x0c_reconstruct\x93.",
    "os through numpy": b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93\x8c\x02id\x85R.",
    "line ends in a name": b"\x80\x04\x8c\x06nu\nmpy\x8c\x03x\ny\x93.",
    "a state for a name": b"cnumpy\nndarray\n}(S'_make'\nI1\nsb.",
    "a state with slots for a name": b"cnumpy\nndarray\n(N}(S'_make'\nI1\nstb.",
    "numpy.testing": b"cnumpy.testing\nrundocs\n(S'x'\ntR.",
    "_reconstruct of another class": b"cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\n(I0\ntS'b'\ntR.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent name": b"Pos\n.",
    "an instance": b"(S'id'\nios\nsystem\n.",
    "an object": b"\x80\x02cnumpy\ndtype\n)\x81.",
    "a far place in the memo": b"Nr\xff\xff\xff\x7f.",
    "tuples without end": b"N" + b"\x85" * 200_000 + b".",
    "a chain of calls": b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\ntRcos\nsystem\ntR(S'id'\ntR.",
    "a call of what was made": b"cnumpy\ndtype\n(S'i8'\ntR(S'x'\ntR.",
}


@pytest.mark.parametrize("case", NUMPY_CHAINS)
def test_chains_through_numpy_are_refused(case: str) -> None:
    with pytest.raises(DataError, match=r"^a\.npz: its metadata ") as caught:
        read_metadata(NUMPY_CHAINS[case], "a.npz")
    assert "\n" not in str(caught.value)


def test_a_refused_file_leaves_the_next_one_as_it_is() -> None:
    for chain in NUMPY_CHAINS.values():
        with pytest.raises(DataError):
            read_metadata(chain, "a.npz")
    assert read_metadata(WITH_NUMPY, "a.npz") == {"a": 3, "b": "µ"}


WITH_NUMPY = (
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(tcnumpy\ndtype\n(S'O8'\nI0\nI1\ntR"
    b"(I3\nS'|'\nNNNI-1\nI-1\nI63\ntbI00\n(l(dS'a'\ncnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(S'i8'\nI0\nI1\ntR"
    b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbc_codecs\nencode\n(V\\u0003\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\n"
    b"S'latin1'\ntRtRsS'b'\nV\\u00b5\nsatb."
)


@pytest.mark.parametrize("member", ["features", "locations"])
def test_objects_are_refused_where_numbers_should_be(member: str, tmp_path: Path) -> None:
    members = {"features": GOOD, "locations": GOOD} | {member: object_array(pickle.dumps([1.0]), "(1, 1)")}
    refused(write_npz(tmp_path / "a.npz", members), member, "pickled")


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({}, "no member features"),
        ({"features": b""}, "features"),
        ({"features": b"\x93NUMPY\x01"}, "features"),
        ({"features": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", b"1234")}, "header"),
        ({"features": npy("{'descr': '<U4', 'fortran_order': False, 'shape': (1, 1), }", b"1" * 16)}, "'<U4'"),
        ({"features": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", b"1234")}, "shape"),
        ({"features": GOOD, "locations": array_of([[1, 2]])}, "locations"),
        ({"features": GOOD, "metadata": GOOD}, "metadata"),
        ({"features": GOOD, "metadata": object_array(pickle.dumps([1]))}, "dictionary"),
        ({"features": GOOD, "metadata": object_array(pickle.dumps({"a": [1]}))}, "'a'"),
        ({"features": GOOD, "metadata": object_array(pickle.dumps({3: 1}))}, "key"),
        ({"features": GOOD, "metadata": object_array(pickle.dumps({"DP_1": 1}))}, "DP_1"),
        ({"features": GOOD, "metadata": object_array(pickle.dumps({"Metadata_NPZSource": 1}))}, "Metadata_NPZSource"),
        ({"features": GOOD, "metadata": object_array(pickle.dumps({}), "(1,)")}, "metadata"),
    ],
)
def test_other_faults_are_named(members: dict[str, bytes], word: str, tmp_path: Path) -> None:
    refused(write_npz(tmp_path / "a.npz", members), word)


def test_a_member_twice(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {"features": GOOD})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("features.npy", GOOD)
    refused(path, "features.npy", "twice")


@settings(max_examples=examples(500))
@given(first=st.binary(max_size=200) | st.binary(max_size=120).map(lambda some: b"\x93NUMPY\x01\0\x76\0" + some))
@example(first=GOOD)
def test_any_bytes_are_a_header_or_one_line(first: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write_npz(tmp_path_factory.getbasetemp() / "header.npz", {"features": first})
    try:
        with open_npz(LocalLocation(path), "header.npz") as npz:
            header = npz.header("features")
    except DataError as error:
        said = str(error)
    else:
        assert header.dtype.kind in "iufO"
        assert all(size >= 0 for size in header.shape)
        return
    assert said.startswith("header.npz: ")
    assert "\n" not in said


def test_a_header_that_says_it_is_long(tmp_path: Path) -> None:
    bomb = b"\x93NUMPY\x02\0" + struct.pack("<I", 50_000_000) + b" " * 50_000_000
    path = write_npz(tmp_path / "a.npz", {"features": bomb})
    tracemalloc.start()
    try:
        refused(path, "features")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_header_of_nested_brackets(tmp_path: Path) -> None:
    bomb = npy("{'descr': " + "(" * 4000 + ")" * 4000 + ", 'fortran_order': False, 'shape': (1, 1), }", b"")
    refused(write_npz(tmp_path / "a.npz", {"features": bomb}), "features")


@settings(max_examples=examples(300))
@given(place=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(GOOD)))
def test_a_damaged_array_gives_its_numbers_or_one_line(
    place: int, byte: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = bytearray(GOOD)
    damaged[place] = byte
    path = write_npz(tmp_path_factory.getbasetemp() / "damaged.npz", {"features": bytes(damaged[: cut or None])})
    try:
        table = read(path)
    except DataError as error:
        said = str(error)
    else:
        assert table.num_rows * (table.num_columns - 1) in (0, 1, 2, 4, 8, 16)
        return
    assert said.startswith("damaged.npz")


@settings(max_examples=examples(300))
@given(content=st.binary(max_size=300) | st.binary(max_size=40).map(lambda some: WITH_NUMPY[: len(some) * 9] + some))
def test_any_pickle_is_a_dictionary_or_one_line(content: bytes) -> None:
    try:
        read_metadata(content, "a.npz")
    except DataError as error:
        said = str(error)
    else:
        return
    assert said.startswith("a.npz: its metadata ")


@given(content=st.binary(max_size=300))
def test_any_file_is_refused_in_one_line(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^any\.npz"), open_npz(LocalLocation(path), "any.npz"):
        raise AssertionError


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))


@given(metadata=st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), plain), protocol=st.integers(0, 5))
def test_plain_metadata_come_back_as_they_were(metadata: dict[str, Any], protocol: int) -> None:
    assert read_metadata(pickle.dumps(metadata, protocol), "a.npz") == metadata


def test_what_numpy_writes(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    metadata = dict(METADATA) | {
        "a": np.int64(3), "b": np.float32(0.5), "c": np.str_("µ"), "d": np.bool_(True), "e": np.float64("nan"),
        "f": np.array(2.5), "g": np.uint8(7), "h": np.str_(""), "i": np.bytes_(b"x"),
        "Metadata_Model": np.str_("resnet"),
    }  # fmt: skip
    features = np.arange(12, dtype="f4").reshape(3, 4) / 7
    np.savez_compressed(tmp_path / "a.npz", features=features, metadata=metadata, locations=features.T[:2].T)
    table = read(tmp_path / "a.npz")
    assert [table[f"resnet_{i + 1}"].to_pylist() for i in range(4)] == features.T.astype("f8").tolist()
    assert table["Location_Center_Y"].to_pylist() == features[:, 1].astype("f8").tolist()
    first = table.to_pylist()[0]
    assert [first[key] for key in "abcdefghi"] == [3, 0.5, "µ", "True", None, 2.5, 7, "", "x"]
