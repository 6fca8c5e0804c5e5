"""Making cloudpathlib's clients of the options that all tools have; they find credentials as their providers do."""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.storage_options import StorageOptions

_WORDS = {"true": True, "false": False, "none": None}
_LIBRARIES = {
    "S3Client": ("boto3",),
    "GSClient": ("google.auth", "google.cloud.storage"),
    "AzureBlobClient": ("azure.core", "azure.storage.blob"),
}
"""What each client of cloudpathlib needs."""


def client_class(name: str) -> Any:
    """Give a client class of cloudpathlib by its name.

    cloudpathlib imports the libraries of all providers that are installed; that takes longer than converting a small
    plate, so the others' are kept out.

    Raises
    ------
    ModuleNotFoundError
        The provider's own is not installed.
    """
    for library in _LIBRARIES[name]:
        importlib.import_module(library)
    known = sys.modules.get("cloudpathlib")
    if known is not None and not _is_usable(known, name):
        for module in [module for module in sys.modules if module.partition(".")[0] == "cloudpathlib"]:
            del sys.modules[module]
    with _without({library for client in _LIBRARIES if client != name for library in _LIBRARIES[client]}):
        import cloudpathlib
    return getattr(cloudpathlib, name)


def _is_usable(cloudpathlib: Any, name: str) -> bool:
    """Say whether it found the provider's library when it was imported."""
    client = getattr(cloudpathlib, name)
    return bool(cloudpathlib.implementation_registry[client._cloud_meta.name].dependencies_loaded)


@contextmanager
def _without(libraries: set[str]) -> Iterator[None]:
    """Let this thread not find libraries that nobody has imported yet."""
    finder = _Blind({library for library in libraries if library not in sys.modules}, threading.get_ident())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Blind(MetaPathFinder):
    def __init__(self, libraries: set[str], thread: int) -> None:
        self._libraries = libraries
        self._thread = thread

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse the libraries, and leave all other modules to the finders that follow."""
        if fullname in self._libraries and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def client_arguments(client: type, options: StorageOptions, named: dict[str, Any]) -> dict[str, Any]:
    """Give the arguments of a client: those that have an option of their own, and the user's further ones.

    Parameters
    ----------
    client : type
        A client class of cloudpathlib.
    named : dict
        What the options of their own say, by the client's word; empty ones are left out.

    Raises
    ------
    UsageError
        The client has no such argument.
    """
    known = [name for name in inspect.signature(client.__init__).parameters if name != "self"]  # type: ignore[misc]
    given = {name: value for name, value in named.items() if value}
    for name, text in options.client_options:
        if name not in known:
            raise UsageError(
                f"--storage-option {name}: {client.__name__} has no such argument; it has {', '.join(known)}"
            )
        given[name] = _WORDS.get(text.lower(), text)
    return given


def refuse_options(provider: str, **given: object) -> None:
    """Refuse options that a provider has no meaning for.

    Raises
    ------
    UsageError
        One of them was given.
    """
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name.replace('_', '-')} means nothing to {provider}")
