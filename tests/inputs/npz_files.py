"""DeepProfiler's files made with the standard library, good ones and bad ones, without NumPy."""

from __future__ import annotations

import array
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["METADATA", "Matrix", "array_of", "npy", "object_array", "plate_file", "write_npz"]

Matrix = Sequence[Sequence[float]]

METADATA: Mapping[str, Any] = {
    "Metadata_Plate": "0012", "Metadata_Well": "A01", "Metadata_Site": 5, "RNA": "a/b-ch3.png", "Treatment": "",
    "Metadata_Model": "efficientnet",
}  # fmt: skip


def npy(header: str, data: bytes, version: int = 1) -> bytes:
    """Put a header and data together; sizes and padding as NumPy writes them."""
    width = 2 if version == 1 else 4
    text = header.encode()
    text += b" " * (-(len(text) + 9 + width) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def array_of(rows: Matrix, kind: str = "<f4", *, by_column: bool = False, width: int | None = None) -> bytes:
    """Write an array of numbers as a `.npy` file."""
    width = len(rows[0]) if width is None else width
    listed = [row[i] for i in range(width) for row in rows] if by_column else [value for row in rows for value in row]
    letter = {"f4": "f", "f8": "d", "i4": "i", "i8": "q", "u1": "B"}[kind[1:]]
    values = array.array(letter, listed)
    if kind[0] == ">":
        values.byteswap()
    header = f"{{'descr': '{kind}', 'fortran_order': {by_column}, 'shape': ({len(rows)}, {width}), }}"
    return npy(header, values.tobytes())


def object_array(pickled: bytes, shape: str = "()") -> bytes:
    """Write an array of objects around a pickle."""
    return npy(f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}", pickled)


def write_npz(path: Path, members: Mapping[str, bytes], *, packed: bool = True) -> Path:
    """Write members into an `.npz` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def plate_file(
    path: Path, features: Matrix, locations: Matrix | None = None, metadata: Mapping[str, Any] | None = METADATA
) -> Path:
    """Write a good file; the metadata is pickled as the bare dictionary."""
    members = {"features": array_of(features, width=len(features[0]) if features else 2)}
    if metadata is not None:
        members["metadata"] = object_array(pickle.dumps(dict(metadata), 3))
    if locations is not None:
        members["locations"] = array_of(locations, "<f8", by_column=True, width=2)
    return write_npz(path, members)
