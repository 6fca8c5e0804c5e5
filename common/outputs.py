"""Where an output goes: a path of this machine, or a place in a cloud store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from pycytominer_transform.common import destination
from pycytominer_transform.common.cloud_destination import (
    check_cloud_destination,
    complete_object,
    complete_prefix,
)
from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.destination import OutputFolder
from pycytominer_transform.common.errors import DestinationExistsError
from pycytominer_transform.common.manifest import Manifest
from pycytominer_transform.common.place import Place


def check_destination(place: Place, *, overwrite: bool, is_folder: bool) -> None:
    """Refuse a destination before any work is done for it.

    Raises
    ------
    DestinationExistsError
        It exists and is not to be overwritten.
    StorageError
        The folder or the bucket that it goes into does not exist or cannot be written to.
    """
    if isinstance(place, CloudPlace):
        check_cloud_destination(place, overwrite=overwrite, is_folder=is_folder)
    else:
        destination.check_destination(place, overwrite=overwrite)


@contextmanager
def complete_file(place: Place, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file or an object to write; it is there when the block ends well, else nothing is.

    Raises
    ------
    DestinationExistsError
        It exists, or came to exist meanwhile, and is not to be overwritten.
    StorageError
        The disk or the store refused.
    """
    if isinstance(place, CloudPlace):
        with complete_object(place, overwrite=overwrite) as sink:
            yield sink
    else:
        with destination.complete_file(place, overwrite=overwrite) as file:
            yield file


def complete_folder(
    place: Place, *, overwrite: bool, is_ours: Callable[[str], bool], lasting: bool = True
) -> AbstractContextManager[OutputFolder]:
    """Give a folder or a prefix to fill; see `destination.complete_folder` and `cloud_destination.complete_prefix`."""
    if isinstance(place, CloudPlace):
        return complete_prefix(place, overwrite=overwrite, is_ours=is_ours)
    return destination.complete_folder(place, overwrite=overwrite, is_ours=is_ours, lasting=lasting)


def refuse_among_sources(place: Place, manifest: Manifest) -> None:
    """Refuse a destination that is one of the files that are to be read.

    Raises
    ------
    DestinationExistsError
        It is, by whatever name.
    """
    if isinstance(place, Path):
        destination.refuse_among_sources(place, manifest.files())
    elif any(_uri_of(manifest, source.path) == str(place) for source in manifest.sources):
        raise DestinationExistsError(f"{place} is one of the source's own objects; it will not be overwritten")


def sizes(place: Place) -> list[int]:
    """Give the bytes of an output, file by file."""
    if isinstance(place, CloudPlace):
        seen = CloudPlace(place.uri, place.options)
        stored = [seen.stored] if seen.stored else list(seen.objects.values())
        return [found.size for found in stored]
    return [file.stat().st_size for file in (place.iterdir() if place.is_dir() else [place])]


def _uri_of(manifest: Manifest, relative: str) -> str:
    return manifest.source if relative == "." else f"{manifest.source}/{relative}"
