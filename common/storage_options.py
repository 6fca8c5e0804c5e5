"""How cloud storage is reached: what all tools are told about it in the same words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pycytominer_transform.common.errors import UsageError

if TYPE_CHECKING:
    from pycytominer_transform.common.preset import Preset

_SECRET = re.compile("secret|key|token|passw|credential|connection_string|sas", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """How cloud storage is reached.

    Its values may be credentials: they go to no manifest, no provenance and no message.

    Attributes
    ----------
    no_sign_request : bool
        Ask without credentials, as public buckets allow.
    endpoint_url : str
        Address of a server that is not the provider's own.
    profile : str
        Section of the provider's files of credentials to use.
    client_options : tuple of (str, str)
        Further arguments of cloudpathlib's client, by name.
    cache_dir : str
        Folder for files that have to lie on a disk to be read (SQLite); empty for a temporary one.
    keep_cache : bool
        Leave them there.
    """

    no_sign_request: bool = False
    endpoint_url: str = ""
    profile: str = ""
    client_options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cache_dir: str = ""
    keep_cache: bool = False

    def with_preset(self, preset: Preset) -> StorageOptions:
        """Fill in what a preset says and these options leave open."""
        own = {name for name, _ in self.client_options}
        more = tuple(pair for pair in map(client_option, preset.storage_options) if pair[0] not in own)
        return replace(
            self,
            no_sign_request=self.no_sign_request or preset.no_sign_request,
            endpoint_url=self.endpoint_url or preset.endpoint_url,
            profile=self.profile or preset.profile,
            client_options=(*self.client_options, *more),
        )


def client_option(text: str) -> tuple[str, str]:
    """Take ``KEY=VALUE`` apart.

    Raises
    ------
    UsageError
        It is none; the message does not repeat it.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError("a storage option is KEY=VALUE, with an argument of cloudpathlib's client as KEY")
    return name, value


def endpoint(text: str) -> str:
    """Check the address of a server.

    Raises
    ------
    UsageError
        It is none, or holds credentials.
    """
    try:
        parts = urlsplit(text)
        if parts.username or parts.password:
            raise UsageError("an endpoint URL must not hold credentials; the provider's environment variables do")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{text!r} is not the URL of a server, such as https://minio.example.org:9000") from error
    return text


def check_preset_storage(endpoint_url: str, options: Sequence[str], where: str) -> None:
    """Refuse in a preset what is no way to reach storage, or may be credentials.

    Raises
    ------
    UsageError
        There is such.
    """
    try:
        if endpoint_url:
            endpoint(endpoint_url)
        for name, _ in map(client_option, options):
            if _SECRET.search(name):
                raise UsageError(
                    f"{name} may hold credentials, and a preset goes into every manifest; give them by the "
                    "provider's environment variables or files"
                )
    except UsageError as error:
        raise UsageError(f"{where}: 'storage_options' or 'endpoint_url': {error}") from error
