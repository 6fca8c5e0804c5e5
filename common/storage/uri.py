"""URIs of objects and prefixes in cloud stores."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pycytominer_transform.common.errors import UsageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
SCHEMES = ("s3", "gs", "az")
"""As cloudpathlib names them."""


@dataclass(frozen=True)
class CloudUri:
    """``SCHEME://BUCKET/KEY``; the key is without slashes at its end, and empty for the whole bucket."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        """Return the URI without slashes at its end."""
        return f"{self.scheme}://{self.bucket}" + (f"/{self.key}" if self.key else "")


def is_cloud(place: str) -> bool:
    """Return whether a place is a URI rather than a path of this machine."""
    return _SCHEME.match(place) is not None


def cloud_uri(place: str) -> CloudUri:
    """Parse a URI.

    Raises
    ------
    UsageError
        It names no bucket, or an unknown kind of store.
    """
    scheme, _, rest = place.partition("://")
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(f"{place}: {scheme}:// is unknown; a source or an output is a path, or begins with {known}")
    bucket, _, key = rest.partition("/")
    if not bucket or "@" in bucket:
        raise UsageError(f"{scheme}://{bucket.rpartition('@')[2]}: names no bucket; write {scheme}://BUCKET/KEY")
    return CloudUri(scheme, bucket, key.rstrip("/"))
