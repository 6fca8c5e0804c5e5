"""Walking a source tree: links are followed, each folder is listed once, hidden names are left out."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pycytominer_transform.common.errors import DataError, describe_os_error
from pycytominer_transform.common.runtime.messages import logger

_SPECIAL_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class Folder:
    """One folder of the tree and the names of its files.

    Attributes
    ----------
    relative : str
        POSIX path relative to the source, ``.`` for the source itself.
    files : tuple of str
        Names of files and of broken links, sorted, without hidden ones, pipes, sockets and devices.
    """

    relative: str
    files: tuple[str, ...]

    def path_of(self, name: str) -> str:
        """Return the path of a file in this folder relative to the source."""
        return name if self.relative == "." else f"{self.relative}/{name}"


def folders_of(names: Iterable[str]) -> list[Folder]:
    """Return the folders that object names with slashes imply, without hidden ones."""
    files: dict[str, list[str]] = {".": []}
    for name in names:
        if not any(part.startswith(".") for part in name.split("/")):
            folder, _, last = name.rpartition("/")
            files.setdefault(folder or ".", []).append(last)
    return [Folder(relative, tuple(sorted(inside))) for relative, inside in sorted(files.items())]


def walk_folders(root: Path) -> list[Folder]:
    """List all folders of a tree, sorted by their relative path.

    A folder that several paths lead to is listed once: under its own path if that is in the tree, else under the first
    link to it. So cycles end, and no cell is counted twice.

    Raises
    ------
    StorageError
        A folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    folders: list[Folder] = []
    pending = [(root, ".")]
    # A heap, since the next link is the first by name, and there may be as many links as folders.
    links: list[tuple[str, Path]] = []
    while pending or links:
        if not pending:
            relative, path = heapq.heappop(links)
            pending.append((path, relative))
        path, relative = pending.pop()
        status = path.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        files: list[str] = []
        with _scandir(path) as entries:
            visible = sorted(
                (entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
        for entry in visible:
            inner = entry.name if relative == "." else f"{relative}/{entry.name}"
            if not entry.is_dir():
                if kind := special_kind(path / entry.name, entry):
                    logger.warning("%s is %s, not a file; passed over", inner, kind)
                else:
                    files.append(entry.name)
            elif entry.is_symlink():
                heapq.heappush(links, (inner, path / entry.name))
            else:
                pending.append((path / entry.name, inner))
        folders.append(Folder(relative, tuple(sorted(files))))
    return sorted(folders, key=lambda folder: folder.relative)


def special_kind(path: Path, entry: os.DirEntry[str] | None = None) -> str:
    """Return what a pipe, a socket or a device is; empty for a file, a folder, or where there is nothing.

    To open one may wait without end for another process, or read without end.
    """
    if entry is not None and entry.is_file():
        return ""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return next((kind for is_kind, kind in _SPECIAL_KINDS if is_kind(mode)), "")


def entry_names(path: Path) -> list[str]:
    """List the names in a folder, sorted; those of folders end in a slash."""
    with _scandir(path) as entries:
        return sorted(entry.name + "/" * entry.is_dir() for entry in entries)


@contextmanager
def _scandir(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    try:
        with os.scandir(path) as entries:
            yield entries
    except OSError as error:
        raise describe_os_error(error, f"read the folder {path}") from error


def checked_name(relative: str) -> str:
    """Return a path, or refuse it if it is not UTF-8."""
    try:
        relative.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"the name of {relative!r} is not UTF-8; rename it") from error
    return relative
