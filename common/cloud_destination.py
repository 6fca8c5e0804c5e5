"""Outputs in cloud stores: to be seen only when complete, taken back where that cannot be.

An object is an upload in parts, completed at the end. A folder is as many of them, completed together, the one that was
written last after all others: the manifest, which readers look for first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.cloud_upload import Sender
from pycytominer_transform.common.errors import (
    DestinationExistsError,
    PctError,
    SourceNotFoundError,
    StorageError,
    UsageError,
)
from pycytominer_transform.common.object_store import ObjectStore
from pycytominer_transform.common.reporting import logger
from pycytominer_transform.common.retrying import retried
from pycytominer_transform.common.temporary_names import called_at_end


def check_cloud_destination(place: CloudPlace, *, overwrite: bool, is_folder: bool) -> None:
    """Refuse a destination before any work is done for it.

    Raises
    ------
    DestinationExistsError
        It exists and is not to be overwritten.
    StorageError
        There is no such bucket, or it cannot be written to.
    UsageError
        It is a whole bucket where an object is to be written.
    """
    if not is_folder and not place.uri.key:
        raise UsageError(f"{place}: names a bucket and no object in it; write {place}/NAME")
    key = f"{_prefix(place)}manifest.arrow" if is_folder else place.uri.key
    try:
        if not overwrite:
            _refuse_existing(place, is_folder=is_folder)
        # An upload that is begun and aborted at once says whether one may write, and leaves nothing.
        upload = retried(lambda: place.store.begin_upload(key, overwrite=overwrite))
    except SourceNotFoundError as error:
        raise StorageError(str(error)) from None
    with suppress(PctError):
        retried(upload.abort)


@contextmanager
def complete_object(place: CloudPlace, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open an object to write; it is there when the block ends well, else nothing is.

    Raises
    ------
    DestinationExistsError
        The destination exists, or came to exist meanwhile, and is not to be overwritten.
    StorageError
        The store refused.
    """
    if any(place.store.listed(f"{place.uri.key}/")):
        raise StorageError(f"cannot write {place}: it is a folder")
    with _sending(place.store, overwrite=overwrite, keeps_completed=overwrite) as sender:
        sink = sender.open(place.uri.key)
        yield sink.as_file()
        sink.finish()
        sender.complete([place.uri.key])


@contextmanager
def complete_prefix(place: CloudPlace, *, overwrite: bool, is_ours: Callable[[str], bool]) -> Iterator[CloudFolder]:
    """Give a prefix to fill; what is written is there when the block ends well, else nothing is.

    Parameters
    ----------
    place : CloudPlace
        The destination.
    overwrite : bool
        Replace what lies under it. Only what the tool itself writes is replaced.
    is_ours : callable
        Says of the path of an object under the prefix whether the tool wrote it.

    Raises
    ------
    DestinationExistsError
        The destination exists and is not to be overwritten, or holds other things too.
    StorageError
        The store refused.
    """
    _replaced(place, overwrite=overwrite, is_ours=is_ours)
    with _sending(place.store, overwrite=overwrite, keeps_completed=False) as sender:
        folder = CloudFolder(place, sender)
        yield folder
        old = _replaced(place, overwrite=overwrite, is_ours=is_ours)
        if not old:
            sender.complete(folder.keys[:-1])
            sender.complete(folder.keys[-1:])
            return
        try:
            _replace_all(folder, sender, old)
        except BaseException:
            # Half of the old and half of the new would pass for a whole.
            logger.warning("what was in %s before is gone", place)
            with suppress(PctError):
                _delete(place.store, old)
            raise


class CloudFolder:
    """A prefix that is being filled; see `destination.OutputFolder`."""

    def __init__(self, place: CloudPlace, sender: Sender) -> None:
        self._prefix = _prefix(place)
        self._sender = sender
        self.keys: list[str] = []

    @contextmanager
    def open(self, relative: str) -> Iterator[BinaryIO]:
        """Begin a new object under it."""
        key = f"{self._prefix}{relative}"
        self.keys.append(key)
        sink = self._sender.open(key)
        yield sink.as_file()
        sink.finish()


@contextmanager
def _sending(store: ObjectStore, *, overwrite: bool, keeps_completed: bool) -> Iterator[Sender]:
    sender = Sender(store, overwrite=overwrite)

    def take_back() -> None:
        sender.abort()
        if sender.completed and not keeps_completed:
            with suppress(PctError):
                _delete(store, sender.completed)

    with called_at_end(take_back):
        try:
            yield sender
        except BaseException:
            take_back()
            raise
        finally:
            sender.close()


def _replace_all(folder: CloudFolder, sender: Sender, old: list[str]) -> None:
    """Complete a folder in another one's place; from its first change to its last there is no manifest in it."""
    _delete(sender.store, [key for key in old if key in folder.keys[-1:]])
    sender.complete(folder.keys[:-1])
    _delete(sender.store, [key for key in old if key not in folder.keys])
    sender.complete(folder.keys[-1:])


def _replaced(place: CloudPlace, *, overwrite: bool, is_ours: Callable[[str], bool]) -> list[str]:
    """Give the keys of what is to be replaced, as they are at this moment."""
    if not overwrite:
        _refuse_existing(place, is_folder=True)
        return []
    prefix = _prefix(place)
    found = [stored.key for stored in place.store.listed(prefix)]
    if not all(is_ours(key.removeprefix(prefix)) for key in found if key != prefix):
        raise DestinationExistsError(f"{place} holds other things than this tool writes; it will not be overwritten")
    return [key for key in found if key != prefix]


def _refuse_existing(place: CloudPlace, *, is_folder: bool) -> None:
    prefix = _prefix(place)
    exists = any(stored.key != prefix for stored in place.store.listed(prefix))
    try:
        exists = exists or bool(place.uri.key and retried(lambda: place.store.found(place.uri.key)))
    except StorageError:
        # Who may write under a prefix need not be allowed to look at an object of its name.
        if not is_folder:
            raise
    if exists:
        raise DestinationExistsError(f"{place} exists already; give --overwrite to replace it")


def _delete(store: ObjectStore, keys: list[str]) -> None:
    if keys:
        retried(lambda: store.delete(keys))


def _prefix(place: CloudPlace) -> str:
    return f"{place.uri.key}/" if place.uri.key else ""
