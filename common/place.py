"""Where a source lies: a path of this machine, or a prefix or object of a cloud store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.cloud_uri import cloud_uri, is_cloud
from pycytominer_transform.common.errors import describe_os_error
from pycytominer_transform.common.storage_options import StorageOptions

Place = Path | CloudPlace


def place_of(text: str, options: StorageOptions | None = None) -> Place:
    """Give the place that a text names; a path is made absolute.

    Raises
    ------
    UsageError
        It is a URI of a kind that is not known.
    """
    if is_cloud(text):
        return CloudPlace(cloud_uri(text), options or StorageOptions())
    return Path(os.path.abspath(text))


def named_place(text: str, options: StorageOptions | None = None) -> Place:
    """Give the place that a text names, a path as it stands, for files that are named in messages alone.

    Raises
    ------
    UsageError
        It is a URI of a kind that is not known.
    """
    return place_of(text, options) if is_cloud(text) else Path(text)


def entry_names(place: Place) -> list[str]:
    """List what lies in a folder, sorted, folders with a slash behind their names; under a prefix, all that does."""
    if isinstance(place, CloudPlace):
        return sorted(place.objects)
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name + "/" * entry.is_dir() for entry in entries)
    except OSError as error:
        raise describe_os_error(error, f"read the folder {place}") from error


def looking_ahead(root: Place, relatives: Iterable[str], *, first: int, last: int) -> AbstractContextManager[None]:
    """Have the first and last bytes of a source's files ready when they are opened, where they come from afar."""
    if isinstance(root, CloudPlace) and root.is_dir():
        return root.looking_ahead(relatives, first=first, last=last)
    return nullcontext()


def local_path(place: Place) -> Path:
    """Give the file itself, or a copy of the object on this machine, for readers that need one."""
    return place.local() if isinstance(place, CloudPlace) else place
