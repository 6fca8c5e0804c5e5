"""The certificates by which Prefect's clients know servers, read once in a process rather than by every client."""

from __future__ import annotations

import ssl
from functools import cache
from types import ModuleType
from typing import Any


class _ReadOnce(ModuleType):
    """The module `ssl`, but a context of one file of certificates is made once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(ssl, name)

    def create_default_context(self, *arguments: Any, **named: Any) -> ssl.SSLContext:
        """Make a context, or give the one that was made of the same file."""
        if not arguments and named.keys() == {"cafile"} and isinstance(named["cafile"], str):
            return _made_of(named["cafile"])
        return ssl.create_default_context(*arguments, **named)


@cache
def _made_of(cafile: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile)


@cache
def read_certificates_once() -> None:
    """Have Prefect's clients read a file of those who sign certificates once in this process.

    On a Dask worker two clients are made for each task, also of a server without encryption, and each reads that file:
    60 ms, a quarter of what a task took. Of other libraries' contexts each stays its own, for they may change them.
    """
    from prefect.client import orchestration

    orchestration.ssl = _ReadOnce("ssl")  # type: ignore[attr-defined]
