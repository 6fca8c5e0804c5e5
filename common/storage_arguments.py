"""The words of all command lines that say how cloud storage is reached."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.storage_options import StorageOptions, client_option, endpoint

R = TypeVar("R")


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Add the options of cloud storage."""
    group = parser.add_argument_group("cloud storage (s3://, gs://, az://)")
    group.add_argument(
        "--no-sign-request", action="store_true", help="ask without credentials, as public buckets allow"
    )
    group.add_argument(
        "--endpoint-url", metavar="URL", type=_checked(endpoint),
        help="a server that is not the provider's own",
    )  # fmt: skip
    group.add_argument("--profile", metavar="NAME", default="", help="section of the provider's credential files")
    group.add_argument(
        "--storage-option", metavar="KEY=VALUE", type=_checked(client_option), action="append", default=[],
        help="any other argument of cloudpathlib's client; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--cache-dir", metavar="DIR", default="",
        help="where SQLite files from the cloud lie while they are read (default: a temporary folder)",
    )  # fmt: skip
    group.add_argument(
        "--keep-cache", action="store_true", help="leave them in --cache-dir, so that they are downloaded once for all"
    )


def storage_options(args: argparse.Namespace) -> StorageOptions:
    """Make the options of parsed words."""
    return StorageOptions(
        no_sign_request=args.no_sign_request,
        endpoint_url=args.endpoint_url or "",
        profile=args.profile,
        client_options=tuple(args.storage_option),
        cache_dir=args.cache_dir,
        keep_cache=args.keep_cache,
    )


def _checked(parse: Callable[[str], R]) -> Callable[[str], R]:
    def parsed(text: str) -> R:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed
