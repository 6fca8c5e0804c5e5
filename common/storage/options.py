"""The options for cloud storage, which all tools have."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.options import option

if TYPE_CHECKING:
    from pycytominer_transform.common.model.preset import Preset

_CLIENTS = {"s3": "S3Client", "gs": "GSClient", "az": "AzureBlobClient"}
"""cloudpathlib's client for each scheme."""
_WORDS = {"true": True, "false": False, "none": None}
_SECRET = re.compile("secret|key|token|passw|credential|connection_string|sas", re.IGNORECASE)


def client_arguments(scheme: str) -> list[str]:
    """List the arguments of cloudpathlib's client that are about access to a store and can be given as text."""
    import cloudpathlib
    from cloudpathlib.client import Client

    own = inspect.signature(getattr(cloudpathlib, _CLIENTS[scheme])).parameters.values()
    general = inspect.signature(Client).parameters
    return [one.name for one in own if one.name not in general and {str, bool, Any} & set(get_args(one.annotation))]


def client_option(text: str) -> tuple[str, str]:
    """Parse ``KEY=VALUE``.

    Raises
    ------
    UsageError
        It has another form; the message does not repeat the text, which may be a secret.
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
        It is malformed, or holds credentials.
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


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """How to reach cloud storage.

    Its values may be credentials: they go to no manifest, no provenance and no message.
    """

    no_sign_request: bool = field(
        default=False,
        metadata=option("ask without credentials, as public buckets allow"),
    )
    endpoint_url: str = field(
        default="",
        metadata=option("a server that is not the provider's own", metavar="URL", parse=endpoint),
    )
    profile: str = field(
        default="",
        metadata=option("section of the provider's credential files", metavar="NAME"),
    )
    client_options: tuple[tuple[str, str], ...] = field(
        default=(),
        repr=False,
        metadata=option(
            "any other argument of cloudpathlib's client; may be repeated",
            flag="--storage-option", metavar="KEY=VALUE", parse=client_option, repeatable=True,
        ),
    )  # fmt: skip
    cache_dir: str = field(
        default="",
        metadata=option(
            "where SQLite files from the cloud lie while they are read (default: a temporary folder)",
            metavar="DIR",
        ),
    )  # fmt: skip
    keep_cache: bool = field(
        default=False,
        metadata=option("leave them in --cache-dir for later runs"),
    )

    def arguments(self, scheme: str) -> dict[str, Any]:
        """Return the further arguments for a provider.

        Raises
        ------
        UsageError
            cloudpathlib's client has no such argument.
        """
        known = client_arguments(scheme) if self.client_options else []
        for name, _ in self.client_options:
            if name not in known:
                raise UsageError(
                    f"--storage-option {name}: is not an argument of {_CLIENTS[scheme]}; it has {', '.join(known)}"
                )
        return {name: _WORDS.get(text.lower(), text) for name, text in self.client_options}

    def with_preset(self, preset: Preset) -> StorageOptions:
        """Return these options, with the preset's for those that are not set.

        Raises
        ------
        UsageError
            The preset's settings are malformed, or may hold credentials.
        """
        _check_preset(preset)
        own = {name for name, _ in self.client_options}
        more = tuple(pair for pair in map(client_option, preset.storage_options) if pair[0] not in own)
        return replace(
            self,
            no_sign_request=self.no_sign_request or preset.no_sign_request,
            endpoint_url=self.endpoint_url or preset.endpoint_url,
            profile=self.profile or preset.profile,
            client_options=(*self.client_options, *more),
        )


def _check_preset(preset: Preset) -> None:
    """Refuse malformed settings, and those that may be credentials: a preset goes into every manifest."""
    try:
        if preset.endpoint_url:
            endpoint(preset.endpoint_url)
        for name, _ in map(client_option, preset.storage_options):
            if _SECRET.search(name):
                raise UsageError(
                    f"{name} may hold credentials, and a preset goes into every manifest; give them by the "
                    "provider's environment variables or files"
                )
    except UsageError as error:
        raise UsageError(f"the preset {preset.name}: 'storage_options' or 'endpoint_url': {error}") from error
