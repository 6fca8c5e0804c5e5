"""A prefix or an object of a cloud store, with the methods of a `location.Location`.

A prefix is listed once, flat. Every read asks for a range of the very version that was listed, so that no file is a
mixture of two versions.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pycytominer_transform.common.errors import DataError, SourceNotFoundError
from pycytominer_transform.common.storage.cloud.object_reader import LEAST_BYTES, ObjectReader, Prefetch
from pycytominer_transform.common.storage.cloud.object_store import ObjectStore, StoredObject, open_store
from pycytominer_transform.common.storage.cloud.request_retries import retried
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.tree import Folder, folders_of
from pycytominer_transform.common.storage.uri import CloudUri

if TYPE_CHECKING:
    from pycytominer_transform.common.storage.destination import OutputFolder

_MARK = re.compile(r"[\x21-\x7e]+")


class Status(NamedTuple):
    """The fields of `os.stat_result` that an object has."""

    st_size: int


class CloudLocation:
    """A prefix or an object.

    Parameters
    ----------
    uri : CloudUri
        Its name.
    options : StorageOptions
        Access to its store.
    stored : StoredObject, optional
        The object, if it is known already.
    """

    kind = "object with this name or beginning"
    reads_small_files_together = False

    def __init__(self, uri: CloudUri, options: StorageOptions, stored: StoredObject | None = None) -> None:
        self.uri = uri
        self.options = options
        self._known = stored
        self._prefetch: Prefetch | None = None

    def __str__(self) -> str:
        """Return the URI."""
        return str(self.uri)

    def __truediv__(self, relative: str) -> CloudLocation:
        """Return the location of a name under the prefix; its object is known if the prefix has been listed."""
        if relative == ".":
            return self
        key = f"{self.uri.key}/{relative}" if self.uri.key else relative
        stored = self.objects.get(relative) if "objects" in self.__dict__ else None
        inner = CloudLocation(CloudUri(self.uri.scheme, self.uri.bucket, key), self.options, stored)
        inner._prefetch = self._prefetch
        return inner

    @property
    def name(self) -> str:
        """The last component; the bucket's name for a whole bucket."""
        return PurePosixPath(self.uri.key).name or self.uri.bucket

    @property
    def suffix(self) -> str:
        """The name's ending, with its dot."""
        return PurePosixPath(self.name).suffix

    def as_posix(self) -> str:
        """Return the URI."""
        return str(self.uri)

    @property
    def store(self) -> ObjectStore:
        """The bucket that it is in."""
        return open_store(self.uri, self.options)

    @property
    def prefix(self) -> str:
        """The common beginning of the keys of the objects under it."""
        return f"{self.uri.key}/" if self.uri.key else ""

    def list_objects(self) -> list[StoredObject]:
        """List the objects under it as they are now."""
        return retried(partial(self.store.list_below, self.prefix))

    @cached_property
    def objects(self) -> Mapping[str, StoredObject]:
        """The objects under it by their keys without its prefix; listed once."""
        return {stored.key.removeprefix(self.prefix): stored for stored in self.list_objects()}

    def find(self) -> StoredObject | None:
        """Return the object of its name as it is now; None if it does not exist."""
        return retried(partial(self.store.find, self.uri.key)) if self.uri.key else None

    @cached_property
    def stored(self) -> StoredObject | None:
        """The object of its name; None if it does not exist."""
        return self._known or self.find()

    def walk(self) -> list[Folder]:
        """List all folders under it, as `tree.walk_folders` does."""
        return folders_of(self.objects)

    def entry_names(self) -> list[str]:
        """List the keys under it without its prefix, sorted."""
        return sorted(self.objects)

    def sizes(self) -> list[int]:
        """Return the bytes of an output, object by object."""
        stored = self.find()
        return [each.size for each in ([stored] if stored else self.list_objects())]

    def prefetch(self, relatives: Iterable[str], *, first: int, last: int) -> AbstractContextManager[None]:
        """Prefetch the first and last bytes of files, in this order, while the block lasts."""
        return self._prefetched(relatives, first, last) if self.is_dir() else nullcontext()

    @contextmanager
    def _prefetched(self, relatives: Iterable[str], first: int, last: int) -> Iterator[None]:
        objects = [self.objects[relative] for relative in relatives if relative in self.objects]
        with closing(Prefetch(self.store, objects, first, last)) as self._prefetch:
            yield
        self._prefetch = None

    def at_version(self, fingerprint: str) -> CloudLocation:
        """Return the version of the object that a manifest describes, without a request.

        Raises
        ------
        DataError
            The manifest was not made of objects.
        """
        size, _, mark = fingerprint.partition("-")
        if not size.isdecimal() or not _MARK.fullmatch(mark):
            raise DataError(f"{self}: its fingerprint in the manifest is malformed; run pct-discover again")
        return CloudLocation(self.uri, self.options, StoredObject(self.uri.key, int(size), mark))

    def is_changed_since(self, fingerprint: str) -> bool:
        """Return False: each request names the version."""
        return False

    def fingerprint(self) -> tuple[int, str]:
        """Return the object's size in bytes and its fingerprint: size and ETag or generation."""
        stored = self._object()
        return stored.size, f"{stored.size}-{stored.mark}"

    def is_dir(self) -> bool:
        """Return whether any object is under it."""
        return self._known is None and bool(self.objects)

    def is_file(self) -> bool:
        """Return whether it is an object."""
        return not self.is_dir() and self.stored is not None

    def exists(self) -> bool:
        """Return whether it is an object, or any object is under it."""
        return self.is_dir() or self.is_file()

    def is_symlink(self) -> bool:
        """Return False: there are no links."""
        return False

    def file_identity(self) -> None:
        """Return None: no two names share an object."""

    def stat(self) -> Status:
        """Return the object's size.

        Raises
        ------
        SourceNotFoundError
            There is no such object.
        """
        return Status(self._object().size)

    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO:
        """Open the object for reading; a read is a request, unless an earlier one brought its bytes."""
        pieces = self._prefetch.take(self.uri.key) if self._prefetch else []
        raw = ObjectReader(self.store, self._object(), pieces)
        return raw if buffering == 0 else io.BufferedReader(raw, LEAST_BYTES)  # type: ignore[return-value]

    def read_bytes(self) -> bytes:
        """Read the whole object."""
        with self.open(buffering=0) as file:
            return file.read()

    def local_file(self) -> Path:
        """Return a file on this machine with the object's content."""
        from pycytominer_transform.common.storage.cloud.download_cache import cached_file

        return cached_file(self.store, self._object(), self.uri, self.options)

    def check_destination(self, *, overwrite: bool, is_folder: bool) -> None:
        """Refuse it as a destination; see `check_cloud_destination`."""
        from pycytominer_transform.common.storage.cloud.cloud_destination import check_cloud_destination

        check_cloud_destination(self, overwrite=overwrite, is_folder=is_folder)

    def complete_file(self, *, overwrite: bool) -> AbstractContextManager[BinaryIO]:
        """Open the object to write; see `complete_object`."""
        from pycytominer_transform.common.storage.cloud.cloud_destination import complete_object

        return complete_object(self, overwrite=overwrite)

    def complete_folder(
        self, *, overwrite: bool, is_ours: Callable[[str], bool], lasting: bool = True
    ) -> AbstractContextManager[OutputFolder]:
        """Open the prefix to fill; see `complete_prefix`."""
        from pycytominer_transform.common.storage.cloud.cloud_destination import complete_prefix

        return complete_prefix(self, overwrite=overwrite, is_ours=is_ours)

    def is_one_of(self, source: str, relatives: Iterable[str]) -> bool:
        """Return whether it is one of a source's files."""
        return str(self) in {source if relative == "." else f"{source}/{relative}" for relative in relatives}

    def _object(self) -> StoredObject:
        if self.stored is None:
            raise SourceNotFoundError(f"{self}: there is no such object")
        return self.stored
