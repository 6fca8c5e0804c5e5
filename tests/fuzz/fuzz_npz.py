"""`.npz` files: odd arrays, odd pickles, spoilt archives."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from random import Random

from judging import Judge
from mutation import HOSTILE, NUMBERS, hostile_name, spoil
from npz_files import METADATA, array_of, npy, object_array

__all__ = ["check", "make"]

_SHAPES = (
    "(2, 2)", "(4,)", "()", "(0, 2)", "(2, 0)", "(1, 4)", "(4, 1)", "(2, 2, 1)", "(-2, 2)",
    "(99999999999, 99999999999)", "(4294967296, 4294967296)", "(2, 2,)", "(2L, 2L)", "(2 2)", "(2, 2",
    "(1" + "0" * 5000 + ",)", "(0, 99999999999)",
)  # fmt: skip
_KINDS = ("<f4", ">f4", "<f8", "|O", "<i8", "|b1", "<U5", "<f2", "|V16", "<c8", "[('a', '<f4')]", "=f4", "f4", "O", "")
_OPERATIONS = (
    b"(.012FIJKLMNPQRSTUVX]abcdeghijlopqrstu}\x80\x81\x82\x83\x84\x85\x86\x87\x88\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93"
    b"\x94\x95\x96\x97\x98"
)
_PICKLE_WORDS = (
    *(bytes([code]) for code in _OPERATIONS),
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"S'O8'\n", b"\x8a\xff",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n", b"c_codecs\nencode\n",
    b"L" + b"9" * 5000 + b"L\n", b"r\xff\xff\xff\x7f", b"p99999999999\n",
)  # fmt: skip
_VALUES: tuple[object, ...] = (
    None, True, 0, -1, 1 << 63, 1 << 70, 10**4000, 0.5, float("nan"), float("inf"), "", "x" * 5000, "\ud800", b"x",
    (1,), [1], {}, {"a": 1}, *NUMBERS, *HOSTILE,
)  # fmt: skip


def make(random: Random, folder: Path) -> None:
    """Write one or two files."""
    source = folder / "source" / "plate"
    source.mkdir(parents=True)
    for name in ("A01_1", "A01_2")[: random.choice((1, 1, 2))]:
        (source / f"{name}.npz").write_bytes(_archive(random))
    options = {"extract": random.choice(([], [], ["--max-inflate", "3kB"], ["--float32"]))}
    (folder / "case.json").write_text(json.dumps({"options": options}))


def check(folder: Path) -> list[str]:
    """Convert them."""
    said = json.loads((folder / "case.json").read_text())
    judge = Judge(folder)
    judge.convert(folder / "source", said["options"] | {"discover": ["--preset", "deepprofiler"]})
    return judge.judge_files()


def _archive(random: Random) -> bytes:
    members = {
        "features": array_of([[1.5, 2.5], [3.5, 4.5]], random.choice(("<f4", ">f4", "<f8"))),
        "locations": array_of([[1.0, 2.0], [3.0, 4.0]], "<f8"),
        "metadata": object_array(_pickled(random)),
    }
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        name = random.choice(list(members))
        kind = random.randrange(5)
        if kind == 0:
            members[name] = spoil(random, members[name], (b"'", b"(", b"L", b"{", b"}", b",", b"\x93NUMPY", b"True"))
        elif kind == 1:
            members[name] = _odd_array(random)
        elif kind == 2:
            del members[name]
        elif kind == 3:
            members[hostile_name(random)] = members[name]
        else:
            members[name] = npy(_header("<f4", "(3000000, 2)"), b"\0" * 24_000_000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return _spoil_archive(random, packed.getvalue())


def _spoil_archive(random: Random, content: bytes) -> bytes:
    if random.random() < 0.3:
        content = spoil(random, content, (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"features.npy", b"\xff" * 4))
    if random.random() < 0.1 and (at := content.rfind(b"PK\x01\x02")) >= 0:
        field = at + random.choice((8, 10, 16, 20, 24, 28, 30, 42))
        lie = struct.pack("<I", random.choice((0, 1, 1000, 0x7FFFFFFF, 0xFFFFFFFF)))
        content = content[:field] + lie + content[field + 4 :]
    return content


def _header(kind: str, shape: str) -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


def _odd_array(random: Random) -> bytes:
    return npy(
        _header(random.choice(_KINDS), random.choice(_SHAPES)),
        struct.pack("<4f", 1, 2, 3, 4) * random.choice((1, 1, 2)),
        random.choice((1, 1, 2, 3, 9)),
    )


def _pickled(random: Random) -> bytes:
    metadata = dict(METADATA)
    for _ in range(random.choice((0, 0, 1, 2))):
        key = random.choice((*metadata, hostile_name(random), "Metadata_NPZSource", "DP_1", "Location_Center_X"))
        metadata[key] = random.choice(_VALUES)
    pickled = pickle.dumps(metadata, random.randint(0, 5))
    return spoil(random, pickled, _PICKLE_WORDS) if random.random() < 0.5 else pickled
