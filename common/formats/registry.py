"""The file formats, found by name and imported when they are needed."""

from __future__ import annotations

from importlib import import_module

from pycytominer_transform.common.formats.protocol import Layout, Reader
from pycytominer_transform.common.model.manifest import Manifest

_HERE = __name__.rpartition(".")[0]


def layout_of(kind: str) -> Layout:
    """Return the layout of a kind of files."""
    layout: Layout = import_module(f"{_HERE}.{kind}.layout").layout
    return layout


def reader_of(kind: str, manifest: Manifest, max_inflate: int) -> Reader:
    """Make a reader for a manifest's files of one kind; see `Reader` for its parameters."""
    reader: type[Reader] = import_module(f"{_HERE}.{kind}.reader").reader
    return reader(manifest, max_inflate)
