"""Walking a source tree: links followed, no real folder twice, hidden names passed over; what a prefix holds, alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.errors import DataError, describe_os_error
from pycytominer_transform.common.place import Place


@dataclass(frozen=True)
class Folder:
    """One folder of the tree and the names of what lies in it.

    Attributes
    ----------
    relative : str
        POSIX path relative to the source, ``.`` for the source itself.
    files : tuple of str
        Names of files, and of links that lead nowhere, sorted; hidden ones are left out.
    """

    relative: str
    files: tuple[str, ...]

    def path_of(self, name: str) -> str:
        """Give the path of a file in this folder relative to the source."""
        return name if self.relative == "." else f"{self.relative}/{name}"


def walk(root: Place) -> list[Folder]:
    """List all folders of a tree that hold anything, sorted by their relative path.

    A folder that can be reached by several ways is given once: under its own place where that lies in the tree, else
    under the first link to it. So cycles end, and no cell is counted twice.

    Raises
    ------
    StorageError
        A folder cannot be read.
    """
    return _folders_of(root.objects) if isinstance(root, CloudPlace) else _walk_local(root)


def _folders_of(names: Iterable[str]) -> list[Folder]:
    files: dict[str, list[str]] = {".": []}
    for name in names:
        if not any(part.startswith(".") for part in name.split("/")):
            folder, _, last = name.rpartition("/")
            files.setdefault(folder or ".", []).append(last)
    return [Folder(relative, tuple(sorted(held))) for relative, held in sorted(files.items())]


def _walk_local(root: Path) -> list[Folder]:
    seen: set[tuple[int, int]] = set()
    folders: list[Folder] = []
    pending = [(root, ".")]
    links: list[tuple[Path, str]] = []
    while pending or links:
        if not pending:
            links.sort(key=lambda link: link[1], reverse=True)
            pending.append(links.pop())
        path, relative = pending.pop()
        identity = _identity(path)
        if identity in seen:
            continue
        seen.add(identity)
        files: list[str] = []
        for entry in _entries(path):
            inner = entry.name if relative == "." else f"{relative}/{entry.name}"
            if not entry.is_dir():
                files.append(entry.name)
            elif entry.is_symlink():
                links.append((path / entry.name, inner))
            else:
                pending.append((path / entry.name, inner))
        folders.append(Folder(relative, tuple(sorted(files))))
    return sorted(folders, key=lambda folder: folder.relative)


def resolve(root: Place, relative: str) -> Place:
    """Give the place of a source's file; ``.`` is the source itself."""
    return root if relative == "." else root / relative


def checked_name(relative: str) -> str:
    """Refuse a path that cannot be written as text."""
    try:
        relative.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"the name of {relative!r} is not UTF-8; rename it") from error
    return relative


def fingerprint(path: Place) -> tuple[int, str]:
    """Give a file's size in bytes and its fingerprint: size and modification time in nanoseconds, an object's ETag.

    Those of an SQLite file's write-ahead log follow where it has one, since what a writer commits goes there first.
    """
    if isinstance(path, CloudPlace):
        return path.fingerprint()
    try:
        status = path.stat()
        mark = f"{status.st_size}-{status.st_mtime_ns}"
        if ".csv" not in path.name.lower():
            with suppress(FileNotFoundError):
                log = os.stat(f"{os.path.realpath(path)}-wal")
                mark += f"-{log.st_size}-{log.st_mtime_ns}" if log.st_size else ""
    except OSError as error:
        raise describe_os_error(error, f"read {path}") from error
    return status.st_size, mark


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from sorted(
                (entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
    except OSError as error:
        raise describe_os_error(error, f"read the folder {path}") from error
