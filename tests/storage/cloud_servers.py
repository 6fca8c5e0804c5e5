"""Real object storage servers on the loopback address, for tests with S3, Google Cloud Storage and Azure.

`with s3_server() as server:` gives a `Server` that is ready; it is gone, with its data, when the block ends.

What they do as the service itself does (yes) and what not, seen with SeaweedFS 4.48, moto 5.2.5, the fake-gcs-server of
wrapper 0.1.1, and Azurite 3.37.0. `generation` stands for `If-Match` at Google, 0 for `If-None-Match: *`.

| | SeaweedFS | moto | fake-gcs-server | Azurite |
| --- | --- | --- | --- | --- |
| GET and HEAD `If-Match` | yes | yes | no, ignored; a GET of one `generation` is a 404 once replaced | yes |
| PUT `If-None-Match: *`, `If-Match` | yes | yes | yes | yes |
| the same when a multipart upload ends | yes | yes | no, ignored | yes |
| DELETE with a condition | yes | yes | no, ignored | yes |
| GET of a range, 416 past the end | yes | yes | yes | yes |
| unfinished uploads are listed | yes | yes | no, and Google lists none | yes |
| unfinished uploads are aborted | yes | yes | yes; asked how far it got, it ends the upload | they have no abort |
| wrong secret, unknown key | 403 | taken | taken | 403 |
| key that may only read | yes | no | no | yes |
| anonymous: private bucket | 403 | 403, but lists | reads, lists | 403 |
| anonymous: public bucket | reads, lists | reads, lists, writes; no HEAD | reads, lists | reads, lists |
| listing in pages | 1000 | 1000 | all in one unless `maxResults` is given | of `maxresults` |
| listing in order of bytes | no: `a/b` before `a-b` | yes | yes | yes |
| any text is a name | no: `d//e` is `d/e`, no `..` | yes | yes | no `..` |
| missing bucket, missing object | 404 | 404 | 404 | 404 |

The conditions that fake-gcs-server ignores are added by `gcs_conditions` and a `fault_proxy`, refusals by the latter.
S3 is tested with SeaweedFS, and with moto where names are odd or their order matters. PyPI's `gcp-storage-emulator`
has neither preconditions nor pages nor 404 for a replaced generation, and is not used.
"""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["UPLOAD_THREADS", "Bucket", "Server"]

UPLOAD_THREADS = 16


class Server(ABC):
    """A running object storage server, as its provider's own client library sees it.

    Attributes
    ----------
    scheme
        What its URLs begin with: `s3`, `gs` or `az`.
    origin
        Where it listens: `http://127.0.0.1:PORT`.
    client
        The provider's own client.
    secrets
        The texts that no message, log or output may ever show.
    """

    scheme: str
    client: Any
    secrets: tuple[str, ...] = ()

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._numbers = itertools.count(1)

    @abstractmethod
    def connect(self) -> Any:
        """Give the provider's own client for the origin; it may be shared by threads."""

    def at(self, origin: str) -> Self:
        """Give the same server as reached by another address, a proxy's say."""
        seen = copy.copy(self)
        seen.origin = origin
        seen.client = seen.connect()
        return seen

    @property
    def endpoint(self) -> str:
        """What clients want as their endpoint's URL."""
        return self.origin

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that point a client at this server, with credentials for everything."""

    @property
    @abstractmethod
    def reader_environment(self) -> dict[str, str]:
        """The variables that give a client credentials which may read and list, and no more."""

    @property
    @abstractmethod
    def wrong_environment(self) -> dict[str, str]:
        """The variables that give a client credentials which are refused."""

    @property
    @abstractmethod
    def anonymous_environment(self) -> dict[str, str]:
        """The variables that point a client at this server and give it no credentials."""

    def bucket(self, name: str) -> Bucket:
        """Give a bucket that may or may not exist."""
        return Bucket(self, name)

    def new_bucket(self, *, public: bool = False) -> Bucket:
        """Make a bucket; a public one can be listed and read by anybody."""
        name = f"plates-{next(self._numbers)}"
        self.make_bucket(name, public=public)
        return Bucket(self, name)

    @abstractmethod
    def make_bucket(self, name: str, *, public: bool) -> None:
        """Make a bucket of a given name."""

    @abstractmethod
    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Store an object, or replace it."""

    @abstractmethod
    def get(self, bucket: str, key: str) -> bytes:
        """Give an object's bytes."""

    @abstractmethod
    def delete(self, bucket: str, key: str) -> None:
        """Remove an object."""

    @abstractmethod
    def versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str | None]]:
        """List all objects whose names begin so: each name, and an ETag, which is another for other content."""

    @abstractmethod
    def open_uploads(self, bucket: str) -> list[str]:
        """Give the names of objects with an upload that was begun and neither completed nor aborted."""


@dataclass(frozen=True)
class Bucket:
    """One bucket (of Azure, container) of a server; what tests put there and look at behind the tools' backs."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        """Its URL, as in `s3://plates-1`, without a slash at the end."""
        return f"{self.server.scheme}://{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a client at its server, with credentials."""
        return self.server.environment

    def put(self, key: str, content: bytes) -> str:
        """Store an object, or replace it, and give its URL."""
        self.server.put(self.name, key, content)
        return f"{self.url}/{key}"

    def get(self, key: str) -> bytes:
        """Give an object's bytes."""
        return self.server.get(self.name, key)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.server.delete(self.name, key)

    def keys(self, prefix: str = "") -> list[str]:
        """Give the names of all objects whose names begin so, in order."""
        return sorted(key for key, _ in self.server.versions(self.name, prefix))

    def versions(self) -> dict[str, str | None]:
        """Give the ETag of each object: equal where nothing was added, replaced or removed."""
        return dict(self.server.versions(self.name, ""))

    def upload_tree(self, folder: Path, prefix: str) -> str:
        """Store all files below a folder under a prefix, and give the prefix's URL with a slash at the end."""
        start = f"{prefix.strip('/')}/" if prefix else ""
        files = [path for path in folder.rglob("*") if path.is_file()]

        def upload(path: Path) -> None:
            self.server.put(self.name, f"{start}{path.relative_to(folder).as_posix()}", path.read_bytes())

        with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
            list(pool.map(upload, files))
        return f"{self.url}/{start}"

    def open_uploads(self) -> list[str]:
        """Give the names of objects with an upload that was begun and neither completed nor aborted."""
        return sorted(self.server.open_uploads(self.name))
