"""Manifests as Arrow files and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.errors import SourceNotFoundError
from pycytominer_transform.common.ipc.next_stage import MANIFEST_FILE as MANIFEST_FILE
from pycytominer_transform.common.ipc.next_stage import command_for
from pycytominer_transform.common.ipc.stream_reader import OpenStream, open_streams, read_one
from pycytominer_transform.common.ipc.stream_writer import write_stream
from pycytominer_transform.common.model.manifest import Manifest, manifest_from_arrow, manifest_to_arrow
from pycytominer_transform.common.storage.location import Location, named_location
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.standard_io import STANDARD

if TYPE_CHECKING:
    from pycytominer_transform.common.storage.destination import OutputFolder


def write_manifest(manifest: Manifest, sink: BinaryIO, *, as_file: bool) -> None:
    """Write a manifest as an Arrow IPC file or stream."""
    write_stream(sink, manifest_to_arrow(manifest), as_file=as_file)


def write_manifest_beside(manifest: Manifest, folder: OutputFolder) -> None:
    """Write the manifest into the folder of a bundle or of profiles."""
    with folder.open(MANIFEST_FILE) as sink:
        write_manifest(manifest, sink, as_file=True)


def read_manifest(path: str, storage: StorageOptions | None = None) -> Manifest:
    """Read a manifest from a file, from a folder that holds one, or from standard input (``-``).

    Raises
    ------
    SourceNotFoundError
        The folder has no manifest.
    DataError
        It is not a manifest.
    StageEndedEarlyError
        It is cut off.
    """
    if path != STANDARD and (folder := named_location(path, storage)).is_dir():
        if not (folder / MANIFEST_FILE).exists():
            raise SourceNotFoundError(
                f"{path} is a folder without a manifest; if it holds measurements: {command_for('source', path)}"
            )
        path = str(folder / MANIFEST_FILE)
    with open_streams(path, "a manifest", storage) as streams:
        return manifest_of(next(streams))


def manifest_of(stream: OpenStream) -> Manifest:
    """Read a manifest from the stream that holds it."""
    return manifest_from_arrow(stream.read_all(), stream.where)


def read_manifest_beside(folder: Location) -> Manifest:
    """Read the manifest that lies in the folder of a bundle or of profiles."""
    with read_one(folder / MANIFEST_FILE, "manifest") as stream:
        return manifest_of(stream)
