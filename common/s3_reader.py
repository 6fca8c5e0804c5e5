"""How S3's objects are listed and read fast: obstore, told where a bucket is and by whom it is asked.

Where the environment alone tells that, as it does in jobs that use a server of their own, boto3 is not asked: importing
it and making a client of it takes as long as reading a small plate.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.object_store import StoredObject
from pycytominer_transform.common.retrying import asked_again
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    import obstore.store

CONNECT_SECONDS, READ_SECONDS = 5, 30
DEFAULT_REGION = "us-east-1"
_PAGE = 1_000
_KEY_ID, _SECRET, _TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
# Of all other variables that begin with AWS_ only boto3 knows what they mean.
_UNDERSTOOD = {*_ENDPOINTS, _KEY_ID, _SECRET, _TOKEN, "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED"}


@dataclass(frozen=True)
class Access:
    """Where a bucket is, and how requests are signed.

    Attributes
    ----------
    signing : mapping
        The arguments of obstore's store that say it; they may be credentials.
    is_virtual : bool
        The bucket's name is part of the host's.
    """

    endpoint: str
    region: str
    signing: Mapping[str, Any] = field(repr=False)
    is_virtual: bool = False


UNSIGNED: Mapping[str, Any] = {"skip_signature": True}


def access_by_environment(options: StorageOptions) -> Access | None:
    """Give what the environment and the options tell without files of settings; None where that is not all."""
    told = {name: text for name, text in os.environ.items() if name.startswith("AWS_") and text}
    endpoint = options.endpoint_url or next((told[name] for name in _ENDPOINTS if name in told), "")
    if endpoint.startswith("http:"):
        told.pop("AWS_CA_BUNDLE", None)
    if options.profile or options.client_options or not told.keys() <= _UNDERSTOOD or _has_settings():
        return None
    signing = UNSIGNED
    if not options.no_sign_request:
        if _KEY_ID not in told or _SECRET not in told:
            return None
        signing = {"access_key_id": told[_KEY_ID], "secret_access_key": told[_SECRET]}
        signing |= {"token": told[_TOKEN]} if _TOKEN in told else {}
    return Access(endpoint, told.get("AWS_DEFAULT_REGION", DEFAULT_REGION), signing) if endpoint else None


def _has_settings() -> bool:
    try:
        return (Path.home() / ".aws" / "config").exists()
    except (OSError, RuntimeError):
        return True


def open_reader(bucket: str, access: Access) -> obstore.store.S3Store:
    """Open a bucket for listing and reading; nothing is asked yet, and nothing will be tried again."""
    from obstore.store import S3Store as Reader

    endpoint = access.endpoint
    if access.is_virtual:
        scheme, _, host = endpoint.partition("://")
        endpoint = f"{scheme}://{bucket}.{host}"
    return Reader(
        bucket,
        region=access.region,
        aws_endpoint_url_s3=endpoint,
        virtual_hosted_style_request=access.is_virtual,
        client_options={
            "allow_http": endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=READ_SECONDS),
            "timeout": timedelta(minutes=10),
        },
        retry_config={"max_retries": 0},
        **access.signing,
    )


def listed_fast(reader: obstore.store.S3Store, prefix: str, named: str) -> list[StoredObject] | None:
    """List all objects under a prefix that ends in a slash, or in the whole bucket; None where obstore cannot.

    `named` is how messages call the prefix.
    """
    import obstore
    from obstore.exceptions import BaseError

    found = []
    try:
        for page in obstore.list(reader, prefix or None, chunk_size=_PAGE):
            for entry in page:
                # An empty object may stand for a folder, whose name obstore gives without its last slash.
                if not entry["size"] or not entry["e_tag"]:
                    return None
                found.append(StoredObject(entry["path"], entry["size"], entry["e_tag"].strip('"')))
    except (BaseError, OSError, ValueError) as error:
        asked_again(f"list {named}", error)
        return None
    return found


def read_fast(reader: obstore.store.S3Store, stored: StoredObject, start: int, end: int, named: str) -> bytes | None:
    """Read some bytes of the very object that was listed; None where obstore cannot.

    `named` is how messages call the object.
    """
    import obstore
    from obstore.exceptions import BaseError

    condition = f'"{stored.mark}"'
    options: Any = {"range": (start, end), "if_match": condition}
    try:
        result = obstore.get(reader, stored.key, options=options)
        content = bytes(result.bytes())
    except (BaseError, OSError, ValueError) as error:
        asked_again(f"read {named}", error)
        return None
    whole = len(content) == end - start and (result.meta.get("e_tag") or condition) == condition
    return content if whole else None
