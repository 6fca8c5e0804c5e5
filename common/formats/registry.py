"""The file formats, found by name and imported when they are needed."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import PurePosixPath

from pycytominer_transform.common.formats.protocol import Layout, Reader
from pycytominer_transform.common.model.manifest import Manifest
from pycytominer_transform.common.model.preset import FORMATS
from pycytominer_transform.common.storage.tree import Folder

_HERE = __name__.rpartition(".")[0]


def layout_of(kind: str) -> Layout:
    """Return the layout of a kind of files."""
    layout: Layout = import_module(f"{_HERE}.{kind}.layout").layout
    return layout


def files_for(kind: str, tree: Sequence[Folder]) -> list[Folder]:
    """Return a tree without the files that only other kinds have."""
    names = [name for other in FORMATS if other != kind for name in _own_names(layout_of(other))]
    is_foreign = re.compile("|".join(map(fnmatch.translate, names)) or "(?!)").match
    return [
        replace(folder, files=tuple(name for name in folder.files if not is_foreign(name.lower()))) for folder in tree
    ]


def unread_kind(path: str) -> str:
    """Return what a file is that lies beside those of some kind and is not read; empty if its name does not say."""
    name = PurePosixPath(path).name.lower()
    known = (entry for kind in FORMATS for entry in layout_of(kind).unread_files)
    return next((what for pattern, what in known if fnmatch.fnmatchcase(name, pattern)), "")


def _own_names(layout: Layout) -> tuple[str, ...]:
    return (*layout.own_files, *(name for name, _ in layout.unread_files))


def reader_of(kind: str, manifest: Manifest, max_inflate: int) -> Reader:
    """Make a reader for a manifest's files of one kind; see `Reader` for its parameters."""
    reader: type[Reader] = import_module(f"{_HERE}.{kind}.reader").reader
    return reader(manifest, max_inflate)
