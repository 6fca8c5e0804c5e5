"""Locations: a file or folder of this machine, or an object or prefix of a cloud store, with the same methods."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path, PosixPath
from typing import Any, BinaryIO, cast

from pycytominer_transform.common.errors import DataError, DestinationExistsError, describe_os_error
from pycytominer_transform.common.model.manifest import Manifest
from pycytominer_transform.common.storage import destination
from pycytominer_transform.common.storage.cloud.cloud_location import CloudLocation
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.tree import entry_names, special_kind, walk_folders
from pycytominer_transform.common.storage.uri import cloud_uri, is_cloud


class LocalLocation(PosixPath):
    """A `pathlib.Path` with the methods of a location."""

    kind = "file or folder"
    reads_small_files_together = True

    walk = walk_folders  # type: ignore[assignment, unused-ignore]
    entry_names = entry_names
    complete_file = destination.complete_file
    complete_folder = destination.complete_folder

    def sizes(self) -> list[int]:
        """Return the bytes of an output, file by file."""
        return [file.stat().st_size for file in (self.rglob("*") if self.is_dir() else [self]) if file.is_file()]

    def prefetch(self, relatives: Iterable[str], *, first: int, last: int) -> AbstractContextManager[None]:
        """Do nothing: the operating system prefetches."""
        return nullcontext()

    def at_version(self, fingerprint: str) -> LocalLocation:
        """Return the file itself: there is one version."""
        return self

    def is_changed_since(self, fingerprint: str) -> bool:
        """Return whether the file has another fingerprint now."""
        return self.fingerprint()[1] != fingerprint

    def fingerprint(self) -> tuple[int, str]:
        """Return the file's size in bytes and its fingerprint: size and modification time in nanoseconds.

        Those of an SQLite file's write-ahead log follow if it has one, because commits go there first.
        """
        try:
            status = self.stat()
            mark = f"{status.st_size}-{status.st_mtime_ns}"
            if ".csv" not in self.name.lower():
                with suppress(FileNotFoundError):
                    log = os.stat(f"{os.path.realpath(self)}-wal")
                    mark += f"-{log.st_size}-{log.st_mtime_ns}" if log.st_size else ""
        except OSError as error:
            raise describe_os_error(error, f"read {self}") from error
        return status.st_size, mark

    def open(self, mode: str = "r", *arguments: Any, **named: Any) -> BinaryIO:  # type: ignore[override]
        """Open the file; see `pathlib.Path.open`.

        Raises
        ------
        DataError
            It is a pipe, a socket or a device.
        """
        if kind := special_kind(self):
            raise DataError(f"{self} is {kind}, not a file")
        return cast(BinaryIO, super().open(mode, *arguments, **named))

    def file_identity(self) -> tuple[int, int] | None:
        """Return the device and inode, which all names of a file share; None if it is missing."""
        try:
            status = self.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def local_file(self) -> Path:
        """Return the file itself."""
        return self

    def check_destination(self, *, overwrite: bool, is_folder: bool) -> None:
        """Refuse it as a destination before any work is done; see `destination.check_destination`."""
        destination.check_destination(self, overwrite=overwrite)

    def is_one_of(self, source: str, relatives: Iterable[str]) -> bool:
        """Return whether it is one of a source's files, under any name."""
        own = self.file_identity()
        return own is not None and any(LocalLocation(source, name).file_identity() == own for name in set(relatives))


Location = LocalLocation | CloudLocation


def location_of(text: str, options: StorageOptions | None = None) -> Location:
    """Return the location that a text names; a path is made absolute.

    Raises
    ------
    UsageError
        It is a URI of an unknown kind.
    """
    return named_location(text if is_cloud(text) else os.path.abspath(text), options)


def named_location(text: str, options: StorageOptions | None = None) -> Location:
    """Return the location that a text names; a path stays as it is, so that messages show it so.

    Raises
    ------
    UsageError
        It is a URI of an unknown kind.
    """
    return CloudLocation(cloud_uri(text), options or StorageOptions()) if is_cloud(text) else LocalLocation(text)


def refuse_among_sources(place: Location, manifest: Manifest) -> None:
    """Refuse a destination that is one of the files to read, by this name or another.

    Raises
    ------
    DestinationExistsError
        It is one of them.
    """
    if place.is_one_of(manifest.source, (source.path for source in manifest.sources)):
        raise DestinationExistsError(f"{place} is one of the source's own files; it will not be overwritten")
