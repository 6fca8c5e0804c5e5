"""Manifests as Arrow files and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.arrow_streams import OpenStream, StreamWriter, read_one, read_streams
from pycytominer_transform.common.manifest import Manifest, manifest_from_arrow, manifest_to_arrow
from pycytominer_transform.common.place import Place, named_place
from pycytominer_transform.common.standard_io import STANDARD, open_input
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    from pycytominer_transform.common.destination import OutputFolder

MANIFEST_FILE = "manifest.arrow"


def write_manifest(manifest: Manifest, sink: BinaryIO, *, as_file: bool) -> None:
    """Write a manifest as an Arrow IPC file or stream."""
    table = manifest_to_arrow(manifest)
    writer = StreamWriter(sink, table.schema, as_file=as_file)
    writer.write(table)
    writer.close()


def write_manifest_beside(manifest: Manifest, folder: OutputFolder) -> None:
    """Write the manifest into the folder of a bundle or of profiles."""
    with folder.open(MANIFEST_FILE) as sink:
        write_manifest(manifest, sink, as_file=True)


def read_manifest(path: str, storage: StorageOptions | None = None) -> Manifest:
    """Read a manifest from a file, from a folder that holds one, or from standard input (``-``).

    Raises
    ------
    DataError
        It is no manifest.
    StageEndedEarlyError
        It is cut off.
    """
    if path != STANDARD and (folder := named_place(path, storage)).is_dir():
        path = str(folder / MANIFEST_FILE)
    where = "standard input" if path == "-" else path
    with open_input(path, "a manifest", storage) as file:
        streams = read_streams(file, where)
        return manifest_of(next(streams))


def manifest_of(stream: OpenStream) -> Manifest:
    """Read a manifest from the stream that holds it."""
    return manifest_from_arrow(stream.read_all(), stream.where)


def read_manifest_beside(folder: Place) -> Manifest:
    """Read the manifest that lies in the folder of a bundle or of profiles."""
    with read_one(folder / MANIFEST_FILE, "manifest") as stream:
        return manifest_of(stream)
