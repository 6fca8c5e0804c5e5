"""Outputs in cloud stores: written to a temporary folder of this machine, uploaded when they are complete.

Until the upload begins, the store has nothing of an output. The last object of a folder, the manifest, is uploaded
after all others, because readers look for it first. An error or an interruption deletes the uploaded objects.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pycytominer_transform.common.errors import (
    DestinationExistsError,
    PctError,
    SourceNotFoundError,
    StorageError,
    TransientStorageError,
    UsageError,
)
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.runtime.signals import cleanup, raise_if_interrupted
from pycytominer_transform.common.storage.cloud import object_store
from pycytominer_transform.common.storage.cloud.cloud_location import CloudLocation
from pycytominer_transform.common.storage.cloud.object_store import (
    PART_BYTES,
    NoSuchObjectError,
    ObjectChangedError,
    ObjectStore,
)
from pycytominer_transform.common.storage.cloud.request_retries import RetriesEndedError, retried
from pycytominer_transform.common.storage.destination import OutputFolder, created_by_another, storage_errors
from pycytominer_transform.common.storage.temporary_names import scratch_folder

_REQUESTS, _LARGE_UPLOADS = 16, 2
"""At once; each large upload has several parts in memory."""
_PATIENCE = 10.0
"""Seconds in which uploads may end before an interrupted process exits."""


class _EndedError(StorageError):
    """An upload is aborted by this error in its content."""


class OutputObjects:
    """The objects of one output, as files of this machine until they are uploaded.

    Parameters
    ----------
    store : ObjectStore
        The bucket that they go to.
    overwrite : bool
        Replace objects that exist.
    """

    def __init__(self, store: ObjectStore, *, overwrite: bool) -> None:
        self.store = store
        self.folder = Path()
        self.prefix = ""
        self.files: dict[str, Path] = {}
        self._overwrite = overwrite
        self._idle = threading.Condition()
        # Not futures: an interruption could come between the start of an upload and the assignment of its future.
        self._uploading: set[str] = set()
        self._uploaded: set[str] = set()
        self._is_ended = False
        self._large = threading.Semaphore(_LARGE_UPLOADS)

    @contextmanager
    def open(self, relative: str) -> Iterator[BinaryIO]:
        """Open a new object under the prefix to write; see `destination.OutputFolder`."""
        path = self.folder / str(len(self.files))
        with storage_errors(path), path.open("wb") as file:
            yield file
        self.files[f"{self.prefix}{relative}"] = path

    @contextmanager
    def tree(self, *, last: str) -> Iterator[Path]:
        """Yield a local folder whose files are uploaded as objects; see `destination.OutputFolder`."""
        folder = self.folder / "tree"
        folder.mkdir()
        yield folder
        files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        for relative in sorted(files, key=lambda relative: (relative == last, relative)):
            self.files[f"{self.prefix}{relative}"] = files[relative]

    def upload(self, keys: Sequence[str]) -> None:
        """Write objects to the store.

        Raises
        ------
        DestinationExistsError
            One exists, and must not be overwritten.
        """
        raise_if_interrupted()
        pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="upload")
        try:
            for upload in [pool.submit(self._upload, key, self.files[key]) for key in keys]:
                upload.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def take_back(self, *, keep_uploaded: bool) -> None:
        """Abort the running uploads, and delete the uploaded objects."""
        with self._idle:
            self._is_ended = True
            if not self._idle.wait_for(lambda: not self._uploading, timeout=_PATIENCE):
                logger.warning("parts of unfinished uploads to %s may be left", self.store.name)
        if not keep_uploaded:
            with suppress(PctError):
                _delete(self.store, sorted(self._uploaded))

    def _upload(self, key: str, path: Path) -> None:
        with self._idle:
            self._uploading.add(key)
        try:
            retried(lambda: self._send(key, path))
            self._uploaded.add(key)
        except (TransientStorageError, NoSuchObjectError, ObjectChangedError) as error:
            # An earlier attempt may have written it, and the answer was lost.
            if self._is_uploaded(key, path):
                self._uploaded.add(key)
            elif isinstance(error, ObjectChangedError):
                raise created_by_another(f"{self.store.name}/{key}") from None
            else:
                raise
        finally:
            with self._idle:
                self._uploading.discard(key)
                self._idle.notify_all()

    def _send(self, key: str, path: Path) -> None:
        pieces = self._pieces(key, path)
        if path.stat().st_size <= object_store.SINGLE_BYTES:
            self.store.put(key, b"".join(pieces), overwrite=self._overwrite)
            return
        try:
            with self._large:
                self.store.upload(key, pieces, overwrite=self._overwrite)
        except TransientStorageError as error:
            if inspect.getgeneratorstate(pieces) == inspect.GEN_CREATED:
                raise
            # The store has tried single parts again itself.
            raise RetriesEndedError(str(error)) from None

    def _pieces(self, key: str, path: Path) -> Generator[bytes, None, None]:
        with path.open("rb") as file:
            while content := file.read(PART_BYTES):
                self._check_not_ended()
                yield content
        if not self._overwrite and path.stat().st_size > object_store.SINGLE_BYTES:
            # Not every store can complete an upload on a condition. obstore allows no other request in this thread.
            with ThreadPoolExecutor(1) as pool:
                if pool.submit(retried, lambda: self.store.find(key)).result():
                    raise ObjectChangedError(f"{key} exists")
        self._check_not_ended()

    def _check_not_ended(self) -> None:
        if self._is_ended:
            raise _EndedError

    def _is_uploaded(self, key: str, path: Path) -> bool:
        with suppress(PctError), path.open("rb") as file:
            stored = retried(lambda: self.store.find(key))
            if stored is None or stored.size != path.stat().st_size:
                return False
            ranges = ((start, min(start + PART_BYTES, stored.size)) for start in range(0, stored.size, PART_BYTES))
            return all(retried(partial(self.store.read, stored, *each)) == file.read(PART_BYTES) for each in ranges)
        return False


def check_cloud_destination(place: CloudLocation, *, overwrite: bool, is_folder: bool) -> None:
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
    key = f"{place.prefix}manifest.arrow" if is_folder else place.uri.key

    def ended() -> Iterator[bytes]:
        raise _EndedError
        yield

    try:
        if not overwrite:
            _refuse_existing(place, is_folder=is_folder)
        # Starting and aborting an upload shows whether writing is permitted, and leaves nothing. The upload is gone
        # already if the answer to an earlier attempt to abort it was lost.
        with suppress(_EndedError, NoSuchObjectError):
            retried(lambda: place.store.upload(key, ended(), overwrite=overwrite))
    except SourceNotFoundError as error:
        raise StorageError(str(error)) from None


@contextmanager
def complete_object(place: CloudLocation, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open an object to write; it becomes visible when the block ends without an error.

    Raises
    ------
    DestinationExistsError
        The destination exists, or another process created it, and it is not to be overwritten.
    StorageError
        The disk or the store refused.
    """
    if place.list_objects():
        raise StorageError(f"cannot write {place}: it is a folder")
    with _output(place.store, overwrite=overwrite, keep_uploaded=overwrite) as output:
        with output.open(place.uri.key) as file:
            yield file
        output.upload([place.uri.key])


@contextmanager
def complete_prefix(place: CloudLocation, *, overwrite: bool, is_ours: Callable[[str], bool]) -> Iterator[OutputFolder]:
    """Open a prefix to fill; its objects become visible when the block ends without an error.

    Parameters
    ----------
    place : CloudLocation
        The destination.
    overwrite : bool
        Replace the objects under it. Only objects that the tool itself writes are replaced.
    is_ours : callable
        Whether the tool wrote an object of this path under the prefix.

    Raises
    ------
    DestinationExistsError
        The destination exists and is not to be overwritten, or holds other things too.
    StorageError
        The disk or the store refused.
    """
    _replaced_keys(place, overwrite=overwrite, is_ours=is_ours)
    with _output(place.store, overwrite=overwrite, keep_uploaded=False) as output:
        output.prefix = place.prefix
        yield output
        *others, last = output.files
        old = _replaced_keys(place, overwrite=overwrite, is_ours=is_ours)
        _delete(place.store, [key for key in old if key == last])
        try:
            # Until the last request the prefix has no manifest.
            output.upload(others)
            _delete(place.store, [key for key in old if key not in output.files])
            output.upload([last])
        except BaseException:
            if old:
                # A mixture of old and new objects would look complete.
                logger.warning("what was in %s before is gone", place)
                with suppress(PctError):
                    _delete(place.store, old)
            raise


@contextmanager
def _output(store: ObjectStore, *, overwrite: bool, keep_uploaded: bool) -> Iterator[OutputObjects]:
    output = OutputObjects(store, overwrite=overwrite)
    take_back = partial(output.take_back, keep_uploaded=keep_uploaded)
    # At an exit the folder is removed after the uploads from it have ended.
    with cleanup(take_back), scratch_folder("pct-upload-") as output.folder:
        try:
            yield output
        except BaseException:
            take_back()
            raise


def _replaced_keys(place: CloudLocation, *, overwrite: bool, is_ours: Callable[[str], bool]) -> list[str]:
    """List the keys to replace, as they are now."""
    if not overwrite:
        _refuse_existing(place, is_folder=True)
        return []
    keys = [stored.key for stored in place.list_objects() if stored.key != place.prefix]
    if not all(is_ours(key.removeprefix(place.prefix)) for key in keys):
        raise DestinationExistsError(f"{place} holds other things than this tool writes; it will not be overwritten")
    return keys


def _refuse_existing(place: CloudLocation, *, is_folder: bool) -> None:
    exists = any(stored.key != place.prefix for stored in place.list_objects())
    try:
        exists = exists or bool(place.find())
    except StorageError:
        # A user who may write under a prefix may lack permission to read an object of its name.
        if not is_folder:
            raise
    if exists:
        raise DestinationExistsError(f"{place} exists already; give --overwrite to replace it")


def _delete(store: ObjectStore, keys: list[str]) -> None:
    if keys:
        retried(lambda: store.delete(keys))
